"""Magic numbers: phone numbers with a known behavior, for tests.

Each of them works with a From number, with a messaging service, and as ``whatsapp:+1500555…``. Any other number in
E.164 format is a phone that is switched on, answers, and talks for a few seconds, unless it lies in a region that is
not enabled for the account.

The numbers that Twilio documents for its test credentials are in ``test_credentials.py``. They have an effect with
those credentials only.
"""

from __future__ import annotations

from dataclasses import dataclass

Steps = tuple[tuple[float, str], ...]
"""Statuses, each after the number of seconds between the start and the status."""


@dataclass(frozen=True, slots=True)
class MessageBehavior:
    """The statuses of a message once it has a sender, and its error code if it fails."""

    steps: Steps
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class CallBehavior:
    """How a phone reacts to a call: how long it rings, who answers, and the final status."""

    final_status: str = "completed"
    ring_seconds: float = 1.5
    answered_by: str = "human"
    talk_seconds: float | None = None
    """Length of the conversation; None to follow the TwiML."""
    sip_code: int = 200


DIALING_TIME = 0.4
"""Seconds between the request and the first ring."""
MAX_CALL_LENGTH = 14_400.0
"""Length of a call without a time limit, in seconds."""


def call_steps(behavior: CallBehavior, talk_seconds: float, timeout: float, time_limit: float | None) -> Steps:
    """Return the statuses of a call."""
    dialed = ((0.0, "queued"), (DIALING_TIME, "ringing"))
    if behavior.ring_seconds >= timeout:
        return (*dialed, (DIALING_TIME + timeout, "no-answer"))
    answered = DIALING_TIME + behavior.ring_seconds
    if behavior.final_status != "completed":
        return (*dialed, (answered, behavior.final_status))
    talk_seconds = min(talk_seconds, time_limit or MAX_CALL_LENGTH)
    return (*dialed, (answered, "in-progress"), (answered + talk_seconds, "completed"))


_SENT: Steps = ((0.0, "queued"), (0.3, "sending"), (0.8, "sent"))
DELIVERED = MessageBehavior((*_SENT, (2.0, "delivered")))
READ = MessageBehavior((*DELIVERED.steps, (4.0, "read")))
"""The phone reports that the message was read, as by RCS."""


def _undelivered(error_code: int) -> MessageBehavior:
    return MessageBehavior((*_SENT, (2.0, "undelivered")), error_code)


def _failed(error_code: int) -> MessageBehavior:
    return MessageBehavior(((0.0, "queued"), (0.5, "failed")), error_code)


MESSAGE_BEHAVIORS: dict[str, MessageBehavior] = {
    "+15005559001": _undelivered(30003),  # unreachable handset
    "+15005559002": _undelivered(30005),  # unknown handset
    "+15005559003": _undelivered(30006),  # landline
    "+15005559004": _undelivered(30007),  # filtered
    "+15005559005": _undelivered(30008),  # unknown error
    "+15005559006": _undelivered(30004),  # blocked
    "+15005559007": _failed(30001),  # queue overflow
    "+15005559008": _failed(30410),  # provider timeout
    "+15005559009": _failed(30500),  # internal error at Twilio
    "+15005559010": MessageBehavior(_SENT),  # stays sent: a carrier without delivery reports
    "+15005559011": MessageBehavior((*_SENT, (60.0, "delivered"))),  # slow
    "+15005559012": MessageBehavior(((0.0, "queued"),)),  # stays queued until its validity period expires
    "+15005559013": READ,
    "+15005559014": _undelivered(30034),  # sender not registered for 10DLC
    "+15005559015": _undelivered(30022),  # 10DLC rate limit
    "+15005559016": MessageBehavior((*_SENT, (3600.0, "delivered"))),  # an hour
}
"""The behavior of messages to each number."""

MESSAGE_REJECTIONS: dict[str, tuple[int, str, int]] = {
    "+15005559201": (21211, "The 'To' number {to} is not a valid phone number.", 400),
    "+15005559202": (21612, "The 'To' phone number {to} is not currently reachable via SMS or MMS.", 400),
    "+15005559203": (21408, "Permission to send an SMS has not been enabled for the region of {to}.", 400),
    "+15005559204": (21610, "Attempt to send to unsubscribed recipient", 400),
    "+15005559205": (21611, "SMS queue is full.", 429),
    "+15005559206": (21614, "'To' number is not a valid mobile number: {to}", 400),
    "+15005559207": (21635, "'To' number cannot be a landline: {to}", 400),
    "+15005559208": (63038, "Account exceeded the daily messages limit.", 429),
    "+15005559209": (21608, "The number {to} is unverified. Trial accounts cannot send to it.", 400),
}
"""The error code, message and HTTP status that messages to each number are rejected with."""

CALL_BEHAVIORS: dict[str, CallBehavior] = {
    "+15005559101": CallBehavior("busy", sip_code=486),
    "+15005559102": CallBehavior("no-answer", ring_seconds=float("inf"), sip_code=487),  # rings until the timeout
    "+15005559103": CallBehavior("failed", ring_seconds=0.5, sip_code=404),
    "+15005559104": CallBehavior(answered_by="machine_start"),  # voicemail
    "+15005559105": CallBehavior(talk_seconds=3600.0),  # talks for an hour: a call to hang up
    "+15005559106": CallBehavior(ring_seconds=30.0),  # answers late
    "+15005559107": CallBehavior(answered_by="fax"),
    "+15005559108": CallBehavior(answered_by="unknown"),
    "+15005559109": CallBehavior("canceled", sip_code=487),
}
"""The behavior of calls to each number."""

CALL_REJECTIONS: dict[str, tuple[int, str, int]] = {
    "+15005559301": (21217, "Phone number {to} does not appear to be valid", 400),
    "+15005559302": (21214, "'To' phone number {to} cannot be reached", 400),
    "+15005559303": (21215, "Account not authorized to call {to}. Check its geographic permissions.", 400),
    "+15005559304": (21216, "Account not allowed to call {to}", 400),
    "+15005559305": (21219, "The number {to} is unverified. Trial accounts may only call verified numbers.", 400),
    "+15005559306": (22005, "The call queue is longer than 24 hours", 429),
}
"""The error code, message and HTTP status that calls to each number are rejected with."""
