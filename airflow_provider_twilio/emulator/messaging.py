"""The rules of messages: rejections, statuses, inbound messages and replies."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_twilio.emulator.magic_numbers import (
    DELIVERED,
    MESSAGE_BEHAVIORS,
    MESSAGE_REJECTIONS,
    READ,
    MessageBehavior,
)
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.message import Media, Message
from airflow_provider_twilio.emulator.models.messaging_service import MessagingService
from airflow_provider_twilio.emulator.responses import ApiError
from airflow_provider_twilio.emulator.segments import count_segments, smart_encode
from airflow_provider_twilio.emulator.state import State

ERRORS = {
    21610: "Attempt to send to unsubscribed recipient",
    63016: "Failed to send freeform message because you are outside the allowed window",
    30001: "Queue overflow",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Carrier violation",
    30008: "Unknown error",
    30022: "US A2P 10DLC - Rate Limits Exceeded",
    30034: "US A2P 10DLC - Message from an Unregistered Number",
    30036: "Validity Period Expired",
    30410: "Provider Timeout Error",
    30500: "Message Delivery - Internal Error",
}
"""Messages of error codes."""
SMS_PRICE, MMS_PRICE, CHANNEL_PRICE = 0.0083, 0.0220, 0.0050
"""Prices of an SMS segment, an MMS and a message of another channel, in USD."""
TRIAL_PREFIX = "Sent from your Twilio trial account - "
DEFAULT_VALIDITY = 36_000.0  # seconds
WHATSAPP_WINDOW = 86_400.0
"""Seconds after a WhatsApp user's message during which replies need no template."""
DISABLED_REGIONS = ("+850", "+53", "+98")
OPT_OUT_KEYWORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"})
OPT_IN_KEYWORDS = frozenset({"START", "YES", "UNSTOP"})


@dataclass(slots=True)
class MessageOptions:
    """The optional properties of an outbound message."""

    direction: str = "outbound-api"
    status_callback: str | None = None
    provide_feedback: bool = False
    validity: float | None = None
    smart_encoded: bool | None = None
    discard_body: bool = False
    obfuscate_recipient: bool = False
    has_template: bool = False
    send_at: float | None = None


def find_behavior(
    state: State, account: Account, to: str, sender: str | None, service: MessagingService | None = None
) -> MessageBehavior:
    """Return the behavior of a message.

    :raises ApiError: The message is rejected.
    """
    number = to.rpartition(":")[2]
    if number in MESSAGE_REJECTIONS:
        code, text, status = MESSAGE_REJECTIONS[number]
        raise ApiError(code, text.format(to=to), status)
    if to.startswith(DISABLED_REGIONS):
        raise ApiError(21408, f"Permission to send an SMS has not been enabled for the region indicated by {to}.")
    if state.quirks.trial and number not in account.verified_numbers:
        raise ApiError(
            21608,
            f"The number {to} is unverified. Trial accounts cannot send messages to unverified numbers; verify it, or"
            " purchase a Twilio number to send messages to unverified numbers.",
        )
    if service is None and _is_opted_out(account, to, sender):
        raise _unsubscribed()
    return MESSAGE_BEHAVIORS.get(number, READ if to.startswith("rcs:") else DELIVERED)


def check_sender_pool(account: Account, service: MessagingService) -> None:
    """Raise an error if a messaging service has no sender for messages."""
    if not service.pool:
        raise ApiError(21704, "The Messaging Service contains no phone numbers.")
    if not service.senders(account.numbers):
        raise ApiError(21703, "The Messaging Service does not have a phone number available to send a message.")


def _is_opted_out(account: Account, to: str, sender: str | None, service: MessagingService | None = None) -> bool:
    """Return whether a recipient has opted out of a sender's messages.

    An opt-out applies to the sender or to its messaging service.
    """
    return (sender, to) in account.opted_out or (service is not None and (service.sid, to) in account.opted_out)


def _unsubscribed() -> ApiError:
    return ApiError(21610, ERRORS[21610])


def _needs_template(state: State, account: Account, to: str, sender: str | None, options: MessageOptions) -> bool:
    """Return whether WhatsApp rejects a message without a template.

    https://www.twilio.com/docs/api/errors/63016
    """
    if not to.startswith("whatsapp:") or not state.quirks.whatsapp_window or options.has_template:
        return False
    last_message = account.last_whatsapp_messages.get((sender or "", to))
    return last_message is None or state.clock.now() - last_message > WHATSAPP_WINDOW


