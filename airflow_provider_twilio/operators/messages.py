"""Send one message or many, fetch, list, redact, cancel and delete messages; forget old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import NotFound
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.bulk import SendingManyOperator
from airflow_provider_twilio.operators.retention import DeleteOldMessagesOperator, RedactOldMessagesOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

__all__ = [
    "DeleteMessageOperator",
    "DeleteOldMessagesOperator",
    "FetchMessageOperator",
    "ListMessagesOperator",
    "RedactOldMessagesOperator",
    "SendMessageOperator",
    "SendMessagesOperator",
    "UpdateMessageOperator",
]


class SendMessageOperator(SendAndWaitOperator, operation=Messages.create):
    """Send a message: SMS, MMS, WhatsApp or RCS. Its record goes to XCom, without the body.

    It is sent once, whatever is retried, killed or lost. With ``wait_for_delivery`` the task succeeds when the message
    is delivered, and fails at once, whatever its ``retries``, when it can't be any more.

    :param to: a number in E.164, or a channel address such as ``whatsapp:+14155550100``. (templated)
    :param from_: the sender, where the connection's extra ``from_`` isn't it. (templated)
    :param messaging_service_sid: the messaging service that chooses the sender. (templated)
    :param body: the text, up to 1600 characters. (templated)
    :param media_url: up to 10 addresses of media. (templated)
    :param content_sid: a content template, instead of ``body``. (templated)
    :param content_variables: the template's variables, as a mapping or as JSON. (templated)
    :param status_callback: where Twilio reports the message's statuses. (templated)
    :param application_sid: the application whose callback address is used. (templated)
    :param max_price: without effect at Twilio since 2024. (templated)
    :param provide_feedback: whether you will report the message's success. (templated)
    :param attempt: how many times you have tried to send this, this one included. (templated)
    :param validity_period: seconds the message may wait in the queue, 1 to 36000. (templated)
    :param force_delivery: reserved by Twilio. (templated)
    :param content_retention: ``retain`` or ``discard`` the body at Twilio. (templated)
    :param address_retention: ``retain`` or ``obfuscate`` the recipient at Twilio. (templated)
    :param smart_encoded: replace characters outside GSM-7 by similar ones inside. (templated)
    :param persistent_action: rich actions of a channel. (templated)
    :param traffic_type: Twilio's class of traffic, such as ``free``. (templated)
    :param shorten_urls: shorten the links in the body (messaging services only). (templated)
    :param schedule_type: ``fixed``, together with ``send_at``. (templated)
    :param send_at: when to send: 300 s to 35 days ahead, through a messaging service. (templated)
    :param send_as_mms: send a single MMS, also without media. (templated)
    :param message_intent: the intent that Twilio weighs for compliance. (templated)
    :param risk_check: ``disable`` turns Twilio's check for SMS pumping off for this message. (templated)
    :param fallback_from: the sender to use where ``from_`` can't reach the recipient's channel. (templated)
    :param max_segments: refuse a body of more segments, before it costs anything. (templated)
    :param include_body: whether the record in XCom keeps the body.
    :param wait_for_delivery: wait for the message's end.
    :param accept_sent: take ``sent`` (the carrier has it) for success.
    :param sent_grace: take ``sent`` for success when it has lasted so many seconds: many carriers report no more.
    :param resendable_codes: error codes after which sending again can help, for the failure's words.
    :param skip_opted_out: skip instead of failing when the recipient has opted out.
    :param poll_interval: seconds between two looks.
    :param wait_timeout: seconds from the send, or from ``send_at``, after which the task fails, without retry.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param once: ``False`` sends in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unresolved: ``resend`` or ``fail`` where an earlier try's outcome can't be known.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    template_fields_renderers = {"content_variables": "json"}
    sample = "SM" + "0" * 32
    send_at: datetime | str | None

    def __init__(
        self,
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
        provide_feedback: bool | str | None = None,
        attempt: int | str | None = None,
        validity_period: int | str | None = None,
        force_delivery: bool | str | None = None,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
        smart_encoded: bool | str | None = None,
        persistent_action: Sequence[str] | str | None = None,
        traffic_type: str | None = None,
        shorten_urls: bool | str | None = None,
        schedule_type: Literal["fixed"] | None = None,
        send_at: datetime | str | None = None,
        send_as_mms: bool | str | None = None,
        message_intent: str | None = None,
        risk_check: Literal["enable", "disable"] | None = None,
        fallback_from: str | None = None,
        max_segments: int | str | None = None,
        include_body: bool = False,
        wait_for_delivery: bool = False,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        resendable_codes: Sequence[int] | None = None,
        skip_opted_out: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())
        self.include_body = include_body
        self.wait_for_delivery = wait_for_delivery
        self.accept_sent = accept_sent
        self.sent_grace = sent_grace
        self.resendable_codes = resendable_codes
        self.skip_opted_out = skip_opted_out

    @property
    def _should_wait(self) -> bool:
        return self.wait_for_delivery

    def _build_trigger(self, sid: str, *, started: float) -> MessageDeliveryTrigger:
        from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

        planned = checks.parse_timestamp("send_at", self.send_at)
        scheduled = None if planned is None else planned.timestamp()
        return MessageDeliveryTrigger(
            sid,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poll_interval,
            deadline=started + self.wait_timeout,
            not_before=scheduled,
            created=started,
            accept_sent=self.accept_sent,
            sent_grace=self.sent_grace,
            resendable_codes=None if self.resendable_codes is None else sorted(self.resendable_codes),
            cancel_on_kill=scheduled is not None,
            on_clear=self._clear_mode,
        )

    def _result(self, answer: Message) -> Any:
        """Give the record, without the body unless it was asked for."""
        if not self.include_body:
            answer.pop("body", None)
        return super()._result(answer)

    def execute_complete(self, context: Context, event: dict[str, Any], record: dict[str, Any] | None = None) -> Any:
        """End as the trigger's event says. A deferred wait keeps no body: one that is asked for is fetched."""
        told = super().execute_complete(context, event, record)
        if self.include_body and told.get("sid"):
            try:
                told["body"] = self.hook.messages.fetch(told["sid"]).body
            except NotFound:
                self.log.warning("%s is gone from Twilio, and its body with it", told["sid"])
        return told


