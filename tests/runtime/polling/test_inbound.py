"""The shared poll for inbound messages, against the emulator over its socket, and the cursor of a listener."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, BadParameter
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.polling import inbound, shared
from airflow_provider_twilio.runtime.polling.inbound import (
    Cursor,
    Filter,
    InboundPoll,
    Listener,
    Snapshot,
    subscribe,
    timestamp,
)
from tests.support.polling import end, settings, until

CYCLE = 0.2
OURS, PHONE, OTHER = "+15005550006", "+14155550100", "+14155550101"
ANY = Filter()


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.0)


class Listeners:
    """Starts listeners for one emulator, and records the SIDs that each receives."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.opened = 0
        self.settings = settings(emulator)
        self.tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncClient]:
        self.opened += 1
        async with AsyncClient(self.settings) as client:
            yield client

    def start(
        self, selected: Filter = ANY, *, name: str = "one", after: float | None = None, duration: float | None = None
    ) -> list[str]:
        """Start a listener, and return the list that its SIDs are appended to."""
        received: list[str] = []
        cursor = Cursor(time.time() - 60 if after is None else after)
        deadline = None if duration is None else time.time() + duration

        async def listen() -> None:
            listener = Listener(selected.to, interval=CYCLE, cursor=cursor, deadline=deadline)
            async with subscribe(listener, name, self.connect):
                while True:
                    snapshot = await listener.next_snapshot()
                    received.extend(str(message.sid) for message in cursor.advance(snapshot, selected))
                    if snapshot.last:
                        received.append(snapshot.error or "the end")
                        return

        self.tasks.append(asyncio.create_task(listen()))
        return received

    @property
    def lists(self) -> int:
        return self.emulator.journal.count("GET", "Messages.json")


@pytest.fixture
async def listeners(emulator: Emulator) -> AsyncIterator[Listeners]:
    """Listeners, which must leave no poll when they have ended."""
    listeners = Listeners(emulator)
    yield listeners
    await end(listeners.tasks, InboundPoll)


# ---------------------------------------------------------------- the poll


async def test_inbound_poll_ten_listeners_share_one_request(listeners: Listeners, emulator: Emulator):
    received = [listeners.start(Filter(to=OURS, pattern="hello")) for _ in range(10)]
    sid = emulator.receive_message("Hello there", from_=PHONE)
    await until(lambda: all(sids == [sid] for sids in received))
    before = listeners.lists
    await until(lambda: listeners.lists >= before + 5)
    times = [entry.time for entry in emulator.journal.find("GET")]
    assert len(times) <= (times[-1] - times[0]) / CYCLE + 2
    assert listeners.opened == 1
    assert {len(sids) for sids in received} == {1}


async def test_inbound_poll_each_listener_receives_its_selection(listeners: Listeners, emulator: Emulator):
    everything, by_phone, by_body = (
        listeners.start(selected) for selected in (ANY, Filter(from_=PHONE), Filter(pattern=r"^yes\b"))
    )
    elsewhere = listeners.start(Filter(to="+15005550099"))
    sids = [
        emulator.receive_message("Yes please", from_=PHONE),
        emulator.receive_message("eyes", from_=PHONE),
        emulator.receive_message("YES", from_=OTHER),
    ]
    await until(lambda: len(everything) == 3)
    await until(lambda: len(by_body) == 2)
    assert everything == sids
    assert by_phone == sids[:2]
    assert by_body == [sids[0], sids[2]]
    assert elsewhere == []


async def test_inbound_poll_outbound_messages_are_left_out(listeners: Listeners, emulator: Emulator):
    received = listeners.start()
    async with AsyncClient(settings(emulator)) as client:
        await client.messages.create(to=PHONE, from_=OURS, body="hello")
    emulator.clock.advance(10)
    sid = emulator.receive_message("hello", from_=PHONE)
    await until(lambda: received)
    assert received == [sid]


async def test_inbound_poll_single_number_is_listed_alone(listeners: Listeners, emulator: Emulator):
    listeners.start(Filter(to=OURS))
    await until(lambda: listeners.lists)
    assert emulator.journal[-1].params["To"] == OURS


