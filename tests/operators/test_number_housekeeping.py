"""Tests of the operators for many phone numbers, against the emulator."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, ServerError
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.phone_numbers import (
    EnsureNumberOperator,
    FindIdleNumbersOperator,
    PurchaseNumberOperator,
    ReleaseNumbersOperator,
    UpdateNumbersOperator,
)

Run = Callable[..., Any]

OWNED = "+15005550006"
NUMBER, CALL = "PN" + "a" * 32, "CA" + "a" * 32
HOOK = "https://example.com/sms"

INVALID = [
    (UpdateNumbersOperator, {"phone_numbers": [], "sms_url": HOOK}, "phone_numbers is empty"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER]}, "phone_numbers is set without any setting"),
    (UpdateNumbersOperator, {"phone_numbers": "*", "sms_url": HOOK}, r"pattern '\*', which matches every number"),
    (UpdateNumbersOperator, {"phone_numbers": ["+[0-9]*"], "sms_url": HOOK}, "matches every number"),
    (UpdateNumbersOperator, {"phone_numbers": ["??*"], "sms_url": HOOK}, "matches every number"),
    (
        UpdateNumbersOperator,
        {"phone_numbers": "PN*", "sms_url": HOOK},
        r"pattern 'PN\*' for SIDs, which are random: pass SIDs in full",
    ),
    (UpdateNumbersOperator, {"phone_numbers": ["PN0?*"], "sms_url": HOOK}, "pass SIDs in full"),
    (UpdateNumbersOperator, {"phone_numbers": ["4155550100"], "sms_url": HOOK}, r"phone_numbers has no leading \+"),
    (UpdateNumbersOperator, {"phone_numbers": [CALL], "sms_url": HOOK}, "expected a phone number SID.*got a call SID"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER], "sms_method": "PUT"}, "sms_method is not an allowed value"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER], "sms_url": HOOK, "apply": "yes"}, "apply is not true or false"),
    (FindIdleNumbersOperator, {"days": -1}, "days is -1"),
    (FindIdleNumbersOperator, {"days": 0}, "days is 0"),
    (FindIdleNumbersOperator, {"days": 401}, "days is 401"),
    (FindIdleNumbersOperator, {"days": 30, "protect": "*"}, "protect has the pattern.*every number"),
    (FindIdleNumbersOperator, {"days": 30, "protect": "+1800*, *"}, "protect has the pattern.*every number"),
    (FindIdleNumbersOperator, {"days": 30, "protect": ["pn0*"]}, "protect has the pattern.*pass SIDs in full"),
    (ReleaseNumbersOperator, {"phone_numbers": "+1415*"}, "phone_numbers has the pattern.*in full"),
    (ReleaseNumbersOperator, {"phone_numbers": ["PN123"]}, "phone_numbers starts like a SID"),
    (ReleaseNumbersOperator, {"phone_numbers": "main line"}, "phone_numbers contains spaces"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "protect": ["*"]}, "protect has the pattern.*every number"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "max_releases": -1}, "max_releases is -1"),
    (
        ReleaseNumbersOperator,
        {"phone_numbers": [NUMBER], "report": "/tmp/a.txt"},
        "report has an unsupported extension",
    ),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "apply": "perhaps"}, "apply is not true or false"),
    (EnsureNumberOperator, {"friendly_name": "", "country": "US"}, "friendly_name is missing"),
    (EnsureNumberOperator, {"friendly_name": "x" * 65, "country": "US"}, "friendly_name has 65 characters"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "USA"}, "country is not a country code"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "US", "kind": "Cell"}, "kind is not an allowed value"),
    (
        EnsureNumberOperator,
        {"friendly_name": "a", "country": "US", "sms_method": "PUT"},
        "sms_method is not an allowed value",
    ),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "US", "trunk_sid": CALL}, "expected a trunk SID"),
]


class Store:
    """A substitute for Airflow's task state store: JSON values that survive a try."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        assert len(json.dumps(value)) < 64_000
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def buy(*names: str, area: int = 415) -> list[str]:
    """Buy a number for each name, and return the SIDs."""
    hook = TwilioHook()
    available = list(hook.available_phone_numbers.list("US", area_code=area, limit=len(names)))
    return [
        hook.incoming_phone_numbers.create(phone_number=str(number.phone_number), friendly_name=name).sid
        for name, number in zip(names, available, strict=True)
    ]


def names_of_numbers(emulator: Emulator) -> set[str]:
    """Return the names of the account's numbers, except its first one."""
    return {number["friendly_name"] for number in emulator.numbers} - {"(500) 555-0006"}


@pytest.mark.parametrize(("operator", "arguments", "message"), INVALID)
def test_number_housekeeping_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


