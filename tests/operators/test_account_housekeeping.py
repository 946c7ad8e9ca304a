"""Tests of the balance check, account status and usage report operators, against the emulator."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.accounts import (
    ActivateAccountOperator,
    CloseAccountOperator,
    FetchBalanceOperator,
    SuspendAccountOperator,
)
from airflow_provider_twilio.operators.usage import UsageReportOperator

Run = Callable[..., Any]
ACCOUNT, CALL = "AC" + "a" * 32, "CA" + "a" * 32
STATUS = (SuspendAccountOperator, ActivateAccountOperator, CloseAccountOperator)

INVALID: list[tuple[type[Any], dict[str, Any], str]] = [
    *((operator, {"target_account_sid": "shop", "friendly_name": "shop"}, "is not a SID") for operator in STATUS),
    *((operator, {"target_account_sid": CALL, "friendly_name": "shop"}, "got a call SID") for operator in STATUS),
    *(
        (operator, {"target_account_sid": ACCOUNT, "friendly_name": ""}, "friendly_name is missing")
        for operator in STATUS
    ),
    (FetchBalanceOperator, {"minimum": "much"}, "minimum is not an amount of money"),
    (FetchBalanceOperator, {"minimum": float("nan")}, "minimum is not an amount of money"),
    (UsageReportOperator, {"start": "-30days", "end": "", "path": "/tmp/a.csv"}, "end is missing"),
    (UsageReportOperator, {"start": "then", "end": "-1days", "path": "/tmp/a.csv"}, "start is not a day"),
    (UsageReportOperator, {"start": "2026-02-01", "end": "2026-01-01", "path": "/tmp/a.csv"}, "wrong order"),
    (UsageReportOperator, {"start": date(2026, 2, 1), "end": "2026-01-01", "path": "/tmp/a.csv"}, "wrong order"),
    (
        UsageReportOperator,
        {"start": "-2days", "end": "-1days", "path": "/tmp/a.xlsx"},
        "path has an unsupported extension",
    ),
    (
        UsageReportOperator,
        {"start": "-2days", "end": "-1days", "path": "/tmp/a.csv", "by": "year"},
        "by is not an allowed value",
    ),
    (UsageReportOperator, {"start": "-2days", "end": "-1days", "path": "/tmp/a.csv", "budget": "x"}, "budget is not"),
]


@pytest.mark.parametrize(("operator", "arguments", "message"), INVALID)
def test_account_housekeeping_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


@pytest.fixture
def shop(emulator: Emulator) -> str:
    """Open a subaccount with a number, and return the subaccount's SID."""
    sid = TwilioHook().accounts.create(friendly_name="shop").sid
    hook = TwilioHook(account_sid=sid)
    (offer,) = hook.available_phone_numbers.list("US", area_code=415, limit=1)
    hook.incoming_phone_numbers.create(phone_number=str(offer.phone_number), friendly_name="counter")
    return sid


def status_of(sid: str) -> str | None:
    return TwilioHook().accounts.fetch(sid).status


def test_fetch_balance_below_minimum_fails(run: Run, emulator: Emulator):
    assert run(FetchBalanceOperator, minimum="{{ 100 }}")["balance"] == "100.00"
    with pytest.raises(AirflowFailException, match=r"balance is 100.00 USD: below the minimum of 100\.01"):
        run(FetchBalanceOperator, minimum=Decimal("100.01"))


def test_fetch_balance_of_subaccount_fails(run: Run, emulator: Emulator, shop: str):
    with pytest.raises(AirflowFailException, match=f"subaccount {shop}.*its parent, {emulator.account_sid}"):
        run(FetchBalanceOperator, account_sid=shop)


def test_suspend_and_activate_account_change_status_once(run: Run, emulator: Emulator, shop: str):
    target = {"target_account_sid": "{{ sid }}", "friendly_name": "shop"}
    assert run(SuspendAccountOperator, {"sid": shop}, **target)["status"] == "suspended"
    assert run(SuspendAccountOperator, {"sid": shop}, **target)["status"] == "suspended"
    assert run(ActivateAccountOperator, {"sid": shop}, **target)["status"] == "active"
    assert emulator.journal.count("POST", f"Accounts/{shop}.json") == 2


@pytest.mark.parametrize("operator", STATUS)
def test_account_status_operators_reject_other_accounts(run: Run, emulator: Emulator, shop: str, operator: type[Any]):
    own = emulator.account_sid
    apply = {"apply": True} if operator is CloseAccountOperator else {}
    for arguments, message in (
        ({"target_account_sid": own, "friendly_name": "Emulator"}, "connection's own account"),
        ({"target_account_sid": shop, "friendly_name": "Shop"}, "is 'Shop', but the account .* is named 'shop'"),
        ({"target_account_sid": shop, "friendly_name": "shop", "account_sid": shop}, "connection's own account"),
    ):
        with pytest.raises(AirflowFailException, match=message):
            run(operator, **arguments, **apply)
    assert [status_of(sid) for sid in (own, shop)] == ["active", "active"]


