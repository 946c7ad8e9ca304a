"""Tests of the operators that redact or delete old records, against the emulator."""

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
INVALID = [
    ({"days": -1}, "days is -1"),
    ({"days": 0}, "days is 0"),
    ({"days": None}, "days is missing"),
    ({"days": 30, "start": "2026-01-01"}, "start is set without end"),
    ({"days": 30, "end": "2026-01-01"}, "end is set without start"),
    ({"days": 30, "report": "/tmp/report.pdf"}, "report has an unsupported extension"),
    ({"days": 30, "apply": "sure"}, "apply is not true or false"),
    ({"days": 30, "concurrency": 0}, "concurrency is 0"),
]


@pytest.mark.parametrize(("arguments", "message"), INVALID)
@pytest.mark.parametrize("operator", KINDS)
def test_retention_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


def create_message(emulator: Emulator, days_ago: float, **options: Any) -> str:
    """Create a message with a creation time in the past, and return its SID."""
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=days_ago))
    sid = TwilioHook().messages.create(**{"to": "+14155550123", "from_": OWNED, "body": "secret", **options}).sid
    emulator.clock.reset()
    return sid


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
def test_redact_old_messages_redacts_only_old_messages(run: Run, emulator: Emulator, tmp_path: Path, unsent: str):
    emulator.quirks.set(unsent=unsent)
    old = {
        create_message(emulator, 31),
        create_message(emulator, 40, to=FAILS),
        create_message(emulator, 300, media_url="https://example.com/a.png"),
    }
    young = {create_message(emulator, 29), create_message(emulator, 1, to=FAILS)}
    report = tmp_path / "report.csv"
    summary = run(RedactOldMessagesOperator, days="{{ 30 }}", media="True", report=str(report))
    assert (summary["records"], summary["left"], summary["redacted"], summary["applied"]) == (3, 3, 0, False)
    assert {message["body"] for message in emulator.messages} == {"secret"}
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {(row["sid"], row["outcome"]) for row in rows} == {(sid, "would be redacted") for sid in old}

    summary = run(RedactOldMessagesOperator, days=30, media=True, report=str(report), apply="{{ 'True' }}")
    assert (summary["records"], summary["redacted"], summary["left"], summary["later"], summary["failed"]) == (
        3,
        3,
        0,
        0,
        0,
    )
    messages = {message["sid"]: message for message in emulator.messages}
    assert {sid for sid, message in messages.items() if message["body"]} == young
    assert {message["num_media"] for message in messages.values()} == {"0"}
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {(row["sid"], row["outcome"]) for row in rows} == {(sid, "redacted") for sid in old}
    requests = emulator.journal.count("POST", "Messages/SM")
    assert run(RedactOldMessagesOperator, days=30, media=True, apply=True)["records"] == 0
    assert emulator.journal.count("POST", "Messages/SM") == requests


def test_redact_old_messages_deletes_media_only_if_requested(run: Run, emulator: Emulator):
    create_message(emulator, 40, media_url="https://example.com/a.png")
    run(RedactOldMessagesOperator, days=30, apply=True)
    assert [(message["body"], message["num_media"]) for message in emulator.messages] == [("", "1")]
    summary = run(RedactOldMessagesOperator, days=30, media=True, apply=True)
    assert summary["redacted"] == 1
    assert [message["num_media"] for message in emulator.messages] == ["0"]


def test_delete_old_messages_in_range_still_requires_age(run: Run, emulator: Emulator):
    sids = {days: create_message(emulator, days) for days in (100, 60, 40, 10)}
    now = datetime.now(UTC)
    summary = run(
        DeleteOldMessagesOperator,
        days=30,
        start=f"{now - timedelta(days=70):%Y-%m-%d}",
        end=now.isoformat(),
        apply=True,
    )
    assert summary["deleted"] == 2
    assert {message["sid"] for message in emulator.messages} == {sids[100], sids[10]}
    with pytest.raises(AirflowFailException, match="are an empty range"):
        run(DeleteOldMessagesOperator, days=30, start="2026-02-01", end="2026-01-01", apply=True)