class SendMessagesOperator(SendingManyOperator):
    """Send a message to each of many recipients, in one task. A summary goes to XCom.

    Each gets exactly one, whatever is retried, killed or lost: the next try goes on where this one was. A recipient who
    can't be sent to is counted, and the rest go on. Numbers and texts of all rows are checked before the first message.
    What a row says under ``from_``, ``messaging_service_sid``, ``body``, ``media_url``, ``content_sid`` or
    ``content_variables`` takes the place of what is given here.

    :param recipients: numbers or addresses, mappings with one each, or the path of a ``.csv``, ``.jsonl`` or
        ``.ndjson`` file, local or in any object store. (templated)
    :param from_: the sender, where the connection's extra ``from_`` isn't it. (templated)
    :param messaging_service_sid: the messaging service that chooses the sender. (templated)
    :param body: the text, with ``{name}`` for a row's values, and ``{{`` and ``}}`` for braces. (templated)
    :param media_url: up to 10 addresses of media, with ``{name}`` for a row's values. (templated)
    :param content_sid: a content template, instead of ``body``. (templated)
    :param content_variables: the template's variables, with ``{name}`` for a row's values. (templated)
    :param status_callback: where Twilio reports the message's statuses. (templated)
    :param application_sid: the application whose callback address is used. (templated)
    :param max_price: without effect at Twilio since 2024. (templated)
    :param provide_feedback: whether you will report the message's success. (templated)
    :param attempt: how many times you have tried to send this, this one included. (templated)
    :param validity_period: seconds the message may wait in the queue, 1 to 36000. (templated)
    :param force_delivery: reserved by Twilio. (templated)
    :param content_retention: ``retain`` or ``discard`` the body at Twilio. (templated)
    :param address_retention: ``retain`` or ``obfuscate`` the recipient at Twilio. (templated)
    :param smart_encoded: replace characters outside GSM-7 by similar ones inside. (templated)
    :param persistent_action: rich actions of a channel. (templated)
    :param traffic_type: Twilio's class of traffic, such as ``free``. (templated)
    :param shorten_urls: shorten the links in the body (messaging services only). (templated)
    :param schedule_type: ``fixed``, together with ``send_at``. (templated)
    :param send_at: when to send: 300 s to 35 days ahead, through a messaging service. (templated)
    :param send_as_mms: send a single MMS, also without media. (templated)
    :param message_intent: the intent that Twilio weighs for compliance. (templated)
    :param risk_check: ``disable`` turns Twilio's check for SMS pumping off for this message. (templated)
    :param fallback_from: the sender to use where ``from_`` can't reach the recipient's channel. (templated)
    :param max_segments: refuse a body of more segments, before it costs anything. (templated)
    :param recipient_column: where a row has its number or address.
    :param one_per_recipient: send only the first message to each number; the same message to the same number is sent
        once in any case.
    :param concurrency: how many requests are on their way at the most; fewer while Twilio refuses for pace.
    :param rate: segments a second, for each sender by itself; None for as fast as it goes.
    :param max_failures: end the task when more have failed, or a share such as ``0.05``; None for any number.
    :param min_balance: refuse to begin with less on the account.
    :param checkpoint_path: a folder, local or in any object store, that remembers what has been done, each task instance in a
        folder of its own: needed for more than 20,000 messages, and before Airflow 3.3. (templated)
    :param results: a ``.csv``, ``.jsonl`` or ``.ndjson`` file to write what became of each row to. (templated)
    :param wait_for_delivery: wait until all have been delivered or have failed, and count both.
    :param accept_sent: take ``sent`` (the carrier has it) for delivered.
    :param sent_grace: take ``sent`` for delivered when it has lasted so many seconds.
    :param poll_interval: seconds between two looks.
    :param wait_timeout: seconds from the last send, or from ``send_at``, after which no more is waited for.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param on_clear: what to do when a user clears a task that had sent all: ``resend``, or ``skip``. One that had not
        goes on in any case.
    :param on_unresolved: ``resend`` or ``fail`` where the outcome of a request can't be known.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    template_fields_renderers = {"content_variables": "json"}

    def __init__(
        self,
        *,
        recipients: Any,
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        body: str | None = None,
        media_url: Sequence[str] | str | None = None,
        content_sid: str | None = None,
        content_variables: Mapping[str, Any] | str | None = None,
        status_callback: str | None = None,
        application_sid: str | None = None,
        max_price: Decimal | str | None = None,
        provide_feedback: bool | str | None = None,
        attempt: int | str | None = None,
        validity_period: int | str | None = None,
        force_delivery: bool | str | None = None,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
        smart_encoded: bool | str | None = None,
        persistent_action: Sequence[str] | str | None = None,
        traffic_type: str | None = None,
        shorten_urls: bool | str | None = None,
        schedule_type: Literal["fixed"] | None = None,
        send_at: datetime | str | None = None,
        send_as_mms: bool | str | None = None,
        message_intent: str | None = None,
        risk_check: Literal["enable", "disable"] | None = None,
        fallback_from: str | None = None,
        max_segments: int | str | None = None,
        recipient_column: str = "to",
        one_per_recipient: bool = False,
        concurrency: int = 50,
        rate: float | None = None,
        max_failures: float | None = None,
        min_balance: float | None = None,
        checkpoint_path: str | None = None,
        results: str | None = None,
        wait_for_delivery: bool = False,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class FetchMessageOperator(TwilioOperator, operation=Messages.fetch):
    """Fetch a message.

    :param message_sid: the message, SM… or MM…. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource
    """

    def __init__(self, *, message_sid: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class ListMessagesOperator(TwilioOperator, operation=Messages.list):
    """List messages, the newest first by the date they were sent.

    :param to: only to this number or address. (templated)
    :param from_: only from this sender. (templated)
    :param date_sent: only of this day (UTC). (templated)
    :param date_sent_after: only at or after this time, aware, or day (UTC). (templated)
    :param date_sent_before: only at or before this time, aware, or day (UTC). (templated)
    :param limit: how many at the most; they all go to XCom. (templated)
    :param page_size: records a request, up to 1000 (the default). (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    def __init__(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        date_sent: date | str | None = None,
        date_sent_after: date | datetime | str | None = None,
        date_sent_before: date | datetime | str | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class UpdateMessageOperator(TwilioOperator, operation=Messages.update):
    """Redact a message's body, or cancel a scheduled message.

    :param message_sid: the message, SM… or MM…. (templated)
    :param body: ``""``, which empties the body for good. (templated)
    :param status: ``canceled``, for a scheduled message. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
    """

    def __init__(
        self, *, message_sid: str, body: str | None = None, status: Literal["canceled"] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class DeleteMessageOperator(TwilioOperator, operation=Messages.delete):
    """Delete a message that has reached its final status, with its media and feedback. Its SID goes to XCom.

    :param message_sid: the message, SM… or MM…. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#delete-a-message-resource
    """

    def __init__(self, *, message_sid: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())
