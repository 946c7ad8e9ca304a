"""Operators that send and wait: waiting on a worker and deferred, and stopping the record when the task is killed."""

from __future__ import annotations

import asyncio
import json
import math
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

from airflow_provider_twilio._airflow.compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.runtime.polling import blocking
from airflow_provider_twilio.runtime.polling.blocking import wait_blocking
from airflow_provider_twilio.runtime.polling.events import WaitEvent
from tests.support.scripted import ScriptedResponse, ScriptedServer

TO, FROM = "+14155550123", "+15005550006"
NEVER_DELIVERED, TALKS_FOR_AN_HOUR = "+15005559016", "+15005559105"
TWIML = "<Response><Pause length='60'/></Response>"


# ---------------------------------------------------------------- on a worker and deferred


async def first_event(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


def run_to_end(deferrable: bool, **arguments: Any) -> Any:
    """Run a task until it has ended, across its deferral, and return its result."""

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
def test_send_and_wait_deferred_returns_the_same_record(emulator: Emulator, include_body: bool):
    arguments: dict[str, Any] = {"to": TO, "from_": FROM, "body": "the text", "include_body": include_body}
    on_worker, deferred = run_to_end(False, **arguments), run_to_end(True, **arguments)
    assert on_worker.keys() == deferred.keys()
    assert on_worker.get("body") == deferred.get("body") == ("the text" if include_body else None)
    assert [record["status"] for record in (on_worker, deferred)] == ["delivered"] * 2


def test_send_and_wait_body_of_missing_message_is_left_out(emulator: Emulator):
    task = SendMessageOperator(task_id="task", to=TO, from_=FROM, body="x", include_body=True, wait_for_delivery=True)
    event: WaitEvent = {"outcome": "reached", "reason": None, "sid": "SM" + "0" * 32, "status": "delivered"}
    context: Any = {}
    assert "body" not in task.execute_complete(context, event, {"sid": event["sid"]})


def test_send_and_wait_malformed_record_continues(monkeypatch: pytest.MonkeyPatch):
    """The message is sent by then, and a retry would get the same record."""
    malformed = {"sid": "SM" + "0" * 32, "status": "sent", "date_updated": "soon"}
    with ScriptedServer(
        ScriptedResponse(201, malformed),
        ScriptedResponse(200, malformed),
        ScriptedResponse(200, {**malformed, "status": "delivered"}),
    ) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        record = run_to_end(False, to=TO, from_=FROM, body="x", sent_grace=1)
    assert record["status"] == "delivered"


@pytest.mark.parametrize(
    ("options", "clear_kills"),
    [({}, True), ({"on_clear": "skip"}, False), ({"on_clear": "skip", "once": False}, True)],
)
def test_operator_trigger_passes_the_effect_of_clear(options: dict[str, Any], clear_kills: bool):
    for task, sid in (
        (SendMessageOperator(task_id="task", to=TO, body="x", **options), "SM" + "0" * 32),
        (CreateCallOperator(task_id="task", to=TO, twiml=TWIML, **options), "CA" + "0" * 32),
    ):
        on_clear = task._build_trigger(task._wait_spec(1e9, sid)).arguments["on_clear"]
        assert on_clear == ("resend" if clear_kills else "skip")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sent_grace", "soon"),
        ("sent_grace", -1),
        ("resendable_codes", [(1, object())]),
        ("poll_interval", math.inf),
        ("wait_timeout", math.nan),
        ("wait_timeout", math.inf),
    ],
)
def test_send_and_wait_invalid_argument_fails_before_the_send(emulator: Emulator, name: str, value: Any):
    task = SendMessageOperator(task_id="task", to=TO, from_=FROM, body="x", wait_for_delivery=True)
    setattr(task, name, value)  # as at run time, where a mapped value is not checked on construction
    with pytest.raises(AirflowFailException, match=name):
        task.execute({})
    assert emulator.journal.count("POST") == 0


@pytest.mark.parametrize("name", ["poll_interval", "wait_timeout"])
@pytest.mark.parametrize("value", ["30", None, True, 0, -1, math.nan, math.inf])
def test_send_and_wait_bad_seconds_raise_at_parse_time(name: str, value: Any):
    arguments: dict[str, Any] = {"task_id": "task", name: value}
    with pytest.raises(BadParameter, match=f"{name} is .*: give a number of seconds above 0"):
        SendMessageOperator(to=TO, from_=FROM, body="x", **arguments)
    with pytest.raises(BadParameter, match=f"{name} is .*: give a number of seconds above 0"):
        SendMessageOperator.partial(from_=FROM, body="x", **arguments)


def test_call_and_wait_invalid_argument_fails_before_the_send(emulator: Emulator):
    answered_by: Any = [{"by": "human"}]
    with pytest.raises(AirflowFailException, match="answered_by"):
        call_operator(answered_by=answered_by).execute({})
    assert emulator.journal.count("POST") == 0


# ---------------------------------------------------------------- a task killed on a worker


@pytest.fixture
def service(emulator: Emulator) -> str:
    hook = SendMessageOperator(task_id="task", to=TO, body="x").hook
    services = "https://messaging.twilio.com/v1/Services"
    sid = str(hook.request("POST", services, {"FriendlyName": "tests"})["sid"])
    hook.request("POST", f"{services}/{sid}/PhoneNumbers", {"PhoneNumberSid": emulator.numbers[0]["sid"]})
    return sid


