"""What sends, dials, buys or opens something: once, whatever is retried, killed or lost."""

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
    """Run an operation that must not happen twice, once.

    A retry of the task, after whatever happened, gives the record of what has been sent. Where it isn't known whether
    something was sent, Twilio is asked what exists: see the page on reliability.

    :param once: ``False`` sends in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unresolved: what to do when the outcome of an earlier try is not known, and Twilio lists nothing that fits:
        ``send``, or ``fail``; by default messages and calls are sent, and purchases and new accounts fail.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.
    """

    sends_once: ClassVar[bool] = True
    skip_opted_out: bool = False
    """Whether the task is skipped, instead of failed, when the recipient has opted out."""

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

    def _request(self, **instead: Any) -> Request[Any]:
        """Build the Request. Times in it may have passed since it was sent: they are checked when it goes out."""
        arguments = self._build_arguments({**self._rendered_arguments(), **instead})
        skeleton: Request[Any] = self.operation.function(**self._timeless(arguments))
        return skeleton.replace(data=skeleton.data + self.operation.form_data(arguments))

    def _timeless(self, arguments: dict[str, Any]) -> dict[str, Any]:
        times = self.operation.times
        return {name: UNRESOLVED if name in times and value is not None else value for name, value in arguments.items()}

    def _finalize_request(self, request: Request[Any]) -> Request[Any]:
        """Make the request ready to go out, and check what may have changed since: called by the try that sends it."""
        self.operation.check(self._build_arguments(self._rendered_arguments()))
        return request

    def execute(self, context: Context) -> Any:
        """Send. Errors that would come again fail the task at once."""
        return self._result(self._send(context))

    def _send(self, context: Context) -> Record:
        """Send once, and give the record, also where an earlier try has sent it."""
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
        """Give when it was sent, or is to be: the same for every try."""
        from airflow_provider_twilio.runtime.idempotency.fingerprint import HasDateCreated

        made = HasDateCreated(record).date_created or datetime.now(UTC)
        planned = parse_timestamp("send_at", getattr(self, "send_at", None))
        return made if planned is None else max(made, planned)
