"""What the triggers share: arguments, the poll, what they do when a task is killed, and how an event ends a task."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import time
import weakref
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    get_task_state,
)
from airflow_provider_twilio._airflow.outcome import raise_for_event
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.triggers.base import SURVIVING_STATES, WaitTrigger
from airflow_provider_twilio.triggers.calls import CallCompletionTrigger
from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

MESSAGE, CALL = "SM" + "0" * 32, "CA" + "0" * 32
TRIGGERS: list[tuple[Any, str, dict[str, Any]]] = [
    (
        MessageDeliveryTrigger,
        MESSAGE,
        {
            "twilio_conn_id": "other",
            "account_sid": "AC" + "1" * 32,
            "poll_interval": 7.5,
            "deadline": 1e9,
            "not_before": 2e9,
            "created": 3e9,
            "accept_sent": True,
            "sent_grace": 60,
            "resendable_codes": [30003, 30005],
            "cancel_on_kill": True,
            "on_clear": "skip",
        },
    ),
    (
        CallCompletionTrigger,
        CALL,
        {
            "twilio_conn_id": "other",
            "account_sid": "AC" + "1" * 32,
            "poll_interval": 7.5,
            "deadline": 1e9,
            "created": 3e9,
            "accept": ["busy"],
            "answered_by": ["human"],
            "hang_up_on_kill": True,
            "on_clear": "skip",
        },
    ),
]
KINDS = pytest.mark.parametrize(("kind", "sid", "arguments"), TRIGGERS)


@KINDS
@pytest.mark.parametrize("full", [True, False])
def test_round_trip(kind: Any, sid: str, arguments: dict[str, Any], full: bool):
    trigger = kind(sid, **arguments) if full else kind(sid)
    path, kept = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(__import__(module, fromlist=[name]), name)(**kept)
    assert again.serialize() == (path, kept)
    assert (again.sid, again.goal, again.stop_request()) == (trigger.sid, trigger.goal, trigger.stop_request())
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    if full:
        assert arguments.items() <= kept.items()


@KINDS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", datetime.now(UTC)),
        ("deadline", timedelta(hours=1)),
        ("deadline", math.inf),
        ("deadline", math.nan),
        ("deadline", "soon"),
        ("created", True),
        ("poll_interval", 0),
        ("poll_interval", -1),
        ("poll_interval", "30"),
        ("twilio_conn_id", object()),
        ("account_sid", {"a": 1}),
        ("on_clear", "again"),
    ],
)
def test_what_is_no_plain_value_is_refused(kind: Any, sid: str, arguments: dict[str, Any], name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        kind(sid, **{**arguments, name: value})


@KINDS
def test_the_sid_is_held_to_its_kind(kind: Any, sid: str, arguments: dict[str, Any]):
    with pytest.raises(BadParameter, match="_sid"):
        kind(CALL if sid == MESSAGE else MESSAGE)


async def event_in_loop(trigger: WaitTrigger) -> Any:
    [told] = [told.payload async for told in trigger.run()]
    return told


def event_of(trigger: WaitTrigger) -> Any:
    return asyncio.run(event_in_loop(trigger))


def send(emulator: Emulator, to: str = "+15005559016") -> str:
    return str(TwilioHook().messages.create(to=to, from_=emulator.phone_number, body="the text").sid)


def test_it_tells_one_event(emulator: Emulator):
    sid = send(emulator, "+14155550100")
    emulator.clock.advance(10)

    async def run() -> list[Any]:
        return [told async for told in MessageDeliveryTrigger(sid, poll_interval=0.1).run()]

    [told] = asyncio.run(run())
    payload = told.payload
    assert json.loads(json.dumps(payload)) == payload
    assert (payload["sid"], payload["outcome"], payload["status"]) == (sid, "reached", "delivered")
    assert payload["price"].startswith("-0.00")
    assert {"to", "from", "body", "uri"}.isdisjoint(payload)
    assert "the text" not in str(payload)
    assert "4155550100" not in str(payload)


def test_a_wait_first_polled_after_its_deadline_gets_one_look(emulator: Emulator):
    sid = send(emulator)
    told = event_of(MessageDeliveryTrigger(sid, poll_interval=600, deadline=time.time() - 600))
    assert told["outcome"] == "timeout"
    assert emulator.journal.count("GET") == 1


def test_an_account_of_its_own(emulator: Emulator):
    other = str(TwilioHook().accounts.create(friendly_name="other").sid)
    sid = send(emulator, "+14155550100")
    arguments: dict[str, Any] = {"poll_interval": 0.1, "account_sid": other, "deadline": time.time() + 0.3}
    assert "code 20404" in event_of(MessageDeliveryTrigger(sid, **arguments, created=time.time()))["reason"]
    assert emulator.journal[-1].path == f"/2010-04-01/Accounts/{other}/Messages/{sid}.json"


def test_the_poller_keeps_no_trigger_alive(emulator: Emulator):
    async def run() -> None:
        first, second = send(emulator), send(emulator)
        trigger = MessageDeliveryTrigger(first, poll_interval=0.1)
        opening = asyncio.ensure_future(event_in_loop(trigger))
        going_on = asyncio.ensure_future(event_in_loop(MessageDeliveryTrigger(second, poll_interval=0.1)))
        emulator.set_message(first, "delivered")
        await opening
        kept = weakref.ref(trigger)
        del trigger, opening
        await asyncio.sleep(0.05)
        gc.collect()
        assert kept() is None
        emulator.set_message(second, "delivered")
        await going_on

    asyncio.run(run())


# ---------------------------------------------------------------- a task that is killed


class States:
    """Airflow's answer to what state the task is in, in the shape of its API."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Any = {}
        self.takes = 0.0
        self.asked: list[dict[str, Any]] = []
        self.link: Any = None
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance.get_task_states", self)
        monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.get_one", self.get_one)

    def get_one(self, **asked: Any) -> Any:
        assert asked["key"] == "twilio_log_link"
        if isinstance(self.link, Exception):
            raise self.link
        return self.link

    def __call__(self, **asked: Any) -> Any:
        self.asked.append(asked)
        time.sleep(self.takes)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> States:
    return States(monkeypatch)