def test_ensure_number_buys_once_and_then_finds(run: Run, emulator: Emulator):
    arguments = {"friendly_name": "alerts {{ env }}", "country": "US", "area_code": "{{ 415 }}", "sms_url": HOOK}
    first = run(EnsureNumberOperator, {"env": "live"}, **arguments)
    assert (first["friendly_name"], first["sms_url"], first["phone_number"][:5]) == ("alerts live", HOOK, "+1415")
    again = run(EnsureNumberOperator, {"env": "live"}, **arguments)
    assert again == first
    (purchase,) = emulator.journal.find("POST")
    assert purchase.params == {"FriendlyName": "alerts live", "SmsUrl": HOOK, "PhoneNumber": first["phone_number"]}


def test_ensure_number_searches_by_parameters(run: Run, emulator: Emulator):
    bought = run(
        EnsureNumberOperator, friendly_name="a", country="US", kind="TollFree", contains="%1888", sms_enabled="True"
    )
    assert bought["phone_number"] == "+18005551888"
    with pytest.raises(AirflowFailException, match="no Local number that matches the search is available in US"):
        run(EnsureNumberOperator, friendly_name="b", country="US", area_code=999)
    assert emulator.journal.count("POST") == 1


def test_ensure_number_buys_another_number_if_first_is_taken(run: Run, emulator: Emulator):
    emulator.fail_next(2, status=400, code=21422, method="POST", path="IncomingPhoneNumbers")
    bought = run(EnsureNumberOperator, friendly_name="a", country="US", area_code=415)
    requested = [entry.params["PhoneNumber"] for entry in emulator.journal.find("POST")]
    assert len(set(requested)) == 3
    assert bought["phone_number"] == requested[2]


def test_ensure_number_bought_by_sibling_is_found(run: Run, emulator: Emulator):
    """A sibling buys the number between the search and the purchase. Twilio rejects the second purchase."""
    emulator.fail_next(1, accept_then_status=400, code=21422, method="POST", path="IncomingPhoneNumbers")
    bought = run(EnsureNumberOperator, friendly_name="a", country="US", area_code=415)
    assert [number["sid"] for number in emulator.numbers if number["friendly_name"] == "a"] == [bought["sid"]]


def test_ensure_number_fails_if_two_numbers_have_the_name(run: Run, emulator: Emulator):
    sids = buy("a", "a")
    with pytest.raises(AirflowFailException, match="2 numbers have this name") as error:
        run(EnsureNumberOperator, friendly_name="a", country="US")
    assert all(sid in str(error.value) for sid in sids)


def test_update_numbers_reports_changes_and_applies_them(run: Run, emulator: Emulator):
    sids = buy("support a", "support b", "sales")
    arguments = {"phone_numbers": [sids[0], "support *"], "sms_url": HOOK, "voice_caller_id_lookup": "True"}
    reported = run(UpdateNumbersOperator, **arguments)
    assert [(row["sid"], row["applied"]) for row in reported] == [(sids[0], False), (sids[1], False)]
    assert reported[0]["changes"] == {"sms_url": ["", HOOK], "voice_caller_id_lookup": [False, True]}
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0

    applied = run(UpdateNumbersOperator, **arguments, apply="True")
    assert [row["applied"] for row in applied] == [True, True]
    assert run(UpdateNumbersOperator, **arguments, apply=True) == []
    assert [number["sms_url"] for number in emulator.numbers] == ["", HOOK, HOOK, ""]
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 2
    (cleared,) = run(UpdateNumbersOperator, phone_numbers=sids[1], sms_url="", voice_url="", apply=True)
    assert cleared["changes"] == {"sms_url": [HOOK, ""]}


def test_update_numbers_rejects_numbers_of_others_before_any_change(run: Run, emulator: Emulator):
    (sid,) = buy("a")
    with pytest.raises(AirflowFailException, match=r"does not own PNa+\..*account_sid\. No number was changed"):
        run(UpdateNumbersOperator, phone_numbers=[sid, NUMBER], sms_url=HOOK, apply=True)
    with pytest.raises(AirflowFailException, match=r"does not own sales\*"):
        run(UpdateNumbersOperator, phone_numbers=["sales*"], sms_url=HOOK, apply=True)
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0


def test_update_numbers_logs_no_passwords_in_urls(run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture):
    (row,) = run(UpdateNumbersOperator, phone_numbers=OWNED, sms_url="https://me:hunter2@example.com/x")
    assert row["changes"]["sms_url"][1] == "https://me:hunter2@example.com/x"
    assert "hunter2" not in caplog.text


