"""Own the stored state of a send: an earlier process of the task that is still alive sends nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_twilio.api.errors import OutcomeUnknown
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.idempotency.clock import SendClock
from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from airflow_provider_twilio.runtime.idempotency.journal import SendJournal, TakenOver
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingEntry, SiblingRegistry
from tests.support.send_once import STORED, Killed, Task, connection, message, sids


def retry_of(sender: Task) -> Task:
    """Return the next try of a task, in a process of its own."""
    retry = Task(sender.emulator)
    retry.state = sender.state
    return retry


def during_sleep(sender: Task, action: Callable[[], object], *, after: float = 0.0) -> None:
    """Run an action once, while the task sleeps."""
    original_sleep = sender.sleep
    done: list[bool] = []

    def sleep(seconds: float) -> None:
        original_sleep(seconds)
        if not done and sender.counts["slept"] > after:
            done.append(True)
            action()

    sender.sleep = sleep  # type: ignore[method-assign]


def test_send_once_superseded_during_backoff_does_not_send(sender: Task, emulator: Emulator):
    """The retry reconciles, and sends the message, while the earlier process backs off."""
    retry, records = retry_of(sender), []
    during_sleep(sender, lambda: records.append(retry.run(message())))
    emulator.fail_next(method="POST", status=429, retry_after=0.01)
    assert sender.run(message())["sid"] == records[0]["sid"]
    assert sids(emulator) == [records[0]["sid"]]


def test_send_once_superseded_by_reconciling_retry_does_not_send(sender: Task, emulator: Emulator):
    """The earlier process wakes while the retry still polls: it leaves the request to the retry."""
    retry = retry_of(sender)

    def kill() -> None:
        raise Killed

    def start_retry() -> None:
        during_sleep(retry, kill, after=3)
        with pytest.raises(Killed):
            retry.run(message())

    during_sleep(sender, start_retry)
    emulator.fail_next(method="POST", status=429, retry_after=0.01)
    with pytest.raises(OutcomeUnknown, match=r"another process of this task has taken over.*did not send"):
        sender.run(message())
    assert not sids(emulator)
    record = retry_of(sender).run(message())
    assert sids(emulator) == [record["sid"]]


def test_send_once_superseded_before_first_request_does_not_send(sender: Task, emulator: Emulator):
    """The process is suspended while it completes its request, such as with an available number."""
    retry, records = retry_of(sender), []

    def suspend(request: Request[Message]) -> Request[Message]:
        sender.sleep(600)
        records.append(retry.run(message()))
        return request

    assert sender.run(message(), finalize_request=suspend)["sid"] == records[0]["sid"]
    assert sids(emulator) == [records[0]["sid"]]


def test_send_once_reconciling_rereads_intent_of_earlier_process(sender: Task, emulator: Emulator):
    """An earlier process overwrites the intent and sends late: the retry waits for its message."""
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    earlier_state, retry = json.loads(sender.state["k"]), retry_of(sender)

    def overwrite() -> None:
        sender.state["k"] = json.dumps({**earlier_state, "sent_at": retry.now().isoformat()})

    def send_late() -> None:
        with Client(connection(emulator)) as other:
            late.append(other.send(message())["sid"])

    late: list[str] = []
    during_sleep(retry, overwrite, after=50)
    during_sleep(retry, send_late, after=100)
    assert [retry.run(message())["sid"]] == late == sids(emulator)


def test_send_once_reconciling_returns_record_of_earlier_process(sender: Task, emulator: Emulator):
    """The response arrives at the earlier process, which stores its SID, while the list does not show the record."""
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    emulator.quirks.set(list_lag=10_000)
    retry = retry_of(sender)

    def complete() -> None:
        with Client(connection(emulator)) as other:
            sid = other.send(message())["sid"]
        sender.state["k"] = json.dumps({"sid": sid, "sent_at": retry.now().isoformat()})

    during_sleep(retry, complete, after=20)
    assert [retry.run(message())["sid"]] == sids(emulator)
    assert retry.counts["slept"] < 60


def test_send_once_superseded_after_timeout_does_not_send(sender: Task, emulator: Emulator):
    """Both processes reconcile; only the later one sends again."""
    emulator.fail_next(method="POST", status=500)
    retry, records = retry_of(sender), []
    during_sleep(sender, lambda: records.append(retry.run(message())), after=5)
    assert sender.run(message())["sid"] == records[0]["sid"]
    assert sids(emulator) == [records[0]["sid"]]


def test_send_once_searching_without_state_waits_for_earlier_process(sender: Task, emulator: Emulator):
    """An earlier process stores its intent, and sends, while the retry searches the list for the first time."""
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    earlier_state, retry = sender.state.pop("k"), retry_of(sender)
    original_list = retry.entries

    def entries() -> list[SiblingEntry]:
        sender.state.setdefault("k", earlier_state)
        return original_list()

    def send_late() -> None:
        with Client(connection(emulator)) as other:
            late.append(other.send(message())["sid"])

    late: list[str] = []
    retry.entries = entries  # type: ignore[method-assign]
    during_sleep(retry, send_late, after=20)
    record = retry.run(message(), possible_since=retry.now(), is_probably_unsent=True)
    assert [record["sid"]] == late == sids(emulator)


def test_send_journal_of_two_processes_with_one_generation_has_one_owner(sender: Task):
    """Both take over the intent that an earlier process has stored, before either has stored its own."""
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    sender.steps_left = None
    with sender.client() as client:
        clock = SendClock(sender, client.twilio_clock)
        registry = SiblingRegistry(None, KeyedHash("secret"), clock)
        first, second = (SendJournal(sender, "k", clock, registry) for _ in range(2))
        intents = [Intent.from_json(journal.load() or {}) for journal in (first, second)]
        for journal, intent in zip((first, second), intents, strict=True):
            journal.take_over(intent)
    second.check_owner()
    with pytest.raises(TakenOver):
        first.check_owner()
