"""Tests of the account operators that run one operation, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.accounts import (
    CreateAccountOperator,
    FetchAccountOperator,
    FetchBalanceOperator,
    ListAccountsOperator,
    UpdateAccountOperator,
)

Run = Callable[..., Any]

ACCOUNT, CALL = "AC" + "a" * 32, "CA" + "a" * 32

INVALID = [
    (
        UpdateAccountOperator,
        {"target_account_sid": ACCOUNT, "status": "closed"},
        "status is closed.*CloseAccountOperator",
    ),
    (UpdateAccountOperator, {"target_account_sid": ACCOUNT, "status": "Closed"}, "status is not an allowed value"),
    (UpdateAccountOperator, {"target_account_sid": ACCOUNT}, "friendly_name or status is missing"),
    (UpdateAccountOperator, {"target_account_sid": CALL, "friendly_name": "x"}, "expected an account SID.*a call SID"),
    (FetchAccountOperator, {"target_account_sid": ""}, "target_account_sid is not a SID"),
    (CreateAccountOperator, {"friendly_name": "x" * 65}, "friendly_name has 65 characters"),
    (ListAccountsOperator, {"status": "gone"}, "status is not an allowed value"),
]


@pytest.mark.parametrize(("operator", "arguments", "message"), INVALID)
def test_account_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


def test_fetch_balance_returns_balance_and_currency(run: Run, emulator: Emulator):
    balance = run(FetchBalanceOperator)
    assert (float(balance["balance"]), balance["currency"]) == (emulator.balance, "USD")


def test_account_operators_open_fetch_list_rename_and_suspend(run: Run, emulator: Emulator):
    opened = run(CreateAccountOperator, {"name": "Ada"}, friendly_name="for {{ name }}")
    sid = opened["sid"]
    assert (opened["friendly_name"], opened["owner_account_sid"]) == ("for Ada", emulator.account_sid)
    assert run(FetchAccountOperator)["sid"] == emulator.account_sid
    assert run(FetchAccountOperator, target_account_sid=sid)["sid"] == sid
    assert run(FetchAccountOperator, account_sid=sid)["sid"] == sid
    assert {account["sid"] for account in run(ListAccountsOperator)} == {emulator.account_sid, sid}
    assert [account["sid"] for account in run(ListAccountsOperator, friendly_name="for Ada")] == [sid]
    assert run(UpdateAccountOperator, target_account_sid=sid, friendly_name="b")["friendly_name"] == "b"
    assert run(UpdateAccountOperator, target_account_sid=sid, status="suspended")["status"] == "suspended"
    assert run(UpdateAccountOperator, target_account_sid=sid, status="active")["status"] == "active"


def test_account_operators_return_no_auth_token(run: Run, emulator: Emulator):
    records = [run(CreateAccountOperator), run(FetchAccountOperator), run(ListAccountsOperator)]
    assert "auth_token" not in json.dumps(records)
    assert emulator.auth_token not in json.dumps(records)
