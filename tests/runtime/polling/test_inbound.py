"""Many listeners, one poll: against the emulator, over its socket; and the cursor, which tells what is new."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, BadParameter
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator, serve
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

TICK = 0.2
OURS, PHONE, OTHER = "+15005550006", "+14155550100", "+14155550101"
ALL = Filter()


@pytest.fixture(scope="module")
def _emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Emulator:
    _emulator.reset()
    return _emulator


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)


class Listening:
    """Listen to one emulator, each on its own, and keep what each has heard."""

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
        self, wanted: Filter = ALL, *, name: str = "one", after: float | None = None, lasts: float | None = None
    ) -> list[str]:
        """Listen from now on; gives the list that grows as it hears."""
        heard: list[str] = []
        cursor = Cursor(time.time() - 60 if after is None else after)
        deadline = None if lasts is None else time.time() + lasts

        async def listen() -> None:
            listener = Listener(wanted.to, interval=TICK, cursor=cursor, deadline=deadline)
            async with subscribe(listener, name, self.connect):
                while True:
                    look = await listener.next_snapshot()
                    heard.extend(str(message.sid) for message in cursor.advance(look, wanted))
                    if look.last:
                        heard.append(look.error or "the end")
                        return

        self.tasks.append(asyncio.create_task(listen()))
        return heard

    @property
    def lists(self) -> int:
        return self.emulator.journal.count("GET", "Messages.json")


@pytest.fixture
async def listeners(emulator: Emulator) -> AsyncIterator[Listening]:
    """Listeners, who must leave no poll behind once they have ended."""
    it = Listening(emulator)
    yield it
    await end(it.tasks, InboundPoll)


# ---------------------------------------------------------------- the poll


async def test_ten_listeners_cost_one_request_a_look(listeners: Listening, emulator: Emulator):
    heard = [listeners.start(Filter(to=OURS, pattern="hello")) for _ in range(10)]
    sid = emulator.receive_message("Hello there", from_=PHONE)
    await until(lambda: all(one == [sid] for one in heard))
    looks = listeners.lists
    await until(lambda: listeners.lists >= looks + 5)
    times = [entry.time for entry in emulator.journal.find("GET")]
    assert len(times) <= (times[-1] - times[0]) / TICK + 2
    assert listeners.opened == 1
    assert {len(one) for one in heard} == {1}


async def test_each_hears_what_it_wants(listeners: Listening, emulator: Emulator):
    everything, by_phone, by_body = (
        listeners.start(wanted) for wanted in (ALL, Filter(from_=PHONE), Filter(pattern=r"^yes\b"))
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


async def test_what_is_sent_is_not_heard(listeners: Listening, emulator: Emulator):
    heard = listeners.start()
    async with AsyncClient(settings(emulator)) as client:
        await client.messages.create(to=PHONE, from_=OURS, body="hello")
    emulator.clock.advance(10)
    sid = emulator.receive_message("hello", from_=PHONE)
    await until(lambda: heard)
    assert heard == [sid]


async def test_one_number_is_asked_for_by_its_list(listeners: Listening, emulator: Emulator):
    listeners.start(Filter(to=OURS))
    await until(lambda: listeners.lists)
    assert emulator.journal[-1].params["To"] == OURS


async def test_several_numbers_are_asked_for_together_unless_that_is_dearer(
    listeners: Listening, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    small = replace(inbound.INBOUND_MESSAGES, name="small")
    monkeypatch.setattr(
        inbound, "messages_since", lambda after, **filters: _since(after, **filters).replace(page_size=5)
    )
    monkeypatch.setattr(inbound, "INBOUND_MESSAGES", small)
    heard = [listeners.start(Filter(to=to)) for to in (OURS, "+15005550099")]
    await until(lambda: listeners.lists)
    assert all("To" not in entry.params for entry in emulator.journal.find("GET"))
    sids = [emulator.receive_message(str(number), from_=PHONE) for number in range(20)]
    await until(lambda: len(heard[0]) == 20)
    emulator.journal.clear()
    await until(lambda: listeners.lists >= 12)
    assert {entry.params["To"] for entry in emulator.journal.find("GET")} == {OURS, "+15005550099"}
    assert sorted(heard[0]) == sorted(sids)
    assert heard[1] == []


_since = inbound.messages_since


async def test_trouble_passes(listeners: Listening, emulator: Emulator):
    emulator.fail_next(3, status=503, method="GET")
    emulator.fail_next(1, drop=True, method="GET")
    emulator.fail_next(1, status=429, retry_after=0.1, method="GET")
    sid = emulator.receive_message("hello", from_=PHONE)
    heard = listeners.start()
    await until(lambda: heard)
    assert heard == [sid]


async def test_refused_credentials_end_the_listening(listeners: Listening, emulator: Emulator):
    listeners.settings = settings(emulator, password="f" * 32)
    listeners.start()
    with pytest.raises(AuthenticationFailed):
        await listeners.tasks[0]
    assert listeners.opened == 2  # the credentials may just have been renewed


async def test_the_deadline_ends_with_a_last_look(listeners: Listening, emulator: Emulator):
    sid = emulator.receive_message("hello", from_=PHONE)
    heard = listeners.start(lasts=-5)
    await listeners.tasks[0]
    assert heard == [sid, "the end"]
    assert listeners.lists == 1


async def test_a_last_look_that_fails_is_told(listeners: Listening, emulator: Emulator):
    emulator.fail_next(1000, status=503, method="GET")
    heard = listeners.start(lasts=0.1)
    await listeners.tasks[0]
    assert "503" in heard[0]


# ---------------------------------------------------------------- the cursor


async def test_late_out_of_turn_and_deleted(listeners: Listening, emulator: Emulator):
    """Some show late in the list; one is deleted."""
    heard = listeners.start()
    sids = []
    for number in range(30):
        emulator.quirks.set(list_lag=random.choice((0, 0, 1.5)))
        sids.append(emulator.receive_message(str(number), from_=PHONE))
        if number == 15:
            async with AsyncClient(settings(emulator)) as client:
                await client.messages.delete(sids[3])
        await asyncio.sleep(0.02)
    emulator.quirks.set(list_lag=0)
    await until(lambda: set(heard) >= {*sids} - {sids[3]})
    assert len(heard) == len(set(heard))


def message(sid: str, at: float, **fields: Any) -> Message:
    moment = format_datetime(datetime.fromtimestamp(at, UTC))
    given = {"direction": "inbound", "status": "received", "date_sent": moment, "body": "hello"}
    return Message({"sid": sid, **given, **fields})


def look(*messages: Message) -> Snapshot:
    ordered = sorted(messages, key=timestamp)
    return Snapshot(ordered, max(map(timestamp, ordered), default=0.0))


NOW = 1_750_000_000.0


def told(cursor: Cursor, *messages: Message) -> list[str | None]:
    return [one.sid for one in cursor.advance(look(*messages), ALL)]


def test_what_comes_late_is_told_within_the_overlap():
    cursor = Cursor(NOW, overlap=100)
    assert told(cursor, message("a", NOW + 200)) == ["a"]
    assert told(cursor, message("late", NOW + 150), message("a", NOW + 200)) == ["late"]
    assert told(cursor, message("late", NOW + 150), message("a", NOW + 200)) == []
    assert told(cursor, message("too late", NOW + 99)) == []


def test_what_came_before_it_began_is_not_told():
    cursor = Cursor(NOW, overlap=100)
    assert told(cursor, message("before", NOW - 1), message("at", NOW), message("since", NOW + 1)) == ["at", "since"]


def test_what_is_seen_is_forgotten_when_it_can_come_no_more():
    cursor = Cursor(NOW, overlap=100)
    for second in range(0, 1000, 10):
        told(cursor, message(f"at{second}", NOW + second))
    assert len(cursor.seen) == 11


def test_a_date_in_the_future_hides_nothing():
    now = int(time.time())
    cursor = Cursor(now - 1000, overlap=100)
    told(cursor, message("stray", now + 90_000))
    assert told(cursor, message("one", now)) == ["one"]
    assert told(cursor, message("stray", now + 90_000)) == []


def test_it_goes_on_from_what_was_stored():
    cursor = Cursor(NOW, overlap=100)
    told(cursor, message("a", NOW + 10), message("b", NOW + 20))
    stored = json.loads(json.dumps(cursor.as_json(), allow_nan=False))
    again = Cursor(NOW + 5000, overlap=100)
    assert again.resume([stored])
    assert told(again, message("a", NOW + 10), message("b", NOW + 20), message("c", NOW + 15)) == ["c"]


def test_of_several_none_is_left_behind():
    ahead = {"after": NOW + 50, "seen": {"a": NOW + 60, "b": NOW + 70}}
    behind = {"after": NOW, "seen": {"a": NOW + 60}}
    cursor = Cursor(NOW + 5000)
    assert cursor.resume([ahead, None, behind])
    assert (cursor.after, set(cursor.seen)) == (NOW, {"a"})


@pytest.mark.parametrize("stored", [[], [None], ["text"], [{}], [{"after": 1}]])
def test_what_is_no_cursor_is_passed_over(stored: list[Any]):
    cursor = Cursor(NOW)
    assert not cursor.resume(stored)
    assert cursor.after == NOW


def test_what_is_stored_stays_small():
    cursor = Cursor(NOW)
    told(cursor, *(message(f"SM{number:032x}", NOW + number / 100) for number in range(20_000)))
    assert len(json.dumps(cursor.as_json())) < 2**16 * 1.5
    assert len(cursor.seen) == 20_000


@pytest.mark.parametrize(
    ("fields", "taken"),
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
def test_filters(fields: dict[str, Any], taken: bool):
    one = message("a", NOW, **{"to": OURS, "from": PHONE, **fields})
    assert Filter(OURS, PHONE, "hello").matches(one) is taken


def test_filters_know_a_channel_however_it_is_written():
    one = message("a", NOW, **{"to": f"whatsapp:{OURS}", "from": f"whatsapp:{PHONE}"})
    assert Filter(f"WhatsApp:{OURS}", f"WHATSAPP:{PHONE}").matches(one)
    assert not Filter(OURS).matches(one)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [({"to": "5005550006"}, "to"), ({"from_": "+1 415"}, "from_"), ({"pattern": "("}, "pattern")],
)
def test_bad_filters_are_refused(fields: dict[str, Any], parameter: str):
    with pytest.raises(BadParameter, match=parameter):
        Filter(**fields)