def test_close_account_reports_lost_numbers_before_closing(run: Run, emulator: Emulator, shop: str):
    target = {"target_account_sid": shop, "friendly_name": "shop"}
    report = run(CloseAccountOperator, **target)
    assert (report["status"], report["applied"]) == ("active", False)
    assert [number["friendly_name"] for number in report["phone_numbers"]] == ["counter"]
    assert status_of(shop) == "active"
    closed = run(CloseAccountOperator, **target, apply="True")
    assert (closed["status"], closed["applied"], closed["phone_numbers"]) == ("closed", True, report["phone_numbers"])
    assert run(CloseAccountOperator, **target, apply=True)["status"] == "closed"
    for operator in (SuspendAccountOperator, ActivateAccountOperator):
        with pytest.raises(AirflowFailException, match="is a closed account: open another account"):
            run(operator, **target)


def test_close_account_closes_suspended_account(run: Run, emulator: Emulator, shop: str):
    target = {"target_account_sid": shop, "friendly_name": "shop"}
    run(SuspendAccountOperator, **target)
    closed = run(CloseAccountOperator, **target, apply=True)
    assert (closed["status"], closed["phone_numbers"]) == ("closed", None)  # the emulator does not list them


def test_usage_report_above_budget_fails_after_writing(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    hook = TwilioHook()
    for _ in range(3):
        hook.messages.create(to="+14155550123", from_="+15005550006", body="a")
    emulator.clock.advance(10)
    emulator.clock.freeze()
    path = tmp_path / "{{ name }}.csv"
    arguments = {"start": "{{ -30 }}days", "end": "-0days", "path": str(path), "subaccounts": "True"}
    summary = run(UsageReportOperator, {"name": "usage"}, **arguments, by="range", budget="2")
    # 3 messages at 0.0083 and the subaccount's number at 1.15. Categories overlap, so they are not added up.
    assert summary["totalprice"] == "1.1749"
    rows = list(csv.DictReader((tmp_path / "usage.csv").read_text().splitlines()))
    assert summary["rows"] == len(rows)
    prices = {(row["account_name"], row["category"]): row["price"] for row in rows}
    assert (prices["Emulator", "totalprice"], prices["shop", "totalprice"]) == ("0.0249", "1.15")
    assert (prices["Emulator", "sms"], prices["Emulator", "sms-outbound"]) == ("0.0249", "0.0249")
    with pytest.raises(AirflowFailException, match=r"costs from .* are 1\.1749 usd, above the budget of 1\.17\. .*csv"):
        run(UsageReportOperator, {"name": "over"}, **arguments, budget="1.17")
    assert (tmp_path / "over.csv").read_text() == (tmp_path / "usage.csv").read_text()


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-01", "-0days"), (date(2026, 1, 1), "-0days"), ("-30days", "2030-01-01"), ("2026-01-01", "2026-01-01")],
)
def test_usage_report_accepts_relative_and_absolute_days(
    run: Run, emulator: Emulator, tmp_path: Path, start: date | str, end: date | str
):
    assert run(UsageReportOperator, start=start, end=end, path=str(tmp_path / "a.csv"))["rows"]


def test_usage_report_by_day_selects_categories(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    path = tmp_path / "usage.jsonl"
    summary = run(
        UsageReportOperator, start="-2days", end="-0days", path=str(path), by="day", category="['sms', 'totalprice']"
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["category"] for row in rows] == ["sms"] * 3 + ["totalprice"] * 3
    assert len({row["start_date"] for row in rows}) == 3
    assert summary["rows"] == 6
    assert sum(Decimal(row["price"]) for row in rows if row["category"] == "totalprice") == Decimal("1.15")


def test_usage_report_lists_unavailable_accounts(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    run(SuspendAccountOperator, target_account_sid=shop, friendly_name="shop")
    summary = run(UsageReportOperator, start="-1days", end="-0days", path=str(tmp_path / "a.csv"), subaccounts=True)
    assert summary["unavailable_accounts"] == [shop]
    with pytest.raises(AirflowFailException, match="can't be written"):
        run(UsageReportOperator, start="-1days", end="-0days", path="/proc/none/a.csv")


def test_close_account_in_dry_run_keeps_account_open(
    run: Run, emulator: Emulator, shop: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    report = run(CloseAccountOperator, target_account_sid=shop, friendly_name="shop", apply=True)
    assert report["applied"] is False
    assert status_of(shop) == "active"
