"""Many numbers on the emulator: what is named is touched and nothing else, and only when it is said so."""

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

BAD = [
    (UpdateNumbersOperator, {"phone_numbers": [], "sms_url": HOOK}, "phone_numbers is empty"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER]}, "nothing to set on them"),
    (UpdateNumbersOperator, {"phone_numbers": "*", "sms_url": HOOK}, r"pattern '\*', which fits every number"),
    (UpdateNumbersOperator, {"phone_numbers": ["+[0-9]*"], "sms_url": HOOK}, "fits every number"),
    (UpdateNumbersOperator, {"phone_numbers": ["??*"], "sms_url": HOOK}, "fits every number"),
    (UpdateNumbersOperator, {"phone_numbers": "PN*", "sms_url": HOOK}, r"pattern 'PN\*', and SIDs.*in full"),
    (UpdateNumbersOperator, {"phone_numbers": ["PN0?*"], "sms_url": HOOK}, "give SIDs in full"),
    (UpdateNumbersOperator, {"phone_numbers": ["4155550100"], "sms_url": HOOK}, r"phone_numbers has no leading \+"),
    (UpdateNumbersOperator, {"phone_numbers": [CALL], "sms_url": HOOK}, "expected a phone number SID.*got a call SID"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER], "sms_method": "PUT"}, "sms_method is not an allowed value"),
    (UpdateNumbersOperator, {"phone_numbers": [NUMBER], "sms_url": HOOK, "apply": "yes"}, "apply is not true or false"),
    (FindIdleNumbersOperator, {"days": -1}, "days is -1"),
    (FindIdleNumbersOperator, {"days": 0}, "days is 0"),
    (FindIdleNumbersOperator, {"days": 401}, "days is 401"),
    (FindIdleNumbersOperator, {"days": 30, "protect": "*"}, "protect has the pattern.*every number"),
    (FindIdleNumbersOperator, {"days": 30, "protect": ["pn0*"]}, "protect has the pattern.*give SIDs in full"),
    (ReleaseNumbersOperator, {"phone_numbers": "+1415*"}, "phone_numbers has the pattern.*in full"),
    (ReleaseNumbersOperator, {"phone_numbers": ["PN123"]}, "phone_numbers starts like a SID"),
    (ReleaseNumbersOperator, {"phone_numbers": "main line"}, "phone_numbers contains spaces"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "protect": ["*"]}, "protect has the pattern.*every number"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "max_releases": -1}, "max_releases is -1"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "report": "/tmp/a.txt"}, "report has an unsupported extension"),
    (ReleaseNumbersOperator, {"phone_numbers": [NUMBER], "apply": "perhaps"}, "apply is not true or false"),
    (EnsureNumberOperator, {"friendly_name": "", "country": "US"}, "friendly_name is missing"),
    (EnsureNumberOperator, {"friendly_name": "x" * 65, "country": "US"}, "friendly_name has 65 characters"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "USA"}, "country is not a country code"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "US", "kind": "Cell"}, "kind is not an allowed value"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "US", "sms_method": "PUT"}, "sms_method is not an allowed value"),
    (EnsureNumberOperator, {"friendly_name": "a", "country": "US", "trunk_sid": CALL}, "expected a trunk SID"),
]


class Store:
    """Airflow's task state store, as far as it is asked here: JSON values, which outlive a try."""

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
    """Buy a number for each name; give their SIDs."""
    hook = TwilioHook()
    offers = list(hook.available_phone_numbers.list("US", area_code=area, limit=len(names)))
    return [
        hook.incoming_phone_numbers.create(phone_number=str(offer.phone_number), friendly_name=name).sid
        for name, offer in zip(names, offers, strict=True)
    ]


def left(emulator: Emulator) -> set[str]:
    return {number["friendly_name"] for number in emulator.numbers} - {"(500) 555-0006"}


@pytest.mark.parametrize(("kind", "arguments", "fault"), BAD)
def test_bad_input_is_refused(
    run_mapped: Run, emulator: Emulator, kind: type[Any], arguments: dict[str, Any], fault: str
):
    with pytest.raises(BadParameter, match=fault):
        kind(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=fault):
        run_mapped(kind, **arguments)
    assert len(emulator.journal) == 0


# ---------------------------------------------------------------- ensure


