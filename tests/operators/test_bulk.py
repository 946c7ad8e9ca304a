"""Many messages in one task: who gets one, what is refused before, and what is told after."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_twilio._airflow.compat import AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter, RateLimited
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.messages import SendMessagesOperator
from airflow_provider_twilio.runtime.bulk import checkpoints as chunks
from airflow_provider_twilio.runtime.bulk import sender_queue
from tests.runtime.test_state_store import Store

SENDER = "+15005550006"


def numbers(count: int) -> list[str]:
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


def send(run: Any, given: dict[str, Any] | None = None, /, **arguments: Any) -> Any:
    arguments = {"from_": SENDER, "body": "hello", **arguments}
    return run(SendMessagesOperator, context() if given is None else given, **arguments)


def bodies(emulator: Emulator) -> dict[str, str]:
    return {message["to"]: message["body"] for message in emulator.messages}


def adds_up(summary: dict[str, Any]) -> bool:
    parts = sum(summary[name] for name in ("sent", "skipped", "later", "duplicates"))
    return bool(summary["rows"] == parts + sum(summary["failed"].values()))


def test_each_gets_one(emulator: Emulator, run):
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


def test_rows_have_values_and_senders_of_their_own(emulator: Emulator, run):
    rows = [
        {"to": "+14155550001", "name": "Ada", "due": 3},
        {"to": "+1 (415) 555-0002", "name": "{due}", "due": "4"},
        {"to": "whatsapp:+14155550003", "name": "Bob", "due": 5, "from_": "whatsapp:" + SENDER},
        {"to": "+14155550004", "name": "x", "due": 1, "body": "just {this}"},
    ]
    send(run, recipients=rows, body="Dear {name}, {{ '{{' }}due{{ '}}' }}: {due}")
    assert bodies(emulator) == {
        "+14155550001": "Dear Ada, {due}: 3",
        "+14155550002": "Dear {due}, {due}: 4",
        "whatsapp:+14155550003": "Dear Bob, {due}: 5",
        "+14155550004": "just {this}",
    }


@pytest.mark.parametrize("ending", ["csv", "jsonl", "ndjson", "csv.gz"])
@pytest.mark.parametrize("kind", ["text", "ObjectStoragePath", "pathlib"])
def test_files(emulator: Emulator, run, tmp_path: Path, ending: str, kind: str):
    path = tmp_path / f"people.{ending}"
    if "csv" in ending:
        text = '\ufeffphone,name\r\n+14155550001,"Ada, ""Countess"""\r\n\r\n+14155550002,Zoë\r\n'
    else:
        text = '{"phone": "+14155550001", "name": "Ada, \\"Countess\\""}\n{"phone": "+14155550002", "name": "Zoë"}\n'
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    given = {"text": str(path), "ObjectStoragePath": ObjectStoragePath(f"file://{path}"), "pathlib": path}[kind]
    summary = send(run, recipients=given, body="{name}", recipient_column="phone")
    assert summary["sent"] == 2
    assert bodies(emulator) == {"+14155550001": 'Ada, "Countess"', "+14155550002": "Zoë"}


def test_recipients_as_json(emulator: Emulator, run):
    """As ``{{ rows | tojson }}`` renders them."""
    send(run, recipients='[{"to": "+14155550001", "name": "Ada", "vip": true, "note": null}]', body="Dear {name}")
    assert bodies(emulator) == {"+14155550001": "Dear Ada"}


def test_a_mapped_task(emulator: Emulator, run_mapped, tmp_path: Path):
    summary = run_mapped(
        SendMessagesOperator, recipients=numbers(3), body="hello", from_=SENDER, checkpoint_path=str(tmp_path)
    )
    assert summary["sent"] == 3


def test_the_same_is_sent_once(emulator: Emulator, run, tmp_path: Path):
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


def test_failures_are_each_recipients_own(emulator: Emulator, run, tmp_path: Path):
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
    assert "no phone number" in table[53]["reason"] or "leading" in table[53]["reason"]


