"""Messages, their media and feedback.

https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import test_credentials
from airflow_provider_twilio.emulator.magic_numbers import DELIVERED
from airflow_provider_twilio.emulator.messaging import (
    ERRORS,
    MessageOptions,
    build_message,
    check_sender_pool,
    find_behavior,
    store_message,
)
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.message import FINAL, MAX_BODY_LENGTH, Media, Message
from airflow_provider_twilio.emulator.models.messaging_service import MessagingService
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.params import DateRange, Params, e164, is_url, parse_timestamp
from airflow_provider_twilio.emulator.record_store import NEVER, RecordStore
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, format_price, not_found, rfc2822_date
from airflow_provider_twilio.emulator.state import State

MAX_MEDIA = 10  # items
MIN_SCHEDULE, MAX_SCHEDULE = 300.0, 35 * 86_400.0
"""How far ahead a message can be scheduled, in seconds: more than the minimum, at most the maximum."""
CLOCK_SKEW = 2.0
"""Difference between the clocks of client and emulator that the maximum tolerates, in seconds."""
MEDIA_CDN = "/media.twiliocdn.com/"
"""Path below which the emulator serves the content of media."""
WHATSAPP_SANDBOX = "+14155238886"

_CHANNEL = re.compile(r"(whatsapp|messenger|rcs|channel):(.+)", re.DOTALL)
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&.-]{1,11}")


def render_message(message: Message, now: float, price_lag: float = 0.0) -> dict[str, Any]:
    """Return the JSON form of a message.

    :param price_lag: Seconds by which its price appears late.
    """
    position = message.position(now)
    status = message.steps[position][1]
    is_waiting = message.service_sid is not None and status in ("accepted", "scheduled")
    # A canceled message of a messaging service never got a sender.
    has_no_sender = is_waiting or (status == "canceled" and message.service_sid is not None)
    sent_at = message.sent_at()
    uri = f"/{VERSION}/Accounts/{message.account_sid}/Messages/{message.sid}"
    subresources = {"media": f"{uri}/Media.json"}
    if message.provide_feedback:
        subresources["feedback"] = f"{uri}/Feedback.json"
    error = message.error if status in ("failed", "undelivered") else None
    charged = message.charged_when_sent_at(sent_at, now - price_lag)
    is_sent = sent_at <= now or status in FINAL
    return {
        "body": "" if message.discard_body and is_sent else message.body,
        "num_segments": "0" if is_waiting else str(message.segments),
        "direction": message.direction,
        "from": None if has_no_sender else message.sender,
        "date_updated": rfc2822_date(max(message.at(position), message.created, message.updated)),
        "price": format_price(charged),
        "error_message": None if error is None else ERRORS.get(error, f"Error {error}"),
        "uri": f"{uri}.json",
        "account_sid": message.account_sid,
        "num_media": str(len(message.media)) if message.media else "0",
        "to": f"{message.to[:-4]}XXXX" if message.obfuscate_recipient and is_sent else message.to,
        "date_created": rfc2822_date(message.created),
        "status": status,
        "sid": message.sid,
        "date_sent": rfc2822_date(sent_at) if sent_at <= now else None,
        "messaging_service_sid": message.service_sid,
        "error_code": error,
        "price_unit": "USD" if charged else None,
        "api_version": VERSION,
        "subresource_uris": subresources,
    }


# ---------------------------------------------------------------- create


def create_message(request: ApiRequest) -> Response:
    """Handle POST Messages."""
    form, state = request.form, request.state
    body, media = _parse_content(form)
    to, sender, service = _parse_addresses(request, form)
    options = _parse_options(form)
    options.send_at = _parse_schedule(request, form, service)
    behavior = DELIVERED if request.is_test else find_behavior(state, request.account, to, sender, service)
    message = build_message(state, request.account, to, sender, service, body, media, behavior, options)
    if not request.is_test:
        store_message(state, request.account, message, media)
    return Response(render_message(message, request.now, request.price_lag), 201, sid=message.sid)


def _parse_content(form: Params) -> tuple[str | None, list[str]]:
    """Return the body and the media URLs."""
    body, media, content_sid = form.text("Body"), form.all("MediaUrl"), form.text("ContentSid")
    if body is None and not media and content_sid is None:
        if not form.text("To"):
            raise ApiError(21604, "A 'To' phone number is required.")
        raise ApiError(21602, "Message body is required.")
    if body is not None and len(body) > MAX_BODY_LENGTH:
        raise ApiError(21617, "The concatenated message body exceeds the 1600 character limit.")
    if len(media) > MAX_MEDIA:
        raise ApiError(21623, "Number of media files exceeds allowed limit of 10")
    if not all(is_url(url) for url in media):
        raise ApiError(21620, "Invalid media URL(s)")
    form.sid("ContentSid", "HX", 21655)
    variables = form.text("ContentVariables")
    if variables is not None:
        try:
            is_valid = isinstance(json.loads(variables), dict)
        except (ValueError, RecursionError):
            is_valid = False
        if not is_valid:
            raise ApiError(21656, "The ContentVariables Parameter is invalid.")
    if content_sid is not None:
        body = None
    return body, media


def _parse_addresses(request: ApiRequest, form: Params) -> tuple[str, str | None, MessagingService | None]:
    """Return the recipient, the sender and the messaging service.

    The sender is None if the messaging service selects it.
    """
    given_to = form.text("To")
    if given_to is None:
        raise ApiError(21604, "A 'To' phone number is required.")
    to = _normalize_address(given_to)
    if to is None:
        raise ApiError(21211, f"The 'To' number {given_to} is not a valid phone number.")
    given_sender, service_sid = form.text("From"), form.text("MessagingServiceSid")
    service = None
    if service_sid is not None:
        service = None if request.is_test else request.account.services.get(service_sid)
        if service is None:
            raise ApiError(21705, f"The Messaging Service Sid {service_sid[:100]} is invalid.")
    if given_sender is None and service is None:
        raise ApiError(21603, "A 'From' phone number is required.")
    if request.is_test:
        sender = test_credentials.check_message_from(given_sender)
        test_credentials.check_message_to(to)
        return to, sender, None
    if given_sender is None:
        if service is not None:
            check_sender_pool(request.account, service)
        return to, None, service
    sender = _check_sender(request.account, given_sender, to)
    if service is not None and sender.rpartition(":")[2] not in service.senders(request.account.numbers):
        raise ApiError(21711, f"The 'From' number {sender} does not belong to the Messaging Service {service.sid}.")
    return to, sender, service


def _normalize_address(value: str) -> str | None:
    """Normalize a phone number or a channel address; return None if it is invalid."""
    channel = _CHANNEL.fullmatch(value)
    if channel is None:
        return e164(value)
    if channel[1] in ("whatsapp", "rcs"):
        number = e164(channel[2])
        return None if number is None else f"{channel[1]}:{number}"
    return value if len(value) <= 200 else None


def _check_sender(account: Account, sender: str, to: str) -> str:
    """Return the normalized sender.

    :raises ApiError: The account cannot send from this sender to this recipient.
    """
    channel = _CHANNEL.fullmatch(sender)
    if (channel[1] if channel else None) != (to.partition(":")[0] if ":" in to else None):
        raise ApiError(21910, "Invalid From and To pair. From and To should be of the same channel")
    if channel is not None:
        if channel[1] == "whatsapp":
            number = e164(channel[2])
            if number is None or (number != WHATSAPP_SANDBOX and account.find_number(number) is None):
                raise ApiError(63007, "Twilio could not find a Channel with the specified From address")
            return f"whatsapp:{number}"
        return sender[:200]
    number = e164(sender)
    if (number is not None and sender.lstrip().startswith(("+", "(", "1"))) or (number and len(sender) >= 10):
        if number == to:
            raise ApiError(21266, "'To' and 'From' number cannot be the same")
        owned = account.find_number(number)
        if owned is None:
            raise _unowned_sender(sender)
        if not owned.capabilities["sms"]:
            raise ApiError(
                21606,
                f"The From phone number {sender} is not a valid, SMS-capable inbound phone number or short code for"
                " your account.",
            )
        return number
    if _SHORT_CODE.fullmatch(sender):
        if account.find_number(sender) is None:
            raise _unowned_sender(sender)
        return sender
    if _ALPHANUMERIC.fullmatch(sender):
        if to.startswith("+1"):
            raise ApiError(21612, f"The 'To' phone number {to} is not currently reachable using the 'From' {sender}.")
        return sender
    raise ApiError(
        21212, f"The 'From' number {sender} is not a valid phone number, shortcode, or alphanumeric sender ID."
    )


def _unowned_sender(number: str) -> ApiError:
    return ApiError(21659, f"'From' {number} is not a Twilio phone number or Short Code country mismatch")


def _parse_options(form: Params) -> MessageOptions:
    # These parameters are validated, and have no effect in the emulator.
    form.sid("ApplicationSid", "AP")
    form.number("MaxPrice", 0, 1e9)
    form.integer("Attempt", 0, 10_000)
    for name in ("ForceDelivery", "ShortenUrls", "SendAsMms"):
        form.flag(name)
    form.choice("TrafficType", ("free",))
    form.choice("RiskCheck", ("enable", "disable"))
    return MessageOptions(
        status_callback=form.url("StatusCallback", 21609),
        provide_feedback=bool(form.flag("ProvideFeedback")),
        validity=form.integer("ValidityPeriod", 1, 36_000, 21624),
        smart_encoded=form.flag("SmartEncoded"),
        discard_body=form.choice("ContentRetention", ("retain", "discard")) == "discard",
        obfuscate_recipient=form.choice("AddressRetention", ("retain", "obfuscate")) == "obfuscate",
        has_template=form.text("ContentSid") is not None,
    )


def _parse_schedule(request: ApiRequest, form: Params, service: MessagingService | None) -> float | None:
    """Return the time that a message is scheduled for; None if it is not."""
    schedule_type, send_at = form.text("ScheduleType"), form.text("SendAt")
    if schedule_type is None and send_at is None:
        return None
    if schedule_type != "fixed":
        raise ApiError(35113, "ScheduleType is missing or invalid: it must be 'fixed' with SendAt.")
    if send_at is None:
        raise ApiError(35111, "The 'SendAt' timestamp is missing.")
    if service is None:
        raise ApiError(35118, "MessagingServiceSid is required to schedule a message.")
    when = parse_timestamp(send_at)
    if when is None:
        raise ApiError(35117, "The 'SendAt' timestamp is invalid. It must be in ISO 8601 format.")
    if when - request.now <= MIN_SCHEDULE:
        raise ApiError(35114, "The 'SendAt' time must be more than 300 seconds in the future.")
    if when - request.now > MAX_SCHEDULE + CLOCK_SKEW:
        raise ApiError(35115, "The 'SendAt' time must be at most 35 days in the future.")
    return when


# ---------------------------------------------------------------- fetch, list, update, delete


def fetch_message(request: ApiRequest) -> Response:
    """Handle GET Messages/{Sid}."""
    message = request.find(request.account.messages, request.args[0])
    return Response(render_message(message, max(request.shown_as_of, message.created), request.price_lag))


def list_messages(request: ApiRequest) -> Response:
    """Handle GET Messages."""
    query = request.query
    filters: list[Any] = []
    lookup: dict[str, str] = {}
    if (given_to := query.text("To")) is not None:
        to = lookup["to"] = _normalize_address(given_to) or given_to
        filters.append(lambda message: message.to == to)
    if (given_sender := query.text("From")) is not None:
        sender = lookup["sender"] = _normalize_address(given_sender) or given_sender
        filters.append(lambda message: message.sender == sender and not _hides_sender(message, request.now))
    as_of, price_lag = request.shown_as_of, request.price_lag
    return paginate(
        request,
        "messages",
        request.account.messages,
        filters,
        lambda message: render_message(message, max(as_of, message.created), price_lag),
        DateRange.parse(query, "DateSent"),
        lookup,
    )


def _hides_sender(message: Message, now: float) -> bool:
    return message.service_sid is not None and message.status(now) in ("accepted", "scheduled", "canceled")


def update_message(request: ApiRequest) -> Response:
    """Handle POST Messages/{Sid}: redact or cancel a message."""
    message = request.find(request.account.messages, request.args[0])
    status = request.form.choice("Status", ("canceled",))
    body = request.form.get("Body")
    if body:
        raise ApiError(20001, "The Body of a message can only be emptied")
    if status is None and body is None:
        raise ApiError(20001, "Body or Status is required")
    if status is not None and body is not None:
        raise ApiError(30400, "A message cannot be canceled and redacted in the same request")
    if status is not None:
        if message.status(request.now) != "scheduled":
            raise ApiError(30409, "This message cannot be canceled", 409)
        message.set_status("canceled", request.now)
        request.account.messages.move(message, NEVER)
        if message.status_callback:
            request.state.on_change(message)
    if body == "":
        if not message.is_final(request.now) and message.status(request.now) != "sent":
            raise ApiError(20009, "Cannot redact this message before it is complete", 409)
        message.body = ""
    message.updated = request.now
    return Response(render_message(message, request.now, request.price_lag))


def delete_message(request: ApiRequest) -> Response:
    """Handle DELETE Messages/{Sid}: delete a final message with its media and feedback."""
    message = request.find(request.account.messages, request.args[0])
    if not message.is_final(request.now):
        raise ApiError(20009, "Cannot delete this resource before it is complete", 409)
    request.account.delete(request.account.messages, message, request.now)
    return Response(status=204)


# ---------------------------------------------------------------- media and feedback


def _media_store(request: ApiRequest) -> RecordStore[Media]:
    message = request.find(request.account.messages, request.args[0])
    store: RecordStore[Media] = RecordStore()
    for media in message.media or ():
        store.add(media)
    return store


def _find_media(request: ApiRequest) -> Media:
    media = _media_store(request).get(request.args[1])
    if media is None:
        raise not_found(request.path)
    return media


def _render_media(request: ApiRequest, media: Media) -> dict[str, Any]:
    return {
        "sid": media.sid,
        "account_sid": request.account.sid,
        "parent_sid": media.parent_sid,
        "content_type": media.content_type,
        "date_created": rfc2822_date(media.created),
        "date_updated": rfc2822_date(media.created),
        "uri": f"{request.account.uri}/Messages/{media.parent_sid}/Media/{media.sid}.json",
    }


def list_media(request: ApiRequest) -> Response:
    """Handle GET Messages/{Sid}/Media."""
    store = _media_store(request)
    created = DateRange.parse(request.query, "DateCreated")
    filters = [] if created is None else [lambda media: created.contains(media.created)]
    return paginate(request, "media_list", store, filters, lambda media: _render_media(request, media))


def fetch_media(request: ApiRequest) -> Response:
    """Handle GET Messages/{Sid}/Media/{Sid}."""
    return Response(_render_media(request, _find_media(request)))


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
"""A PNG image of one pixel."""


def redirect_to_media_content(request: ApiRequest) -> Response:
    """Handle GET Messages/{Sid}/Media/{Sid} without ``.json``.

    Twilio redirects to its CDN, which needs no credentials.
    """
    media = _find_media(request)
    location = f"{request.base_url}{MEDIA_CDN}{request.account.sid}/{media.parent_sid}/{media.sid}"
    return Response(None, 307, {"Location": location})


def serve_media_content(state: State, path: str) -> Response:
    """Handle GET of a media file at the CDN. The content is always an image of one pixel.

    :raises ApiError: The media does not exist (404).
    """
    account_sid, _, rest = path.removeprefix(MEDIA_CDN).partition("/")
    message_sid, _, media_sid = rest.partition("/")
    account = state.accounts.get(account_sid)
    message = account.messages.get(message_sid) if account is not None else None
    if message is None or not any(media.sid == media_sid for media in message.media or ()):
        raise not_found(path)
    return Response(_PIXEL, content_type="image/png")


def delete_media(request: ApiRequest) -> Response:
    """Handle DELETE Messages/{Sid}/Media/{Sid}."""
    message = request.find(request.account.messages, request.args[0])
    media = _find_media(request)
    message.media.remove(media)
    return Response(status=204)


def create_feedback(request: ApiRequest) -> Response:
    """Handle POST Messages/{Sid}/Feedback.

    https://www.twilio.com/docs/messaging/api/message-feedback-resource
    """
    message = request.find(request.account.messages, request.args[0])
    outcome = request.form.choice("Outcome", ("confirmed", "unconfirmed")) or "confirmed"
    if not message.provide_feedback:
        raise ApiError(20001, "Feedback is only accepted for messages sent with ProvideFeedback=true")
    message.feedback = outcome
    return Response(
        {
            "account_sid": request.account.sid,
            "message_sid": message.sid,
            "outcome": outcome,
            "date_created": rfc2822_date(request.now),
            "date_updated": rfc2822_date(request.now),
            "uri": f"{request.account.uri}/Messages/{message.sid}/Feedback.json",
        }
    )


ROUTES = {
    ("POST", "Messages"): create_message,
    ("GET", "Messages"): list_messages,
    ("GET", "Messages/{}"): fetch_message,
    ("POST", "Messages/{}"): update_message,
    ("DELETE", "Messages/{}"): delete_message,
    ("GET", "Messages/{}/Media"): list_media,
    ("GET", "Messages/{}/Media/{}"): fetch_media,
    ("DELETE", "Messages/{}/Media/{}"): delete_media,
    ("POST", "Messages/{}/Feedback"): create_feedback,
}