def test_it_buys_once_and_then_finds(run: Run, emulator: Emulator):
    wanted = {"friendly_name": "alerts {{ env }}", "country": "US", "area_code": "{{ 415 }}", "sms_url": HOOK}
    first = run(EnsureNumberOperator, {"env": "live"}, **wanted)
    assert (first["friendly_name"], first["sms_url"], first["phone_number"][:5]) == ("alerts live", HOOK, "+1415")
    again = run(EnsureNumberOperator, {"env": "live"}, **wanted)
    assert again == first
    (purchase,) = emulator.journal.find("POST")
    assert purchase.params == {"FriendlyName": "alerts live", "SmsUrl": HOOK, "PhoneNumber": first["phone_number"]}


def test_it_searches_as_told(run: Run, emulator: Emulator):
    bought = run(
        EnsureNumberOperator, friendly_name="a", country="US", kind="TollFree", contains="%1888", sms_enabled="True"
    )
    assert bought["phone_number"] == "+18005551888"
    with pytest.raises(AirflowFailException, match="no Local number like this is on offer in US: nothing is bought"):
        run(EnsureNumberOperator, friendly_name="b", country="US", area_code=999)
    assert emulator.journal.count("POST") == 1


def test_another_is_taken_if_somebody_was_quicker(run: Run, emulator: Emulator):
    emulator.fail_next(2, status=400, code=21422, method="POST", path="IncomingPhoneNumbers")
    bought = run(EnsureNumberOperator, friendly_name="a", country="US", area_code=415)
    asked = [entry.params["PhoneNumber"] for entry in emulator.journal.find("POST")]
    assert len(set(asked)) == 3
    assert bought["phone_number"] == asked[2]


def test_taken_by_ourselves_it_is_found(run: Run, emulator: Emulator):
    """A twin has bought it between our look and our request: Twilio refuses, and it is ours."""
    emulator.fail_next(1, accept_then_status=400, code=21422, method="POST", path="IncomingPhoneNumbers")
    bought = run(EnsureNumberOperator, friendly_name="a", country="US", area_code=415)
    assert [number["sid"] for number in emulator.numbers if number["friendly_name"] == "a"] == [bought["sid"]]


def test_two_of_one_name_are_left_to_people(run: Run, emulator: Emulator):
    sids = buy("a", "a")
    with pytest.raises(AirflowFailException, match="2 numbers have this name") as refused:
        run(EnsureNumberOperator, friendly_name="a", country="US")
    assert all(sid in str(refused.value) for sid in sids)


# ---------------------------------------------------------------- update


def test_differences_are_shown_then_made(run: Run, emulator: Emulator):
    sids = buy("support a", "support b", "sales")
    given = {"phone_numbers": [sids[0], "support *"], "sms_url": HOOK, "voice_caller_id_lookup": "True"}
    shown = run(UpdateNumbersOperator, **given)
    assert [(row["sid"], row["applied"]) for row in shown] == [(sids[0], False), (sids[1], False)]
    assert shown[0]["changes"] == {"sms_url": ["", HOOK], "voice_caller_id_lookup": [False, True]}
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0

    made = run(UpdateNumbersOperator, **given, apply="True")
    assert [row["applied"] for row in made] == [True, True]
    assert run(UpdateNumbersOperator, **given, apply=True) == []
    assert [n["sms_url"] for n in emulator.numbers] == ["", HOOK, HOOK, ""]
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 2
    (emptied,) = run(UpdateNumbersOperator, phone_numbers=sids[1], sms_url="", voice_url="", apply=True)
    assert emptied["changes"] == {"sms_url": [HOOK, ""]}


def test_a_number_that_is_not_ours_changes_nothing(run: Run, emulator: Emulator):
    (sid,) = buy("a")
    with pytest.raises(AirflowFailException, match=r"has no number PNa+; nothing was changed.*account_sid"):
        run(UpdateNumbersOperator, phone_numbers=[sid, NUMBER], sms_url=HOOK, apply=True)
    with pytest.raises(AirflowFailException, match=r"has no number sales\*"):
        run(UpdateNumbersOperator, phone_numbers=["sales*"], sms_url=HOOK, apply=True)
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0


def test_passwords_in_addresses_are_not_logged(run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture):
    (row,) = run(UpdateNumbersOperator, phone_numbers=OWNED, sms_url="https://me:hunter2@example.com/x")
    assert row["changes"]["sms_url"][1] == "https://me:hunter2@example.com/x"
    assert "hunter2" not in caplog.text


# ---------------------------------------------------------------- idle


