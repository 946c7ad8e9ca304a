"""Deferrals have a timeout, and a task whose trigger was never run ends as at its deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.operator import TriggerFailureReason

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_provider_twilio._airflow.deferral import TRIGGER_GRACE, WAIT_KEY, stored_wait, trigger_timeout
from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator
from airflow_provider_twilio.operators.bulk import SendMessagesOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

FROM, TO, NEVER_FINAL = "+15005550006", "+14155550100", "+15005559016"
TIMED_OUT = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with serve() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        yield emulator


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any, **options: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def task_context(*, with_store: bool = True) -> Any:
    xcoms: dict[str, Any] = {}

    def xcom_push(key: str, value: Any) -> None:
        xcoms[key] = value

    def xcom_pull(task_ids: Any = None, *, key: str = "return_value", map_indexes: Any = None) -> Any:
        value = xcoms.get(key)
        return value if isinstance(task_ids, str) else [value]

    ti = SimpleNamespace(
        dag_id="dag",
        run_id="run",
        task_id="task",
        map_index=-1,
        max_tries=2,
        try_number=1,
        start_date=None,
        xcoms=xcoms,
    )
    ti.xcom_push = xcom_push
    ti.xcom_pull = xcom_pull
    return {"ti": ti, **({"task_state_store": Store()} if with_store else {})}


def defer(task: Any, context: dict[str, Any]) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def resume(task: Any, context: dict[str, Any]) -> Any:
    return task.resume_execution("__fail__", dict(TIMED_OUT), context)


def message_operator(to: str = TO, **options: Any) -> SendMessageOperator:
    return SendMessageOperator(
        task_id="task", to=to, from_=FROM, body="hello", wait_for_delivery=True, deferrable=True, **options
    )


def test_trigger_timeout_has_a_grace():
    assert TRIGGER_GRACE >= 60
    assert 159 < trigger_timeout(time.time() + 100).total_seconds() <= 160
    assert trigger_timeout(time.time() - 1000).total_seconds() == TRIGGER_GRACE


@pytest.mark.parametrize(
    "task",
    [
        message_operator(wait_timeout=100),
        CreateCallOperator(
            task_id="task", to=TO, from_=FROM, say="x", wait_for_completion=True, deferrable=True, wait_timeout=100
        ),
        ApproveBySmsOperator(task_id="task", to=TO, from_=FROM, question="Go?", deferrable=True, wait_timeout=100),
        SendMessagesOperator(
            task_id="task",
            recipients=[TO],
            from_=FROM,
            body="x",
            wait_for_delivery=True,
            deferrable=True,
            wait_timeout=100,
        ),
    ],
    ids=lambda task: type(task).__name__,
)
def test_operator_deferral_times_out_after_the_deadline(emulator: Emulator, task: Any):
    deferred = defer(task, task_context())
    assert deferred.timeout is not None
    assert 155 < deferred.timeout.total_seconds() <= 160


def test_sensor_deferral_times_out_after_the_deadline(emulator: Emulator):
    sid = message_operator(NEVER_FINAL).hook.messages.create(to=NEVER_FINAL, from_=FROM, body="x").sid
    deferred = defer(
        MessageDeliverySensor(task_id="task", message_sid=sid, deferrable=True, timeout=100), task_context()
    )
    assert deferred.timeout is not None
    assert 155 < deferred.timeout.total_seconds() <= 160


@pytest.mark.parametrize("with_store", [True, False])
def test_operator_without_triggerer_succeeds_if_delivered_meanwhile(emulator: Emulator, with_store: bool):
    task, context = message_operator(), task_context(with_store=with_store)
    defer(task, context)
    emulator.clock.advance(minutes=5)
    reads = emulator.journal.count("GET")
    result = resume(message_operator(), context)
    assert (result["sid"], result["status"], result["to"]) == (emulator.messages[0]["sid"], "delivered", TO)
    assert emulator.journal.count("POST") == 1
    assert emulator.journal.count("GET") - reads == 1  # a second fetch of the record could fail


@pytest.mark.parametrize("with_store", [True, False])
def test_operator_without_triggerer_fails_as_at_the_deadline(emulator: Emulator, with_store: bool):
    task, context = message_operator(NEVER_FINAL), task_context(with_store=with_store)
    defer(task, context)
    with pytest.raises(AirflowFailException, match="no final status at the deadline"):
        resume(message_operator(NEVER_FINAL), context)
    assert emulator.journal.count("POST") == 1


@pytest.mark.parametrize(("soft_fail", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_sensor_without_triggerer_ends_as_in_poke_mode(emulator: Emulator, soft_fail: bool, error: type[Exception]):
    sid = message_operator().hook.messages.create(to=NEVER_FINAL, from_=FROM, body="x").sid
    task = MessageDeliverySensor(task_id="task", message_sid=sid, deferrable=True, timeout=100, soft_fail=soft_fail)
    context = task_context()
    defer(task, context)
    with pytest.raises(error, match="Skipping due to soft_fail" if soft_fail else "no final status at the deadline"):
        resume(task, context)


def test_sensor_without_triggerer_succeeds_if_delivered_meanwhile(emulator: Emulator):
    sid = message_operator().hook.messages.create(to=TO, from_=FROM, body="x").sid
    task = MessageDeliverySensor(task_id="task", message_sid=sid, deferrable=True, timeout=100)
    context = task_context()
    defer(task, context)
    emulator.clock.advance(minutes=5)
    assert resume(task, context)["status"] == "delivered"


def test_approval_without_triggerer_reads_the_reply(emulator: Emulator):
    def task() -> ApproveBySmsOperator:
        return ApproveBySmsOperator(
            task_id="task", to=TO, from_=FROM, question="Go?", deferrable=True, code=False, wait_timeout=3600
        )

    context = task_context()
    defer(task(), context)
    emulator.receive_message("YES", from_=TO, to=FROM)
    assert resume(task(), context)["answer"] == "yes"
    assert emulator.journal.count("POST", "Messages.json") == 1


def test_bulk_send_without_triggerer_counts_once_more(emulator: Emulator, tmp_path: Path):
    def task() -> SendMessagesOperator:
        return SendMessagesOperator(
            task_id="task", recipients=[TO, NEVER_FINAL], from_=FROM, body="x", wait_for_delivery=True,
            deferrable=True, wait_timeout=100, checkpoint_path=str(tmp_path),
        )  # fmt: skip

    context = task_context()
    defer(task(), context)
    emulator.clock.advance(minutes=5)
    summary = resume(task(), context)
    assert (summary["sent"], summary["delivered"], summary["waiting"]) == (2, 1, 1)
    assert len(emulator.messages) == 2


def test_resume_execution_leaves_other_failures_alone(emulator: Emulator):
    task, context = message_operator(), task_context()
    defer(task, context)
    emulator.clock.advance(minutes=5)
    with pytest.raises(Exception, match=r"(?i)trigger.failure"):
        task.resume_execution("__fail__", {"error": TriggerFailureReason.TRIGGER_FAILURE}, context)
    event = {"sid": emulator.messages[0]["sid"], "outcome": "reached", "reason": None, "status": "delivered"}
    result = task.resume_execution("execute_complete", {"event": event, "record": {"to": TO}}, context)
    assert (result["status"], result["to"]) == ("delivered", TO)


@pytest.mark.parametrize(
    "task",
    [message_operator(), ApproveBySmsOperator(task_id="task", to=TO, from_=FROM, question="Go?", deferrable=True)],
    ids=lambda task: type(task).__name__,
)
def test_stored_wait_contains_no_phone_number(emulator: Emulator, task: Any):
    context = task_context()
    defer(task, context)
    wait = stored_wait(context)
    assert wait["sid"] == emulator.messages[0]["sid"]
    assert not [number for number in (FROM, TO) if number.removeprefix("+") in str(wait)]


def test_stored_wait_missing_names_the_xcom():
    with pytest.raises(LookupError, match=WAIT_KEY):
        stored_wait(task_context())
