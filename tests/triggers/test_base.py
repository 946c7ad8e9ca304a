"""The base classes of the triggers: arguments, serialization, and the shared poll."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import time
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.triggers.base import WaitTrigger
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
BOTH_TRIGGERS = pytest.mark.parametrize(("trigger_type", "sid", "arguments"), TRIGGERS)


@BOTH_TRIGGERS
@pytest.mark.parametrize("full", [True, False])
def test_wait_triggers_serialization_round_trips(trigger_type: Any, sid: str, arguments: dict[str, Any], full: bool):
    trigger = trigger_type(sid, **arguments) if full else trigger_type(sid)
    path, serialized = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(__import__(module, fromlist=[name]), name)(**serialized)
    assert again.serialize() == (path, serialized)
    assert (again.sid, again.goal, again.stop_request()) == (trigger.sid, trigger.goal, trigger.stop_request())
    assert json.loads(json.dumps(serialized, allow_nan=False)) == serialized
    if full:
        assert arguments.items() <= serialized.items()


@BOTH_TRIGGERS
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
def test_wait_triggers_invalid_argument_raises(
    trigger_type: Any, sid: str, arguments: dict[str, Any], name: str, value: Any
):
    with pytest.raises(BadParameter, match=name):
        trigger_type(sid, **{**arguments, name: value})


@BOTH_TRIGGERS
def test_wait_triggers_sid_of_other_type_raises(trigger_type: Any, sid: str, arguments: dict[str, Any]):
    with pytest.raises(BadParameter, match="_sid"):
        trigger_type(CALL if sid == MESSAGE else MESSAGE)


async def first_event(trigger: WaitTrigger) -> Any:
    [event] = [event async for event in trigger.run()]
    return event.payload


def event_of(trigger: WaitTrigger) -> Any:
    return asyncio.run(first_event(trigger))


def send(emulator: Emulator, to: str = "+15005559016") -> str:
    return str(TwilioHook().messages.create(to=to, from_=emulator.phone_number, body="the text").sid)


def test_message_trigger_yields_one_event_without_personal_data(emulator: Emulator):
    sid = send(emulator, "+14155550100")
    emulator.clock.advance(10)

    async def run() -> list[Any]:
        return [event async for event in MessageDeliveryTrigger(sid, poll_interval=0.1).run()]

    [event] = asyncio.run(run())
    payload = event.payload
    assert json.loads(json.dumps(payload)) == payload
    assert (payload["sid"], payload["outcome"], payload["status"]) == (sid, "reached", "delivered")
    assert payload["price"].startswith("-0.00")
    assert {"to", "from", "body", "uri"}.isdisjoint(payload)
    assert "the text" not in str(payload)
    assert "4155550100" not in str(payload)


def test_message_trigger_started_after_deadline_polls_once(emulator: Emulator):
    sid = send(emulator)
    event = event_of(MessageDeliveryTrigger(sid, poll_interval=600, deadline=time.time() - 600))
    assert event["outcome"] == "timeout"
    assert emulator.journal.count("GET") == 1


def test_message_trigger_polls_the_given_account(emulator: Emulator):
    other = str(TwilioHook().accounts.create(friendly_name="other").sid)
    sid = send(emulator, "+14155550100")
    arguments: dict[str, Any] = {"poll_interval": 0.1, "account_sid": other, "deadline": time.time() + 0.3}
    assert "code 20404" in event_of(MessageDeliveryTrigger(sid, **arguments, created=time.time()))["reason"]
    assert emulator.journal[-1].path == f"/2010-04-01/Accounts/{other}/Messages/{sid}.json"


@pytest.mark.parametrize("conn_id", ["other", "twilio_default"])
def test_message_trigger_wrong_token_for_same_account_learns_no_status(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, conn_id: str
):
    """Another connection has the account, or the same connection has other credentials by now."""

    async def run() -> Any:
        sid = send(emulator)
        waiting = asyncio.ensure_future(first_event(MessageDeliveryTrigger(sid, poll_interval=0.1)))
        while emulator.journal.count("GET") < 2:  # noqa: ASYNC110 (a server signals no event)
            await asyncio.sleep(0.01)
        wrong = emulator.connection_uri.replace(emulator.auth_token, "f" * 32)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", wrong)
        emulator.set_message_status(sid, "sent")
        deadline = time.time() + 0.5
        stranger = MessageDeliveryTrigger(sid, poll_interval=0.1, deadline=deadline, twilio_conn_id=conn_id)
        event = await first_event(stranger)
        assert not waiting.done()
        waiting.cancel()
        return event

    event = asyncio.run(run())
    assert event["outcome"] == "error"
    assert event["reason"].startswith("AuthenticationFailed")
    assert "status" not in event


def test_message_trigger_is_garbage_collected_while_poll_continues(emulator: Emulator):
    async def run() -> None:
        first, second = send(emulator), send(emulator)
        trigger = MessageDeliveryTrigger(first, poll_interval=0.1)
        first_wait = asyncio.ensure_future(first_event(trigger))
        continuing = asyncio.ensure_future(first_event(MessageDeliveryTrigger(second, poll_interval=0.1)))
        emulator.set_message_status(first, "delivered")
        await first_wait
        reference = weakref.ref(trigger)
        del trigger, first_wait
        await asyncio.sleep(0.05)
        gc.collect()
        assert reference() is None
        emulator.set_message_status(second, "delivered")
        await continuing

    asyncio.run(run())
