"""Balance, suspension, closing and usage on the emulator: nothing is lost that was not named twice."""

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

BAD: list[tuple[type[Any], dict[str, Any], str]] = [
    *((kind, {"target_account_sid": "shop", "friendly_name": "shop"}, "is not a SID") for kind in STATUS),
    *((kind, {"target_account_sid": CALL, "friendly_name": "shop"}, "got a call SID") for kind in STATUS),
    *((kind, {"target_account_sid": ACCOUNT, "friendly_name": ""}, "friendly_name is missing") for kind in STATUS),
    (FetchBalanceOperator, {"minimum": "much"}, "minimum is not an amount of money"),
    (FetchBalanceOperator, {"minimum": float("nan")}, "minimum is not an amount of money"),
    (UsageReportOperator, {"start": "-30days", "end": "", "path": "/tmp/a.csv"}, "end is missing"),
    (UsageReportOperator, {"start": "then", "end": "-1days", "path": "/tmp/a.csv"}, "start is not a day"),
    (UsageReportOperator, {"start": "2026-02-01", "end": "2026-01-01", "path": "/tmp/a.csv"}, "wrong way round"),
    (UsageReportOperator, {"start": date(2026, 2, 1), "end": "2026-01-01", "path": "/tmp/a.csv"}, "wrong way round"),
    (UsageReportOperator, {"start": "-2days", "end": "-1days", "path": "/tmp/a.xlsx"}, "path has an unsupported extension"),
    (UsageReportOperator, {"start": "-2days", "end": "-1days", "path": "/tmp/a.csv", "by": "year"}, "by is not an allowed value"),
    (UsageReportOperator, {"start": "-2days", "end": "-1days", "path": "/tmp/a.csv", "budget": "x"}, "budget is not"),
]


@pytest.mark.parametrize(("kind", "arguments", "fault"), BAD)
def test_bad_input_is_refused(
    run_mapped: Run, emulator: Emulator, kind: type[Any], arguments: dict[str, Any], fault: str
):
    with pytest.raises(BadParameter, match=fault):
        kind(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=fault):
        run_mapped(kind, **arguments)
    assert len(emulator.journal) == 0


@pytest.fixture
def shop(emulator: Emulator) -> str:
    """Open a subaccount with a number; give its SID."""
    sid = TwilioHook().accounts.create(friendly_name="shop").sid
    hook = TwilioHook(account_sid=sid)
    (offer,) = hook.available_phone_numbers.list("US", area_code=415, limit=1)
    hook.incoming_phone_numbers.create(phone_number=str(offer.phone_number), friendly_name="till")
    return sid


def status_of(sid: str) -> str | None:
    return TwilioHook().accounts.fetch(sid).status


def test_a_floor_under_the_balance(run: Run, emulator: Emulator):
    assert run(FetchBalanceOperator, minimum="{{ 100 }}")["balance"] == "100.00"
    with pytest.raises(AirflowFailException, match=r"balance is 100.00 USD: below the minimum of 100\.01"):
        run(FetchBalanceOperator, minimum=Decimal("100.01"))


def test_a_subaccount_has_no_balance(run: Run, emulator: Emulator, shop: str):
    with pytest.raises(AirflowFailException, match=f"subaccount {shop}.*its parent, {emulator.account_sid}"):
        run(FetchBalanceOperator, account_sid=shop)


def test_it_suspends_and_activates(run: Run, emulator: Emulator, shop: str):
    named = {"target_account_sid": "{{ sid }}", "friendly_name": "shop"}
    assert run(SuspendAccountOperator, {"sid": shop}, **named)["status"] == "suspended"
    assert run(SuspendAccountOperator, {"sid": shop}, **named)["status"] == "suspended"
    assert run(ActivateAccountOperator, {"sid": shop}, **named)["status"] == "active"
    assert emulator.journal.count("POST", f"Accounts/{shop}.json") == 2


@pytest.mark.parametrize("kind", STATUS)
def test_no_other_account_is_touched(run: Run, emulator: Emulator, shop: str, kind: type[Any]):
    own = emulator.account_sid
    apply = {"apply": True} if kind is CloseAccountOperator else {}
    for arguments, fault in (
        ({"target_account_sid": own, "friendly_name": "Emulator"}, "connection's own account"),
        ({"target_account_sid": shop, "friendly_name": "Shop"}, "is 'Shop', and the account .* is called 'shop'"),
        ({"target_account_sid": shop, "friendly_name": "shop", "account_sid": shop}, "connection's own account"),
    ):
        with pytest.raises(AirflowFailException, match=fault):
            run(kind, **arguments, **apply)
    assert [status_of(sid) for sid in (own, shop)] == ["active", "active"]


