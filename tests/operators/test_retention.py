"""Old records on the emulator: those and no others go, once, and the report adds up."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk._shared.secrets_masker import redact

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.calls import DeleteOldCallsOperator, DeleteOldRecordingsOperator
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, RedactOldMessagesOperator
from tests.operators.test_number_housekeeping import Store

Run = Callable[..., Any]
KINDS = (
    RedactOldMessagesOperator, DeleteOldMessagesOperator, DeleteOldCallsOperator, DeleteOldRecordingsOperator,
)  # fmt: skip
OWNED, FAILS = "+15005550006", "+15005559007"
BAD = [
    ({"days": -1}, "days is -1"),
    ({"days": 0}, "days is 0"),
    ({"days": None}, "days is missing"),
    ({"days": 30, "start": "2026-01-01"}, "start is given without end"),
    ({"days": 30, "end": "2026-01-01"}, "end is given without start"),
    ({"days": 30, "report": "/tmp/report.pdf"}, "report has an unsupported extension"),
    ({"days": 30, "apply": "sure"}, "apply is not true or false"),
    ({"days": 30, "concurrency": 0}, "concurrency is 0"),
]


@pytest.mark.parametrize(("arguments", "fault"), BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused(
    run_mapped: Run, emulator: Emulator, kind: type[Any], arguments: dict[str, Any], fault: str
):
    with pytest.raises(BadParameter, match=fault):
        kind(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=fault):
        run_mapped(kind, **arguments)
    assert len(emulator.journal) == 0


def made(emulator: Emulator, days_ago: float, **more: Any) -> str:
    """Put a message into the emulator that is so many days old."""
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=days_ago))
    sid = TwilioHook().messages.create(**{"to": "+14155550123", "from_": OWNED, "body": "secret", **more}).sid
    emulator.clock.reset()
    return sid


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
def test_it_redacts_what_is_old_and_nothing_else(run: Run, emulator: Emulator, tmp_path: Path, unsent: str):
    emulator.quirks.set(unsent=unsent)
    old = {made(emulator, 31), made(emulator, 40, to=FAILS), made(emulator, 300, media_url="https://example.com/a.png")}
    young = {made(emulator, 29), made(emulator, 1, to=FAILS)}
    report = tmp_path / "report.csv"
    told = run(RedactOldMessagesOperator, days="{{ 30 }}", media="True", report=str(report))
    assert (told["records"], told["left"], told["redacted"], told["applied"]) == (3, 3, 0, False)
    assert {message["body"] for message in emulator.messages} == {"secret"}
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {(row["sid"], row["outcome"]) for row in rows} == {(sid, "would be redacted") for sid in old}

    told = run(RedactOldMessagesOperator, days=30, media=True, report=str(report), apply="{{ 'True' }}")
    assert (told["records"], told["redacted"], told["left"], told["later"], told["failed"]) == (3, 3, 0, 0, 0)
    left = {message["sid"]: message for message in emulator.messages}
    assert {sid for sid, message in left.items() if message["body"]} == young
    assert {message["num_media"] for message in left.values()} == {"0"}
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {(row["sid"], row["outcome"]) for row in rows} == {(sid, "redacted") for sid in old}
    asked = emulator.journal.count("POST", "Messages/SM")
    assert run(RedactOldMessagesOperator, days=30, media=True, apply=True)["records"] == 0
    assert emulator.journal.count("POST", "Messages/SM") == asked


def test_media_stay_unless_they_are_meant(run: Run, emulator: Emulator):
    made(emulator, 40, media_url="https://example.com/a.png")
    run(RedactOldMessagesOperator, days=30, apply=True)
    assert [(message["body"], message["num_media"]) for message in emulator.messages] == [("", "1")]
    told = run(RedactOldMessagesOperator, days=30, media=True, apply=True)
    assert told["redacted"] == 1
    assert [message["num_media"] for message in emulator.messages] == ["0"]


def test_a_range_bounds_it_on_both_sides_and_age_still_counts(run: Run, emulator: Emulator):
    sids = {days: made(emulator, days) for days in (100, 60, 40, 10)}
    now = datetime.now(UTC)
    told = run(
        DeleteOldMessagesOperator,
        days=30,
        start=f"{now - timedelta(days=70):%Y-%m-%d}",
        end=now.isoformat(),
        apply=True,
    )
    assert told["deleted"] == 2
    assert {message["sid"] for message in emulator.messages} == {sids[100], sids[10]}
    with pytest.raises(AirflowFailException, match="hold no time"):
        run(DeleteOldMessagesOperator, days=30, start="2026-02-01", end="2026-01-01", apply=True)


def test_what_is_not_final_is_left_for_later(run: Run, emulator: Emulator):
    made(emulator, 40)
    stuck = made(emulator, 40)
    emulator.set_message_status(stuck, "queued")
    told = run(DeleteOldMessagesOperator, days=30, apply=True)
    assert (told["records"], told["deleted"], told["later"]) == (2, 1, 1)
    assert [message["sid"] for message in emulator.messages] == [stuck]
    emulator.set_message_status(stuck, "failed")
    assert run(DeleteOldMessagesOperator, days=30, apply=True)["deleted"] == 1


def test_without_the_unsent_only_what_was_sent_is_read(run: Run, emulator: Emulator):
    failed = made(emulator, 40, to=FAILS)
    made(emulator, 40)
    told = run(DeleteOldMessagesOperator, days=30, include_unsent=False, apply=True)
    assert told["deleted"] == 1
    assert [message["sid"] for message in emulator.messages] == [failed]
    assert "DateSent<" in emulator.journal.find("GET")[-1].params


@pytest.mark.parametrize("report", ["/proc/none/report.csv", "nowhere://bucket/report.csv"])
def test_a_report_that_can_not_be_written_stops_it_first(run: Run, emulator: Emulator, report: str):
    made(emulator, 40)
    with pytest.raises(AirflowFailException, match="can't be"):
        run(DeleteOldMessagesOperator, days=30, report=report, apply=True)
    assert len(emulator.messages) == 1


def test_refusals_fail_the_task_and_are_named(run: Run, emulator: Emulator, tmp_path: Path):
    sids = [made(emulator, 40) for _ in range(3)]
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=sids[0])
    report = tmp_path / "report.jsonl"
    with pytest.raises(AirflowFailException, match=r"1 of 3 records were not deleted; .*jsonl names them"):
        run(DeleteOldMessagesOperator, days=30, report=str(report), apply=True)
    rows = {row["sid"]: row for row in map(json.loads, report.read_text().splitlines())}
    assert (rows[sids[0]]["outcome"], rows[sids[0]]["code"]) == ("failed", 20001)
    assert Counter(row["outcome"] for row in rows.values()) == {"failed": 1, "deleted": 2}


@pytest.mark.parametrize("kind", [RedactOldMessagesOperator, DeleteOldMessagesOperator])
@pytest.mark.parametrize("with_report", [True, False])
def test_a_task_that_broke_goes_on_and_it_adds_up(
    run: Run, emulator: Emulator, tmp_path: Path, kind: type[Any], with_report: bool
):
    sids = {made(emulator, 40) for _ in range(12)}
    report = str(tmp_path / "report.csv") if with_report else None
    store, verb = Store(), "POST" if kind is RedactOldMessagesOperator else "DELETE"
    context = {"task_state_store": store, "run_id": "run"}
    # What would befall all ends the run.
    emulator.fail_next(99, status=401, code=20003, method=verb, path="Messages/SM", skip=5)
    with pytest.raises((AirflowFailException, TwilioError)):
        run(kind, context, days=30, report=report, apply=True, concurrency=1)
    emulator.state.faults.clear()
    told = run(kind, context, days=30, report=report, apply=True, concurrency=1)
    assert (told["records"], told[kind.done], told["left"]) == (12, 12, 0)
    done = [entry.path for entry in emulator.journal.find(verb, "Messages/SM") if entry.status in (200, 204)]
    assert len(done) == len(set(done)) == 12
    if report:
        rows = list(csv.DictReader(Path(report).read_text().splitlines()))
        assert {row["sid"] for row in rows} == sids
        assert {row["outcome"] for row in rows} == {kind.done}


def outcomes(report: Path) -> dict[str, str]:
    return {row["sid"]: row["outcome"] for row in csv.DictReader(report.read_text().splitlines())}


@pytest.mark.parametrize("apply", [True, False])
def test_what_only_would_have_been_done_is_not_done(run: Run, emulator: Emulator, tmp_path: Path, apply: bool):
    young, old = made(emulator, 40), made(emulator, 80)
    report, context = tmp_path / "report.csv", {"run_id": "run"}
    run(DeleteOldMessagesOperator, context, days=30, report=str(report))
    told = run(DeleteOldMessagesOperator, context, days=60, report=str(report), apply=apply)
    assert (told["records"], told["deleted"], told["left"]) == (1, int(apply), int(not apply))
    assert outcomes(report) == {old: "deleted" if apply else "would be deleted"}
    assert young in {message["sid"] for message in emulator.messages}


def test_what_is_no_longer_looked_for_is_not_called_done(run: Run, emulator: Emulator, tmp_path: Path):
    done, old, young = made(emulator, 50), made(emulator, 80), made(emulator, 40)
    report, context = tmp_path / "report.csv", {"run_id": "run"}
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=old)
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=young)
    given = {"report": str(report), "apply": True}
    with pytest.raises(AirflowFailException, match="2 of 3 records were not deleted"):
        run(DeleteOldMessagesOperator, context, days=30, **given)
    told = run(DeleteOldMessagesOperator, context, days=60, **given)
    assert (told["records"], told["deleted"], told["left"]) == (3, 2, 1)
    assert outcomes(report) == {old: "deleted", done: "deleted", young: "unknown"}
    assert run(DeleteOldMessagesOperator, context, days=30, **given)["deleted"] == 3


def test_without_a_report_only_tries_that_meant_the_same_count(run: Run, emulator: Emulator):
    sids = [made(emulator, days) for days in (80, 40)]
    context = {"run_id": "run", "task_state_store": Store()}
    for sid in sids:
        emulator.fail_next(1, status=400, code=20001, method="DELETE", path=sid)
    with pytest.raises(AirflowFailException, match="2 of 2 records were not deleted"):
        run(DeleteOldMessagesOperator, context, days=30, apply=True)
    told = run(DeleteOldMessagesOperator, context, days=60, apply=True)
    assert (told["records"], told["deleted"]) == (1, 1)


def test_a_try_that_applies_says_what_is_to_be_done(run: Run, emulator: Emulator, tmp_path: Path):
    sid = made(emulator, 40)
    report = tmp_path / "report.csv"
    emulator.fail_next(99, status=401, code=20003, method="DELETE", path=sid)
    with pytest.raises((AirflowFailException, TwilioError)):
        run(DeleteOldMessagesOperator, days=30, report=str(report), apply=True)
    assert outcomes(report) == {sid: "to be deleted"}


def test_calls_and_their_recordings(run: Run, emulator: Emulator):
    hook = TwilioHook()
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    talk = "<Response><Pause length='5'/></Response>"
    for to in ("+14155550123", "+15005559109"):
        hook.calls.create(to=to, from_=OWNED, twiml=talk, record=True)
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=10))
    young = hook.calls.create(to="+14155550123", from_=OWNED, twiml=talk, record=True).sid
    emulator.clock.reset()
    assert run(DeleteOldRecordingsOperator, days=30)["left"] == 1
    assert run(DeleteOldRecordingsOperator, days=30, apply=True)["deleted"] == 1
    assert [recording.call_sid for recording in hook.recordings.list()] == [young]
    assert run(DeleteOldCallsOperator, days=30, apply=True)["deleted"] == 2
    assert [call["sid"] for call in emulator.calls] == [young]


def test_every_token_that_is_bought_is_masked(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    made(emulator, 40)
    login, password = emulator.oauth_client
    extra = {"auth_type": "oauth", "account_sid": emulator.account_sid}
    fields = {"login": login, "password": password, "host": emulator.host, "port": emulator.port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", json.dumps({"conn_type": "twilio", **fields}))
    assert run(DeleteOldMessagesOperator, days=30, apply=True)["deleted"] == 1
    assert len(emulator.state.tokens) == 2  # of the client that finds, and of the one that deletes
    assert not [token for token in emulator.state.tokens if token in redact(f"text with {token} in it")]


def test_a_dry_run_connection_deletes_nothing(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    made(emulator, 40)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    told = run(DeleteOldMessagesOperator, days=30, apply=True)
    assert (told["left"], told["applied"]) == (1, False)
