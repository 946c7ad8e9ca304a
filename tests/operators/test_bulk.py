"""Tests of SendMessagesOperator, against the emulator: recipients, checks, retries, summary and wait."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_twilio._airflow.compat import AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter, RateLimited
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators._bulk_folder import folder_name
from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.messages import SendMessagesOperator
from airflow_provider_twilio.runtime.bulk import checkpoints, sender_queue
from tests.runtime.test_state_store import Store

SENDER = "+15005550006"


def numbers(count: int) -> list[str]:
    """Return different phone numbers."""
    return [f"+1415{5550000 + index}" for index in range(count)]


def context(store: Store | None = None, *, max_tries: int = 0) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="dag",
        run_id="run/1",
        task_id="task",
        map_index=-1,
        max_tries=max_tries,
        pushed=pushed,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    return {"ti": ti, "task_state_store": store if store is not None else Store()}


def send(run: Any, task_context: dict[str, Any] | None = None, /, **arguments: Any) -> Any:
    """Run SendMessagesOperator, and return its summary."""
    arguments = {"from_": SENDER, "body": "hello", **arguments}
    return run(SendMessagesOperator, context() if task_context is None else task_context, **arguments)


def bodies(emulator: Emulator) -> dict[str, str]:
    """Return the bodies of all messages by recipient."""
    return {message["to"]: message["body"] for message in emulator.messages}


def adds_up(summary: dict[str, Any]) -> bool:
    """Return whether the outcomes in a summary add up to its rows."""
    parts = sum(summary[name] for name in ("sent", "skipped", "later", "duplicates"))
    return bool(summary["rows"] == parts + sum(summary["failed"].values()))


def test_send_messages_sends_one_to_each(emulator: Emulator, run):
    summary = send(run, recipients=numbers(300))
    assert Counter(bodies(emulator)) == dict.fromkeys(numbers(300), "hello")
    assert {name: summary[name] for name in ("rows", "sent", "failed", "segments")} == {
        "rows": 300,
        "sent": 300,
        "failed": {},
        "segments": 300,
    }
    assert summary["rate"] > 0
    assert json.loads(json.dumps(summary)) == summary


def test_send_messages_applies_row_values_and_overrides(emulator: Emulator, run):
    rows = [
        {"to": "+14155550001", "name": "Ada", "due": 3},
        {"to": "+1 (415) 555-0002", "name": "{due}", "due": "4"},
        {"to": "whatsapp:+14155550003", "name": "Bob", "due": 5, "from_": "whatsapp:" + SENDER},
        {"to": "+14155550004", "name": "x", "due": 1, "body": "just {name}, {{ '{{' }}this{{ '}}' }}"},
    ]
    send(run, recipients=rows, body="Dear {name}, {{ '{{' }}due{{ '}}' }}: {due}")
    assert bodies(emulator) == {
        "+14155550001": "Dear Ada, {due}: 3",
        "+14155550002": "Dear {due}, {due}: 4",
        "whatsapp:+14155550003": "Dear Bob, {due}: 5",
        "+14155550004": "just x, {this}",
    }


@pytest.mark.parametrize("extension", ["csv", "jsonl", "ndjson", "csv.gz"])
@pytest.mark.parametrize("path_type", ["str", "ObjectStoragePath", "pathlib"])
def test_send_messages_reads_file(emulator: Emulator, run, tmp_path: Path, extension: str, path_type: str):
    path = tmp_path / f"people.{extension}"
    if "csv" in extension:
        text = '\ufeffphone,name\r\n+14155550001,"Ada, ""Countess"""\r\n\r\n+14155550002,Zoë\r\n'
    else:
        text = '{"phone": "+14155550001", "name": "Ada, \\"Countess\\""}\n{"phone": "+14155550002", "name": "Zoë"}\n'
    path.write_bytes(gzip.compress(text.encode()) if extension.endswith("gz") else text.encode())
    paths = {"str": str(path), "ObjectStoragePath": ObjectStoragePath(f"file://{path}"), "pathlib": path}
    summary = send(run, recipients=paths[path_type], body="{name}", recipient_column="phone")
    assert summary["sent"] == 2
    assert bodies(emulator) == {"+14155550001": 'Ada, "Countess"', "+14155550002": "Zoë"}