async def test_inbound_poll_several_numbers_are_listed_the_cheaper_way(
    listeners: Listeners, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    small = replace(inbound.INBOUND_MESSAGES, name="small")
    monkeypatch.setattr(
        inbound, "messages_since", lambda after, **filters: _since(after, **filters).replace(page_size=5)
    )
    monkeypatch.setattr(inbound, "INBOUND_MESSAGES", small)
    received = [listeners.start(Filter(to=to)) for to in (OURS, "+15005550099")]
    await until(lambda: listeners.lists)
    assert all("To" not in entry.params for entry in emulator.journal.find("GET"))
    sids = [emulator.receive_message(str(number), from_=PHONE) for number in range(20)]
    await until(lambda: len(received[0]) == 20)
    emulator.journal.clear()
    await until(lambda: listeners.lists >= 12)
    assert {entry.params["To"] for entry in emulator.journal.find("GET")} == {OURS, "+15005550099"}
    assert sorted(received[0]) == sorted(sids)
    assert received[1] == []


_since = inbound.messages_since


async def test_inbound_poll_server_errors_are_survived(listeners: Listeners, emulator: Emulator):
    emulator.fail_next(3, status=503, method="GET")
    emulator.fail_next(1, drop=True, method="GET")
    emulator.fail_next(1, status=429, retry_after=0.1, method="GET")
    sid = emulator.receive_message("hello", from_=PHONE)
    received = listeners.start()
    await until(lambda: received)
    assert received == [sid]


async def test_inbound_poll_rejected_credentials_end_the_subscription(listeners: Listeners, emulator: Emulator):
    listeners.settings = settings(emulator, password="f" * 32)
    listeners.start()
    with pytest.raises(AuthenticationFailed):
        await listeners.tasks[0]
    assert listeners.opened == 2  # the credentials may just have been rotated


@pytest.mark.parametrize("name", ["one", "two"])
async def test_inbound_poll_wrong_token_for_same_account_receives_no_message(
    listeners: Listeners, emulator: Emulator, name: str
):
    received = listeners.start()
    await until(lambda: listeners.lists >= 2)
    listeners.settings = settings(emulator, password="f" * 32)
    overheard = listeners.start(name=name)
    emulator.receive_message("the code is 4821", from_=PHONE)
    await until(lambda: received)
    with pytest.raises(AuthenticationFailed):
        await listeners.tasks[1]
    assert overheard == []
    assert not listeners.tasks[0].done()


async def test_inbound_poll_deadline_ends_with_a_final_poll(listeners: Listeners, emulator: Emulator):
    sid = emulator.receive_message("hello", from_=PHONE)
    received = listeners.start(duration=-5)
    await listeners.tasks[0]
    assert received == [sid, "the end"]
    assert listeners.lists == 1


async def test_inbound_poll_failed_final_poll_has_the_error(listeners: Listeners, emulator: Emulator):
    emulator.fail_next(1000, status=503, method="GET")
    received = listeners.start(duration=0.1)
    await listeners.tasks[0]
    assert "503" in received[0]


# ---------------------------------------------------------------- the cursor


async def test_inbound_poll_late_and_deleted_messages_lose_no_other(listeners: Listeners, emulator: Emulator):
    """Some messages show late in the list, and one is deleted."""
    received = listeners.start()
    sids = []
    for number in range(30):
        emulator.quirks.set(list_lag=random.choice((0, 0, 1.5)))
        sids.append(emulator.receive_message(str(number), from_=PHONE))
        if number == 15:
            async with AsyncClient(settings(emulator)) as client:
                await client.messages.delete(sids[3])
        await asyncio.sleep(0.02)
    emulator.quirks.set(list_lag=0)
    await until(lambda: set(received) >= {*sids} - {sids[3]})
    assert len(received) == len(set(received))


def message(sid: str, at: float, **fields: Any) -> Message:
    moment = format_datetime(datetime.fromtimestamp(at, UTC))
    given = {"direction": "inbound", "status": "received", "date_sent": moment, "body": "hello"}
    return Message({"sid": sid, **given, **fields})


def snapshot(*messages: Message) -> Snapshot:
    ordered = sorted(messages, key=timestamp)
    return Snapshot(ordered, max(map(timestamp, ordered), default=0.0))


NOW = 1_750_000_000.0


def advance(cursor: Cursor, *messages: Message) -> list[str | None]:
    return [new.sid for new in cursor.advance(snapshot(*messages), ANY)]


def test_cursor_late_message_counts_within_overlap():
    cursor = Cursor(NOW, overlap=100)
    assert advance(cursor, message("a", NOW + 200)) == ["a"]
    assert advance(cursor, message("late", NOW + 150), message("a", NOW + 200)) == ["late"]
    assert advance(cursor, message("late", NOW + 150), message("a", NOW + 200)) == []
    assert advance(cursor, message("too late", NOW + 99)) == []


def test_cursor_earlier_messages_are_left_out():
    cursor = Cursor(NOW, overlap=100)
    assert advance(cursor, message("before", NOW - 1), message("at", NOW), message("since", NOW + 1)) == ["at", "since"]


def test_cursor_forgets_messages_beyond_overlap():
    cursor = Cursor(NOW, overlap=100)
    for second in range(0, 1000, 10):
        advance(cursor, message(f"at{second}", NOW + second))
    assert len(cursor.seen) == 11


def test_cursor_date_in_the_future_hides_no_message():
    now = int(time.time())
    cursor = Cursor(now - 1000, overlap=100)
    advance(cursor, message("stray", now + 90_000))
    assert advance(cursor, message("now", now)) == ["now"]
    assert advance(cursor, message("stray", now + 90_000)) == []


def test_cursor_resumes_from_stored_json():
    cursor = Cursor(NOW, overlap=100)
    advance(cursor, message("a", NOW + 10), message("b", NOW + 20))
    stored = json.loads(json.dumps(cursor.as_json(), allow_nan=False))
    again = Cursor(NOW + 5000, overlap=100)
    assert again.resume([stored])
    assert advance(again, message("a", NOW + 10), message("b", NOW + 20), message("c", NOW + 15)) == ["c"]


def test_cursor_resumes_from_the_last_of_several():
    ahead = {"after": NOW + 50, "seen": {"a": NOW + 60, "b": NOW + 70}}
    behind = {"after": NOW, "seen": {"a": NOW + 60}}
    cursor = Cursor(NOW + 5000)
    assert cursor.resume([ahead, None, behind])
    assert (cursor.after, set(cursor.seen)) == (NOW, {"a"})


@pytest.mark.parametrize("stored", [[], [None], ["text"], [{}], [{"after": 1}]])
def test_cursor_malformed_stored_values_are_ignored(stored: list[Any]):
    cursor = Cursor(NOW)
    assert not cursor.resume(stored)
    assert cursor.after == NOW


def test_cursor_stored_json_fits_the_state_store():
    cursor = Cursor(NOW)
    advance(cursor, *(message(f"SM{number:032x}", NOW + number / 100) for number in range(20_000)))
    assert len(json.dumps(cursor.as_json())) < 2**16 * 1.5
    assert len(cursor.seen) == 20_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"direction": "outbound-api"}, False),
        ({"status": "receiving"}, False),
        ({"to": OURS}, True),
        ({"to": OTHER}, False),
        ({"from": OTHER}, False),
        ({"body": "say HELLO"}, True),
        ({"body": "goodbye"}, False),
        ({"body": None}, False),
    ],
)
def test_filter_matches_all_given_conditions(fields: dict[str, Any], expected: bool):
    inbound_message = message("a", NOW, **{"to": OURS, "from": PHONE, **fields})
    assert Filter(OURS, PHONE, "hello").matches(inbound_message) is expected


def test_filter_channel_is_case_insensitive():
    inbound_message = message("a", NOW, **{"to": f"whatsapp:{OURS}", "from": f"whatsapp:{PHONE}"})
    assert Filter(f"WhatsApp:{OURS}", f"WHATSAPP:{PHONE}").matches(inbound_message)
    assert not Filter(OURS).matches(inbound_message)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [({"to": "5005550006"}, "to"), ({"from_": "+1 415"}, "from_"), ({"pattern": "("}, "pattern")],
)
def test_filter_bad_value_raises(fields: dict[str, Any], parameter: str):
    with pytest.raises(BadParameter, match=parameter):
        Filter(**fields)