def test_find_idle_numbers_returns_numbers_without_any_traffic(run: Run, emulator: Emulator):
    now = datetime.now(UTC)
    emulator.clock.freeze(now - timedelta(days=60))
    names = ["sends", "receives", "fails", "calls", "called", "whatsapp", "idle", "protected", "long ago"]
    buy(*names)
    by_name = {number["friendly_name"]: number for number in emulator.numbers}
    numbers = {name: by_name[name]["phone_number"] for name in names}
    hook = TwilioHook()
    hook.messages.create(to="+14155550123", from_=numbers["long ago"], body="old")
    emulator.clock.freeze(now - timedelta(days=10))
    buy("new", area=510)
    hook.messages.create(to="+14155550123", from_=numbers["sends"], body="a")
    hook.messages.create(to="+15005559007", from_=numbers["fails"], body="a")  # fails before it is sent: no date_sent
    hook.messages.create(to="whatsapp:+14155550123", from_=f"whatsapp:{numbers['whatsapp']}", body="a")
    hook.calls.create(to="+14155550123", from_=numbers["calls"], twiml="<Response><Pause/></Response>")
    emulator.receive_message("hi", from_="+14155550123", to=numbers["receives"])
    emulator.receive_call(from_="+14155550123", to=numbers["called"])
    emulator.clock.reset()
    for unsent in ("first", "last", "date_created"):
        emulator.quirks.set(unsent=unsent)
        found = run(FindIdleNumbersOperator, days="{{ 30 }}", protect=["protect*", OWNED])
        assert {row["friendly_name"] for row in found} == {"idle", "long ago"}
    assert {row["friendly_name"]: row for row in found}["idle"] == {
        "sid": by_name["idle"]["sid"],
        "phone_number": numbers["idle"],
        "friendly_name": "idle",
        "type": "local",
        "since": by_name["idle"]["date_created"],
        "monthly_price": "1.15",
    }
    assert run(FindIdleNumbersOperator, days=61, protect=OWNED) == []  # all numbers are younger


def test_release_numbers_without_apply_reports_only(run: Run, emulator: Emulator, tmp_path: Path):
    sids = buy("a", "main", "b")
    report = tmp_path / "deep" / "report.csv"
    arguments = {"phone_numbers": [*sids, sids[0]], "protect": ["main*"], "report": str(report)}
    rows = run(ReleaseNumbersOperator, **arguments)
    assert [row["outcome"] for row in rows] == ["would be released", "protected", "would be released"]
    assert names_of_numbers(emulator) == {"a", "main", "b"}
    assert list(csv.DictReader(report.read_text().splitlines())) == rows

    rows = run(ReleaseNumbersOperator, **arguments, apply="{{ True }}")
    assert [row["outcome"] for row in rows] == ["released", "protected", "released"]
    assert names_of_numbers(emulator) == {"main"}
    assert list(csv.DictReader(report.read_text().splitlines())) == rows


def test_release_numbers_protect_ignores_case_and_accepts_sids(run: Run, emulator: Emulator):
    sids = buy("Alerts EU", "STRASSE 1", "main", "other")
    arguments = {"phone_numbers": sids, "protect": ["alerts*", "Straße*", sids[2]], "apply": True}
    rows = run(ReleaseNumbersOperator, **arguments)
    assert [row["outcome"] for row in rows] == ["protected", "protected", "protected", "released"]
    assert names_of_numbers(emulator) == {"Alerts EU", "STRASSE 1", "main"}


@pytest.mark.parametrize("separator", [", ", ";", "\n"])
@pytest.mark.parametrize("listed", [False, True])
def test_release_numbers_accepts_any_separator(run: Run, emulator: Emulator, separator: str, listed: bool):
    sids = buy("main", "fax, Berlin", "other")
    chosen, protected = separator.join([*sids, ""]), separator.join(["main*", "nothing*"])
    protect = [protected, "fax, Berlin"] if listed else protected
    run(ReleaseNumbersOperator, phone_numbers=[chosen] if listed else chosen, protect=protect, apply=True)
    assert names_of_numbers(emulator) == ({"main", "fax, Berlin"} if listed else {"main"})


def test_update_numbers_pattern_does_not_match_part_of_sid(run: Run, emulator: Emulator):
    (sid,) = buy("north")
    with pytest.raises(AirflowFailException, match="does not own"):
        run(UpdateNumbersOperator, phone_numbers=[f"*{sid[2:8]}*"], sms_url=HOOK, apply=True)
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0