def test_bad_numbers_on_a_narrow_road(emulator: Emulator, run):
    emulator.quirks.set(concurrency=20, latency=0.1)  # so long that more than 20 are on their way
    bad, people = "+15005559201", numbers(600)
    rows = [{"to": bad if place % 20 == 7 else to, "name": str(place)} for place, to in enumerate(people)]
    summary = send(run, recipients=rows, body="{name}", concurrency=50)
    assert (summary["rows"], summary["sent"], summary["failed"]) == (600, 570, {"21211": 30})
    assert adds_up(summary)
    assert Counter(message["to"] for message in emulator.messages) == Counter({row["to"] for row in rows} - {bad})
    statuses = [entry.status for entry in emulator.journal]
    assert 0 < statuses.count(429) < 150
    assert statuses[300:].count(429) <= 20  # it knows by now


def test_a_killed_task_sends_no_more_and_the_next_try_the_rest(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=2")
    emulator.quirks.set(latency=0.05)
    people = numbers(400)
    given: Any = context()
    arguments: dict[str, Any] = {"recipients": people, "from_": SENDER, "body": "hello"}
    task = SendMessagesOperator(task_id="task", **arguments, concurrency=20, reconcile_timeout=0.5)
    task.on_kill()  # nothing runs yet

    def kill() -> None:
        while len(emulator.messages) < 50 and not over.wait(0.01):
            pass
        task.on_kill()

    over, killer = threading.Event(), threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        with pytest.raises(asyncio.CancelledError):
            task.execute(given)
    finally:
        over.set()
        killer.join()
    held = len(emulator.messages)
    assert 50 <= held < 300
    time.sleep(0.5)
    assert len(emulator.messages) <= held + 20  # what was on its way
    emulator.quirks.set(latency=0)
    summary = task.execute(given)
    assert summary["sent"] == 400
    assert sorted(message["to"] for message in emulator.messages) == sorted(people)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"recipients": []}, "recipients is empty"),
        ({"recipients": {"to": "+14155550001"}}, "recipients is of type dict"),
        ({"recipients": ["+14155550001", 5]}, "row 2 is of type int"),
        ({"recipients": ["1", "2"]}, "2 rows that can't be sent, which are all: row 1: to"),
        ({"recipients": ["+14155550001", "2"], "max_failures": 0}, "1 rows that can't be sent: row 2: to"),
        ({"recipients": [*numbers(97), "1", "2", "3"], "max_failures": 0.02}, "3 rows that can't be sent"),
        ({"recipients": [{"to": "+14155550001"}], "body": "{name}"}, r"row 1: body names \{name\}"),
        ({"recipients": [{"to": number} for number in numbers(30)], "body": "{name}"}, "; and 10 more"),
        ({"recipients": numbers(2), "body": "x" * 161, "max_segments": 1}, "2 rows too long: row 1: body has 2 seg"),
        ({"recipients": numbers(2), "min_balance": 1e6}, "min_balance is 1000000.0, and the balance"),
        ({"recipients": "people.xls"}, "a file of an unknown kind"),
    ],
)
def test_refused_before_the_first_message(emulator: Emulator, run, arguments, told):
    with pytest.raises((BadParameter, AirflowFailException), match=told):
        send(run, **arguments)
    assert not emulator.messages


def test_too_many_for_the_state_store(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["to", *numbers(20_001)]))
    with pytest.raises(AirflowFailException, match="ledger is missing for 20001 messages"):
        send(run, recipients=path)
    assert not emulator.messages


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"to,name\n+14155550001,Ada\n+14155550002\n", r"row 2 \(line 3\) has 1 cells, and the header 2"),
        (b"phone,name\n+14155550001,Ada\n", "has no column 'to'; its columns are: phone, name"),
        (b"to;name\n+14155550001;Ada\n", "separate the columns by commas"),
        (b"to,name\n+14155550001,Ada\n+14155550002,Zo\xeb\n", "line 3 is not UTF-8: byte 16 of it is 0xEB"),
        ("to,name\n+14155550001,Ada\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b'to,name\n+14155550001,"Ada\n', "is not CSV"),
        (b"to,name,name\n", "two columns of one name"),
        (b"to\n", "recipients is empty"),
        (b"", "has no column 'to'"),
        (b"to\n+1415555\x000001\n", "line 2 holds a zero byte"),
    ],
)
def test_a_bad_file(emulator: Emulator, run, tmp_path: Path, content: bytes, told: str):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(AirflowFailException, match=told):
        send(run, recipients=str(path))
    assert not emulator.messages


