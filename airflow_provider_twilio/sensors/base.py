"""Base classes of the sensors."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_twilio._airflow.compat import AirflowSensorTimeout, conf
from airflow_provider_twilio._airflow.deferral import ResumesAtDeadline
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors, raise_for_event
from airflow_provider_twilio._airflow.templates import TextRendering, is_mapped_at_runtime, resolve_literal
from airflow_provider_twilio._airflow.termination import EndsWaitOnKill
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.links.twilio import TwilioLogLink

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
    from typing_extensions import Unpack

    from airflow_provider_twilio._airflow.parameters import SensorParameters
    from airflow_provider_twilio.api.verdicts import Goal
    from airflow_provider_twilio.runtime.polling.events import WaitEvent
    from airflow_provider_twilio.runtime.polling.rotation import PatientClient
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.triggers.base import WaitTrigger

# The triggers and the runtime are imported where they are used: a DAG file that only names a sensor should not pay for
# importing Airflow's triggers.


class TwilioSensor(TextRendering, BaseSensorOperator):
    """Base class of the sensors. It checks literals when a DAG is parsed, also those of a mapped task.

    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account of the record; the connection's own by default. (templated)
    """

    def __init__(
        self,
        *,
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(**kwargs)
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        self._check_literals(account_sid=account_sid)

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Return a mapped task. Its literals are checked at parse time, like those of an unmapped task."""
        cls._check_parameters(kwargs)
        return super().partial(**kwargs)

    def _check_literals(self, **values: Any) -> None:
        """Check the arguments of ``__init__`` when a DAG is parsed. Templates are only known at run time."""
        if not is_mapped_at_runtime(self):
            self._check_parameters(values)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        """Check the literals among some of the parameters.

        :param values: Values of parameters, by name.
        :raises BadParameter: A literal is invalid.
        """
        cls._check_sid("account_sid", values, "AC")

    @staticmethod
    def _check_sid(name: str, values: Mapping[str, Any], *prefixes: str) -> None:
        """Check a parameter that is a SID, unless it is a template or None.

        :raises BadParameter: The SID is malformed or of another type.
        """
        if values.get(name) is not None:
            checks.sid(name, resolve_literal(values[name]), *prefixes)

    @cached_property
    def hook(self) -> TwilioHook:
        """The hook of the connection and account."""
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def _reopen_hook(self) -> TwilioHook:
        """Read the connection again, and return its hook."""
        self.__dict__.pop("hook", None)
        return self.hook


class WaitSensor(EndsWaitOnKill, ResumesAtDeadline, TwilioSensor):
    """Base class of the sensors that wait for the final status of one message or call.

    While Twilio cannot be polled (429, 5xx, no network) the sensor continues to wait, and it tries rejected credentials
    again for some minutes, or until the timeout with ``mode="reschedule"``. Any other error that would occur again
    fails the task without retry. ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and ``never_fail`` are
    Airflow's own.

    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account of the record; the connection's own by default. (templated)
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ("twilio_conn_id", "account_sid")
    operator_extra_links = (TwilioLogLink(),)
    ui_color = "#fbe6ea"
    skip_opted_out: bool = False
    _start: float | None = None
    _link_stored: bool = False

    def __init__(
        self,
        *,
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self.deferrable = deferrable

    @cached_property
    def _client(self) -> PatientClient:
        """The client of the wait, which reads the connection again if Twilio rejects the credentials."""
        from airflow_provider_twilio.runtime.polling.rotation import PatientClient

        return PatientClient(self.hook.client, lambda: self._reopen_hook().client)

    @property
    def _sid(self) -> Any:
        """The SID of the message or call, once rendered."""
        return getattr(self, self.template_fields[0])

    @property
    @abstractmethod
    def _goal(self) -> Goal:
        """The goal of the wait."""

    @abstractmethod
    def _build_trigger(self, spec: WaitSpec[Any]) -> WaitTrigger:
        """Build the trigger of the deferrable mode."""

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check the record once. In deferrable mode, defer if its status is not final yet."""
        from airflow_provider_twilio.runtime.polling.blocking import check_once
        from airflow_provider_twilio.runtime.polling.spec import WaitSpec

        if self._is_unsent_in_dry_run():
            self.log.info("Dry run: nothing was sent, so there is nothing to wait for")
            return PokeReturnValue(is_done=True, xcom_value={"sid": None, "status": DRY_RUN})
        started = self._started(context)
        with fail_on_permanent_errors():
            spec = WaitSpec(
                self._sid,
                self._goal,
                interval=self.poke_interval,
                deadline=started + float(self.timeout),
                created=started,
            )
            trigger = self._build_trigger(spec)
            if not self._link_stored:
                TwilioLogLink.show(context, self.hook.client.settings, spec.sid)
                self._link_stored = True
            event = check_once(spec, trigger.source, self._client)
        if event is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._finish(event))
        if self.deferrable:
            self._defer_until(started + float(self.timeout), trigger)
        return False

    def execute(self, context: Context) -> Any:
        """Wait as the mode says."""
        with self._waiting(str(self._sid)):
            return super().execute(context)

    def _is_unsent_in_dry_run(self) -> bool:
        """Return whether the connection's ``dry_run`` has kept the record from being sent.

        The record has no SID then.
        """
        return self._sid in (None, "None") and self.hook.client.settings.dry_run  # from an XCom, and from a template

    def _started(self, context: Context) -> float:
        """Return the time from which ``timeout`` counts. Rescheduling does not reset it."""
        if self.reschedule:
            first = context["ti"].get_first_reschedule_date(context)
            if first is not None:
                return float(first.timestamp())
        if self._start is None:
            self._start = time.time()
        return self._start

    def execute_complete(self, context: Context, event: WaitEvent) -> dict[str, Any]:
        """End the task with the trigger's event, without another request."""
        return self._finish(event)

    def _execute_at_deadline(self, context: Context) -> dict[str, Any]:
        from airflow_provider_twilio.runtime.polling.blocking import check_at_deadline
        from airflow_provider_twilio.runtime.polling.spec import WaitSpec

        with fail_on_permanent_errors():
            spec = WaitSpec(self._sid, self._goal, interval=self.poke_interval, deadline=time.time())
            event, _ = check_at_deadline(spec, self._build_trigger(spec).source, self.hook.client)
            return self._finish(event)

    def _finish(self, event: WaitEvent) -> dict[str, Any]:
        return raise_for_event(event, skip_opted_out=self.skip_opted_out, timeout_error=AirflowSensorTimeout)