class Kill:
    """Airflow's way to kill a task on a worker: a signal, whose handler calls ``on_kill``. The task then ends.

    :ivar state: State of the task by then.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state: str | None = "failed"
        self.waiting = threading.Event()
        monkeypatch.setattr(blocking, "wait_blocking", self._wait)
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states", self._states)

    def _wait(self, *arguments: Any) -> Any:
        self.waiting.set()
        return wait_blocking(*arguments)

    def _states(self, **query: Any) -> Any:
        assert query == {"dag_id": "dag", "task_ids": ["task"], "run_ids": ["run"], "map_index": -1}
        return {"run": {"task": self.state}}

    @contextmanager
    def _signal(self, task: SendAndWaitOperator, then: Callable[[], object]) -> Iterator[None]:
        def handle(*_: object) -> None:
            try:
                task.on_kill()
            finally:
                then()

        def send_signal() -> None:
            while not self.waiting.wait(0.01) and not ended.is_set():
                pass
            if not ended.wait(0.3):  # the task sleeps by then
                os.kill(os.getpid(), signal.SIGALRM)

        ended, before = threading.Event(), signal.signal(signal.SIGALRM, handle)
        killer = threading.Thread(target=send_signal, daemon=True)
        killer.start()
        try:
            yield
        finally:
            ended.set()
            killer.join()
            signal.signal(signal.SIGALRM, before)

    def __call__(self, task: SendAndWaitOperator, then: Callable[[], object] = bool) -> None:
        """Run a task, and kill it while it waits."""
        self.waiting.clear()
        ti = SimpleNamespace(
            dag_id="dag", task_id="task", run_id="run", map_index=-1, max_tries=0, try_number=1, start_date=None
        )
        ti.xcom_push = lambda **_: None
        ti.xcom_pull = lambda **_: []
        with self._signal(task, then), pytest.raises(AirflowException, match="the next try continues to wait"):
            task.execute({"ti": ti})  # type: ignore[arg-type,typeddict-item,unused-ignore]


@pytest.fixture
def kill(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Kill:
    return Kill(monkeypatch)


def scheduled_operator(service: str, **options: Any) -> SendMessageOperator:
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


def call_operator(**options: Any) -> CreateCallOperator:
    arguments: dict[str, Any] = {"wait_for_completion": True, "deferrable": False, "poll_interval": 0.1, **options}
    return CreateCallOperator(task_id="task", to=TALKS_FOR_AN_HOUR, from_=FROM, twiml=TWIML, **arguments)


STATES = pytest.mark.parametrize(
    ("state", "stopped"),
    [
        ("failed", True),
        ("success", False),
        ("restarting", True),  # cleared
        ("running", False),  # the worker was shut down
        ("up_for_retry", False),  # its heartbeat was missing for too long
    ],
)


@STATES
def test_operator_on_kill_by_a_user_cancels_scheduled_message(
    emulator: Emulator, kill: Kill, service: str, state: str | None, stopped: bool
):
    kill.state = state
    kill(scheduled_operator(service))
    assert emulator.messages[0]["status"] == ("canceled" if stopped else "scheduled")


@STATES
def test_operator_on_kill_by_a_user_hangs_up(emulator: Emulator, kill: Kill, state: str | None, stopped: bool):
    kill.state = state
    kill(call_operator(hang_up_on_kill=True))
    assert emulator.calls[0]["status"] == ("completed" if stopped else "in-progress")


@pytest.mark.parametrize(("state", "status"), [("failed", "canceled"), ("restarting", "scheduled")])
def test_operator_on_kill_cleared_task_with_on_clear_skip_stops_nothing(
    emulator: Emulator, kill: Kill, service: str, state: str, status: str
):
    kill.state = state
    kill(scheduled_operator(service, on_clear="skip"))
    assert emulator.messages[0]["status"] == status


def test_operator_on_kill_without_stop_request_sends_nothing(emulator: Emulator, kill: Kill):
    kill(call_operator())
    kill(
        SendMessageOperator(
            task_id="task", to=NEVER_DELIVERED, from_=FROM, body="x", wait_for_delivery=True, deferrable=False
        )
    )
    assert emulator.journal.count("POST") == 2


def test_operator_on_kill_rejected_stop_request_raises_nothing(emulator: Emulator, kill: Kill):
    emulator.fail_next(1, status=400, code=21220, method="POST", path="Calls/CA")
    kill(call_operator(hang_up_on_kill=True))
    assert [entry.status for entry in emulator.journal.find("POST", "Calls/CA")] == [400]


def test_operator_on_kill_after_task_timeout_stops_nothing(emulator: Emulator, kill: Kill, service: str):
    """Airflow calls on_kill after a timeout, too, and then retries the task."""
    kill.state = "running"
    task = scheduled_operator(service)
    kill(task)
    kill.state = "failed"
    task.on_kill()
    assert emulator.messages[0]["status"] == "scheduled"


def test_operator_on_kill_without_wait_returns_at_once(emulator: Emulator):
    started = time.monotonic()
    call_operator(hang_up_on_kill=True).on_kill()
    assert emulator.journal.count() == 0
    assert time.monotonic() - started < 1