def test_send_messages_reads_rendered_json(emulator: Emulator, run):
    """The recipients are as ``{{ rows | tojson }}`` renders them."""
    send(run, recipients='[{"to": "+14155550001", "name": "Ada", "vip": true, "note": null}]', body="Dear {name}")
    assert bodies(emulator) == {"+14155550001": "Dear Ada"}


def test_send_messages_can_be_mapped(emulator: Emulator, run_mapped, tmp_path: Path):
    summary = run_mapped(
        SendMessagesOperator, recipients=numbers(3), body="hello", from_=SENDER, checkpoint_path=str(tmp_path)
    )
    assert summary["sent"] == 3


def test_send_messages_sends_duplicates_once(emulator: Emulator, run, tmp_path: Path):
    rows = [{"to": "+14155550001", "n": 1}, {"to": "+1 415 555 0001", "n": 1}, {"to": "+14155550001", "n": 2}]
    summary = send(run, recipients=rows, body="{n}")
    assert (summary["sent"], summary["duplicates"]) == (2, 1)
    assert adds_up(summary)
    emulator.reset()
    summary = send(run, recipients=rows, body="{n}", one_per_recipient=True)
    assert (summary["sent"], summary["duplicates"]) == (1, 2)
    emulator.reset()
    copies = tmp_path / "copies.csv"
    copies.write_text("to\n" + "+14155550001\n" * 100_000)
    assert send(run, recipients=str(copies))["duplicates"] == 99_999
    assert len(emulator.messages) == 1


def test_send_messages_reports_each_failure(emulator: Emulator, run, tmp_path: Path):
    people = [*numbers(50), "+15005559201", "+15005559203", "+15005559204", "12", "not a number", "+14155550001"]
    summary = send(run, recipients=people, results=str(tmp_path / "table.csv"))
    assert (summary["sent"], summary["skipped"], summary["duplicates"]) == (50, 1, 1)
    assert summary["failed"] == {"21211": 1, "21408": 1, "invalid": 2}
    assert adds_up(summary)
    with open(tmp_path / "table.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["to"] for row in table] == people
    assert [row["outcome"] for row in table[48:]] == [
        "sent", "sent", "failed", "failed", "skipped", "failed", "failed", "duplicate",
    ]  # fmt: skip
    by_sid = {message["sid"]: message["to"] for message in emulator.messages}
    assert all(by_sid[row["sid"]] == row["to"] for row in table[:50])
    assert table[50]["error_code"] == "21211"
    assert table[50]["reason"] == "the recipient is not a valid phone number"
    assert "not a phone number" in table[53]["reason"] or "leading" in table[53]["reason"]


def test_send_messages_with_concurrency_limit_counts_invalid_numbers(emulator: Emulator, run):
    emulator.quirks.set(concurrency=20, latency=0.1)  # long enough for more than 20 concurrent requests
    bad, people = "+15005559201", numbers(600)
    rows = [{"to": bad if place % 20 == 7 else to, "name": str(place)} for place, to in enumerate(people)]
    summary = send(run, recipients=rows, body="{name}", concurrency=50)
    assert (summary["rows"], summary["sent"], summary["failed"]) == (600, 570, {"21211": 30})
    assert adds_up(summary)
    assert Counter(message["to"] for message in emulator.messages) == Counter({row["to"] for row in rows} - {bad})
    statuses = [entry.status for entry in emulator.journal]
    assert 0 < statuses.count(429) < 150
    assert statuses[300:].count(429) <= 20  # the concurrency has been reduced


def test_send_messages_killed_stops_and_next_try_sends_rest(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=2")
    emulator.quirks.set(latency=0.05)
    people = numbers(400)
    task_context: Any = context()
    arguments: dict[str, Any] = {"recipients": people, "from_": SENDER, "body": "hello"}
    task = SendMessagesOperator(task_id="task", **arguments, concurrency=20, reconcile_timeout=0.5)
    task.on_kill()  # has no effect before execute

    def kill() -> None:
        while len(emulator.messages) < 50 and not finished.wait(0.01):
            pass
        task.on_kill()

    finished, killer = threading.Event(), threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        with pytest.raises(asyncio.CancelledError):
            task.execute(task_context)
    finally:
        finished.set()
        killer.join()
    count = len(emulator.messages)
    assert 50 <= count < 300
    time.sleep(0.5)
    assert len(emulator.messages) <= count + 20  # those in flight
    emulator.quirks.set(latency=0)
    summary = task.execute(task_context)
    assert summary["sent"] == 400
    assert sorted(message["to"] for message in emulator.messages) == sorted(people)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipients": []}, "recipients is empty"),
        ({"recipients": {"to": "+14155550001"}}, "recipients is of type dict"),
        ({"recipients": ["+14155550001", 5]}, "row 2 is of type int"),
        ({"recipients": ["1", "2"]}, "has no valid row: row 1: to .*; row 2: to"),
        ({"recipients": ["+14155550001", "2"], "max_failures": 0}, "1 invalid row: row 2: to"),
        ({"recipients": [*numbers(97), "1", "2", "3"], "max_failures": 0.02}, "3 invalid rows: row 98: "),
        ({"recipients": [{"to": "+14155550001"}], "body": "{name}"}, r"row 1: body has the placeholder \{name\}"),
        ({"recipients": [{"to": number} for number in numbers(30)], "body": "{name}"}, "; and 10 more"),
        (
            {"recipients": numbers(2), "body": "x" * 161, "max_segments": 1},
            "2 rows with too many segments: row 1: body has 2 seg",
        ),
        ({"recipients": numbers(2), "min_balance": 1e6}, "min_balance is 1000000.0, but the balance"),
        ({"recipients": "people.xls"}, "a file of an unknown type"),
    ],
)
def test_send_messages_with_invalid_input_sends_nothing(emulator: Emulator, run, arguments, message):
    with pytest.raises((BadParameter, AirflowFailException), match=message):
        send(run, **arguments)
    assert not emulator.messages


