"""The watcher's trigger: what it tells, where it goes on, and what it does when Twilio does not accept it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.triggers import inbound
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger

OURS, PHONE = "+15005550006", "+14155550100"
FULL: dict[str, Any] = {
    "to": OURS,
    "from_": PHONE,
    "pattern": "^yes",
    "include": ["from", "body"],
    "poll_interval": 7.5,
    "lookback": 60,
    "overlap": 30,
    "twilio_conn_id": "other",
    "account_sid": "AC" + "1" * 32,
}


class Store:
    """An asset's state store, with the calls that Airflow 3.3.2 has."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.calls: list[str] = []
        self.broken = False

    async def aget(self, key: str) -> Any:
        self.calls.append("get")
        value = self.values.get(key)
        return None if value is None else json.loads(value)

    async def aset(self, key: str, value: Any) -> None:
        self.calls.append("set")
        if self.broken:
            raise RuntimeError("the API server is away")
        self.values[key] = json.dumps(value, allow_nan=False)

    def get(self, key: str) -> Any:
        raise AssertionError("the event loop must not be blocked")


class EarlyStore:
    """One as Airflow 3.3.0 has it: its calls block."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        asyncio.run(asyncio.sleep(0))  # raises where a loop runs
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        asyncio.run(asyncio.sleep(0))
        self.values[key] = value


class Stores:
    """What Airflow hands to a trigger: the stores of all assets that share it, by name."""

    def __init__(self, *stores: Any) -> None:
        self._by_name = {f"asset{number}": store for number, store in enumerate(stores)}
        self._by_uri: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "TAKEN_OVER", 0.05)
    monkeypatch.setattr(inbound, "ERROR_DELAYS", (0.2, 0.2))


class Running:
    """A trigger that runs, as the triggerer runs it, and the events that it has told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @property
    def sids(self) -> list[str]:
        return [sid for event in self.events for sid in event["sids"]]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 (what happens in a server tells no event)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*stores: Any, **arguments: Any) -> AsyncIterator[Running]:
    trigger = InboundMessageTrigger(**{"poll_interval": 0.2, **arguments})
    trigger.asset_state_store = Stores(*stores) if stores else None  # type: ignore[assignment]
    it = Running()

    async def run() -> None:
        async for event in trigger.run():
            it.events.append(event.payload)

    task = asyncio.create_task(run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("arguments", [{}, FULL])
def test_round_trip(arguments: dict[str, Any]):
    path, kept = InboundMessageTrigger(**arguments).serialize()
    assert path == f"{InboundMessageTrigger.__module__}.InboundMessageTrigger"
    assert InboundMessageTrigger(**kept).serialize() == (path, kept)
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert {**arguments, "include": sorted(arguments.get("include", ()))}.items() <= kept.items()


def test_airflow_knows_it_again_after_it_was_stored():
    """If its hash changed on the way, Airflow would make it anew at each parse."""
    path, kept = InboundMessageTrigger(**FULL).serialize()
    assert BaseEventTrigger.hash(path, kept) == BaseEventTrigger.hash(path, json.loads(json.dumps(kept)))


def test_it_watches_an_asset():
    Asset("replies", watchers=[AssetWatcher(name="sms", trigger=InboundMessageTrigger(to=OURS))])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to", "5005550006"),
        ("from_", "+1 415"),
        ("pattern", "("),
        ("include", ["subject"]),
        ("poll_interval", 0),
        ("poll_interval", None),
        ("lookback", -1),
        ("overlap", "5"),
        ("account_sid", "SK" + "1" * 32),
    ],
)
def test_bad_arguments_are_refused(name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        InboundMessageTrigger(**{name: value})


# ---------------------------------------------------------------- events


async def test_one_event_tells_of_all_that_is_new(emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(3)]
    async with running() as it:
        await it.until(lambda: it.events)
        assert it.events == [{"sids": sids}]
        later = emulator.receive_message("later", from_=PHONE)
        await it.until(lambda: len(it.events) == 2)
        assert it.events[1] == {"sids": [later]}


async def test_more_is_told_only_if_asked_for(emulator: Emulator):
    sid = emulator.receive_message("hello", from_=PHONE)
    async with running(include=["from", "body"]) as it:
        await it.until(lambda: it.events)
    [entry] = it.events[0]["messages"]
    assert entry.keys() == {"sid", "date_sent", "from", "body"}
    assert (entry["sid"], entry["from"], entry["body"]) == (sid, PHONE, "hello")


async def test_lookback(emulator: Emulator):
    emulator.clock.freeze(datetime.now(UTC) - timedelta(seconds=30))
    early = emulator.receive_message("early", from_=PHONE)
    emulator.clock.reset()
    async with running(lookback=0) as it:
        late = emulator.receive_message("late", from_=PHONE)
        await it.until(lambda: it.events)
        assert it.sids == [late]
    async with running(lookback=60) as it:
        await it.until(lambda: it.events)
        assert it.sids == [early, late]


# ---------------------------------------------------------------- where it goes on


async def test_a_restart_goes_on_where_events_were_stored(emulator: Emulator):
    store = Store()
    sids = [emulator.receive_message("1", from_=PHONE)]
    async with running(store) as it:
        await it.until(lambda: it.sids == sids)
        await it.until(lambda: sids[0] in str(store.values))
    sids.append(emulator.receive_message("2", from_=PHONE))
    async with running(store, lookback=0) as it:
        await it.until(lambda: it.events)
        assert it.sids == sids[1:]


async def test_a_death_before_the_event_is_durable_tells_it_again(emulator: Emulator):
    store = Store()
    sid = emulator.receive_message("1", from_=PHONE)
    for _ in range(3):
        async with running(store) as it:
            await it.until(lambda: it.events)
            assert it.sids == [sid]
    assert sid not in str(store.values)


async def test_the_cursor_is_stored_after_the_event_has_been(emulator: Emulator):
    """Two answers of the supervisor, a while apart, say that it has taken the event and stored it."""
    store = Store()
    emulator.receive_message("1", from_=PHONE)
    async with running(store) as it:
        await it.until(lambda: it.events)
        assert store.calls == ["get", "set"]  # at its start
        await it.until(lambda: len(store.calls) == 5)
    assert store.calls[2:] == ["get", "get", "set"]


async def test_what_comes_in_while_it_was_dead_from_the_start_on_counts(emulator: Emulator):
    store = Store()
    async with running(store, lookback=0) as it:
        await it.until(lambda: store.values)
    sid = emulator.receive_message("1", from_=PHONE)
    emulator.clock.advance(10)
    await asyncio.sleep(1.1)
    async with running(store, lookback=0) as it:
        await it.until(lambda: it.events)
        assert it.sids == [sid]


async def test_two_assets_may_share_it(emulator: Emulator):
    stores = [Store(), Store()]
    sid = emulator.receive_message("1", from_=PHONE)
    async with running(*stores) as it:
        await it.until(lambda: all(sid in str(store.values) for store in stores))
        assert it.sids == [sid]
    newcomer = Store()
    async with running(*stores, newcomer) as it:
        await it.until(lambda: newcomer.values)
        later = emulator.receive_message("2", from_=PHONE)
        await it.until(lambda: it.events)
        assert it.sids == [later]


async def test_two_watchers_of_one_asset_have_a_cursor_each(emulator: Emulator):
    store = Store()
    sid = emulator.receive_message("yes", from_=PHONE)
    async with running(store, pattern="no") as it:
        await it.until(lambda: store.values)
    async with running(store, pattern="yes") as it:
        await it.until(lambda: it.events)
        assert it.sids == [sid]
    assert len(store.values) == 2


async def test_its_interval_may_be_changed(emulator: Emulator):
    store = Store()
    async with running(store, poll_interval=1) as it:
        await it.until(lambda: store.calls.count("set") == 1)
    async with running(store, poll_interval=2) as it:
        await it.until(lambda: store.calls.count("set") == 2)
    assert len(store.values) == 1


async def test_a_store_that_fails_is_written_the_next_time(emulator: Emulator):
    store = Store()
    async with running(store) as it:
        await it.until(lambda: store.values)
        store.broken = True
        sid = emulator.receive_message("1", from_=PHONE)
        await it.until(lambda: it.events)
        await it.until(lambda: store.calls.count("set") >= 2)
        store.broken = False
        await it.until(lambda: sid in str(store.values))
        assert it.sids == [sid]


async def test_the_store_of_airflow_3_3_0(emulator: Emulator):
    store = EarlyStore()
    sid = emulator.receive_message("1", from_=PHONE)
    async with running(store) as it:
        await it.until(lambda: sid in str(store.values))
        assert it.sids == [sid]


# ---------------------------------------------------------------- trouble


async def test_refused_credentials_are_told_plainly_and_tried_again(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    wrong = emulator.connection_uri.replace(emulator.auth_token, "f" * 32)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", wrong)
    sid = emulator.receive_message("1", from_=PHONE)
    async with running() as it:
        await it.until(lambda: "can't be read by the connection twilio_default" in caplog.text)
        assert "AuthenticationFailed" in caplog.text
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        await it.until(lambda: it.events)
        assert it.sids == [sid]


async def test_ten_watchers_share_a_poll(emulator: Emulator):
    triggers = [running(Store(), to=OURS, pattern=str(number)) for number in range(10)]
    its = [await trigger.__aenter__() for trigger in triggers]
    try:
        await its[0].until(lambda: emulator.journal.count("GET") >= 3)
        sid = emulator.receive_message("0123456789", from_=PHONE)
        await its[0].until(lambda: all(it.sids == [sid] for it in its))
        times = [entry.time for entry in emulator.journal.find("GET")]
        assert len(times) <= (times[-1] - times[0]) / 0.2 + 2
    finally:
        for trigger in triggers:
            await trigger.__aexit__(None, None, None)


async def test_it_listens_beside_a_sensor(emulator: Emulator):
    """Of one account: each has its own poll, and neither harms the other."""
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

    sent = await asyncio.to_thread(TwilioHook().messages.create, to=PHONE, from_=OURS, body="hello")
    async with running() as it:
        waiting = MessageDeliveryTrigger(str(sent.sid), poll_interval=0.2)
        [told] = [event.payload async for event in waiting.run()]
        sid = emulator.receive_message("1", from_=PHONE)
        await it.until(lambda: it.events)
    assert told["outcome"] == "reached"
    assert it.sids == [sid]
