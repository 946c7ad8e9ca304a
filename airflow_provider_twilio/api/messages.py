"""Messages, their media and feedback: https://www.twilio.com/docs/messaging/api/message-resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int

SID_PREFIXES = ("SM", "MM")


DELIVERED = frozenset({"delivered", "read"})


FAILED = frozenset({"failed", "undelivered", "canceled", "partially_delivered"})


INBOUND = frozenset({"received"})


FINAL = DELIVERED | FAILED | INBOUND


MAX_BODY_LENGTH = 1600


MAX_MEDIA = 10


MIN_SCHEDULE_AHEAD = timedelta(seconds=330)
"""Minimum time ahead of a scheduled message: Twilio's 300 seconds, and a margin for the request and for clocks."""

MAX_SCHEDULE_AHEAD = timedelta(days=35)


MAX_VALIDITY_PERIOD = 36_000


class Message(Record):
    """A message. ``price`` is negative for a charge, and None until Twilio has billed the message."""

    sid_prefixes = SID_PREFIXES

    sid = Sid()
    account_sid = Field(str)
    messaging_service_sid = Field(str)
    to = Field(str)
    from_ = Field(str)
    body = Field(str)
    status = Field(str)
    direction = Field(str)
    num_segments = Field(int)
    num_media = Field(int)
    error_code = Field(int)
    error_message = Field(str)
    price = Field(Decimal)
    price_unit = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    date_sent = Field(datetime)
    api_version = Field(str)
    uri = Field(str)
    subresource_uris = Field(dict)


class Media(Record):
    """A media item of a message. Its content is at its ``uri`` without ``.json``."""

    sid_prefixes = ("ME",)

    sid = Sid()
    account_sid = Field(str)
    parent_sid = Field(str)
    content_type = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    uri = Field(str)


class MessageFeedback(Record):
    """Feedback on the delivery of a message."""

    sid_prefixes = ()

    account_sid = Field(str)
    message_sid = Field(str)
    outcome = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    uri = Field(str)