def test_delete_old_messages_counts_pending_messages_as_later(run: Run, emulator: Emulator):
    create_message(emulator, 40)
    stuck = create_message(emulator, 40)
    emulator.set_message_status(stuck, "queued")
    summary = run(DeleteOldMessagesOperator, days=30, apply=True)
    assert (summary["records"], summary["deleted"], summary["later"]) == (2, 1, 1)
    assert [message["sid"] for message in emulator.messages] == [stuck]
    emulator.set_message_status(stuck, "failed")
    assert run(DeleteOldMessagesOperator, days=30, apply=True)["deleted"] == 1


def test_delete_old_messages_without_unsent_lists_only_sent_messages(run: Run, emulator: Emulator):
    failed = create_message(emulator, 40, to=FAILS)
    create_message(emulator, 40)
    summary = run(DeleteOldMessagesOperator, days=30, include_unsent=False, apply=True)
    assert summary["deleted"] == 1
    assert [message["sid"] for message in emulator.messages] == [failed]
    assert "DateSent<" in emulator.journal.find("GET")[-1].params


@pytest.mark.parametrize("report", ["/proc/none/report.csv", "nowhere://bucket/report.csv"])
def test_delete_old_messages_fails_first_if_report_is_not_writable(run: Run, emulator: Emulator, report: str):
    create_message(emulator, 40)
    with pytest.raises(AirflowFailException, match="can't be"):
        run(DeleteOldMessagesOperator, days=30, report=report, apply=True)
    assert len(emulator.messages) == 1


def test_delete_old_messages_rejected_by_twilio_fails_and_reports(run: Run, emulator: Emulator, tmp_path: Path):
    sids = [create_message(emulator, 40) for _ in range(3)]
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=sids[0])
    report = tmp_path / "report.jsonl"
    with pytest.raises(AirflowFailException, match=r"1 of 3 records were not deleted\. See .*jsonl"):
        run(DeleteOldMessagesOperator, days=30, report=str(report), apply=True)
    rows = {row["sid"]: row for row in map(json.loads, report.read_text().splitlines())}
    assert (rows[sids[0]]["outcome"], rows[sids[0]]["code"]) == ("failed", 20001)
    assert Counter(row["outcome"] for row in rows.values()) == {"failed": 1, "deleted": 2}


@pytest.mark.parametrize("operator", [RedactOldMessagesOperator, DeleteOldMessagesOperator])
@pytest.mark.parametrize("with_report", [True, False])
def test_retention_operators_resume_after_failure(
    run: Run, emulator: Emulator, tmp_path: Path, operator: type[Any], with_report: bool
):
    sids = {create_message(emulator, 40) for _ in range(12)}
    report = str(tmp_path / "report.csv") if with_report else None
    store, verb = Store(), "POST" if operator is RedactOldMessagesOperator else "DELETE"
    context = {"task_state_store": store, "run_id": "run"}
    # An error that affects every request ends the run.
    emulator.fail_next(99, status=401, code=20003, method=verb, path="Messages/SM", skip=5)
    with pytest.raises((AirflowFailException, TwilioError)):
        run(operator, context, days=30, report=report, apply=True, concurrency=1)
    emulator.state.faults.clear()
    summary = run(operator, context, days=30, report=report, apply=True, concurrency=1)
    assert (summary["records"], summary[operator.done_outcome], summary["left"]) == (12, 12, 0)
    paths = [entry.path for entry in emulator.journal.find(verb, "Messages/SM") if entry.status in (200, 204)]
    assert len(paths) == len(set(paths)) == 12
    if report:
        rows = list(csv.DictReader(Path(report).read_text().splitlines()))
        assert {row["sid"] for row in rows} == sids
        assert {row["outcome"] for row in rows} == {operator.done_outcome}


def outcomes(report: Path) -> dict[str, str]:
    return {row["sid"]: row["outcome"] for row in csv.DictReader(report.read_text().splitlines())}


@pytest.mark.parametrize("apply", [True, False])
def test_delete_old_messages_ignores_report_without_apply(run: Run, emulator: Emulator, tmp_path: Path, apply: bool):
    young, old = create_message(emulator, 40), create_message(emulator, 80)
    report, context = tmp_path / "report.csv", {"run_id": "run"}
    run(DeleteOldMessagesOperator, context, days=30, report=str(report))
    summary = run(DeleteOldMessagesOperator, context, days=60, report=str(report), apply=apply)
    assert (summary["records"], summary["deleted"], summary["left"]) == (1, int(apply), int(not apply))
    assert outcomes(report) == {old: "deleted" if apply else "would be deleted"}
    assert young in {message["sid"] for message in emulator.messages}


