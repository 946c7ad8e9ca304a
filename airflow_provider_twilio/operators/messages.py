"""Operators for messages: send, fetch, list, redact, cancel and delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio.api.errors import NotFound
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.bulk import SendMessagesOperator
from airflow_provider_twilio.operators.retention import DeleteOldMessagesOperator, RedactOldMessagesOperator
from airflow_provider_twilio.operators.scheduled import CancelScheduledMessagesOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.api.verdicts import Delivery
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.runtime.polling.events import WaitEvent
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

__all__ = [
    "CancelScheduledMessagesOperator",
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
    """Send a message: SMS, MMS, WhatsApp or RCS.

    Returns the record of the message to XCom, without the body. Its ``sid`` is an XCom of its own as well.

    .. code-block:: python

        SendMessageOperator(
            task_id="send",
            to="{{ params.phone_number }}",
            body="The report of {{ ds }} is ready.",
            wait_for_delivery=True,
        )

    All tries of the task together send the message once, even if a worker is killed or a response is lost: a retry
    returns the record of the message that an earlier try sent. With ``wait_for_delivery``, the task succeeds when the
    message is delivered. It fails without retry when Twilio reports that the message is undelivered or failed, and on
    errors that a retry would repeat: an invalid parameter, rejected credentials, a missing permission, or a recipient
    who has opted out.

    :param to: Recipient: a number in E.164, such as ``+14155550100``, or a channel address, such as
        ``whatsapp:+14155550100``. (templated)
    :param from_: Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required
        without ``messaging_service_sid``, unless the connection's extra ``from_`` is the sender. (templated)
    :param messaging_service_sid: Messaging service that selects the sender. With ``from_``, the service sends from that
        sender. (templated)
    :param body: Message text, up to 1,600 characters. (templated)
    :param media_url: URL of a media file to attach, or a list of up to 10. (templated)
    :param content_sid: Content template to send instead of ``body``. (templated)
    :param content_variables: Values for the variables of the content template, as a mapping or JSON. Requires
        ``content_sid``. (templated)
    :param status_callback: URL to which Twilio reports each status of the message. (templated)
    :param application_sid: TwiML app whose status callback URL Twilio uses. (templated)
    :param provide_feedback: Whether you will report the message's delivery with the feedback resource. False by
        default. (templated)
    :param attempt: Number of attempts made to send this message, this one included. (templated)
    :param validity_period: Seconds the message may stay in Twilio's queue, 1 to 36,000 (default). Twilio does not send
        it later. (templated)
    :param content_retention: ``discard`` to have Twilio delete the body after sending, ``retain`` to keep it. Requires
        Message Redaction, which Twilio enables for an account on request; without it, the message fails with code
        30029. (templated)
    :param address_retention: ``obfuscate`` to have Twilio mask the recipient in its records, ``retain`` to keep it.
        Requires Message Redaction, as ``content_retention`` does. (templated)
    :param smart_encoded: Whether Twilio replaces characters outside GSM-7 with similar ones inside it. (templated)
    :param persistent_action: Rich actions for channels other than SMS and MMS, such as a location. (templated)
    :param traffic_type: Twilio's traffic class for the message, such as ``free``. (templated)
    :param shorten_urls: Whether Twilio shortens links in the body. Works with messaging services that have link
        shortening only. False by default. (templated)
    :param schedule_type: ``fixed``, together with ``send_at``. (templated)
    :param send_at: Time at which Twilio sends the message, 330 seconds to 35 days ahead: an aware datetime or ISO 8601.
        Requires ``schedule_type="fixed"`` and a messaging service. (templated)
    :param send_as_mms: Whether to send a single MMS even without media. (templated)
    :param message_intent: Purpose of the message, which Twilio evaluates for compliance. (templated)
    :param risk_check: ``disable`` to exempt this message from SMS pumping protection. ``enable`` by default.
        (templated)
    :param fallback_from: Sender of the SMS that Twilio sends if the recipient cannot be reached over RCS. (templated)
    :param max_segments: Maximum number of segments of the body. A longer body is rejected before anything is sent.
        (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param include_body: Whether the record in XCom includes the body.
    :param wait_for_delivery: Whether to wait until the message is delivered or has failed.
    :param accept_sent: Whether ``sent`` (the carrier has accepted the message) is a success.
    :param sent_grace: Seconds after which ``sent`` is a success, since many carriers report no later status. By
        default, it never is.
    :param resendable_codes: Error codes for which the failure message says that resending can help. By default, the
        provider's own list.
    :param skip_opted_out: Whether to skip the task, instead of failing it, if the recipient has opted out.
    :param once: Whether all tries of the task together send the message once. If ``False``, every try sends it.
    :param on_clear: Whether a task that a user clears sends the message again (``resend``), or returns the record of
        the message that it has already sent (``skip``).
    :param on_unresolved: Whether to ``resend`` or ``fail`` if the outcome of an earlier try is unknown and Twilio lists
        no matching record. By default ``resend``, and ``fail`` with ``address_retention="obfuscate"``.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a message
        of an earlier try is considered not sent.
    :param poll_interval: Seconds between two polls.
    :param wait_timeout: Seconds after the message is sent, or after ``send_at``, at which the task fails without retry.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    template_fields_renderers = {"content_variables": "json"}

    send_at: datetime | str | None
    include_body: bool
    wait_for_delivery: bool
    accept_sent: bool
    sent_grace: float | None
    resendable_codes: Sequence[int] | None

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
        provide_feedback: bool | str | None = None,
        attempt: int | str | None = None,
        validity_period: int | str | None = None,
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
        extra_params: Mapping[str, Any] | str | None = None,
        include_body: bool = False,
        wait_for_delivery: bool = False,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        resendable_codes: Sequence[int] | None = None,
        skip_opted_out: bool = False,
        once: bool = True,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @property
    def _should_wait(self) -> bool:
        return self.wait_for_delivery

    @property
    def _goal(self) -> Delivery:
        from airflow_provider_twilio.api.codes import RESENDABLE
        from airflow_provider_twilio.api.verdicts import Delivery

        codes = RESENDABLE if self.resendable_codes is None else frozenset(self.resendable_codes)
        return Delivery(self.accept_sent, self.sent_grace, codes)

    def _build_trigger(self, spec: WaitSpec[Delivery]) -> MessageDeliveryTrigger:
        from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

        return MessageDeliveryTrigger.from_spec(
            spec,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            cancel_on_kill=spec.not_before > 0,
            on_clear=self._clear_mode,
        )

    def _result(self, result: Message) -> Any:
        """Return the record, with the body only if ``include_body`` is set."""
        if not self.include_body:
            result.pop("body", None)
        return super()._result(result)

    def execute_complete(self, context: Context, event: WaitEvent, record: dict[str, Any] | None = None) -> Any:
        """Finish the task after a deferred wait. With ``include_body``, fetch the body, which a wait does not store."""
        result = super().execute_complete(context, event, record)
        if self.include_body and result.get("sid"):
            try:
                result["body"] = self.hook.messages.fetch(result["sid"]).body
            except NotFound:
                self.log.warning("Returning no body: message %s no longer exists at Twilio", result["sid"])
        return result


class FetchMessageOperator(TwilioOperator, operation=Messages.fetch):
    """Fetch a message, and return its record to XCom.

    .. code-block:: python

        FetchMessageOperator(task_id="fetch", message_sid="{{ ti.xcom_pull('send', key='sid') }}")

    A message that does not exist fails the task without retry.

    :param message_sid: SID of the message. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource
    """

    def __init__(
        self,
        *,
        message_sid: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class ListMessagesOperator(TwilioOperator, operation=Messages.list):
    """List messages, and return their records to XCom, newest first by the date they were sent.

    .. code-block:: python

        ListMessagesOperator(task_id="list", to="+14155550100", date_sent_after="{{ ds }}", limit=100)

    Without a ``limit``, all matching records go to XCom. To write many records to a file, use
    :class:`MessagesToStorageOperator`.

    :param to: Only messages to this number or channel address. (templated)
    :param from_: Only messages from this sender. (templated)
    :param date_sent: Only messages sent on this day (UTC). (templated)
    :param date_sent_after: Only messages sent at or after this time or day (UTC). A datetime needs a time zone.
        Excludes messages without ``date_sent``. (templated)
    :param date_sent_before: Only messages sent at or before this time or day (UTC). A datetime needs a time zone.
        Excludes messages without ``date_sent``. (templated)
    :param limit: Maximum number of records to list. None lists all. (templated)
    :param page_size: Records per request, 1 to 1,000 (default). (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class UpdateMessageOperator(TwilioOperator, operation=Messages.update):
    """Redact the body of a message, or cancel a scheduled message, and return its record to XCom.

    .. code-block:: python

        UpdateMessageOperator(task_id="redact", message_sid="{{ params.sid }}", body="")
        UpdateMessageOperator(task_id="cancel", message_sid="{{ params.sid }}", status="canceled")

    Redaction cannot be undone. A retry of the task has no further effect.

    :param message_sid: SID of the message. (templated)
    :param body: ``""``, which removes the body permanently. Twilio accepts no other value. (templated)
    :param status: ``canceled``, for a scheduled message that has not been sent. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
    """

    def __init__(
        self,
        *,
        message_sid: str,
        body: str | None = None,
        status: Literal["canceled"] | None = None,
        extra_params: Mapping[str, Any] | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class DeleteMessageOperator(TwilioOperator, operation=Messages.delete):
    """Delete a message with its media and feedback, and return its SID to XCom.

    .. code-block:: python

        DeleteMessageOperator(task_id="delete", message_sid="{{ params.sid }}")

    A deleted message cannot be restored. Twilio only deletes messages that have reached a final status: until then,
    every try fails, and Airflow retries it. A retry succeeds if an earlier try has deleted the message.

    :param message_sid: SID of the message. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#delete-a-message-resource
    """

    def __init__(
        self,
        *,
        message_sid: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())