class Messages(Resource[C_co]):
    """Operations on messages: create, fetch, list, update and delete.

    .. code-block:: python

        request = Messages.create(to="+14155550100", body="Load finished")  # a Request, not yet sent
        message = Messages(client).create(to="+14155550100", body="Load finished")  # sent: a Message
    """

    @operation
    @staticmethod
    def create(
        *,
        to: str,
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        body: str | None = None,
        media_url: Sequence[str] | str | None = None,
        content_sid: str | None = None,
        content_variables: Mapping[str, Any] | str | None = None,
        status_callback: str | None = None,
        application_sid: str | None = None,
        max_price: Decimal | str | None = None,
        provide_feedback: bool | None = None,
        attempt: int | None = None,
        validity_period: int | None = None,
        force_delivery: bool | None = None,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
        smart_encoded: bool | None = None,
        persistent_action: Sequence[str] | None = None,
        traffic_type: str | None = None,
        shorten_urls: bool | None = None,
        schedule_type: Literal["fixed"] | None = None,
        send_at: datetime | str | None = None,
        send_as_mms: bool | None = None,
        message_intent: str | None = None,
        risk_check: Literal["enable", "disable"] | None = None,
        fallback_from: str | None = None,
        max_segments: int | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[Message]:
        """Create a message, which Twilio sends now or at a scheduled time.

        The request is not idempotent: it is never sent again while its outcome is unknown.

        :param to: Recipient: a number in E.164, such as ``+14155550100``, or a channel address, such as
            ``whatsapp:+14155550100``.
        :param from_: Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required
            without ``messaging_service_sid``, unless the connection has a default sender.
        :param messaging_service_sid: Messaging service that selects the sender. With ``from_``, the service sends from
            that sender.
        :param body: Message text, up to 1,600 characters.
        :param media_url: URL of a media file to attach, or a list of up to 10.
        :param content_sid: Content template to send instead of ``body``.
        :param content_variables: Values for the variables of the content template, as a mapping or JSON. Requires
            ``content_sid``.
        :param status_callback: URL to which Twilio reports each status of the message.
        :param application_sid: TwiML app whose status callback URL Twilio uses.
        :param max_price: Ignored by Twilio since June 2024.
        :param provide_feedback: Whether you will report the message's delivery with the feedback resource. False by
            default.
        :param attempt: Number of attempts made to send this message, this one included.
        :param validity_period: Seconds the message may stay in Twilio's queue, 1 to 36,000 (default). Twilio does not
            send it later.
        :param force_delivery: Reserved by Twilio.
        :param content_retention: ``discard`` to have Twilio delete the body after sending, ``retain`` to keep it.
            Requires Message Redaction, which Twilio enables for an account on request; without it, the message fails
            with code 30029.
        :param address_retention: ``obfuscate`` to have Twilio mask the recipient in its records, ``retain`` to keep it.
            Requires Message Redaction, as ``content_retention`` does.
        :param smart_encoded: Whether Twilio replaces characters outside GSM-7 with similar ones inside it.
        :param persistent_action: Rich actions for channels other than SMS and MMS, such as a location.
        :param traffic_type: Twilio's traffic class for the message, such as ``free``.
        :param shorten_urls: Whether Twilio shortens links in the body. Works with messaging services that have link
            shortening only. False by default.
        :param schedule_type: ``fixed``, together with ``send_at``.
        :param send_at: Time at which Twilio sends the message, 330 seconds to 35 days ahead: an aware datetime or ISO
            8601. Requires ``schedule_type="fixed"`` and a messaging service.
        :param send_as_mms: Whether to send a single MMS even without media.
        :param message_intent: Purpose of the message, which Twilio evaluates for compliance.
        :param risk_check: ``disable`` to exempt this message from SMS pumping protection. ``enable`` by default.
        :param fallback_from: Sender of the SMS that Twilio sends if the recipient cannot be reached over RCS.
        :param max_segments: Maximum number of segments of the body. A longer body is rejected before anything is sent.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No message was sent.
        :raises OptedOut: When the recipient has replied STOP to this sender.

        https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
        """
        checks.recipient("to", to)
        checks.sender("from_", from_)
        checks.sender("fallback_from", fallback_from)
        checks.sids(
            messaging_service_sid=(messaging_service_sid, "MG"),
            content_sid=(content_sid, "HX"),
            application_sid=(application_sid, "AP"),
        )
        checks.one_of(body=body, media_url=media_url, content_sid=content_sid)
        checks.max_length("body", body, MAX_BODY_LENGTH)
        checks.max_items("media_url", media_url, MAX_MEDIA)
        if checks.is_set(content_variables):
            checks.required(content_sid=content_sid)
        checks.between("validity_period", validity_period, 1, MAX_VALIDITY_PERIOD, " seconds")
        checks.choice("content_retention", content_retention, ("retain", "discard"))
        checks.choice("address_retention", address_retention, ("retain", "obfuscate"))
        checks.choice("risk_check", risk_check, ("enable", "disable"))
        checks.choice("schedule_type", schedule_type, ("fixed",))
        if checks.is_set(send_at) != checks.is_set(schedule_type):
            raise BadParameter(
                "send_at and schedule_type", "are not both set", "pass schedule_type='fixed' and the time, or neither"
            )
        checks.within_future("send_at", send_at, MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD)
        required = ("MessagingServiceSid",) if checks.is_set(send_at) else ("MessagingServiceSid", "From")
        maximum = parse_int("max_segments", max_segments, 1)
        return Request(
            "POST", "Messages.json", Message, idempotent=False, requires_one_of=required, max_segments=maximum
        )

    @operation
    @staticmethod
    def fetch(message_sid: str) -> Request[Message]:
        """Fetch a message.

        :param message_sid: SID of the message.
        :raises NotFound: When no message has this SID, or it has been deleted.

        https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource
        """
        return Request("GET", _path(message_sid), Message)

    @operation
    @staticmethod
    def update(
        message_sid: str,
        *,
        body: str | None = None,
        status: Literal["canceled"] | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[Message]:
        """Update a message: redact its body, or cancel it if it is scheduled. One request cannot do both.

        :param message_sid: SID of the message.
        :param body: ``""``, which removes the body permanently. Twilio accepts no other value.
        :param status: ``canceled``, for a scheduled message that has not been sent.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
        """
        checks.choice("status", status, ("canceled",))
        if body is not None and body is not UNRESOLVED and body != "":
            raise BadParameter("body", f"is {checks.describe(body)}", 'pass body="": Twilio can only remove a body')
        if body == "" and status == "canceled":
            raise BadParameter(
                "body and status",
                "are mutually exclusive",
                "cancel the message in one request, and redact it in another: Twilio rejects both at once (30400)",
            )
        if body is None and status is None and not extra_params:
            raise BadParameter(
                "body or status", "is missing", 'pass body="" to redact the message, or status="canceled"'
            )
        return Request("POST", _path(message_sid), Message)

    @operation
    @staticmethod
    def delete(message_sid: str) -> Request[None]:
        """Delete a message in a final status, together with its media and feedback.

        :param message_sid: SID of the message.
        :raises RateLimited: When the message is not in a final status yet (code 20009). Try again later.

        https://www.twilio.com/docs/messaging/api/message-resource#delete-a-message-resource
        """
        return Request("DELETE", _path(message_sid), NoContent)

    @listing
    @staticmethod
    def list(
        *,
        to: str | None = None,
        from_: str | None = None,
        date_sent: date | None = None,
        date_sent_after: date | datetime | None = None,
        date_sent_before: date | datetime | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[Message]:
        """List messages, most recently sent first.

        :param to: Only messages to this number or channel address.
        :param from_: Only messages from this sender.
        :param date_sent: Only messages sent on this day (UTC).
        :param date_sent_after: Only messages sent at or after this time or day (UTC). A datetime needs a time zone.
            Excludes messages without ``date_sent``.
        :param date_sent_before: Only messages sent at or before this time or day (UTC). A datetime needs a time zone.
            Excludes messages without ``date_sent``.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
        """
        return Listing("Messages.json", Message, limit=limit, page_size=page_size)


class MediaItems(Resource[C_co]):
    """Operations on the media of messages: list, fetch and delete."""

    @listing
    @staticmethod
    def list(
        message_sid: str,
        *,
        date_created: date | None = None,
        date_created_after: date | datetime | None = None,
        date_created_before: date | datetime | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[Media]:
        """List the media of a message.

        :param message_sid: SID of the message.
        :param date_created: Only media created on this day (UTC).
        :param date_created_after: Only media created at or after this time or day (UTC). A datetime needs a time zone.
        :param date_created_before: Only media created at or before this time or day (UTC). A datetime needs a time
            zone.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/messaging/api/media-resource#read-multiple-media-resources
        """
        return Listing(_path(message_sid, "Media"), Media, limit=limit, page_size=page_size)

    @operation
    @staticmethod
    def fetch(message_sid: str, media_sid: str) -> Request[Media]:
        """Fetch the record of a media item.

        :param message_sid: SID of the message.
        :param media_sid: SID of the media item.
        :raises NotFound: When no media item has this SID, or it has been deleted.

        https://www.twilio.com/docs/messaging/api/media-resource#fetch-a-media-resource
        """
        return Request("GET", _path(message_sid, "Media", checks.sid("media_sid", media_sid, "ME")), Media)

    @operation
    @staticmethod
    def delete(message_sid: str, media_sid: str) -> Request[None]:
        """Delete a media item. Redacting a message's body does not delete its media.

        :param message_sid: SID of the message.
        :param media_sid: SID of the media item.

        https://www.twilio.com/docs/messaging/api/media-resource#delete-a-media-resource
        """
        return Request("DELETE", _path(message_sid, "Media", checks.sid("media_sid", media_sid, "ME")), NoContent)


class Feedback(Resource[C_co]):
    """Operations on message feedback: create."""

    @operation
    @staticmethod
    def create(
        message_sid: str,
        *,
        outcome: Literal["confirmed", "unconfirmed"] | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[MessageFeedback]:
        """Create feedback on a message that was sent with ``provide_feedback=True``.

        :param message_sid: SID of the message.
        :param outcome: ``confirmed`` (default) if the message reached its purpose, else ``unconfirmed``.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/messaging/api/message-feedback-resource#create-a-message-feedback-resource
        """
        checks.choice("outcome", outcome, ("confirmed", "unconfirmed"))
        return Request("POST", _path(message_sid, "Feedback"), MessageFeedback)


def _path(message_sid: str, *rest: str) -> str:
    return "/".join(("Messages", checks.sid("message_sid", message_sid, *SID_PREFIXES), *rest)) + ".json"
