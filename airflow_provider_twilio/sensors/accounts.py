"""Wait for money on an account."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import is_mapped_at_runtime, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators._base.operation import COLORS

if TYPE_CHECKING:
    from airflow.sdk import Context


class BalanceSensor(BaseSensorOperator):
    """Wait until an account has at least so much money. Its balance goes to XCom.

    A subaccount, which has no balance of its own, is refused, and so is what no retry can mend. While Twilio can't be
    asked (429, 5xx, no network) the wait goes on. ``mode="reschedule"`` gives the worker slot back between two looks.

    :param minimum: the least that must be there, in the account's currency. (templated)
    :param twilio_conn_id: the Airflow connection. (templated)
    :param account_sid: the account whose balance it is, where it isn't the connection's own. (templated)

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum
        self.twilio_conn_id = twilio_conn_id
        self.account_sid = account_sid
        if not is_mapped_at_runtime(self):
            checks.required(minimum=minimum)
            checks.amount("minimum", resolve_literal(minimum))

    @cached_property
    def hook(self) -> TwilioHook:
        return TwilioHook(self.twilio_conn_id, self.account_sid)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        with fail_on_permanent_errors():
            checks.required(minimum=self.minimum)
            minimum = checks.amount("minimum", self.minimum) or Decimal()
            try:
                balance = self.hook.fetch_balance()
            except TwilioError as error:
                if error.permanent:
                    raise
                self.log.warning("Looking again later: %s", error)
                return False
            if balance.remaining < minimum:
                self.log.info(balance.below(minimum))
                return False
            return PokeReturnValue(is_done=True, xcom_value=balance)