def test_idle_is_what_has_no_traffic_at_all(run: Run, emulator: Emulator):
    now = datetime.now(UTC)
    emulator.clock.freeze(now - timedelta(days=60))
    names = ["sends", "receives", "fails", "calls", "called", "whatsapp", "idle", "protected", "long ago"]
    buy(*names)
    by_name = {number["friendly_name"]: number for number in emulator.numbers}
    at = {name: by_name[name]["phone_number"] for name in names}
    hook = TwilioHook()
    hook.messages.create(to="+14155550123", from_=at["long ago"], body="old")
    emulator.clock.freeze(now - timedelta(days=10))
    buy("new", area=510)
    hook.messages.create(to="+14155550123", from_=at["sends"], body="a")
    hook.messages.create(to="+15005559007", from_=at["fails"], body="a")  # never sent: without date_sent
    hook.messages.create(to="whatsapp:+14155550123", from_=f"whatsapp:{at['whatsapp']}", body="a")
    hook.calls.create(to="+14155550123", from_=at["calls"], twiml="<Response><Pause/></Response>")
    emulator.receive_message("hi", from_="+14155550123", to=at["receives"])
    emulator.receive_call(from_="+14155550123", to=at["called"])
    emulator.clock.reset()
    for unsent in ("first", "last", "date_created"):
        emulator.quirks.set(unsent=unsent)
        found = run(FindIdleNumbersOperator, days="{{ 30 }}", protect=["protect*", OWNED])
        assert {row["friendly_name"] for row in found} == {"idle", "long ago"}
    assert {row["friendly_name"]: row for row in found}["idle"] == {
        "sid": by_name["idle"]["sid"],
        "phone_number": at["idle"],
        "friendly_name": "idle",
        "type": "local",
        "since": by_name["idle"]["date_created"],
        "monthly_price": "1.15",
    }
    assert run(FindIdleNumbersOperator, days=61, protect=OWNED) == []  # none has been ours for as long


# ---------------------------------------------------------------- release


def test_nothing_is_released_until_it_is_said_so(run: Run, emulator: Emulator, tmp_path: Path):
    sids = buy("a", "main", "b")
    report = tmp_path / "deep" / "report.csv"
    given = {"phone_numbers": [*sids, sids[0]], "protect": ["main*"], "report": str(report)}
    rows = run(ReleaseNumbersOperator, **given)
    assert [row["outcome"] for row in rows] == ["would be released", "protected", "would be released"]
    assert left(emulator) == {"a", "main", "b"}
    assert list(csv.DictReader(report.read_text().splitlines())) == rows

    rows = run(ReleaseNumbersOperator, **given, apply="{{ True }}")
    assert [row["outcome"] for row in rows] == ["released", "protected", "released"]
    assert left(emulator) == {"main"}
    assert list(csv.DictReader(report.read_text().splitlines())) == rows


def test_protection_knows_no_case_and_takes_sids(run: Run, emulator: Emulator):
    sids = buy("Alerts EU", "STRASSE 1", "main", "other")
    given = {"phone_numbers": sids, "protect": ["alerts*", "Straße*", sids[2]], "apply": True}
    rows = run(ReleaseNumbersOperator, **given)
    assert [row["outcome"] for row in rows] == ["protected", "protected", "protected", "released"]
    assert left(emulator) == {"Alerts EU", "STRASSE 1", "main"}


def test_patterns_fit_no_part_of_a_sid(run: Run, emulator: Emulator):
    (sid,) = buy("north")
    with pytest.raises(AirflowFailException, match="has no number"):
        run(UpdateNumbersOperator, phone_numbers=[f"*{sid[2:8]}*"], sms_url=HOOK, apply=True)
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN") == 0


def test_what_a_task_has_found_is_released_by_the_next(run: Run, emulator: Emulator):
    sids = buy("a", "b")
    found = [{"sid": sid} for sid in sids]
    rows = run(
        ReleaseNumbersOperator, {"found": found}, phone_numbers="{{ found | map(attribute='sid') | list }}", apply=True
    )
    assert [row["sid"] for row in rows] == sids
    assert left(emulator) == set()
    assert run(ReleaseNumbersOperator, {"found": []}, phone_numbers="{{ found }}", apply=True) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"max_releases": 1}, "name 2 numbers to release: max_releases is 1"),
        ({"phone_numbers": [NUMBER]}, "has no number PNa+; nothing was released"),
        ({"phone_numbers": ["+14155550199"]}, r"has no number \+1415•••0199; nothing was released"),
        ({"report": "/proc/none/report.csv"}, "can't be written"),
        ({"report": "nowhere://bucket/report.csv"}, "report is on a storage that can't be opened"),
    ],
)
def test_it_is_all_or_nothing(run: Run, emulator: Emulator, more: dict[str, Any], fault: str):
    sids = buy("a", "b")
    given = {"phone_numbers": [*sids, *more.pop("phone_numbers", [])], **more}
    with pytest.raises(AirflowFailException, match=fault):
        run(ReleaseNumbersOperator, **given, apply=True)
    assert left(emulator) == {"a", "b"}
    assert emulator.journal.count("DELETE") == 0


