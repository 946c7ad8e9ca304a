"""Account and balance operations: paths, parameters and checks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api.accounts import Account, Accounts, Balance, Balances
from airflow_provider_twilio.api.errors import BadParameter

AC = "AC" + "0" * 32


def test_create_account_is_not_idempotent():
    request = Accounts.create(friendly_name="Berlin")
    assert (request.method, request.template) == ("POST", "/2010-04-01/Accounts.json")
    assert request.data == (("FriendlyName", "Berlin"),)
    assert request.idempotent is False


def test_fetch_account_defaults_to_own_account():
    assert Accounts.fetch().template == "/2010-04-01/Accounts/{AccountSid}.json"
    assert Accounts.fetch(AC).template == f"/2010-04-01/Accounts/{AC}.json"


def test_update_account_sends_name_and_status():
    request = Accounts.update(AC, friendly_name="New", status="suspended")
    assert request.template == f"/2010-04-01/Accounts/{AC}.json"
    assert request.data == (("FriendlyName", "New"), ("Status", "suspended"))


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (AC, {}, "friendly_name or status is missing"),
        (AC, {"status": "deleted"}, "status is not an allowed value.*active, suspended, closed"),
        (AC, {"friendly_name": "x" * 65}, "friendly_name has 65 characters: Twilio accepts at most 64"),
        (None, {"status": "closed"}, "target_account_sid is missing"),
        ("", {"status": "closed"}, "target_account_sid is missing"),
        ("Berlin", {"status": "closed"}, "target_account_sid is not a SID.*AC…"),
    ],
)
def test_update_account_rejects_invalid_arguments(target: Any, arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        Accounts.update(target, **arguments)


def test_list_accounts_filters_by_name_and_status():
    listing = Accounts.list(friendly_name="Berlin", status="active", limit=1)
    assert listing.path == "/2010-04-01/Accounts.json"
    assert listing.data == (("FriendlyName", "Berlin"), ("Status", "active"))
    with pytest.raises(BadParameter, match="status is not an allowed value"):
        Accounts.list(status="open")  # type: ignore[arg-type]


def test_account_record_never_contains_the_token():
    assert "auth_token" not in Account({"sid": AC, "auth_token": "secret"})
    assert "secret" not in repr(Account(sid=AC, auth_token="secret", friendly_name="Berlin"))


def test_balance_record_is_exact():
    assert Balances.fetch().template == "/2010-04-01/Accounts/{AccountSid}/Balance.json"
    assert Balance(balance="-0.10", currency="USD").balance == Decimal("-0.10")
