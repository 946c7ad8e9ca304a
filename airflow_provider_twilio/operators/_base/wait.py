"""Sending and then waiting for what comes of it, in one task."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.links.twilio import TwilioLogLink
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.triggers.base import WaitTrigger

# What is of `triggers`, and what waits, is imported where it is used: where a DAG is parsed it would be dear.


class SendAndWaitOperator(SendOnceOperator):
    """Send once and, if asked to, wait for the end: on the worker, or in the triggerer.

    The wait's deadline counts from the send, or from a scheduled message's ``send_at``, and no retry extends it.

    :param poll_interval: seconds between two looks.
    :param wait_timeout: seconds after which the task fails, without retry.
    :param deferrable: wait in the triggerer, which costs no worker slot; by default as ``[operators]
        default_deferrable`` says.
    """

    operator_extra_links = (TwilioLogLink(),)
    sample_sid: ClassVar[str]
    """A SID of the kind that is waited for."""
    _active_wait: WaitTrigger | None = None
    """What this task waits for on a worker."""

    def __init__(
        self,
        *,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("poll_interval", poll_interval), ("wait_timeout", wait_timeout)):
            if value <= 0:
                raise BadParameter(name, f"is {value}", "give seconds above 0")
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.deferrable = deferrable

    @property
    @abstractmethod
    def _should_wait(self) -> bool:
        """Whether to wait at all."""

    @abstractmethod
    def _build_trigger(self, sid: str, *, started: float) -> WaitTrigger:
        """Give the trigger that waits for what was sent, which also knows the goal.

        :param started: when it was sent, or is to be, in seconds since the epoch.
        """

    def execute(self, context: Context) -> Any:
        """Send, and wait if asked to. Errors that would come again fail the task at once."""
        if self._should_wait:
            with fail_on_permanent_errors():
                self._build_trigger(self.sample_sid, started=time.time())  # its arguments, before it's too late
        record = self._send(context)
        TwilioLogLink.show(context, self.hook.client.settings, record["sid"])
        if not self._should_wait or not record["sid"]:  # a dry run has none
            return self._result(record)
        return self._wait(context, record)

    def _wait(self, context: Context, record: Record) -> Any:
        from airflow_provider_twilio.runtime.polling.events import evaluate

        trigger = self._build_trigger(record["sid"], started=self._sent_at(context, record).timestamp())
        told = evaluate(trigger.goal, trigger.sid, record)
        if told is None and self.deferrable:
            kept = {name: value for name, value in record.items() if name != "body"}
            self.defer(trigger=trigger, method_name="execute_complete", kwargs={"record": kept})
        with fail_on_permanent_errors():
            return self._finish(told or self._wait_on_worker(context, trigger), record)

    def _wait_on_worker(self, context: Context, trigger: WaitTrigger) -> dict[str, Any]:
        """Wait on this worker."""
        ti: Any = context.get("ti")
        trigger.task_instance = ti  # as a triggerer does
        self._active_wait = trigger
        try:
            return trigger.wait(self.hook.client)
        finally:
            self._active_wait = None

    def on_kill(self) -> None:
        """Stop what the task waits for on a worker, if a user kills it there; deferred, the trigger does."""
        super().on_kill()
        if held := self._active_wait:
            held.on_worker_kill(self.hook.client)

    @property
    def _clear_mode(self) -> OnClear:
        """What Clear does: without ``once`` each try sends."""
        return self.on_clear if self.once else "resend"

    def execute_complete(self, context: Context, event: dict[str, Any], record: dict[str, Any] | None = None) -> Any:
        """End as the trigger's event says.

        :param record: as it was when it was sent, without its text; ``dag.test`` does not hand it on.
        """
        with fail_on_permanent_errors():
            return self._finish(event, record or {})

    def _finish(self, told: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
        from airflow_provider_twilio._airflow.outcome import raise_for_event

        facts = raise_for_event(told, skip_opted_out=self.skip_opted_out)
        kind: type[Record] = type(record) if isinstance(record, Record) else Record
        return self._result(kind({**record, **facts}))
