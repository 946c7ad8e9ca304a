"""Bubbles: a message or call as a conversation displays it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.emulator.inbox import phones
from airflow_provider_twilio.emulator.inbox.rendering import format_time
from airflow_provider_twilio.emulator.models.call import Call
from airflow_provider_twilio.emulator.models.message import Message

TONES = {
    "accepted": "wait", "scheduled": "wait", "queued": "wait", "sending": "wait", "receiving": "wait",
    "ringing": "wait", "sent": "sent", "delivered": "done", "partially_delivered": "done", "read": "read",
    "received": "in", "in-progress": "live", "completed": "done", "canceled": "off",
}  # fmt: skip
"""Visual style of each status that is not a failure: a CSS class, which also selects the icon."""
CALL_FAILURES = {
    "busy": "The line was busy.",
    "no-answer": "The call was not answered.",
    "failed": "The call could not be connected.",
    "canceled": "The call was canceled before it was answered.",
}


@dataclass(slots=True)
class Bubble:
    """A message or call as it is displayed."""

    sid: str
    is_call: bool
    inbound: bool
    """Whether the phone sent the message or made the call."""
    account_address: str
    """Number, alphanumeric sender or channel address of the account's end."""
    channel: str
    account: str
    """Name of the subaccount; empty for the main account."""
    created: float
    status: str
    tone: str
    steps: list[tuple[str, str]]
    """Each status so far, with its time."""
    text: str = ""
    media: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, content type and URL of each media file."""
    error_code: int | None = None
    explanation: str = ""
    error_url: str = ""
    """Twilio's documentation of the error code."""
    send_at: float | None = None
    details: list[tuple[str, str]] = field(default_factory=list)
    transcript: tuple[str, ...] = ()
    accepts_keys: bool = False
    """Whether a Gather listens for keys."""
    can_hang_up: bool = False
    duration: str = ""


def build_bubble(item: phones.Item, account: str, now: float) -> Bubble:
    """Build the bubble of a message or call.

    :param account: Name of the subaccount; empty for the main account.
    """
    status = item.status(now)
    bubble = Bubble(
        sid=item.sid,
        is_call=isinstance(item, Call),
        inbound=item.direction == "inbound",
        account_address=phones.account_address(item),
        channel="",
        account=account,
        created=item.created,
        status=status,
        tone="bad" if phones.has_failed(item, now) else TONES.get(status, "wait"),
        steps=[(step, format_time(item.at(n), True)) for n, (_, step) in enumerate(item.steps) if item.at(n) <= now],
        details=[("SID", item.sid)],
    )
    if isinstance(item, Message):
        _add_message(bubble, item, now)
    else:
        _add_call(bubble, item, now)
    return bubble


def _add_message(bubble: Bubble, message: Message, now: float) -> None:
    bubble.text = message.body or ""
    bubble.channel = {"whatsapp": "WhatsApp", "rcs": "RCS"}.get(phones.phone_address(message).partition(":")[0], "")
    for media in message.media or ():
        bubble.media.append((_file_name(media.url), media.content_type, media.url))
    bubble.error_code = message.error_code(now)
    if bubble.error_code is not None:
        bubble.explanation = codes.MEANINGS.get(bubble.error_code, "see Twilio's documentation of this error code")
        bubble.error_url = codes.page(bubble.error_code)
    if bubble.status == "scheduled":
        bubble.send_at = message.sent_at()
    bubble.details += [
        ("To" if bubble.inbound else "From", bubble.account_address or "selected by the messaging service"),
        ("Segments", str(message.segments)),
        ("Price", f"{message.charged(now):.4f} USD" if message.charged(now) else "not charged yet"),
    ]
    if message.service_sid:
        bubble.details.append(("Messaging service", message.service_sid))


def _add_call(bubble: Bubble, call: Call, now: float) -> None:
    answered = call.reached("in-progress", now)
    ended = call.ended(now)
    if answered is not None:
        seconds = call.seconds() if ended is not None else int((now - answered) * call.speed)
        bubble.duration = f"{seconds // 60}:{seconds % 60:02}"
        bubble.transcript = call.heard(now)
        bubble.accepts_keys = call.active_gather(now) is not None
        bubble.can_hang_up = bubble.status == "in-progress"
        if call.answered_by:
            bubble.details.append(("Answered by", call.answered_by.replace("_", " ")))
    if bubble.tone == "bad":
        bubble.explanation = CALL_FAILURES[bubble.status]
        bubble.details.append(("SIP response code", str(call.sip_code)))
    bubble.details.append(("To" if bubble.inbound else "From", bubble.account_address))


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or url