def instance(map_index: int = -1) -> Any:
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
def test_a_state_tells_of_a_kill(states: States, map_index: int, key: str, state: str | None, killed: bool):
    states.answer = {"run": {key: state}}
    assert get_task_state(instance(map_index)) == state
    assert (state not in SURVIVING_STATES) is killed
    assert states.asked == [{"dag_id": "dag", "task_ids": ["task"], "run_ids": ["run"], "map_index": map_index}]


@pytest.mark.parametrize(
    "answer",
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
def test_what_cannot_be_told_is_no_kill(states: States, answer: Any):
    states.answer = answer
    assert get_task_state(instance()) in SURVIVING_STATES
    assert get_task_state(None) in SURVIVING_STATES


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_task_cancels_its_scheduled_message(emulator: Emulator, states: States, killed: bool):
    sid = send(emulator)
    emulator.set_message(sid, "scheduled")
    states.answer = {"run": {"task": "failed" if killed else "deferred"}}
    for cancel in (False, True):
        trigger = MessageDeliveryTrigger(sid, cancel_on_kill=cancel)
        trigger.task_instance = instance()
        asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == ("canceled" if killed else "scheduled")
    assert emulator.journal.count("POST", sid) == int(killed)


@pytest.mark.parametrize(
    ("state", "canceled"),
    [("failed", True), (None, False), ("scheduled", False), ("queued", False), ("running", False)],
)
def test_a_cleared_task_that_waits_on_for_the_same_stops_nothing(
    emulator: Emulator, states: States, state: str | None, canceled: bool
):
    sid = send(emulator)
    emulator.set_message(sid, "scheduled")
    states.answer, states.link = {"run": {"task": state}}, f"http://127.0.0.1:8765/#{sid}"
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True, on_clear="skip")
    trigger.task_instance = instance()
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
def test_a_cleared_task_that_waits_for_another_already(
    emulator: Emulator, states: States, state: str, link: Any, canceled: bool
):
    sid = send(emulator)
    emulator.set_message(sid, "scheduled")
    states.answer = {"run": {"task": state}}
    states.link = link.format(sid=sid) if isinstance(link, str) else link
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == ("canceled" if canceled else "scheduled")


