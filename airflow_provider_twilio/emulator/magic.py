"""The numbers that behave in a known way: one table, for tests of what a real phone does only now and then.

Every one of them works with From, a messaging service, and as ``whatsapp:+1500555…``. Any other number in E.164,
outside the regions that messages and calls are not allowed to, is a phone that is on, answers, and talks for a few
seconds.

The numbers that Twilio documents for its test credentials are in ``credentials.py``; they count there only.
"""

from __future__ import annotations

from dataclasses import dataclass

Steps = tuple[tuple[float, str], ...]
"""Statuses with the seconds after the start at which each is reached."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say what becomes of a message once a sender has it."""

    steps: Steps
    error: int | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """Say what becomes of a call: how long it waits and rings, and how it is answered."""

    ends: str = "completed"
    rings: float = 1.5
    answered_by: str = "human"
    talks: float | None = None
    """Seconds of talk whatever the TwiML says; None lets the TwiML run."""
    sip: int = 200


DIALING = 0.4
LONGEST_CALL = 14_400.0


def course_of(ring: Ring, talk: float, timeout: float, limit: float | None) -> Steps:
    """Lay out a call's statuses."""
    dialed = ((0.0, "queued"), (DIALING, "ringing"))
    if ring.rings >= timeout:
        return (*dialed, (DIALING + timeout, "no-answer"))
    over = DIALING + ring.rings
    if ring.ends != "completed":
        return (*dialed, (over, ring.ends))
    talk = min(talk, limit or LONGEST_CALL)
    return (*dialed, (over, "in-progress"), (over + talk, "completed"))


_DISPATCH: Steps = ((0.0, "queued"), (0.3, "sending"), (0.8, "sent"))
USUAL = Delivery((*_DISPATCH, (2.0, "delivered")))


READ = Delivery((*USUAL.steps, (4.0, "read")))
"""What becomes of an RCS message: the phone tells that it was read."""


def _undelivered(error: int) -> Delivery:
    return Delivery((*_DISPATCH, (2.0, "undelivered")), error)


def _failed(error: int) -> Delivery:
    return Delivery(((0.0, "queued"), (0.5, "failed")), error)


DELIVERIES: dict[str, Delivery] = {
    "+15005559001": _undelivered(30003),  # unreachable handset
    "+15005559002": _undelivered(30005),  # unknown handset
    "+15005559003": _undelivered(30006),  # landline
    "+15005559004": _undelivered(30007),  # filtered
    "+15005559005": _undelivered(30008),  # unknown error
    "+15005559006": _undelivered(30004),  # blocked
    "+15005559007": _failed(30001),  # queue overflow
    "+15005559008": _failed(30410),  # provider timeout
    "+15005559009": _failed(30500),  # internal error at Twilio
    "+15005559010": Delivery(_DISPATCH),  # sent for ever: a carrier without delivery reports
    "+15005559011": Delivery((*_DISPATCH, (60.0, "delivered"))),  # slow
    "+15005559012": Delivery(((0.0, "queued"),)),  # queued for ever, or until its validity period runs out
    "+15005559013": Delivery((*_DISPATCH, (2.0, "delivered"), (4.0, "read"))),  # read
    "+15005559014": _undelivered(30034),  # sender not registered for 10DLC
    "+15005559015": _undelivered(30022),  # 10DLC rate limit
    "+15005559016": Delivery((*_DISPATCH, (3600.0, "delivered"))),  # an hour
}
"""What becomes of a message to this number."""

REFUSALS: dict[str, tuple[int, str, int]] = {
    "+15005559201": (21211, "The 'To' number {to} is not a valid phone number.", 400),
    "+15005559202": (21612, "The 'To' phone number {to} is not currently reachable via SMS or MMS.", 400),
    "+15005559203": (21408, "Permission to send an SMS has not been enabled for the region of {to}.", 400),
    "+15005559204": (21610, "Attempt to send to unsubscribed recipient", 400),
    "+15005559205": (21611, "This 'From' number has exceeded the maximum number of queued messages.", 400),
    "+15005559206": (21614, "'To' number is not a valid mobile number: {to}", 400),
    "+15005559207": (21635, "'To' number cannot be a landline: {to}", 400),
    "+15005559208": (63038, "Account exceeded the daily messages limit.", 429),
    "+15005559209": (21608, "The number {to} is unverified. Trial accounts cannot send to it.", 400),
}
"""What a message to this number is refused with."""

RINGS: dict[str, Ring] = {
    "+15005559101": Ring("busy", sip=486),
    "+15005559102": Ring("no-answer", rings=float("inf"), sip=487),  # rings until the call's time-out
    "+15005559103": Ring("failed", rings=0.5, sip=404),
    "+15005559104": Ring(answered_by="machine_start"),  # voicemail
    "+15005559105": Ring(talks=3600.0),  # talks for an hour: to be hung up
    "+15005559106": Ring(rings=30.0),  # answers late
    "+15005559107": Ring(answered_by="fax"),
    "+15005559108": Ring(answered_by="unknown"),
    "+15005559109": Ring("canceled", sip=487),
}
"""What becomes of a call to this number."""

CALL_REFUSALS: dict[str, tuple[int, str, int]] = {
    "+15005559301": (21217, "Phone number {to} does not appear to be valid", 400),
    "+15005559302": (21214, "'To' phone number {to} cannot be reached", 400),
    "+15005559303": (21215, "Account not authorized to call {to}. Check its geographic permissions.", 400),
    "+15005559304": (21216, "Account not allowed to call {to}", 400),
    "+15005559305": (21219, "The number {to} is unverified. Trial accounts may only call verified numbers.", 400),
    "+15005559306": (22005, "The call queue is longer than 24 hours", 429),
}
"""What a call to this number is refused with."""
