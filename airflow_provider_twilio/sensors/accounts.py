"""The sensor that waits for an account's balance."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators._base.operation import COLORS
from airflow_provider_twilio.sensors.base import TwilioSensor

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider_twilio._airflow.parameters import SensorParameters
    from airflow_provider_twilio.runtime.polling.rotation import PatientReader


class BalanceSensor(TwilioSensor):
    """Wait until the balance of an account has reached a minimum. The balance goes to XCom.

    A subaccount, which has no balance of its own, fails the task without retry, and so does any other error that would
    occur again. While Twilio cannot be polled (429, 5xx, no network) the sensor continues to wait, and it tries
    rejected credentials again for some minutes. ``mode="reschedule"`` releases the worker slot between two checks, and
    tries rejected credentials again until the timeout.

    .. code-block:: python

        BalanceSensor(task_id="funded", minimum=50, mode="reschedule", poke_interval=600, timeout=86_400)

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and ``never_fail`` are Airflow's own.

    :param minimum: Minimum balance, in the account's currency. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account whose balance it is; the connection's own by default. (templated)

    https://www.twilio.com/docs/usage/api/account-balance
    """

    template_fields = ("minimum", "twilio_conn_id", "account_sid")
    ui_color = COLORS["Balances"]

    def __init__(
        self,
        *,
        minimum: Decimal | float | str,
        twilio_conn_id: str = TwilioHook.default_conn_name,
        account_sid: str | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self.minimum = minimum
        self._check_literals(minimum=minimum)

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        if "minimum" in values:
            checks.required(minimum=values["minimum"])
            checks.amount("minimum", resolve_literal(values["minimum"]))

    @cached_property
    def _reader(self) -> PatientReader[TwilioHook]:
        """The reads of the wait. They read the connection again if Twilio rejects the credentials."""
        from airflow_provider_twilio.runtime.polling.rotation import PatientReader

        return PatientReader(self.hook, self._reopen_hook)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Check the balance once."""
        with fail_on_permanent_errors():
            checks.required(minimum=self.minimum)
            minimum = checks.amount("minimum", self.minimum) or Decimal()
            try:
                balance = self._reader.read(lambda hook: hook.fetch_balance())
            except TwilioError as error:
                if error.permanent:
                    raise
                self.log.warning("Cannot fetch the balance, trying again at the next poke: %s", error)
                return False
            if balance.remaining < minimum:
                self.log.info(balance.below(minimum))
                return False
            return PokeReturnValue(is_done=True, xcom_value=balance)
