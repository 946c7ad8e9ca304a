"""Sending and waiting in one task: both ways of waiting come to the same, and what is stopped with a worker's task."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import TaskDeferred
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from tests.support.scripted import Answer, Scripted

TO, FROM = "+14155550123", "+15005550006"
STUCK, TALKS = "+15005559016", "+15005559105"
"""Who is never delivered to, and who talks for an hour."""
TWIML = "<Response><Pause length='60'/></Response>"


# ---------------------------------------------------------------- on a worker and deferred


async def first_event(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


def waited(deferrable: bool, **arguments: Any) -> Any:
    """Run a task to its end, over its deferral, and give what it returns."""

    def task() -> SendMessageOperator:
        return SendMessageOperator(
            task_id="task", wait_for_delivery=True, deferrable=deferrable, poll_interval=0.05, **arguments
        )

    context: Any = {}
    if not deferrable:
        return task().execute(context)
    with pytest.raises(TaskDeferred) as caught:
        task().execute(context)
    deferred = caught.value
    assert "the text" not in json.dumps([deferred.trigger.serialize(), deferred.kwargs])
    event = asyncio.run(first_event(deferred.trigger))
    return task().resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)


@pytest.mark.parametrize("include_body", [True, False])
def test_what_goes_to_xcom_is_the_same_deferred(emulator: Emulator, include_body: bool):
    arguments: dict[str, Any] = {"to": TO, "from_": FROM, "body": "the text", "include_body": include_body}
    here, deferred = waited(False, **arguments), waited(True, **arguments)
    assert here.keys() == deferred.keys()
    assert here.get("body") == deferred.get("body") == ("the text" if include_body else None)
    assert [record["status"] for record in (here, deferred)] == ["delivered"] * 2


def test_a_deferred_body_that_is_gone_is_left_out(emulator: Emulator):
    task = SendMessageOperator(task_id="task", to=TO, from_=FROM, body="x", include_body=True, wait_for_delivery=True)
    event = {"outcome": "reached", "sid": "SM" + "0" * 32, "status": "delivered"}
    context: Any = {}
    assert "body" not in task.execute_complete(context, event, {"sid": event["sid"]})


def test_an_answer_that_makes_no_sense_is_waited_on(monkeypatch: pytest.MonkeyPatch):
    """It is sent by then: no retry would find another answer."""
    odd = {"sid": "SM" + "0" * 32, "status": "sent", "date_updated": "soon"}
    with Scripted(Answer(201, odd), Answer(200, odd), Answer(200, {**odd, "status": "delivered"})) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        told = waited(False, to=TO, from_=FROM, body="x", sent_grace=1)
    assert told["status"] == "delivered"


@pytest.mark.parametrize(
    ("options", "clear_kills"),
    [({}, True), ({"on_clear": "skip"}, False), ({"on_clear": "skip", "once": False}, True)],
)
def test_the_trigger_knows_what_clear_does(options: dict[str, Any], clear_kills: bool):
    for task in (
        SendMessageOperator(task_id="task", to=TO, body="x", **options),
        CreateCallOperator(task_id="task", to=TO, twiml=TWIML, **options),
    ):
        told = task._build_trigger(task.sample_sid, started=0).arguments["on_clear"]
        assert told == ("resend" if clear_kills else "skip")


# ---------------------------------------------------------------- a worker's task that is killed


@pytest.fixture
def service(emulator: Emulator) -> str:
    hook = SendMessageOperator(task_id="task", to=TO, body="x").hook
    services = "https://messaging.twilio.com/v1/Services"
    made = str(hook.request("POST", services, {"FriendlyName": "tests"})["sid"])
    hook.request("POST", f"{services}/{made}/PhoneNumbers", {"PhoneNumberSid": emulator.numbers[0]["sid"]})
    return made


class Ended(BaseException):
    """What ends a wait here, whatever it is at; on a worker it is SIGKILL, some seconds after the signal."""


class Kill:
    """Airflow's way to kill a task on a worker: a signal, upon which it calls on_kill and lets the task go on.

    :ivar state: what the task's state is by then.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state: str | None = "failed"
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states", self._states)

    def _states(self, **asked: Any) -> Any:
        assert asked == {"dag_id": "dag", "task_ids": ["task"], "run_ids": ["run"], "map_index": -1}
        return {"run": {"task": self.state}}

    @contextmanager
    def _signal(self, task: SendAndWaitOperator, then: Callable[[], object]) -> Iterator[None]:
        def handle(*_: object) -> None:
            task.on_kill()
            then()
            raise Ended

        def strike() -> None:
            while task._active_wait is None and not over.is_set():
                time.sleep(0.01)
            if not over.wait(0.3):  # as it waits by then
                os.kill(os.getpid(), signal.SIGALRM)

        over, before = threading.Event(), signal.signal(signal.SIGALRM, handle)
        striking = threading.Thread(target=strike, daemon=True)
        striking.start()
        try:
            yield
        finally:
            over.set()
            striking.join()
            signal.signal(signal.SIGALRM, before)

    def __call__(self, task: SendAndWaitOperator, then: Callable[[], object] = bool) -> None:
        """Run a task, and kill it while it waits."""
        ti = SimpleNamespace(
            dag_id="dag", task_id="task", run_id="run", map_index=-1, max_tries=0, try_number=1, start_date=None
        )
        ti.xcom_push = lambda **_: None
        ti.xcom_pull = lambda **_: []
        with self._signal(task, then), pytest.raises(Ended):
            task.execute({"ti": ti})  # type: ignore[arg-type,typeddict-item,unused-ignore]