async def test_it_is_canceled_although_airflow_cancels_the_trigger_again_and_again(emulator: Emulator, states: States):
    sid = send(emulator)
    emulator.set_message(sid, "scheduled")
    states.answer, states.takes = {"run": {"task": "failed"}}, 0.5
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = instance()
    killing = asyncio.create_task(trigger.on_kill())
    await asyncio.sleep(0.1)
    killing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killing
    async with asyncio.timeout(10):
        while emulator.messages[0]["status"] != "canceled":  # noqa: ASYNC110 (a server tells no event)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("to", ["+14155550100", "+15005559105", "+15005559101"])
def test_a_killed_task_hangs_up(emulator: Emulator, states: States, to: str):
    call = TwilioHook().calls.create(to=to, from_=emulator.phone_number, twiml="<Response><Pause/></Response>")
    states.answer = {"run": {"task": None}}
    trigger = CallCompletionTrigger(str(call.sid), hang_up_on_kill=True)
    trigger.task_instance = instance()
    emulator.clock.advance(2 if to == "+15005559105" else 0)
    asyncio.run(trigger.on_kill())
    assert emulator.calls[0]["status"] in ("completed", "canceled", "busy")


def test_what_can_no_longer_be_stopped_is_left(emulator: Emulator, states: States):
    sid = send(emulator, "+14155550100")
    emulator.clock.advance(10)
    states.answer = {"run": {"task": "failed"}}
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True)
    trigger.task_instance = instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == "delivered"


def test_nothing_is_stopped_after_the_deadline(emulator: Emulator, states: States):
    """Then the task may have failed by itself, and another triggerer have told so."""
    sid = send(emulator)
    emulator.set_message(sid, "scheduled")
    states.answer = {"run": {"task": "failed"}}
    trigger = MessageDeliveryTrigger(sid, cancel_on_kill=True, deadline=time.time() - 1)
    trigger.task_instance = instance()
    asyncio.run(trigger.on_kill())
    assert emulator.messages[0]["status"] == "scheduled"
    assert not states.asked


# ---------------------------------------------------------------- how an event ends a task


def test_success_gives_the_facts():
    told = {"sid": "SM", "outcome": "reached", "reason": None, "status": "delivered", "price": "-0.0083"}
    assert raise_for_event(told) == {"sid": "SM", "status": "delivered", "price": "-0.0083"}


@pytest.mark.parametrize(
    ("told", "options", "kind"),
    [
        ({"outcome": "failed"}, {}, AirflowFailException),
        ({"outcome": "error"}, {}, AirflowFailException),
        ({"outcome": "timeout"}, {}, AirflowFailException),
        ({"outcome": "timeout"}, {"late": AirflowSensorTimeout}, AirflowSensorTimeout),
        ({"outcome": "failed", "error_code": 21610}, {}, AirflowFailException),
        ({"outcome": "failed", "error_code": 21610}, {"skip_opted_out": True}, AirflowSkipException),
        ({"outcome": "error", "error_code": 21610}, {"skip_opted_out": True}, AirflowFailException),
    ],
)
def test_the_rest_is_raised_with_the_reason(told: dict[str, Any], options: dict[str, Any], kind: type[Exception]):
    with pytest.raises(kind, match=r"^why$"):
        raise_for_event({**told, "reason": "why"}, **options)


@pytest.mark.parametrize("told", [{}, {"outcome": "odd", "secret": "value"}])
def test_an_event_that_is_none_of_ours_fails_the_task(told: dict[str, Any]):
    with pytest.raises(AirflowFailException, match="nothing that can be understood") as caught:
        raise_for_event(told)
    assert "value" not in str(caught.value)