def test_bad_json_lines(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.jsonl"
    path.write_text('{"to": "+14155550001"}\n\n{"to": \n')
    with pytest.raises(AirflowFailException, match="row 2 is not JSON"):
        send(run, recipients=str(path))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"body": None}, None),  # the rows may have it
        ({"body": "{name.first}"}, "a placeholder is a plain name"),
        ({"body": "{name!r}"}, "a placeholder is a plain name"),
        ({"body": "{rows[0]}"}, "a placeholder is a plain name"),
        ({"body": "{name:>5}"}, "a placeholder is a plain name"),
        ({"body": "{name}"}, r"names \{name\}, which the recipients have not"),
        ({"body": '{"a": 1} {to}'}, None),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"rate": -1}, "rate is -1"),
        ({"max_failures": 1.5}, "max_failures is 1.5"),
        ({"on_clear": "again"}, "on_clear is none of its values"),
        ({"results": "table.xlsx"}, "results is a path of an unknown kind"),
        ({"recipients": []}, "recipients is empty"),
        ({"validity_period": 0}, "validity_period"),
        ({"messaging_service_sid": "SM1"}, "messaging_service_sid"),
    ],
)
def test_literals_are_checked_when_the_dag_is_parsed(arguments, told):
    given = {"recipients": numbers(2), "from_": SENDER, "body": "hello", **arguments}
    if told is None:
        SendMessagesOperator(task_id="task", **given)
        return
    with pytest.raises(BadParameter, match=told):
        SendMessagesOperator(task_id="task", **given)


def test_a_retry_sends_nothing_again(emulator: Emulator, run):
    given = context()
    first = send(run, given, recipients=numbers(5))
    assert send(run, given, recipients=numbers(5)) == first
    assert len(emulator.messages) == 5
    assert list(given["task_state_store"].values) == ["twilio_bulk"]  # the rest is deleted


def test_a_clear_sends_again(emulator: Emulator, run):
    store = Store()
    for tries in (0, 1, 1):
        send(run, context(store, max_tries=tries), recipients=numbers(5))
    assert len(emulator.messages) == 10
    send(run, context(store, max_tries=2), recipients=numbers(5), on_clear="skip")
    assert len(emulator.messages) == 10


@pytest.mark.parametrize("cleared", [False, True])
def test_what_was_stopped_goes_on(emulator: Emulator, run, tmp_path: Path, cleared: bool):
    emulator.fail_next(1, status=429, code=63038, skip=100)
    store, results = Store(), tmp_path / "table.jsonl"
    people = {"recipients": numbers(300), "results": str(results), "concurrency": 10}
    with pytest.raises(AirflowFailException, match="63038"):
        send(run, context(store), **people)
    told = Counter(json.loads(line)["outcome"] for line in results.read_text().splitlines())
    assert told["sent"] == len(emulator.messages) >= 100
    assert told["sent"] + told["unsent"] == 300
    summary = send(run, context(store, max_tries=int(cleared)), **people)
    assert summary["sent"] == 300
    assert set(Counter(message["to"] for message in emulator.messages).values()) == {1}
    assert len(emulator.messages) == 300


def test_what_was_sent_has_lowered_the_balance(emulator: Emulator, run):
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
    with pytest.raises(AirflowFailException, match="nothing was sent"):
        send(run, context(store, max_tries=1), **people)


def test_others_than_before_are_refused(emulator: Emulator, run):
    emulator.fail_next(1, status=401, skip=3)
    store = Store()
    with pytest.raises(AirflowFailException):
        send(run, context(store), recipients=numbers(10), concurrency=1)
    with pytest.raises(AirflowFailException, match="has changed since an earlier try"):
        send(run, context(store), recipients=numbers(9))
    assert len(emulator.messages) == 3