def test_another_accounts_number_is_refused(run: Run, emulator: Emulator):
    sub = TwilioHook().accounts.create(friendly_name="shop").sid
    bought = run(PurchaseNumberOperator, area_code=415, account_sid=sub)
    with pytest.raises(AirflowFailException, match=r"nothing was released.*give its SID as account_sid"):
        run(ReleaseNumbersOperator, phone_numbers=bought["sid"], apply=True)
    assert run(ReleaseNumbersOperator, phone_numbers=bought["sid"], apply=True, account_sid=sub)


def test_a_task_that_broke_goes_on_and_its_report_adds_up(
    run: Run, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sids = buy(*(f"n{number}" for number in range(8)))
    report, store = tmp_path / "report.jsonl", Store()
    given = {"phone_numbers": sids, "report": str(report), "apply": True}
    emulator.fail_next(9, status=503, method="DELETE", skip=3)
    with pytest.raises(ServerError):
        run(ReleaseNumbersOperator, {"task_state_store": store}, **given)
    assert len(left(emulator)) == 5
    emulator.state.faults.clear()
    rows = run(ReleaseNumbersOperator, {"task_state_store": store}, **given)
    assert sorted(row["sid"] for row in rows) == sorted(sids)
    assert {row["outcome"] for row in rows} == {"released"}
    assert [json.loads(line) for line in report.read_text().splitlines()] == rows
    deletes = [entry.path for entry in emulator.journal.find("DELETE") if entry.status == 204]
    assert len(deletes) == len(set(deletes)) == 8
    assert run(ReleaseNumbersOperator, {"task_state_store": store}, **given)  # cleared: they are known to be gone


def test_one_that_is_refused_keeps_none_of_the_others_and_the_report_tells(
    run: Run, emulator: Emulator, tmp_path: Path
):
    sids = buy("a", "b", "c")
    report, store = tmp_path / "report.jsonl", Store()
    given = {"phone_numbers": sids, "report": str(report), "apply": True}
    emulator.fail_next(1, status=400, code=21404, method="DELETE", path=sids[1])
    with pytest.raises(AirflowFailException, match=rf"1 of 3 numbers were not released: {sids[1]} \(21404\)"):
        run(ReleaseNumbersOperator, {"task_state_store": store}, **given)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert {row["sid"]: row["outcome"] for row in rows} == dict(
        zip(sids, ["released", "failed", "released"], strict=True)
    )
    assert left(emulator) == {"b"}
    assert {row["outcome"] for row in run(ReleaseNumbersOperator, {"task_state_store": store}, **given)} == {"released"}


def test_a_task_that_breaks_off_tells_what_it_has_released(
    run: Run, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sids, report = buy("a", "b", "c"), tmp_path / "report.jsonl"
    emulator.fail_next(1, status=503, method="DELETE", path=sids[1])
    with pytest.raises(ServerError):
        run(ReleaseNumbersOperator, phone_numbers=sids, report=str(report), apply=True)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["released", "to be released", "to be released"]


def test_where_nothing_is_remembered_a_retry_says_what_is_gone(run: Run, emulator: Emulator):
    class Ti:
        try_number = 2

    sids = buy("a")
    rows = run(ReleaseNumbersOperator, {"ti": Ti()}, phone_numbers=[NUMBER, *sids], apply=True)
    assert {row["sid"]: row["outcome"] for row in rows} == {NUMBER: "gone", sids[0]: "released"}


def test_nothing_is_applied_in_a_dry_run(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    (told,) = run(UpdateNumbersOperator, phone_numbers=OWNED, sms_url=HOOK, apply=True)
    assert (told["applied"], told["changes"]["sms_url"][1]) == (False, HOOK)
    assert not emulator.journal.count("POST")
