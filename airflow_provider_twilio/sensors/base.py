"""What the sensors share: poke, reschedule and deferrable come to the same end with the same words."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_twilio._airflow.compat import AirflowSensorTimeout, conf
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import doc_summary, is_mapped_at_runtime, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.links.twilio import TwilioLogLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.triggers.base import WaitTrigger

# What is of `triggers` is imported where it is used: Airflow's own triggers are dear to import where a DAG is parsed.


class WaitSensor(BaseSensorOperator):
    """Wait for one record to come to its end.

    While Twilio can't be asked (429, 5xx, no network) the wait goes on; what no retry can mend fails the task at once.

    :param deferrable: wait in the triggerer, which costs no worker slot; by default as ``[operators]
        default_deferrable`` says.
    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account the record belongs to, where it isn't the connection's own. (templated)
    """

    template_fields: Sequence[str] = ("twilio_conn_id", "account_sid")
    operator_extra_links = (TwilioLogLink(),)
    ui_color = "#fbe6ea"
    skip_opted_out: bool = False
    _start: float | None = None
    _shown: bool = False

    def __init__(
        self,
        *,
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.doc_md = self.doc_md or doc_summary(type(self))
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        self.deferrable = deferrable
        self.check_sid("account_sid", account_sid, "AC")

    def check_sid(self, name: str, value: str | None, *kinds: str) -> None:
        """Check a literal when the DAG is parsed; the trigger checks what is only known when the task runs."""
        if value is not None and not is_mapped_at_runtime(self):
            checks.sid(name, resolve_literal(value), *kinds)

    @cached_property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    @abstractmethod
    def trigger(self, *, deadline: float | None, created: float) -> WaitTrigger:
        """Give the trigger that waits on, which also knows the goal."""

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once; in deferrable mode leave the further looks to the triggerer."""
        if self._of_a_dry_run():
            self.log.info("Dry run: nothing was sent, so there is nothing to wait for")
            return PokeReturnValue(is_done=True, xcom_value={"sid": None, "status": DRY_RUN})
        started = self._started(context)
        deadline = started + float(self.timeout)
        with fail_on_permanent_errors():
            trigger = self.trigger(deadline=deadline, created=started)
            if not self._shown:
                TwilioLogLink.show(context, self.hook.client.settings, trigger.sid)
                self._shown = True
            told = trigger.check(self.hook.client)
        if told is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(told))
        if self.deferrable:
            self.defer(trigger=trigger, method_name="execute_complete")
        return False

    def _of_a_dry_run(self) -> bool:
        """Tell whether what is waited for was not sent, for the connection's ``dry_run``: its record has no SID."""
        sid = getattr(self, self.template_fields[0])
        return sid in (None, "None") and self.hook.client.settings.dry_run  # as an XCom, and in a template

    def _started(self, context: Context) -> float:
        """Give the time from which ``timeout`` counts: rescheduling does not begin it anew."""
        if self.reschedule:
            first = context["ti"].get_first_reschedule_date(context)
            if first is not None:
                return float(first.timestamp())
        if self._start is None:
            self._start = time.time()
        return self._start

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """End as the trigger's event says; no request is made."""
        return self._conclude(event)

    def _conclude(self, told: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_twilio._airflow.outcome import raise_for_event

        return raise_for_event(told, skip_opted_out=self.skip_opted_out, late=AirflowSensorTimeout)
