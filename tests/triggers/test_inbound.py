"""The trigger of asset watchers: its events, its stored cursor, and rejected requests."""

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
            raise RuntimeError("the API server is unavailable")
        self.values[key] = json.dumps(value, allow_nan=False)

    def get(self, key: str) -> Any:
        raise AssertionError("the event loop must not be blocked")


class BlockingStore:
    """An asset's state store as of Airflow 3.3.0, whose calls block."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        asyncio.run(asyncio.sleep(0))  # raises in a running event loop
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        asyncio.run(asyncio.sleep(0))
        self.values[key] = value


class Stores:
    """The accessor that Airflow passes to a trigger: the stores of all assets that share it, by name."""

    def __init__(self, *stores: Any) -> None:
        self._by_name = {f"asset{number}": store for number, store in enumerate(stores)}
        self._by_uri: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "EVENT_HANDOVER", 0.05)
    monkeypatch.setattr(inbound, "ERROR_DELAYS", (0.2, 0.2))


class RunningTrigger:
    """A trigger that runs as in the triggerer, and the events that it has yielded."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @property
    def sids(self) -> list[str]:
        return [sid for event in self.events for sid in event["sids"]]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 (a server signals no event)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*stores: Any, **arguments: Any) -> AsyncIterator[RunningTrigger]:
    trigger = InboundMessageTrigger(**{"poll_interval": 0.2, **arguments})
    trigger.asset_state_store = Stores(*stores) if stores else None  # type: ignore[assignment]
    watcher = RunningTrigger()

    async def run() -> None:
        async for event in trigger.run():
            watcher.events.append(event.payload)

    task = asyncio.create_task(run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("arguments", [{}, FULL])
def test_inbound_trigger_serialization_round_trips(arguments: dict[str, Any]):
    path, arguments_stored = InboundMessageTrigger(**arguments).serialize()
    assert path == f"{InboundMessageTrigger.__module__}.InboundMessageTrigger"
    assert InboundMessageTrigger(**arguments_stored).serialize() == (path, arguments_stored)
    assert json.loads(json.dumps(arguments_stored, allow_nan=False)) == arguments_stored
    assert {**arguments, "include": sorted(arguments.get("include", ()))}.items() <= arguments_stored.items()


def test_inbound_trigger_hash_survives_storage():
    """If the hash changed in the database, Airflow would recreate the trigger at each parse of the DAG."""
    path, arguments_stored = InboundMessageTrigger(**FULL).serialize()
    assert BaseEventTrigger.hash(path, arguments_stored) == BaseEventTrigger.hash(
        path, json.loads(json.dumps(arguments_stored))
    )


def test_inbound_trigger_is_accepted_by_asset_watcher():
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
def test_inbound_trigger_bad_argument_raises(name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        InboundMessageTrigger(**{name: value})


# ---------------------------------------------------------------- events


async def test_inbound_trigger_one_event_has_all_new_messages(emulator: Emulator):
    sids = [emulator.receive_message(f"number {n}", from_=PHONE) for n in range(3)]
    async with running() as watcher:
        await watcher.until(lambda: watcher.events)
        assert watcher.events == [{"sids": sids}]
        later = emulator.receive_message("later", from_=PHONE)
        await watcher.until(lambda: len(watcher.events) == 2)
        assert watcher.events[1] == {"sids": [later]}


async def test_inbound_trigger_include_adds_only_named_fields(emulator: Emulator):
    sid = emulator.receive_message("hello", from_=PHONE)
    async with running(include=["from", "body"]) as watcher:
        await watcher.until(lambda: watcher.events)
    [entry] = watcher.events[0]["messages"]
    assert entry.keys() == {"sid", "date_sent", "from", "body"}
    assert (entry["sid"], entry["from"], entry["body"]) == (sid, PHONE, "hello")


async def test_inbound_trigger_lookback_sets_the_start(emulator: Emulator):
    emulator.clock.freeze(datetime.now(UTC) - timedelta(seconds=30))
    early = emulator.receive_message("early", from_=PHONE)
    emulator.clock.reset()
    async with running(lookback=0) as watcher:
        late = emulator.receive_message("late", from_=PHONE)
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [late]
    async with running(lookback=60) as watcher:
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [early, late]


# ---------------------------------------------------------------- the cursor


async def test_inbound_cursor_restart_resumes_after_stored_events(emulator: Emulator):
    store = Store()
    sids = [emulator.receive_message("1", from_=PHONE)]
    async with running(store) as watcher:
        await watcher.until(lambda: watcher.sids == sids)
        await watcher.until(lambda: sids[0] in str(store.values))
    sids.append(emulator.receive_message("2", from_=PHONE))
    async with running(store, lookback=0) as watcher:
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == sids[1:]


async def test_inbound_cursor_death_before_storing_repeats_the_event(emulator: Emulator):
    store = Store()
    sid = emulator.receive_message("1", from_=PHONE)
    for _ in range(3):
        async with running(store) as watcher:
            await watcher.until(lambda: watcher.events)
            assert watcher.sids == [sid]
    assert sid not in str(store.values)


async def test_inbound_cursor_is_stored_after_its_event(emulator: Emulator):
    """Two responses of the supervisor, some seconds apart, show that it has received and stored the event."""
    store = Store()
    emulator.receive_message("1", from_=PHONE)
    async with running(store) as watcher:
        await watcher.until(lambda: watcher.events)
        assert store.calls == ["get", "set"]  # at the start
        await watcher.until(lambda: len(store.calls) == 5)
    assert store.calls[2:] == ["get", "get", "set"]


async def test_inbound_cursor_outage_after_first_start_loses_no_message(emulator: Emulator):
    store = Store()
    async with running(store, lookback=0) as watcher:
        await watcher.until(lambda: store.values)
    sid = emulator.receive_message("1", from_=PHONE)
    emulator.clock.advance(10)
    await asyncio.sleep(1.1)
    async with running(store, lookback=0) as watcher:
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [sid]


async def test_inbound_trigger_shared_by_two_assets_stores_both_cursors(emulator: Emulator):
    stores = [Store(), Store()]
    sid = emulator.receive_message("1", from_=PHONE)
    async with running(*stores) as watcher:
        await watcher.until(lambda: all(sid in str(store.values) for store in stores))
        assert watcher.sids == [sid]
    newcomer = Store()
    async with running(*stores, newcomer) as watcher:
        await watcher.until(lambda: newcomer.values)
        later = emulator.receive_message("2", from_=PHONE)
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [later]


async def test_inbound_cursor_watchers_of_one_asset_have_their_own(emulator: Emulator):
    store = Store()
    sid = emulator.receive_message("yes", from_=PHONE)
    async with running(store, pattern="no") as watcher:
        await watcher.until(lambda: store.values)
    async with running(store, pattern="yes") as watcher:
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [sid]
    assert len(store.values) == 2


async def test_inbound_cursor_survives_a_changed_interval(emulator: Emulator):
    store = Store()
    async with running(store, poll_interval=1) as watcher:
        await watcher.until(lambda: store.calls.count("set") == 1)
    async with running(store, poll_interval=2) as watcher:
        await watcher.until(lambda: store.calls.count("set") == 2)
    assert len(store.values) == 1


async def test_inbound_cursor_failed_write_is_repeated(emulator: Emulator):
    store = Store()
    async with running(store) as watcher:
        await watcher.until(lambda: store.values)
        store.broken = True
        sid = emulator.receive_message("1", from_=PHONE)
        await watcher.until(lambda: watcher.events)
        await watcher.until(lambda: store.calls.count("set") >= 2)
        store.broken = False
        await watcher.until(lambda: sid in str(store.values))
        assert watcher.sids == [sid]


async def test_inbound_cursor_uses_the_blocking_store_of_airflow_3_3_0(emulator: Emulator):
    store = BlockingStore()
    sid = emulator.receive_message("1", from_=PHONE)
    async with running(store) as watcher:
        await watcher.until(lambda: sid in str(store.values))
        assert watcher.sids == [sid]


# ---------------------------------------------------------------- errors and sharing


async def test_inbound_trigger_rejected_credentials_are_logged_and_retried(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    wrong = emulator.connection_uri.replace(emulator.auth_token, "f" * 32)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", wrong)
    sid = emulator.receive_message("1", from_=PHONE)
    async with running() as watcher:
        await watcher.until(lambda: "Cannot read inbound messages with the connection twilio_default" in caplog.text)
        assert "AuthenticationFailed" in caplog.text
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        await watcher.until(lambda: watcher.events)
        assert watcher.sids == [sid]


async def test_inbound_triggers_ten_watchers_share_a_poll(emulator: Emulator):
    triggers = [running(Store(), to=OURS, pattern=str(number)) for number in range(10)]
    watchers = [await trigger.__aenter__() for trigger in triggers]
    try:
        await watchers[0].until(lambda: emulator.journal.count("GET") >= 3)
        sid = emulator.receive_message("0123456789", from_=PHONE)
        await watchers[0].until(lambda: all(watcher.sids == [sid] for watcher in watchers))
        times = [entry.time for entry in emulator.journal.find("GET")]
        assert len(times) <= (times[-1] - times[0]) / 0.2 + 2
    finally:
        for trigger in triggers:
            await trigger.__aexit__(None, None, None)


async def test_inbound_trigger_and_delivery_trigger_do_not_interfere(emulator: Emulator):
    """Each has a poll of its own, though both belong to one account."""
    from airflow_provider_twilio.triggers.messages import MessageDeliveryTrigger

    sent = await asyncio.to_thread(TwilioHook().messages.create, to=PHONE, from_=OURS, body="hello")
    async with running() as watcher:
        waiting = MessageDeliveryTrigger(str(sent.sid), poll_interval=0.2)
        [payload] = [event.payload async for event in waiting.run()]
        sid = emulator.receive_message("1", from_=PHONE)
        await watcher.until(lambda: watcher.events)
    assert payload["outcome"] == "reached"
    assert watcher.sids == [sid]