def test_send_messages_too_many_for_state_store_requires_checkpoint_path(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["to", *numbers(20_001)]))
    with pytest.raises(AirflowFailException, match="checkpoint_path is missing for 20001 messages"):
        send(run, recipients=path)
    assert not emulator.messages


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"to,name\n+14155550001,Ada\n+14155550002\n", r"row 2 \(line 3\) has 1 cells, and the header has 2"),
        (b"phone,name\n+14155550001,Ada\n", "has no column 'to'; its columns are: phone, name"),
        (b"to;name\n+14155550001;Ada\n", "separate the columns by commas"),
        (b"to,name\n+14155550001,Ada\n+14155550002,Zo\xeb\n", "line 3 is not UTF-8: its byte 16 is 0xEB"),
        ("to,name\n+14155550001,Ada\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b'to,name\n+14155550001,"Ada\n', "is not valid CSV"),
        (b"to,name,name\n", "two columns with the same name"),
        (b"to\n", "recipients is empty"),
        (b"", "has no column 'to'"),
        (b"to\n+1415555\x000001\n", "line 2 contains a NUL byte"),
    ],
)
def test_send_messages_rejects_invalid_csv(emulator: Emulator, run, tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(AirflowFailException, match=message):
        send(run, recipients=str(path))
    assert not emulator.messages


def test_send_messages_rejects_invalid_json_lines(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.jsonl"
    path.write_text('{"to": "+14155550001"}\n\n{"to": \n')
    with pytest.raises(AirflowFailException, match="row 2 is not JSON"):
        send(run, recipients=str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"body": None}, None),  # rows can have a body
        ({"body": "{name.first}"}, "a placeholder is a plain name"),
        ({"body": "{name!r}"}, "a placeholder is a plain name"),
        ({"body": "{rows[0]}"}, "a placeholder is a plain name"),
        ({"body": "{name:>5}"}, "a placeholder is a plain name"),
        ({"body": "{name}"}, r"has the placeholder \{name\}, for which the recipients have no value"),
        ({"body": '{"a": 1} {to}'}, None),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"rate": -1}, "rate is -1"),
        ({"concurrency": None}, "concurrency"),
        ({"concurrency": "10"}, "concurrency is not a number"),
        ({"rate": "10"}, "rate is not a number"),
        ({"max_failures": "0.05"}, "max_failures is not a number"),
        ({"max_failures": float("nan")}, "max_failures is nan"),
        ({"min_balance": "5"}, "min_balance is not a number"),
        ({"min_balance": Decimal(5)}, None),
        ({"poll_interval": "30"}, "poll_interval is"),
        ({"poll_interval": None}, "poll_interval is None"),
        ({"wait_timeout": None}, "wait_timeout is None"),
        ({"sent_grace": "60"}, "sent_grace is"),
        ({"reconcile_timeout": None}, "reconcile_timeout"),
        ({"reconcile_timeout": "60"}, "reconcile_timeout is"),
        ({"max_failures": 1.5}, "max_failures is 1.5"),
        ({"on_clear": "again"}, "on_clear is not an allowed value"),
        ({"results": "table.xlsx"}, "results has an unknown extension"),
        ({"recipients": []}, "recipients is empty"),
        ({"validity_period": 0}, "validity_period"),
        ({"messaging_service_sid": "SM1"}, "messaging_service_sid"),
    ],
)
def test_send_messages_checks_literals_at_parse_time(arguments, message):
    parameters = {"recipients": numbers(2), "from_": SENDER, "body": "hello", **arguments}
    if message is None:
        SendMessagesOperator(task_id="task", **parameters)
        return
    with pytest.raises(BadParameter, match=message):
        SendMessagesOperator(task_id="task", **parameters)


