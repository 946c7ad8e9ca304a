"""Base class of the operators that can wait for the outcome of what they have sent."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio._airflow.deferral import ResumesAtDeadline, store_wait, stored_wait
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors, raise_for_event
from airflow_provider_twilio._airflow.termination import EndsWaitOnKill
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.links.twilio import TwilioLogLink
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.api.verdicts import Goal
    from airflow_provider_twilio.runtime.polling.events import WaitEvent
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.triggers._stopping import StopOnKill
    from airflow_provider_twilio.triggers.base import WaitTrigger

# The triggers and the runtime are imported where they are used: a DAG file that only names an operator should not pay
# for importing Airflow's triggers.


class SendAndWaitOperator(EndsWaitOnKill, ResumesAtDeadline, SendOnceOperator):
    """Base class of the operators that send once and, if asked to, wait for the final status.

    They wait on the worker or in the triggerer. The deadline counts from the send, or from a scheduled message's
    ``send_at``. No retry extends it.

    :param poll_interval: Seconds between two polls.
    :param wait_timeout: Seconds after which the task fails, without retry.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    """

    operator_extra_links = (TwilioLogLink(),)
    _stop_on_kill: StopOnKill | None = None
    """The request that stops the message or call if the task is killed while it waits on a worker."""

    poll_interval: float = 30.0
    wait_timeout: float = 3600.0
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False)
    _options: ClassVar[tuple[str, ...]] = (*SendOnceOperator._options, "poll_interval", "wait_timeout", "deferrable")

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        for name in ("poll_interval", "wait_timeout"):
            checks.positive_seconds(name, values[name])

    @property
    @abstractmethod
    def _should_wait(self) -> bool:
        """Whether to wait for the final status."""

    @property
    @abstractmethod
    def _goal(self) -> Goal:
        """The goal of the wait."""

    @abstractmethod
    def _build_trigger(self, spec: WaitSpec[Any]) -> WaitTrigger:
        """Build the trigger that waits for the message or call."""

    @property
    def _scheduled_for(self) -> float:
        """When a scheduled message is due, in seconds since the epoch; 0 if it is not."""
        send_at = checks.parse_timestamp("send_at", getattr(self, "send_at", None))
        return 0.0 if send_at is None else send_at.timestamp()

    def _wait_spec(self, started: float, sid: str = "") -> WaitSpec[Any]:
        """Build the description of the wait.

        :param started: Time of the send, or the time a scheduled message is due, in seconds since the epoch.
        :param sid: SID of the message or call; empty to only check the parameters before the send.
        :raises BadParameter: A parameter of the wait is invalid.
        """
        from airflow_provider_twilio.runtime.polling.spec import WaitSpec

        checks.positive_seconds("wait_timeout", self.wait_timeout)
        return WaitSpec(
            sid,
            self._goal,
            interval=self.poll_interval,
            deadline=started + self.wait_timeout,
            not_before=self._scheduled_for,
            created=started,
        )

    def execute(self, context: Context) -> Any:
        """Send, and wait if asked to.

        An error that would occur again fails the task without retry.
        """
        if self._should_wait:
            with fail_on_permanent_errors():
                self._wait_spec(time.time())  # invalid parameters must fail the task before anything is sent
        record = self._send(context)
        TwilioLogLink.show(context, self.hook.client.settings, record["sid"])
        if not self._should_wait or not record["sid"]:  # a dry run's record has no SID
            return self._result(record)
        return self._wait(context, record)

    def _wait(self, context: Context, record: Record) -> Any:
        """Wait for the final status of a record, and return the result for XCom."""
        from airflow_provider_twilio.runtime.polling.blocking import wait_blocking
        from airflow_provider_twilio.runtime.polling.events import evaluate

        spec = self._wait_spec(self._sent_at(context, record).timestamp(), record["sid"])
        trigger = self._build_trigger(spec)
        event = evaluate(spec.goal, spec.sid, record)
        if event is None and self.deferrable:
            facts = {name: value for name, value in record.items() if name != "body"}
            store_wait(context, {"sid": spec.sid, "started": spec.created})
            self._defer_until(spec.created + self.wait_timeout, trigger, record=facts)
        with fail_on_permanent_errors():
            if event is None:
                self._stop_on_kill = trigger.stop_on_kill(context.get("ti"))
                with self._waiting(spec.sid):
                    event = wait_blocking(spec, trigger.source, self._patient_client())
                self._stop_on_kill = None
            return self._finish(event, record)

    def on_kill(self) -> None:
        """End the wait on a worker. Stop the message or call as well if a user kills the task."""
        if self._stop_on_kill is not None and self._waiting_for is not None:
            self._stop_on_kill.run_on_worker(self.hook.client)
        super().on_kill()

    @property
    def _clear_mode(self) -> OnClear:
        """The effect of clearing the task. Without ``once``, every try sends."""
        return self.on_clear if self.once else "resend"

    def execute_complete(self, context: Context, event: WaitEvent, record: dict[str, Any] | None = None) -> Any:
        """End the task with the trigger's event.

        :param record: The record as of the send, without its body; None in ``dag.test``, which does not pass it on.
        """
        with fail_on_permanent_errors():
            return self._finish(event, record or {})

    def _execute_at_deadline(self, context: Context) -> Any:
        from airflow_provider_twilio.runtime.polling.blocking import check_at_deadline

        wait = stored_wait(context)
        with fail_on_permanent_errors():
            spec = self._wait_spec(wait["started"], wait["sid"])
            event, record = check_at_deadline(spec, self._build_trigger(spec).source, self.hook.client)
            return self._finish(event, record)

    def _finish(self, event: WaitEvent, record: Mapping[str, Any]) -> Any:
        facts = raise_for_event(event, skip_opted_out=self.skip_opted_out)
        record_type: type[Record] = type(record) if isinstance(record, Record) else Record
        return self._result(record_type({**record, **facts}))
