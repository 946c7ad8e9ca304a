"""Stopping a message or call when a user kills a deferred task, and leaving it in all other cases."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import get_task_state
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.triggers._stopping import SURVIVING_STATES
from airflow_provider_twilio.triggers.calls import CallCompletionTrigger
from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger


def send(emulator: Emulator, to: str = "+15005559016") -> str:
    return str(TwilioHook().messages.create(to=to, from_=emulator.phone_number, body="the text").sid)


class States:
    """A stand-in for Airflow's API: the states of tasks, and the XCom with the link."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.response: Any = {}
        self.delay = 0.0
        self.requests: list[dict[str, Any]] = []
        self.link: Any = None
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states", self)
        monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_one", self.get_one)

    def get_one(self, **parameters: Any) -> Any:
        assert parameters["key"] == "twilio_log_link"
        if isinstance(self.link, Exception):
            raise self.link
        return self.link

    def __call__(self, **parameters: Any) -> Any:
        self.requests.append(parameters)
        time.sleep(self.delay)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> States:
    return States(monkeypatch)


def task_instance(map_index: int = -1) -> Any:
    return SimpleNamespace(dag_id="dag", task_id="task", run_id="run", map_index=map_index)


@pytest.mark.parametrize(("map_index", "key"), [(-1, "task"), (0, "task_0"), (12, "task_12")])
@pytest.mark.parametrize(
    ("state", "killed"),
    [
        ("failed", True),
        (None, True),
        ("scheduled", True),
        ("queued", True),
        ("running", True),
        ("deferred", False),
        ("success", False),
        ("skipped", False),
    ],
)
def test_get_task_state_and_surviving_states_identify_a_kill(
    states: States, map_index: int, key: str, state: str | None, killed: bool
):
    states.response = {"run": {key: state}}
    assert get_task_state(task_instance(map_index)) == state
    assert (state not in SURVIVING_STATES) is killed
    assert states.requests == [{"dag_id": "dag", "task_ids": ["task"], "run_ids": ["run"], "map_index": map_index}]


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"run": {}},
        {"other": {"task": "failed"}},
        {"run": {"task_1": "failed"}},
        None,
        RuntimeError("no supervisor"),
    ],
    ids=str,
)
def test_get_task_state_unreadable_counts_as_surviving(states: States, response: Any):
    states.response = response
    assert get_task_state(task_instance()) in SURVIVING_STATES
    assert get_task_state(None) in SURVIVING_STATES


@pytest.mark.parametrize("killed", [True, False])
def test_trigger_on_kill_failed_task_cancels_scheduled_message(emulator: Emulator, states: States, killed: bool):
    sid = send(emulator)
    emulator.set_message_status(sid, "scheduled")
    states.response = {"run": {"task": "failed" if killed else "deferred"}}
    for cancel in (False, True):
        trigger = MessageDeliveryTrigger(sid, cancel_on_kill=cancel)
        trigger.task_instance = task_instance()
        asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == ("canceled" if killed else "scheduled")
    assert emulator.journal.count("POST", sid) == int(killed)


@pytest.mark.parametrize(
    ("state", "canceled"),
    [("failed", True), (None, False), ("scheduled", False), ("queued", False), ("running", False)],
)
def test_trigger_on_kill_cleared_task_with_on_clear_skip_stops_nothing(
    emulator: Emulator, states: States, state: str | None, canceled: bool
):
    sid = send(emulator)
    emulator.set_message_status(sid, "scheduled")
    states.response, states.link = {"run": {"task": state}}, f"http://127.0.0.1:8765/#{sid}"
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True, on_clear="skip")
    trigger.task_instance = task_instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == ("canceled" if canceled else "scheduled")


@pytest.mark.parametrize("state", ["deferred", "success"])
@pytest.mark.parametrize(
    ("link", "canceled"),
    [
        (f"http://127.0.0.1:8765/#SM{'1' * 32}", True),
        ("http://127.0.0.1:8765/#{sid}", False),
        ("https://www.twilio.com/console/sms/logs/{sid}?x-target-region=ie1", False),
        (None, False),
        (RuntimeError("no answer"), False),
    ],
)
def test_trigger_on_kill_cleared_task_waiting_for_another_record_stops_the_first(
    emulator: Emulator, states: States, state: str, link: Any, canceled: bool
):
    sid = send(emulator)
    emulator.set_message_status(sid, "scheduled")
    states.response = {"run": {"task": state}}
    states.link = link.format(sid=sid) if isinstance(link, str) else link
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = task_instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == ("canceled" if canceled else "scheduled")


async def test_trigger_on_kill_canceled_by_airflow_still_stops_message(emulator: Emulator, states: States):
    sid = send(emulator)
    emulator.set_message_status(sid, "scheduled")
    states.response, states.delay = {"run": {"task": "failed"}}, 0.5
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = task_instance()
    on_kill = asyncio.create_task(trigger.on_kill())
    await asyncio.sleep(0.1)
    on_kill.cancel()
    with pytest.raises(asyncio.CancelledError):
        await on_kill
    async with asyncio.timeout(10):
        while emulator.messages[0]["status"] != "canceled":  # noqa: ASYNC110 (a server signals no event)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("to", ["+14155550100", "+15005559105", "+15005559101"])
def test_trigger_on_kill_killed_task_hangs_up(emulator: Emulator, states: States, to: str):
    call = TwilioHook().calls.create(to=to, from_=emulator.phone_number, twiml="<Response><Pause/></Response>")
    states.response = {"run": {"task": None}}
    trigger = CallCompletionTrigger(str(call.sid), hang_up_on_kill=True)
    trigger.task_instance = task_instance()
    emulator.clock.advance(2 if to == "+15005559105" else 0)
    asyncio.run(trigger.on_kill())
    assert emulator.calls[0]["status"] in ("completed", "canceled", "busy")


def test_trigger_on_kill_delivered_message_is_left(emulator: Emulator, states: States):
    sid = send(emulator, "+14155550100")
    emulator.clock.advance(10)
    states.response = {"run": {"task": "failed"}}
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = task_instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == "delivered"
    assert emulator.journal.count("POST", sid) == 1


def test_trigger_on_kill_after_deadline_stops_nothing(emulator: Emulator, states: States):
    """The task may have failed by itself, with the event of another triggerer."""
    sid = send(emulator)
    emulator.set_message_status(sid, "scheduled")
    states.response = {"run": {"task": "failed"}}
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True, deadline=time.time() - 1)
    trigger.task_instance = task_instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == "scheduled"
    assert not states.requests
