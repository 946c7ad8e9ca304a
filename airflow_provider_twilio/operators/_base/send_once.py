"""Base class of operators that send a request exactly once, across retries, crashes and lost responses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio._airflow.compat import AirflowSkipException
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api.checks import choice, parse_timestamp
from airflow_provider_twilio.api.errors import OptedOut
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved


class SendOnceOperator(TwilioOperator):
    """Base class of operators that send a request exactly once: messages, calls, purchases and new accounts.

    A retry of the task returns the record that an earlier try created. If the outcome of an earlier try is unknown, the
    task lists the matching records at Twilio first. See the page on reliability.

    :param once: Whether all tries of the task together send the request once. If ``False``, every try sends it.
    :param on_clear: Whether to ``resend`` the request or to ``skip`` it when a user clears the task.
    :param on_unresolved: Whether to ``resend`` the request or to ``fail`` when the outcome of an earlier try is unknown
        and Twilio lists no matching record. By default, messages and calls are sent again, and purchases and new
        accounts fail.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before an
        earlier request is considered not sent.
    """

    sends_once: ClassVar[bool] = True
    """Marks the operator for other tasks of the DAG run, which read its published SIDs."""
    skip_opted_out: bool = False
    """Whether to skip the task, instead of failing it, when the recipient has opted out."""

    once: bool = True
    on_clear: OnClear = "resend"
    on_unresolved: OnUnresolved | None = None
    reconcile_timeout: float = RECONCILE_TIMEOUT
    _options: ClassVar[tuple[str, ...]] = ("once", "on_clear", "on_unresolved", "reconcile_timeout")

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        choice("on_clear", values["on_clear"], ("resend", "skip"))
        choice("on_unresolved", values["on_unresolved"], ("resend", "fail"))

    def _request(self, **overrides: Any) -> Request[Any]:
        """Build the request, without a check of its times.

        In a retry, a time may have passed that was valid when an earlier try sent the request. Times are checked in
        :meth:`_finalize_request`.
        """
        arguments = self._build_arguments({**self._rendered_arguments(), **overrides})
        request: Request[Any] = self.operation.function(**self._without_times(arguments))
        return request.replace(data=request.data + self.operation.form_data(arguments))

    def _without_times(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with each time replaced by UNRESOLVED, which the operation does not check."""
        times = self.operation.times
        return {name: UNRESOLVED if name in times and value is not None else value for name, value in arguments.items()}

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Check the arguments, including the times, just before the request is sent; return the request to send."""
        self.operation.check(self._build_arguments(self._rendered_arguments()))
        return request

    def execute(self, context: Context) -> Any:
        """Send the request, or find its record from an earlier try. Permanent errors fail the task without retry."""
        return self._result(self._send(context))

    def _send(self, context: Context) -> Record:
        """Return the record of the request, from this try or an earlier one."""
        with fail_on_permanent_errors():
            try:
                return self._send_request(context)
            except OptedOut as error:
                if self.skip_opted_out:
                    raise AirflowSkipException(str(error)) from None
                raise

    def _send_request(self, context: Context) -> Record:
        from airflow_provider_twilio._airflow.send_once import send_once_in_task

        client, request = self.hook.client, self._request()
        if not self.once:
            record: Record = client.send(self._finalize_request(request))
            return record
        sent: Record = send_once_in_task(
            context,
            client,
            request,
            on_clear=self.on_clear,
            on_unresolved=self.on_unresolved,
            reconcile_timeout=self.reconcile_timeout,
            finalize_request=self._finalize_request,
        )
        return sent

    def _sent_at(self, context: Context, record: Record) -> datetime:
        """Return the time at which the message or call was or will be sent. It is the same in every try."""
        from airflow_provider_twilio.runtime.idempotency.fingerprint import HasDateCreated

        created = HasDateCreated(record).date_created or datetime.now(UTC)
        scheduled = parse_timestamp("send_at", getattr(self, "send_at", None))
        return created if scheduled is None else max(created, scheduled)