def build_message(
    state: State, account: Account, to: str, sender: str | None, service: MessagingService | None, body: str | None,
    media: list[str], behavior: MessageBehavior, options: MessageOptions,
) -> Message:  # fmt: skip
    """Build an outbound message, which is not stored yet."""
    now = state.clock.now()
    steps, error = behavior.steps, behavior.error_code
    smart, validity = options.smart_encoded, options.validity or DEFAULT_VALIDITY
    if service is not None:
        if sender is None:
            steps = ((0.0, "accepted"), *((after + 0.3, status) for after, status in steps))
            sender = service.sender_for(account.numbers, to)
        if _is_opted_out(account, to, sender, service):
            steps, error = ((0.0, "accepted"), (0.5, "failed")), 21610
        if options.send_at is not None:
            delay = (options.send_at - now) * state.clock.speed
            steps = ((0.0, "scheduled"), *((after + delay, status) for after, status in steps))
        smart = service.settings["smart_encoding"] if smart is None else smart
        validity = options.validity or service.settings["validity_period"]
    if _needs_template(state, account, to, sender, options):
        steps, error = (*(step for step in steps if step[1] in ("scheduled", "accepted", "queued")),), 63016
        steps = (*steps, (steps[-1][0] + 0.5, "failed"))
    if steps[-1][1] in ("queued", "accepted", "sending"):
        steps, error = (*steps, (steps[-1][0] + validity, "failed")), 30036
    if state.quirks.trial and body is not None:
        body = TRIAL_PREFIX + body
    segments = 1 if media else count_segments(smart_encode(body or "") if smart else body or "")
    message = Message(
        sid=state.new_sid("MM" if media else "SM"),
        seq=0,
        created=now,
        account_sid=account.sid,
        to=to,
        sender=sender,
        body=body,
        start=now,
        steps=steps,
        error=error,
        speed=state.clock.speed,
        service_sid=None if service is None else service.sid,
        direction=options.direction,
        segments=segments,
        price=_price(to, media, segments),
        sort_key=0.0,
        status_callback=options.status_callback or (service.settings["status_callback"] if service else None),
        provide_feedback=options.provide_feedback,
        discard_body=options.discard_body,
        obfuscate_recipient=options.obfuscate_recipient,
    )
    message.sort_key = message.sent_at()
    return message


def store_message(state: State, account: Account, message: Message, media: list[str]) -> None:
    """Store a message and its media."""
    message.seq = state.next_seq()
    message.media = [
        Media(
            state.new_sid("ME"), state.next_seq(), message.created, message.sid, url, _content_type(url),
            message.created,
        )
        for url in media
    ] or None  # fmt: skip
    account.messages.add(message)
    if message.status_callback:
        state.on_change(message)


def _price(address: str, media: list[str], segments: int) -> float:
    return CHANNEL_PRICE if ":" in address else MMS_PRICE if media else SMS_PRICE * segments


def _content_type(url: str) -> str:
    extension = url.split("?", maxsplit=1)[0].rpartition(".")[2].lower()
    return {
        "png": "image/png", "gif": "image/gif", "pdf": "application/pdf", "mp4": "video/mp4", "mp3": "audio/mpeg",
        "txt": "text/plain", "vcf": "text/vcard",
    }.get(extension, "image/jpeg")  # fmt: skip


def receive_message(
    state: State,
    account: Account,
    to: str,
    sender: str,
    body: str,
    media: list[str],
    service: MessagingService | None,
) -> Message:
    """Store an inbound message from a phone, and apply opt-out and opt-in keywords."""
    now = state.clock.now()
    keyword = body.strip().upper()
    for opted in [to] + ([service.sid] if service else []):
        if keyword in OPT_OUT_KEYWORDS:
            account.opted_out.add((opted, sender))
        elif keyword in OPT_IN_KEYWORDS:
            account.opted_out.discard((opted, sender))
    if sender.startswith("whatsapp:"):
        account.last_whatsapp_messages[to, sender] = now
    segments = count_segments(body)
    message = Message(
        sid=state.new_sid("MM" if media else "SM"),
        seq=0,
        created=now,
        account_sid=account.sid,
        to=to,
        sender=sender,
        body=body,
        start=now,
        steps=((0.0, "received"),),
        error=None,
        speed=state.clock.speed,
        service_sid=service.sid if service else None,
        direction="inbound",
        segments=segments,
        price=MMS_PRICE / 2 if media and ":" not in sender else _price(sender, media, segments),
        sort_key=now,
    )
    store_message(state, account, message, media)
    return message


def reply_to_message(state: State, account: Account, inbound: Message, body: str) -> None:
    """Send the reply of a webhook to an inbound message.

    :raises ApiError: The reply is rejected.
    """
    to, sender = inbound.sender or "", inbound.to
    service = account.services.get(inbound.service_sid or "")
    if _is_opted_out(account, to, sender, service):
        raise _unsubscribed()
    behavior = find_behavior(state, account, to, sender)
    options = MessageOptions(direction="outbound-reply")
    store_message(state, account, build_message(state, account, to, sender, service, body, [], behavior, options), [])


def override_status(account: Account, message: Message, now: float, status: str, error: int | None) -> None:
    """Set the status of a message for the rest of its life."""
    account.usage_totals.reopen(account.messages, message, now)
    message.set_status(status, now)
    message.error = error
    account.messages.move(message, message.sent_at())