def test_more_failures_than_allowed(emulator: Emulator, run):
    people = [*numbers(100), *["+15005559201"] * 1, "+15005559206", "+15005559207"]
    with pytest.raises(AirflowFailException, match="have failed"):
        send(run, recipients=people, max_failures=2)
    emulator.reset()
    assert send(run, recipients=people, max_failures=0.05)["sent"] == 100


@pytest.mark.parametrize(
    ("most", "ends"), [(1, True), (3, False), (3.0, False), (2.0, True), (0.5, False), (0.1, True)]
)
def test_failures_are_allowed_by_number_or_share(emulator: Emulator, run, most: float, ends: bool):
    arguments = {"recipients": [*numbers(7), "+15005559201", "+15005559203", "+15005559202"], "max_failures": most}
    if ends:
        with pytest.raises(AirflowFailException, match="have failed"):
            send(run, **arguments)
    else:
        assert send(run, **arguments)["sent"] == 7


def test_what_is_left_for_later_is_for_the_next_try(emulator: Emulator, run, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.001)
    given = context()
    people = ["+15005559205", *numbers(3)]
    with pytest.raises(RateLimited, match="1 are left for the next try"):
        send(run, given, recipients=people)
    assert sorted(bodies(emulator)) == numbers(3)


def test_a_file_that_grows_meanwhile(emulator: Emulator, run, tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("to\n" + "\n".join(numbers(2)) + "\n")

    class Growing(type(path)):  # type: ignore[misc]
        def open(self, *args: Any, **kwargs: Any) -> Any:
            with open(self, "a", encoding="utf-8") as file:
                file.write("+14155559999\n")
            return open(self, *args, **kwargs)

    with pytest.raises(AirflowFailException, match="more or fewer rows than when it was checked"):
        send(run, recipients=Growing(path))


def test_a_failed_run_stays_failed(emulator: Emulator, run):
    """Also where the task is killed, or cleared with on_clear="skip", when all that is to be remembered is."""
    store = Store()
    arguments: dict[str, Any] = {"recipients": [*numbers(10), "+15005559206"], "on_clear": "skip"}
    send(run, context(store), **arguments)
    with pytest.raises(AirflowFailException, match="1 have failed"):
        send(run, context(store, max_tries=1), max_failures=0, **arguments)
    assert send(run, context(store, max_tries=1), max_failures=1, **arguments)["sent"] == 10
    assert len(emulator.messages) == 10


def test_a_ledger(emulator: Emulator, run, tmp_path: Path):
    given = {**context(), "task_state_store": None}
    with pytest.raises(AirflowFailException, match="ledger is missing"):
        send(run, given, recipients=numbers(5))
    emulator.fail_next(1, status=401, skip=3)
    with pytest.raises(AirflowFailException):
        send(run, given, recipients=numbers(5), checkpoint_path=f"file://{tmp_path}", concurrency=1)
    folder = tmp_path / "dag" / "run_1" / "task"
    assert sorted(path.name for path in folder.iterdir()) == [
        "twilio_bulk.0.0.json", "twilio_bulk.0.owner.json", "twilio_bulk.json",
    ]  # fmt: skip
    assert send(run, given, recipients=numbers(5), checkpoint_path=str(tmp_path))["sent"] == 5
    assert [path.name for path in folder.iterdir()] == ["twilio_bulk.json"]
    assert len(emulator.messages) == 5


def test_a_dry_run(emulator: Emulator, run, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    summary = send(run, recipients=[*numbers(5), "1"], body="x" * 200, results=str(tmp_path / "table.jsonl"))
    assert (summary["sent"], summary["segments"], summary["status"]) == (0, 10, "dry-run")
    assert len(emulator.journal) == 0
    assert '"outcome": "dry-run"' in (tmp_path / "table.jsonl").read_text()


def test_who_is_not_allowed_gets_none(emulator: Emulator, run, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?allowed_recipients=%2B14155550001")
    summary = send(run, recipients=numbers(3))
    assert (summary["sent"], summary["failed"]) == (1, {"invalid": 2})


def test_a_rate_that_outlasts_the_messages(emulator: Emulator, run, capsys):
    send(run, recipients=numbers(30), rate=100.0, validity_period=1)
    assert "a message is valid for 1 s" not in capsys.readouterr().out
    send(run, recipients=numbers(30), rate=20.0, validity_period=1)
    assert "the last one goes out after 2 s, and a message is valid for 1 s" in capsys.readouterr().out


def test_waiting_on_the_worker(emulator: Emulator, run, tmp_path: Path):
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


def test_what_is_not_delivered_may_fail_the_task(emulator: Emulator, run):
    with pytest.raises(AirflowFailException, match="1 have failed and 2 were not delivered"):
        send(
            run,
            recipients=[*numbers(3), "+15005559001", "+15005559010", "+15005559201"],
            wait_for_delivery=True,
            poll_interval=0.1,
            wait_timeout=1.0,
            max_failures=2,
        )


@pytest.mark.parametrize("sent", [False, True])
def test_the_wait_begins_when_all_is_sent(emulator: Emulator, run, sent: bool):
    """However long ago the first try began; a try that finds all sent does not wait longer than the one before."""
    store, ago = Store(), time.time() - 2 * 24 * 3600
    begun = {"generation": 0, "clears": 0, "begun": ago, "sent": None, "summary": None}
    arguments: dict[str, Any] = {"recipients": numbers(3), "wait_for_delivery": True, "deferrable": True}
    store.set("twilio_bulk", begun)
    with pytest.raises(TaskDeferred) as deferred:
        send(run, context(store), **arguments)
    if sent:
        store.set("twilio_bulk", {**store.get("twilio_bulk"), "over": ago})
        with pytest.raises(TaskDeferred) as deferred:
            send(run, context(store), **arguments)
    _, kept = deferred.value.trigger.serialize()
    assert (kept["deadline"] < time.time()) is sent
    assert kept["created"] == ago


@pytest.mark.parametrize("where", ["store", "checkpoint_path"])
async def test_waiting_in_the_triggerer(emulator: Emulator, run, tmp_path: Path, monkeypatch, where: str):
    import asyncio

    from airflow_provider_twilio.triggers import messages

    monkeypatch.setattr(chunks, "CHECKPOINT_SIZE", 10)
    given = context()
    arguments: dict[str, Any] = {
        "recipients": [*numbers(25), "+15005559001"],
        "wait_for_delivery": True,
        "deferrable": True,
        "poll_interval": 0.2,
        "results": str(tmp_path / "table.jsonl"),
        **({"checkpoint_path": str(tmp_path)} if where == "checkpoint_path" else {}),
    }
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(send, run, given, **arguments)
    path, kept = deferred.value.trigger.serialize()
    assert "SM" not in json.dumps(kept)
    assert path == "airflow_provider_twilio.triggers.messages.BulkDeliveryTrigger"
    trigger = messages.BulkDeliveryTrigger(**kept)

    if where == "store":
        assert len(given["ti"].pushed) == 3

        async def own_xcom(_: Any, key: str) -> Any:
            return given["ti"].pushed[key]

        monkeypatch.setattr(messages, "get_own_xcom", own_xcom)  # there is no Airflow here to ask
    events = [event async for event in trigger.run()]
    payload = events[0].payload
    assert payload == {"delivered": 25, "undelivered": {"30003": 1}, "waiting": 0}

    def complete() -> Any:
        task = SendMessagesOperator(task_id="task", from_=SENDER, body="hello", **arguments)
        return task.execute_complete(given, payload)  # type: ignore[arg-type]

    summary = await asyncio.to_thread(complete)
    assert (summary["sent"], summary["delivered"]) == (26, 25)
    assert len((tmp_path / "table.jsonl").read_text().splitlines()) == 26


def test_a_trigger_without_its_sids_says_so():
    import asyncio

    from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

    trigger = BulkDeliveryTrigger("key", message_count=5)

    async def first() -> Any:
        return await anext(aiter(trigger.run()))

    with pytest.raises(LookupError, match="found 0 SIDs, but 5 messages were sent"):
        asyncio.run(first())
