"""The money left on an account, held against what is wanted."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.core import LATER
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    BadParameter,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TwilioError,
)

if TYPE_CHECKING:
    from airflow_provider_twilio.api.accounts import Balance
    from airflow_provider_twilio.hooks.twilio import TwilioHook


def amount(name: str, value: Any) -> Decimal | None:
    """Read an amount of money, where one is given."""
    if value is None or value is LATER:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise BadParameter(name, f"is not an amount of money ({checks.shape(value)})", "give a number such as 25")
    return number


def fetch(hook: TwilioHook) -> Balance:
    """Fetch the balance; of a subaccount, which has none, tell whose it shares."""
    try:
        return hook.balance.fetch()
    except (InvalidRequest, NotFound, PermissionDenied) as error:
        parent = _parent(hook)
        if parent is None:
            raise
        raise BadParameter(
            "account_sid",
            f"is the subaccount {hook.client.settings.account_sid}, which has no balance of its own",
            f"ask for that of its parent, {parent}",
        ) from error


def _parent(hook: TwilioHook) -> str | None:
    try:
        account = hook.accounts.fetch()
    except (AuthenticationFailed, PermissionDenied, NotFound):
        return None
    return account.owner_account_sid if account.owner_account_sid != account.sid else None


def left(balance: Balance) -> Decimal:
    """Give the money that is left."""
    if balance.balance is None:
        raise TwilioError("Twilio's answer names no balance")
    return balance.balance


def below(balance: Balance, minimum: Decimal) -> str:
    """Say that it is too little."""
    return f"The balance is {balance.balance} {balance.currency}: below the minimum of {minimum}"