def test_send_messages_retry_sends_nothing_again(emulator: Emulator, run):
    task_context = context()
    first = send(run, task_context, recipients=numbers(5))
    assert send(run, task_context, recipients=numbers(5)) == first
    assert len(emulator.messages) == 5
    assert list(task_context["task_state_store"].values) == ["twilio_bulk"]  # the checkpoints are deleted


def test_send_messages_cleared_sends_again_unless_skipped(emulator: Emulator, run):
    store = Store()
    for tries in (0, 1, 1):
        send(run, context(store, max_tries=tries), recipients=numbers(5))
    assert len(emulator.messages) == 10
    send(run, context(store, max_tries=2), recipients=numbers(5), on_clear="skip")
    assert len(emulator.messages) == 10


@pytest.mark.parametrize("cleared", [False, True])
def test_send_messages_stopped_resumes(emulator: Emulator, run, tmp_path: Path, cleared: bool):
    emulator.fail_next(1, status=429, code=63038, skip=100)
    store, results = Store(), tmp_path / "table.jsonl"
    people = {"recipients": numbers(300), "results": str(results), "concurrency": 10}
    with pytest.raises(AirflowFailException, match="63038"):
        send(run, context(store), **people)
    outcomes = Counter(json.loads(line)["outcome"] for line in results.read_text().splitlines())
    assert outcomes["sent"] == len(emulator.messages) >= 100
    assert outcomes["sent"] + outcomes["unsent"] == 300
    summary = send(run, context(store, max_tries=int(cleared)), **people)
    assert summary["sent"] == 300
    assert set(Counter(message["to"] for message in emulator.messages).values()) == {1}
    assert len(emulator.messages) == 300


def test_send_messages_resumed_does_not_check_balance(emulator: Emulator, run):
    def balance() -> float:
        return float(run(FetchBalanceOperator)["balance"])

    people: dict[str, Any] = {"recipients": numbers(20), "concurrency": 1, "min_balance": balance()}
    emulator.fail_next(1, method="POST", status=429, code=63038, skip=10)
    store = Store()
    with pytest.raises(AirflowFailException, match="63038"):
        send(run, context(store), **people)
    emulator.clock.advance(minutes=1)
    assert balance() < people["min_balance"]
    assert send(run, context(store), **people)["sent"] == 20
    with pytest.raises(AirflowFailException, match="No message was sent"):
        send(run, context(store, max_tries=1), **people)


def test_send_messages_rejects_changed_recipients(emulator: Emulator, run):
    emulator.fail_next(1, status=401, skip=3)
    store = Store()
    with pytest.raises(AirflowFailException):
        send(run, context(store), recipients=numbers(10), concurrency=1)
    with pytest.raises(AirflowFailException, match="has changed since an earlier try"):
        send(run, context(store), recipients=numbers(9))
    assert len(emulator.messages) == 3


def test_send_messages_above_max_failures_fails(emulator: Emulator, run):
    people = [*numbers(100), *["+15005559201"] * 1, "+15005559206", "+15005559207"]
    with pytest.raises(AirflowFailException, match="requests have failed"):
        send(run, recipients=people, max_failures=2)
    emulator.reset()
    assert send(run, recipients=people, max_failures=0.05)["sent"] == 100