def test_release_numbers_releases_numbers_of_upstream_task(run: Run, emulator: Emulator):
    sids = buy("a", "b")
    found = [{"sid": sid} for sid in sids]
    rows = run(
        ReleaseNumbersOperator, {"found": found}, phone_numbers="{{ found | map(attribute='sid') | list }}", apply=True
    )
    assert [row["sid"] for row in rows] == sids
    assert names_of_numbers(emulator) == set()
    assert run(ReleaseNumbersOperator, {"found": []}, phone_numbers="{{ found }}", apply=True) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_releases": 1}, "contains 2 numbers to release, but max_releases is 1"),
        ({"phone_numbers": [NUMBER]}, r"does not own PNa+\..* No number was released"),
        ({"phone_numbers": ["+14155550199"]}, r"does not own \+1415•••0199\..* No number was released"),
        ({"report": "/proc/none/report.csv"}, "can't be written"),
        ({"report": "nowhere://bucket/report.csv"}, "report is on a storage that can't be opened"),
    ],
)
def test_release_numbers_releases_nothing_if_check_fails(
    run: Run, emulator: Emulator, more: dict[str, Any], message: str
):
    sids = buy("a", "b")
    arguments = {"phone_numbers": [*sids, *more.pop("phone_numbers", [])], **more}
    with pytest.raises(AirflowFailException, match=message):
        run(ReleaseNumbersOperator, **arguments, apply=True)
    assert names_of_numbers(emulator) == {"a", "b"}
    assert emulator.journal.count("DELETE") == 0


def test_release_numbers_rejects_number_of_another_account(run: Run, emulator: Emulator):
    sub = TwilioHook().accounts.create(friendly_name="shop").sid
    bought = run(PurchaseNumberOperator, area_code=415, account_sid=sub)
    with pytest.raises(AirflowFailException, match=r"pass its SID as account_sid\. No number was released"):
        run(ReleaseNumbersOperator, phone_numbers=bought["sid"], apply=True)
    assert run(ReleaseNumbersOperator, phone_numbers=bought["sid"], apply=True, account_sid=sub)


def test_release_numbers_resumes_after_failure_and_reports_all(
    run: Run, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sids = buy(*(f"n{number}" for number in range(8)))
    report, store = tmp_path / "report.jsonl", Store()
    arguments = {"phone_numbers": sids, "report": str(report), "apply": True}
    emulator.fail_next(9, status=503, method="DELETE", skip=3)
    with pytest.raises(ServerError):
        run(ReleaseNumbersOperator, {"task_state_store": store}, **arguments)
    assert len(names_of_numbers(emulator)) == 5
    emulator.state.faults.clear()
    rows = run(ReleaseNumbersOperator, {"task_state_store": store}, **arguments)
    assert sorted(row["sid"] for row in rows) == sorted(sids)
    assert {row["outcome"] for row in rows} == {"released"}
    assert [json.loads(line) for line in report.read_text().splitlines()] == rows
    deletes = [entry.path for entry in emulator.journal.find("DELETE") if entry.status == 204]
    assert len(deletes) == len(set(deletes)) == 8
    assert run(
        ReleaseNumbersOperator, {"task_state_store": store}, **arguments
    )  # cleared: the plan names the released numbers


def test_release_numbers_rejected_by_twilio_releases_others_and_fails(run: Run, emulator: Emulator, tmp_path: Path):
    sids = buy("a", "b", "c")
    report, store = tmp_path / "report.jsonl", Store()
    arguments = {"phone_numbers": sids, "report": str(report), "apply": True}
    emulator.fail_next(1, status=400, code=21404, method="DELETE", path=sids[1])
    with pytest.raises(AirflowFailException, match=rf"1 of 3 numbers were not released: {sids[1]} \(21404\)"):
        run(ReleaseNumbersOperator, {"task_state_store": store}, **arguments)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert {row["sid"]: row["outcome"] for row in rows} == dict(
        zip(sids, ["released", "failed", "released"], strict=True)
    )
    assert names_of_numbers(emulator) == {"b"}
    assert {row["outcome"] for row in run(ReleaseNumbersOperator, {"task_state_store": store}, **arguments)} == {
        "released"
    }


def test_release_numbers_aborted_reports_released_numbers(
    run: Run, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sids, report = buy("a", "b", "c"), tmp_path / "report.jsonl"
    emulator.fail_next(1, status=503, method="DELETE", path=sids[1])
    with pytest.raises(ServerError):
        run(ReleaseNumbersOperator, phone_numbers=sids, report=str(report), apply=True)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["released", "to be released", "to be released"]


def test_release_numbers_retry_without_state_store_reports_gone_numbers(run: Run, emulator: Emulator):
    class SecondTry:
        try_number = 2

    sids = buy("a")
    rows = run(ReleaseNumbersOperator, {"ti": SecondTry()}, phone_numbers=[NUMBER, *sids], apply=True)
    assert {row["sid"]: row["outcome"] for row in rows} == {NUMBER: "gone", sids[0]: "released"}


def test_update_numbers_in_dry_run_changes_nothing(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    (row,) = run(UpdateNumbersOperator, phone_numbers=OWNED, sms_url=HOOK, apply=True)
    assert (row["applied"], row["changes"]["sms_url"][1]) == (False, HOOK)
    assert not emulator.journal.count("POST")
