"""Messages: https://www.twilio.com/docs/messaging/api/message-resource, with their media and feedback."""

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

KINDS = ("SM", "MM")


DELIVERED = frozenset({"delivered", "read"})


FAILED = frozenset({"failed", "undelivered", "canceled", "partially_delivered"})


INBOUND = frozenset({"received"})


FINAL = DELIVERED | FAILED | INBOUND


MAX_BODY_LENGTH = 1600


MOST_MEDIA = 10


MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD = timedelta(seconds=300), timedelta(days=35)


MAX_VALIDITY_PERIOD = 36_000


class Message(Record):
    """Hold a message. ``price`` is negative when charged, and None until Twilio has billed it."""

    sid_prefixes = KINDS

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
    """Hold what is known of a message's media item; its content is behind its ``uri`` without ``.json``."""

    sid_prefixes = ("ME",)

    sid = Sid()
    account_sid = Field(str)
    parent_sid = Field(str)
    content_type = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    uri = Field(str)


class MessageFeedback(Record):
    """Hold what was told to Twilio of a message's success."""

    sid_prefixes = ()

    account_sid = Field(str)
    message_sid = Field(str)
    outcome = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    uri = Field(str)


class Messages(Resource[C_co]):
    """Send, read, redact, cancel and delete messages."""

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
        """Send a message. Never repeated when its outcome is unknown.

        :param to: a number in E.164, or a channel address such as ``whatsapp:+14155550100``.
        :param from_: the sender: a number, short code, alphanumeric sender or channel address of the account.
        :param messaging_service_sid: the messaging service that chooses the sender, instead of or beside ``from_``.
        :param body: the text, up to 1600 characters.
        :param media_url: up to 10 addresses of media.
        :param content_sid: a content template, instead of ``body``.
        :param content_variables: the template's variables, as a mapping or as JSON.
        :param status_callback: where Twilio reports the message's statuses.
        :param application_sid: the application whose callback address is used.
        :param max_price: without effect at Twilio since 2024.
        :param provide_feedback: whether you will report the message's success (``feedback.create``).
        :param attempt: how many times you have tried to send this, this one included.
        :param validity_period: seconds the message may wait in the queue, 1 to 36000.
        :param force_delivery: reserved by Twilio.
        :param content_retention: ``retain`` or ``discard`` the body at Twilio.
        :param address_retention: ``retain`` or ``obfuscate`` the recipient at Twilio.
        :param smart_encoded: replace characters outside GSM-7 by similar ones inside.
        :param persistent_action: rich actions of a channel.
        :param traffic_type: Twilio's class of traffic, such as ``free``.
        :param shorten_urls: shorten the links in the body (messaging services only).
        :param schedule_type: ``fixed``, together with ``send_at``.
        :param send_at: when to send, aware or ISO 8601: 300 s to 35 days ahead, through a messaging service.
        :param send_as_mms: send a single MMS, also without media.
        :param message_intent: the intent that Twilio weighs for compliance.
        :param risk_check: ``disable`` turns Twilio's check for SMS pumping off for this message.
        :param fallback_from: the sender to use where ``from_`` can't reach the recipient's channel.
        :param max_segments: refuse a body of more segments, before it costs anything.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.
        :raises BadParameter: before anything is sent.
        :raises OptedOut: the recipient said STOP to this sender.

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
        checks.max_items("media_url", media_url, MOST_MEDIA)
        if checks.is_set(content_variables):
            checks.required(content_sid=content_sid)
        checks.between("validity_period", validity_period, 1, MAX_VALIDITY_PERIOD, " seconds")
        checks.choice("content_retention", content_retention, ("retain", "discard"))
        checks.choice("address_retention", address_retention, ("retain", "obfuscate"))
        checks.choice("risk_check", risk_check, ("enable", "disable"))
        checks.choice("schedule_type", schedule_type, ("fixed",))
        if checks.is_set(send_at) != checks.is_set(schedule_type):
            raise BadParameter(
                "send_at and schedule_type", "belong together", "give both: schedule_type='fixed' and the time"
            )
        checks.within_future("send_at", send_at, MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD)
        needs = ("MessagingServiceSid",) if checks.is_set(send_at) else ("MessagingServiceSid", "From")
        most = parse_int("max_segments", max_segments, 1)
        return Request("POST", "Messages.json", Message, idempotent=False, requires_one_of=needs, max_segments=most)

    @operation
    @staticmethod
    def fetch(message_sid: str) -> Request[Message]:
        """Fetch a message.

        :raises NotFound: there is none with this SID, or no longer.

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
        """Redact a message's body, or cancel a scheduled message.

        :param body: ``""``, which empties the body for good; Twilio takes no other value.
        :param status: ``canceled``, for a message that is scheduled and not yet sent.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.

        https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
        """
        checks.choice("status", status, ("canceled",))
        if body is not None and body is not UNRESOLVED and body != "":
            raise BadParameter("body", f"is {checks.describe(body)}", 'give body="": Twilio only takes away a body')
        if body is None and status is None and not extra_params:
            raise BadParameter("body or status", "is missing", 'give body="" to redact or status="canceled"')
        return Request("POST", _path(message_sid), Message)

    @operation
    @staticmethod
    def delete(message_sid: str) -> Request[None]:
        """Delete a message that has reached its final status, with its media and feedback.

        :raises RateLimited: it is not final yet (code 20009); later it can be.

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
        """List messages, the newest first by the date they were sent.

        :param to: only to this number or address.
        :param from_: only from this sender.
        :param date_sent: only of this day (UTC).
        :param date_sent_after: only at or after this time, aware, or day (UTC). Leaves out what has no ``date_sent``.
        :param date_sent_before: only at or before this time, aware, or day (UTC). Leaves out what has no ``date_sent``.
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
        """
        return Listing("Messages.json", Message, limit=limit, page_size=page_size)


class MediaItems(Resource[C_co]):
    """Read and delete the media of messages."""

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

        :param date_created: only of this day (UTC).
        :param date_created_after: only at or after this time, aware, or day (UTC).
        :param date_created_before: only at or before this time, aware, or day (UTC).
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/messaging/api/media-resource#read-multiple-media-resources
        """
        return Listing(_path(message_sid, "Media"), Media, limit=limit, page_size=page_size)

    @operation
    @staticmethod
    def fetch(message_sid: str, media_sid: str) -> Request[Media]:
        """Fetch what is known of one media item.

        https://www.twilio.com/docs/messaging/api/media-resource#fetch-a-media-resource
        """
        return Request("GET", _path(message_sid, "Media", checks.sid("media_sid", media_sid, "ME")), Media)

    @operation
    @staticmethod
    def delete(message_sid: str, media_sid: str) -> Request[None]:
        """Delete one media item. Redacting a message's body leaves its media: delete them too.

        https://www.twilio.com/docs/messaging/api/media-resource#delete-a-media-resource
        """
        return Request("DELETE", _path(message_sid, "Media", checks.sid("media_sid", media_sid, "ME")), NoContent)


class Feedback(Resource[C_co]):
    """Tell Twilio whether a message reached its purpose."""

    @operation
    @staticmethod
    def create(
        message_sid: str,
        *,
        outcome: Literal["confirmed", "unconfirmed"] | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[MessageFeedback]:
        """Report a message's outcome; it must have been sent with ``provide_feedback=True``.

        :param outcome: ``confirmed`` or ``unconfirmed`` (Twilio's default is ``confirmed``).
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.

        https://www.twilio.com/docs/messaging/api/message-feedback-resource#create-a-message-feedback-resource
        """
        checks.choice("outcome", outcome, ("confirmed", "unconfirmed"))
        return Request("POST", _path(message_sid, "Feedback"), MessageFeedback)


def _path(message_sid: str, *rest: str) -> str:
    return "/".join(("Messages", checks.sid("message_sid", message_sid, *KINDS), *rest)) + ".json"
