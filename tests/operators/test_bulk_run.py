"""Tests of the tries of SendMessagesOperator: what Clear, a crash, a dry run and a signal change."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators._bulk_run import BulkRun
from airflow_provider_twilio.operators.messages import SendMessagesOperator
from airflow_provider_twilio.runtime.state_store import TaskStateStore
from tests.operators.test_bulk import SENDER, context, numbers, send
from tests.operators.test_scheduled import create_service, scheduled
from tests.runtime.test_state_store import Store

UNDELIVERED, FILTERED, OPTED_OUT = "+15005559001", "+15005559004", "+15005559204"
"""Recipients of the emulator whose messages fail with 30003, which is temporary, with 30007, and with 21610."""


class CrashingStore(Store):
    """A store that loses all writes from the moment that the emulator has a number of messages, as after SIGKILL."""

    def __init__(self, emulator: Emulator, count: int) -> None:
        super().__init__()
        self.emulator, self.count = emulator, count

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if len(self.emulator.messages) < self.count:
            super().set(key, json.loads(json.dumps(value)))

    def restart(self) -> None:
        """Store writes again."""
        self.count = 1_000_000


def sent_to(emulator: Emulator) -> Counter[str]:
    """Return the number of messages to each recipient."""
    return Counter(str(message["to"]) for message in emulator.messages)


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("clock_error", [0, 16, -16, 3600])
def test_send_messages_killed_does_not_adopt_messages_of_another_run(
    emulator: Emulator, run, monkeypatch, clock_error: float
):
    """The run of Monday is killed after 139 of 200. Tuesday's sends the same text to all. Monday's resumes."""
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=1")
    arguments = {"recipients": numbers(200), "concurrency": 1, "reconcile_timeout": 0.5}
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=1, seconds=clock_error))
    monday = CrashingStore(emulator, 139)
    emulator.fail_next(1, status=401, method="POST", skip=139)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, context(monday), **arguments)
    assert len(emulator.messages) == 139
    monday.restart()
    emulator.clock.freeze(datetime.now(UTC) - timedelta(seconds=clock_error))
    assert send(run, context(), **arguments)["sent"] == 200
    assert send(run, context(monday), **arguments)["sent"] == 200
    assert len(emulator.messages) == 139 + 200 + 61
    assert set(sent_to(emulator).values()) == {2}


@pytest.mark.parametrize("clock_error", [16, -16, 3600])
def test_send_messages_killed_finds_its_messages_with_a_wrong_clock(
    emulator: Emulator, run, monkeypatch, clock_error: float
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=1")
    emulator.clock.freeze(datetime.now(UTC) - timedelta(seconds=clock_error))
    store = CrashingStore(emulator, 30)
    arguments = {"recipients": numbers(50), "concurrency": 1, "reconcile_timeout": 0.5}
    emulator.fail_next(1, status=401, method="POST", skip=30)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, context(store), **arguments)
    store.restart()
    assert send(run, context(store), **arguments)["sent"] == 50
    assert set(sent_to(emulator).values()) == {1}


# ---------------------------------------------------------------- Clear


@pytest.mark.parametrize("where", ["store", "folder"])
def test_send_messages_failed_and_cleared_sends_only_retryable_messages(
    emulator: Emulator, run, tmp_path: Path, where: str
):
    store = Store()
    people = [*numbers(50), UNDELIVERED, FILTERED, OPTED_OUT]
    arguments: dict[str, Any] = {
        "recipients": people,
        "max_failures": 0,
        "wait_for_delivery": True,
        "poll_interval": 0.1,
        "results": str(tmp_path / "table.jsonl"),
        **({"checkpoint_path": str(tmp_path)} if where == "folder" else {}),
    }
    with pytest.raises(AirflowFailException, match="2 were not delivered"):
        send(run, context(store), **arguments)
    first = {message["to"]: message["sid"] for message in emulator.messages}
    with pytest.raises(AirflowFailException, match="2 were not delivered"):  # a retry sends nothing
        send(run, context(store), **arguments)
    assert len(emulator.messages) == 52
    with pytest.raises(AirflowFailException, match="2 were not delivered"):
        send(run, context(store, max_tries=1), **arguments)
    assert sent_to(emulator) == Counter(people[:-1]) + Counter([UNDELIVERED])
    table = {row["to"]: row for row in map(json.loads, (tmp_path / "table.jsonl").read_text().splitlines())}
    assert {to: table[to]["sid"] for to in people[:50]} == {to: first[to] for to in people[:50]}
    assert table[UNDELIVERED]["sid"] not in first.values()
    assert table[FILTERED]["sid"] == first[FILTERED]
    summary = send(run, context(store, max_tries=1), **{**arguments, "max_failures": 2})
    assert (summary["sent"], summary["delivered"]) == (52, 50)
    assert len(emulator.messages) == 53


def test_send_messages_failed_and_repaired_succeeds(emulator: Emulator, run):
    store = Store()
    other_sender = "+14155550177"
    rows = [{"to": to, "from_": SENDER if index % 2 else other_sender} for index, to in enumerate(numbers(20))]
    with pytest.raises(AirflowFailException, match=r"21606|21659"):
        send(run, context(store), recipients=rows, from_=None, max_failures=3, concurrency=1)
    assert len(emulator.messages) < 20
    emulator.state.add_number(emulator.state.main, other_sender)
    assert send(run, context(store, max_tries=1), recipients=rows, from_=None, max_failures=3)["sent"] == 20
    assert set(sent_to(emulator).values()) == {1}


def test_send_messages_failed_and_cleared_to_resend_all_sends_all(emulator: Emulator, run):
    store = Store()
    arguments: dict[str, Any] = {"recipients": [*numbers(5), "+15005559201"], "max_failures": 0}
    with pytest.raises(AirflowFailException):
        send(run, context(store), **arguments, concurrency=1)
    before = len(emulator.messages)
    with pytest.raises(AirflowFailException):
        send(run, context(store, max_tries=1), **arguments, concurrency=1, on_clear="resend_all")
    assert len(emulator.messages) == 2 * before > 0


def test_send_messages_killed_while_repairing_sends_each_again_once(emulator: Emulator, run, monkeypatch):
    """The undelivered message of the first try is not taken for the one that the killed repair sent."""
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?timeout=1")
    people = [*numbers(3), UNDELIVERED, "+15005559005"]
    arguments: dict[str, Any] = {
        "recipients": people,
        "max_failures": 0,
        "wait_for_delivery": True,
        "poll_interval": 0.1,
        "reconcile_timeout": 0.5,
        "concurrency": 1,
    }
    store = CrashingStore(emulator, 1_000_000)
    with pytest.raises(AirflowFailException, match="2 were not delivered"):
        send(run, context(store), **arguments)
    store.count = 6  # the repair sends one of two, and is killed
    emulator.fail_next(1, status=401, method="POST", skip=1)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, context(store, max_tries=1), **arguments)
    store.restart()
    with pytest.raises(AirflowFailException, match="2 were not delivered"):
        send(run, context(store, max_tries=1), **arguments)
    assert sent_to(emulator) == Counter(people) + Counter(people[3:])


# ---------------------------------------------------------------- dry run


@pytest.mark.parametrize("finished", [False, True])
def test_send_messages_dry_run_after_a_try_reports_messages_that_were_sent(
    emulator: Emulator, run, monkeypatch, tmp_path: Path, finished: bool
):
    store, results = Store(), tmp_path / "table.jsonl"
    arguments: dict[str, Any] = {"recipients": numbers(10), "results": str(results), "concurrency": 1}
    if not finished:
        emulator.fail_next(1, status=401, skip=4)
        with pytest.raises(AirflowFailException):
            send(run, context(store), **arguments)
    else:
        send(run, context(store), **arguments)
    sent = len(emulator.messages)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    summary = send(run, context(store), **arguments)
    assert (summary["sent"], len(emulator.messages)) == (sent, sent)
    outcomes = Counter(json.loads(line)["outcome"] for line in results.read_text().splitlines())
    assert outcomes == ({"sent": 10} if finished else {"sent": 4, "dry-run": 6})
    assert ("status" in summary) is not finished


def test_send_messages_dry_run_after_a_crash_reports_unknown_outcomes(emulator: Emulator, run, monkeypatch, tmp_path):
    store, results = CrashingStore(emulator, 4), tmp_path / "table.jsonl"
    arguments: dict[str, Any] = {"recipients": numbers(10), "results": str(results), "concurrency": 1}
    emulator.fail_next(1, status=401, skip=4)
    with pytest.raises(AirflowFailException):
        send(run, context(store), **arguments)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    summary = send(run, context(store), **arguments)
    assert (summary["sent"], summary["unknown"], summary["status"]) == (0, 10, "dry-run")
    outcomes = Counter(json.loads(line)["outcome"] for line in results.read_text().splitlines())
    assert outcomes == {"unknown": 10}


# ---------------------------------------------------------------- signals


def kill_when(task: SendMessagesOperator, emulator: Emulator, count: int) -> threading.Thread:
    """Kill a task, as SIGTERM does, when the emulator has a number of messages."""

    def kill() -> None:
        deadline = time.monotonic() + 20
        while len(emulator.messages) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        task.on_kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    return killer


def test_send_messages_killed_says_what_it_sent_and_resumes_at_once(emulator: Emulator, run):
    emulator.quirks.set(latency=0.05)
    arguments: dict[str, Any] = {"recipients": numbers(300), "from_": SENDER, "body": "hello", "concurrency": 20}
    task_context: Any = context()
    task = SendMessagesOperator(task_id="task", **arguments)
    killer = kill_when(task, emulator, 50)
    with pytest.raises(asyncio.CancelledError, match=r"\d+ of 300 messages have an outcome.*The next try"):
        task.execute(task_context)
    killer.join()
    emulator.quirks.set(latency=0)
    started = time.monotonic()
    assert send(run, task_context, **arguments)["sent"] == 300
    assert time.monotonic() - started < 10  # a reconciliation would wait for 90 s
    assert set(sent_to(emulator).values()) == {1}


@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
def test_send_messages_marked_failed_cancels_scheduled_messages(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, state: str
):
    from airflow_provider_twilio._airflow import compat

    monkeypatch.setattr(compat, "get_task_state", lambda ti: state)
    arguments = {**scheduled(create_service(emulator)), "concurrency": 10}
    emulator.quirks.set(latency=0.02)
    task = SendMessagesOperator(
        task_id="task",
        recipients=numbers(200),
        body="hello",
        **arguments,
    )
    killer = kill_when(task, emulator, 30)
    with pytest.raises(asyncio.CancelledError):
        task.execute(context())  # type: ignore[arg-type]
    killer.join()
    statuses = Counter(message["status"] for message in emulator.messages)
    assert set(statuses) == ({"canceled"} if state == "failed" else {"scheduled"})


@pytest.mark.parametrize(("outcomes", "warns"), [(["?", None], True), ([None], False)])
def test_send_messages_marked_failed_warns_about_unknown_sids(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys, outcomes: list[Any], warns: bool
):
    from airflow_provider_twilio._airflow import compat

    monkeypatch.setattr(compat, "get_task_state", lambda ti: "failed")
    task = SendMessagesOperator(
        task_id="task", recipients=numbers(2), body="hello", **scheduled(create_service(emulator))
    )
    store = Store()
    store.values["twilio_bulk.0.0"] = {"outcomes": outcomes}
    run = BulkRun(TaskStateStore(store), {"generation": 0})
    task._cancel_if_killed(context(store), task.hook.client.settings, run)  # type: ignore[arg-type]
    assert ("Up to 1 more messages may be scheduled" in capsys.readouterr().out) is warns