def test_closing_names_what_is_lost_first(run: Run, emulator: Emulator, shop: str):
    named = {"target_account_sid": shop, "friendly_name": "shop"}
    told = run(CloseAccountOperator, **named)
    assert (told["status"], told["applied"]) == ("active", False)
    assert [number["friendly_name"] for number in told["phone_numbers"]] == ["till"]
    assert status_of(shop) == "active"
    closed = run(CloseAccountOperator, **named, apply="True")
    assert (closed["status"], closed["applied"], closed["phone_numbers"]) == ("closed", True, told["phone_numbers"])
    assert run(CloseAccountOperator, **named, apply=True)["status"] == "closed"
    for kind in (SuspendAccountOperator, ActivateAccountOperator):
        with pytest.raises(AirflowFailException, match="is a closed account: nothing brings it back"):
            run(kind, **named)


def test_a_suspended_account_is_closed_too(run: Run, emulator: Emulator, shop: str):
    named = {"target_account_sid": shop, "friendly_name": "shop"}
    run(SuspendAccountOperator, **named)
    closed = run(CloseAccountOperator, **named, apply=True)
    assert (closed["status"], closed["phone_numbers"]) == ("closed", None)  # the emulator doesn't tell them


# ---------------------------------------------------------------- usage


def test_the_report_and_its_budget(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    hook = TwilioHook()
    for _ in range(3):
        hook.messages.create(to="+14155550123", from_="+15005550006", body="a")
    emulator.clock.advance(10)
    emulator.clock.freeze()
    path = tmp_path / "{{ name }}.csv"
    given = {"start": "{{ -30 }}days", "end": "-0days", "path": str(path), "subaccounts": "True"}
    told = run(UsageReportOperator, {"name": "usage"}, **given, by="range", budget="2")
    # 3 messages at 0.0083, and the subaccount's number at 1.15: categories nest, and are not summed up.
    assert told["totalprice"] == "1.1749"
    rows = list(csv.DictReader((tmp_path / "usage.csv").read_text().splitlines()))
    assert told["rows"] == len(rows)
    prices = {(row["account_name"], row["category"]): row["price"] for row in rows}
    assert (prices["Emulator", "totalprice"], prices["shop", "totalprice"]) == ("0.0249", "1.15")
    assert (prices["Emulator", "sms"], prices["Emulator", "sms-outbound"]) == ("0.0249", "0.0249")
    with pytest.raises(AirflowFailException, match=r"It cost 1\.1749 usd from .* over the budget of 1\.17\. .*csv"):
        run(UsageReportOperator, {"name": "over"}, **given, budget="1.17")
    assert (tmp_path / "over.csv").read_text() == (tmp_path / "usage.csv").read_text()


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-01", "-0days"), (date(2026, 1, 1), "-0days"), ("-30days", "2030-01-01"), ("2026-01-01", "2026-01-01")],
)
def test_days_that_are_counted_back_are_not_compared(
    run: Run, emulator: Emulator, tmp_path: Path, start: date | str, end: date | str
):
    assert run(UsageReportOperator, start=start, end=end, path=str(tmp_path / "a.csv"))["rows"]


def test_a_row_a_day_of_some_categories(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    path = tmp_path / "usage.jsonl"
    told = run(
        UsageReportOperator, start="-2days", end="-0days", path=str(path), by="day", category="['sms', 'totalprice']"
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["category"] for row in rows] == ["sms"] * 3 + ["totalprice"] * 3
    assert len({row["start_date"] for row in rows}) == 3
    assert told["rows"] == 6
    assert sum(Decimal(row["price"]) for row in rows if row["category"] == "totalprice") == Decimal("1.15")


def test_accounts_that_do_not_tell_are_named(run: Run, emulator: Emulator, shop: str, tmp_path: Path):
    run(SuspendAccountOperator, target_account_sid=shop, friendly_name="shop")
    told = run(UsageReportOperator, start="-1days", end="-0days", path=str(tmp_path / "a.csv"), subaccounts=True)
    assert told["accounts_that_do_not_tell"] == [shop]
    with pytest.raises(AirflowFailException, match="can't be written"):
        run(UsageReportOperator, start="-1days", end="-0days", path="/proc/none/a.csv")


def test_a_dry_run_closes_nothing(run: Run, emulator: Emulator, shop: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    told = run(CloseAccountOperator, target_account_sid=shop, friendly_name="shop", apply=True)
    assert told["applied"] is False
    assert status_of(shop) == "active"