@pytest.fixture
def kill(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Kill:
    return Kill(monkeypatch)


def scheduled(service: str, **options: Any) -> SendMessageOperator:
    return SendMessageOperator(
        task_id="task",
        to=TO,
        messaging_service_sid=service,
        body="x",
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
        wait_for_delivery=True,
        deferrable=False,
        **options,
    )


def talking(**options: Any) -> CreateCallOperator:
    arguments: dict[str, Any] = {"wait_for_completion": True, "deferrable": False, "poll_interval": 0.1, **options}
    return CreateCallOperator(task_id="task", to=TALKS, from_=FROM, twiml=TWIML, **arguments)


STATES = pytest.mark.parametrize(
    ("state", "stopped"),
    [
        ("failed", True),
        ("success", False),
        ("restarting", True),  # cleared
        ("running", False),  # the worker is shut down
        ("up_for_retry", False),  # it was not heard of for too long
    ],
)


@STATES
def test_a_scheduled_message_is_canceled_if_a_user_kills_its_task(
    emulator: Emulator, kill: Kill, service: str, state: str | None, stopped: bool
):
    kill.state = state
    kill(scheduled(service))
    assert emulator.messages[0]["status"] == ("canceled" if stopped else "scheduled")


@STATES
def test_a_call_is_hung_up_if_a_user_kills_its_task(emulator: Emulator, kill: Kill, state: str | None, stopped: bool):
    kill.state = state
    kill(talking(hang_up_on_kill=True))
    assert emulator.calls[0]["status"] == ("completed" if stopped else "in-progress")


@pytest.mark.parametrize(("state", "status"), [("failed", "canceled"), ("restarting", "scheduled")])
def test_a_cleared_task_that_waits_on_for_the_same_stops_nothing(
    emulator: Emulator, kill: Kill, service: str, state: str, status: str
):
    kill.state = state
    kill(scheduled(service, on_clear="skip"))
    assert emulator.messages[0]["status"] == status


def test_what_was_not_to_be_stopped_is_left(emulator: Emulator, kill: Kill):
    kill(talking())
    kill(SendMessageOperator(task_id="task", to=STUCK, from_=FROM, body="x", wait_for_delivery=True, deferrable=False))
    assert emulator.journal.count("POST") == 2


def test_what_can_no_longer_be_stopped_raises_nothing(emulator: Emulator, kill: Kill):
    emulator.fail_next(1, status=400, code=21220, method="POST", path="Calls/CA")
    kill(talking(hang_up_on_kill=True))
    assert [entry.status for entry in emulator.journal.find("POST", "Calls/CA")] == [400]


def test_a_timeout_of_the_task_stops_nothing(emulator: Emulator, kill: Kill, service: str):
    """Airflow calls on_kill after it, too, and then tries again."""
    kill.state = "running"
    task = scheduled(service)
    kill(task)
    kill.state = "failed"
    task.on_kill()
    assert emulator.messages[0]["status"] == "scheduled"


def test_on_kill_while_nothing_is_waited_for(emulator: Emulator):
    began = time.monotonic()
    talking(hang_up_on_kill=True).on_kill()
    assert emulator.journal.count() == 0
    assert time.monotonic() - began < 1