def test_delete_old_messages_with_narrower_range_reports_unknown_outcome(run: Run, emulator: Emulator, tmp_path: Path):
    done, old, young = create_message(emulator, 50), create_message(emulator, 80), create_message(emulator, 40)
    report, context = tmp_path / "report.csv", {"run_id": "run"}
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=old)
    emulator.fail_next(1, status=400, code=20001, method="DELETE", path=young)
    arguments = {"report": str(report), "apply": True}
    with pytest.raises(AirflowFailException, match="2 of 3 records were not deleted"):
        run(DeleteOldMessagesOperator, context, days=30, **arguments)
    summary = run(DeleteOldMessagesOperator, context, days=60, **arguments)
    assert (summary["records"], summary["deleted"], summary["left"]) == (3, 2, 1)
    assert outcomes(report) == {old: "deleted", done: "deleted", young: "unknown"}
    assert run(DeleteOldMessagesOperator, context, days=30, **arguments)["deleted"] == 3


def test_delete_old_messages_without_report_counts_tries_with_same_parameters(run: Run, emulator: Emulator):
    sids = [create_message(emulator, days) for days in (80, 40)]
    context = {"run_id": "run", "task_state_store": Store()}
    for sid in sids:
        emulator.fail_next(1, status=400, code=20001, method="DELETE", path=sid)
    with pytest.raises(AirflowFailException, match="2 of 2 records were not deleted"):
        run(DeleteOldMessagesOperator, context, days=30, apply=True)
    summary = run(DeleteOldMessagesOperator, context, days=60, apply=True)
    assert (summary["records"], summary["deleted"]) == (1, 1)


def test_delete_old_messages_reports_planned_outcome_before_deleting(run: Run, emulator: Emulator, tmp_path: Path):
    sid = create_message(emulator, 40)
    report = tmp_path / "report.csv"
    emulator.fail_next(99, status=401, code=20003, method="DELETE", path=sid)
    with pytest.raises((AirflowFailException, TwilioError)):
        run(DeleteOldMessagesOperator, days=30, report=str(report), apply=True)
    assert outcomes(report) == {sid: "to be deleted"}


def test_delete_old_calls_and_recordings_delete_independently(run: Run, emulator: Emulator):
    hook = TwilioHook()
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    twiml = "<Response><Pause length='5'/></Response>"
    for to in ("+14155550123", "+15005559109"):
        hook.calls.create(to=to, from_=OWNED, twiml=twiml, record=True)
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=10))
    young = hook.calls.create(to="+14155550123", from_=OWNED, twiml=twiml, record=True).sid
    emulator.clock.reset()
    assert run(DeleteOldRecordingsOperator, days=30)["left"] == 1
    assert run(DeleteOldRecordingsOperator, days=30, apply=True)["deleted"] == 1
    assert [recording.call_sid for recording in hook.recordings.list()] == [young]
    assert run(DeleteOldCallsOperator, days=30, apply=True)["deleted"] == 2
    assert [call["sid"] for call in emulator.calls] == [young]


def test_delete_old_messages_masks_every_oauth_token(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    create_message(emulator, 40)
    login, password = emulator.oauth_client
    extra = {"auth_type": "oauth", "account_sid": emulator.account_sid}
    fields = {"login": login, "password": password, "host": emulator.host, "port": emulator.port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", json.dumps({"conn_type": "twilio", **fields}))
    assert run(DeleteOldMessagesOperator, days=30, apply=True)["deleted"] == 1
    assert len(emulator.state.tokens) == 2  # one of the client that lists, and one of the client that deletes
    assert not [token for token in emulator.state.tokens if token in redact(f"text with {token} in it")]


def test_delete_old_messages_in_dry_run_deletes_nothing(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    create_message(emulator, 40)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    summary = run(DeleteOldMessagesOperator, days=30, apply=True)
    assert (summary["left"], summary["applied"]) == (1, False)