@pytest.mark.parametrize(
    ("max_failures", "fails"), [(1, True), (3, False), (3.0, False), (2.0, True), (0.5, False), (0.1, True)]
)
def test_send_messages_max_failures_is_number_or_share(emulator: Emulator, run, max_failures: float, fails: bool):
    people = [*numbers(7), "+15005559201", "+15005559203", "+15005559202"]
    arguments = {"recipients": people, "max_failures": max_failures}
    if fails:
        with pytest.raises(AirflowFailException, match="requests have failed"):
            send(run, **arguments)
    else:
        assert send(run, **arguments)["sent"] == 7


def test_send_messages_with_full_queue_leaves_messages_for_next_try(emulator: Emulator, run, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.001)
    people = ["+15005559205", *numbers(3)]
    with pytest.raises(RateLimited, match="1 messages are left for the next try"):
        send(run, recipients=people)
    assert sorted(bodies(emulator)) == numbers(3)


def test_send_messages_rejects_file_that_grows(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("to\n" + "\n".join(numbers(2)) + "\n")

    class Growing(type(path)):  # type: ignore[misc]
        def open(self, *args: Any, **kwargs: Any) -> Any:
            with open(self, "a", encoding="utf-8") as file:
                file.write("+14155559999\n")
            return open(self, *args, **kwargs)

    with pytest.raises(AirflowFailException, match="more or fewer rows than when it was checked"):
        send(run, recipients=Growing(path))


def test_send_messages_above_max_failures_fails_again_after_clear(emulator: Emulator, run):
    """A stored summary is checked too: the task may have been killed, or cleared with ``on_clear="skip"``."""
    store = Store()
    arguments: dict[str, Any] = {"recipients": [*numbers(10), "+15005559206"], "on_clear": "skip"}
    send(run, context(store), **arguments)
    with pytest.raises(AirflowFailException, match="1 messages failed"):
        send(run, context(store, max_tries=1), max_failures=0, **arguments)
    assert send(run, context(store, max_tries=1), max_failures=1, **arguments)["sent"] == 10
    assert len(emulator.messages) == 10


def test_send_messages_stores_checkpoints_in_folder(emulator: Emulator, run, tmp_path: Path):
    task_context = {**context(), "task_state_store": None}
    with pytest.raises(AirflowFailException, match="checkpoint_path is missing"):
        send(run, task_context, recipients=numbers(5))
    emulator.fail_next(1, status=401, skip=3)
    with pytest.raises(AirflowFailException):
        send(run, task_context, recipients=numbers(5), checkpoint_path=f"file://{tmp_path}", concurrency=1)
    folder = tmp_path / "dag" / folder_name("run/1") / "task"
    assert sorted(path.name for path in folder.iterdir()) == [
        "twilio_bulk.0.0.json", "twilio_bulk.0.lease.0.json", "twilio_bulk.0.owner.json", "twilio_bulk.json",
    ]  # fmt: skip
    assert send(run, task_context, recipients=numbers(5), checkpoint_path=str(tmp_path))["sent"] == 5
    assert [path.name for path in folder.iterdir()] == ["twilio_bulk.json"]
    assert len(emulator.messages) == 5


def test_send_messages_in_dry_run_sends_nothing(emulator: Emulator, run, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    summary = send(run, recipients=[*numbers(5), "1"], body="x" * 200, results=str(tmp_path / "table.jsonl"))
    assert (summary["sent"], summary["segments"], summary["status"]) == (0, 10, "dry-run")
    assert len(emulator.journal) == 0
    assert '"outcome": "dry-run"' in (tmp_path / "table.jsonl").read_text()


def test_send_messages_counts_recipients_that_are_not_allowed_as_invalid(emulator: Emulator, run, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?allowed_recipients=%2B14155550001")
    summary = send(run, recipients=numbers(3))
    assert (summary["sent"], summary["failed"]) == (1, {"invalid": 2})


def test_send_messages_warns_if_messages_expire_at_rate(emulator: Emulator, run, capsys):
    send(run, recipients=numbers(30), rate=100.0, validity_period=1)
    assert "messages expire after 1 s" not in capsys.readouterr().out
    send(run, recipients=numbers(30), rate=20.0, validity_period=1)
    assert "takes 2 s, but messages expire after 1 s" in capsys.readouterr().out


def test_send_messages_waits_on_worker(emulator: Emulator, run, tmp_path: Path):
    people = [*numbers(20), "+15005559001", "+15005559001", "+15005559005", "+15005559201"]
    summary = send(
        run, recipients=people, wait_for_delivery=True, poll_interval=0.2, results=str(tmp_path / "table.jsonl")
    )
    assert (summary["delivered"], summary["undelivered"], summary["waiting"]) == (20, {"30003": 1, "30008": 1}, 0)
    assert summary["failed"] == {"21211": 1}
    table = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    assert [row.get("status") for row in table[19:]] == ["delivered", "undelivered", None, "undelivered", None]
    assert table[20]["error_code"] == 30003
    assert table[0]["price"].startswith("-0.")


def test_send_messages_undelivered_counts_towards_max_failures(emulator: Emulator, run):
    with pytest.raises(AirflowFailException, match="1 messages failed and 2 were not delivered"):
        send(
            run,
            recipients=[*numbers(3), "+15005559001", "+15005559010", "+15005559201"],
            wait_for_delivery=True,
            poll_interval=0.1,
            wait_timeout=1.0,
            max_failures=2,
        )


@pytest.mark.parametrize("all_sent_earlier", [False, True])
def test_send_messages_deadline_counts_from_last_message(emulator: Emulator, run, all_sent_earlier: bool):
    """The first try may have started long ago. A try that sends nothing does not extend the deadline."""
    store, two_days_ago = Store(), time.time() - 2 * 24 * 3600
    record = {
        "generation": 0, "max_tries": 0, "started_at": two_days_ago, "sent_at": None, "sent": None, "summary": None,
    }  # fmt: skip
    arguments: dict[str, Any] = {"recipients": numbers(3), "wait_for_delivery": True, "deferrable": True}
    store.set("twilio_bulk", record)
    with pytest.raises(TaskDeferred) as deferred:
        send(run, context(store), **arguments)
    if all_sent_earlier:
        store.set("twilio_bulk", {**store.get("twilio_bulk"), "sent_at": two_days_ago})
        with pytest.raises(TaskDeferred) as deferred:
            send(run, context(store), **arguments)
    _, arguments_of_trigger = deferred.value.trigger.serialize()
    assert (arguments_of_trigger["deadline"] < time.time()) is all_sent_earlier
    assert arguments_of_trigger["created"] == two_days_ago


@pytest.mark.parametrize("storage", ["store", "checkpoint_path"])
async def test_send_messages_waits_in_triggerer(emulator: Emulator, run, tmp_path: Path, monkeypatch, storage: str):
    from airflow_provider_twilio.triggers import messages

    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 10)
    task_context = context()
    arguments: dict[str, Any] = {
        "recipients": [*numbers(25), "+15005559001"],
        "wait_for_delivery": True,
        "deferrable": True,
        "poll_interval": 0.2,
        "results": str(tmp_path / "table.jsonl"),
        **({"checkpoint_path": str(tmp_path)} if storage == "checkpoint_path" else {}),
    }
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(send, run, task_context, **arguments)
    path, arguments_of_trigger = deferred.value.trigger.serialize()
    assert "SM" not in json.dumps(arguments_of_trigger)
    assert path == "airflow_provider_twilio.triggers.messages.BulkDeliveryTrigger"
    trigger = messages.BulkDeliveryTrigger(**arguments_of_trigger)

    if storage == "store":
        assert len(task_context["ti"].pushed) == 3

        async def own_xcom(_: Any, key: str) -> Any:
            return task_context["ti"].pushed[key]

        monkeypatch.setattr(messages, "get_own_xcom", own_xcom)  # no Airflow is running
    events = [event async for event in trigger.run()]
    payload = events[0].payload
    assert payload == {"delivered": 25, "undelivered": {"30003": 1}, "waiting": 0}

    def complete() -> Any:
        task = SendMessagesOperator(task_id="task", from_=SENDER, body="hello", **arguments)
        return task.execute_complete(task_context, payload)  # type: ignore[arg-type]

    summary = await asyncio.to_thread(complete)
    assert (summary["sent"], summary["delivered"]) == (26, 25)
    assert len((tmp_path / "table.jsonl").read_text().splitlines()) == 26


def test_bulk_delivery_trigger_without_sids_raises():
    from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

    trigger = BulkDeliveryTrigger("key", message_count=5)

    async def first() -> Any:
        return await anext(aiter(trigger.run()))

    with pytest.raises(LookupError, match="found 0 SIDs, but 5 messages were sent"):
        asyncio.run(first())
