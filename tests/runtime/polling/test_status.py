"""The shared poll for final statuses, against the emulator over its socket."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import NotFound
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.runtime.polling import shared
from airflow_provider_twilio.runtime.polling import status as poll
from airflow_provider_twilio.runtime.polling.events import EVENT_FIELDS, WaitEvent
from airflow_provider_twilio.runtime.polling.shared import PollFailed
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll, StatusWait, wait_for
from tests.support.polling import end, settings, until

CYCLE = 0.2
NEVER_ENDS = "+15005559016"
NO_REPORT = "+15005559010"


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for at most a tenth of a second, and try rejected credentials only twice."""
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.0)


class Waiting:
    """Starts waits with connections to one emulator, and records how often each connection is opened."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.opened: list[str] = []
        self.connections = {"one": settings(emulator)}
        self.tasks: list[asyncio.Task[WaitEvent]] = []
        self.source = MESSAGES

    def start(
        self, sid: str, *, interval: float = CYCLE, name: str = "one", duration: float | None = None, **times: Any
    ) -> asyncio.Task[WaitEvent]:
        if duration is not None:
            times["deadline"] = time.time() + duration
        goal = times.pop("goal", Delivery())
        spec = WaitSpec(sid, goal, interval=interval, **times)
        self.tasks.append(asyncio.create_task(wait_for(spec, self.source, name, lambda: self.connect(name))))
        return self.tasks[-1]

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncIterator[AsyncClient]:
        self.opened.append(name)
        async with AsyncClient(self.connections[name]) as client:
            yield client

    async def send(self, count: int = 1, to: str = NEVER_ENDS) -> list[str]:
        """Send a message that never reaches a final status, and add copies of it to the emulator."""
        async with AsyncClient(settings(self.emulator)) as client:
            first = await client.messages.create(to=to, from_=self.emulator.phone_number, body="hello")
        state = self.emulator.state
        with state.lock:
            messages_store = state.main.messages
            template = messages_store.get(str(first.sid))
            assert template is not None
            for _ in range(count - 1):
                messages_store.add(replace(template, sid=state.new_sid("SM"), seq=state.next_seq()))
            sids = [message.sid for message in messages_store][-count:]
        self.emulator.journal.clear()
        return sids

    async def send_delivered(self, count: int = 1) -> list[str]:
        """Send messages that have been delivered by the first poll."""
        sids = await self.send(count, to="+14155550100")
        self.emulator.clock.advance(10)
        return sids

    @property
    def requests(self) -> int:
        return self.emulator.journal.count("GET")

    @property
    def lists(self) -> int:
        return self.emulator.journal.count("GET", "Messages.json")

    @property
    def fetches(self) -> int:
        return self.requests - self.lists


@pytest.fixture
async def waiting(emulator: Emulator) -> AsyncIterator[Waiting]:
    """Waits, which must leave no poll when they have ended."""
    waits = Waiting(emulator)
    yield waits
    await end(waits.tasks, StatusPoll)


# ---------------------------------------------------------------- few requests for many waits


async def test_status_poll_many_waits_take_one_page_per_thousand(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(2500)
    tasks = [waiting.start(sid, interval=1) for sid in sids]
    await until(lambda: waiting.lists >= 3)
    await asyncio.sleep(0.3)

    def cycles() -> int:
        return len({int(entry.time) for entry in emulator.journal.find("GET")})

    assert waiting.lists <= 3 * (cycles() + 1)
    assert waiting.fetches <= poll.FETCH_THRESHOLD * (cycles() + 1)
    emulator.journal.clear()
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    events = await asyncio.gather(*tasks)
    assert {event["outcome"] for event in events} == {"reached"}
    assert [event["sid"] for event in events] == sids
    assert waiting.requests <= (3 + poll.FETCH_THRESHOLD) * (cycles() + 1)
    assert waiting.opened == ["one"]


async def test_status_poll_few_waits_are_fetched_without_list(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send(poll.FETCH_THRESHOLD, to="+14155550100"):
        waiting.start(sid)
    await asyncio.gather(*waiting.tasks)
    assert waiting.lists == 0


async def test_status_poll_records_beyond_newest_pages_are_fetched(waiting: Waiting, emulator: Emulator):
    old = await waiting.send(5)
    emulator.clock.advance(60)
    await waiting.send(3000)
    tasks = [waiting.start(sid, interval=1) for sid in old]
    await until(lambda: waiting.fetches >= 5)
    assert waiting.lists == 1  # a page costs more than five fetches, and one page without a match is enough
    for sid in old:
        emulator.set_message_status(sid, "undelivered", 30003)
    assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"failed"}


async def test_status_poll_stops_listing_pages_with_few_matches(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    """One message in a hundred is waited for. That is one a page here, and a page costs two fetches."""
    monkeypatch.setattr(poll, "PAGE_COST", 2)
    waiting.source = replace(MESSAGES, list=lambda: Messages.list(page_size=100))
    sids: list[str] = []
    for _ in range(60):
        sids += await waiting.send(1)
        await waiting.send(99)
    tasks = [waiting.start(sid, interval=2) for sid in sids]
    await until(lambda: waiting.fetches >= 40)
    assert 5 <= waiting.lists <= 11
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("created", [0.0, time.time() - 60], ids=["unknown", "known"])
async def test_status_poll_lists_newer_pages_of_others_to_reach_its_records(
    waiting: Waiting, emulator: Emulator, created: float
):
    """Others have sent six pages since."""
    sids = await waiting.send(10_000)
    emulator.clock.advance(5)
    await waiting.send(6000)
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    events = await asyncio.gather(*(waiting.start(sid, interval=5, created=created) for sid in sids))
    assert {event["outcome"] for event in events} == {"reached"}
    assert (waiting.lists, waiting.fetches) == (16, 0)


async def test_status_poll_lists_newer_pages_after_passes_that_ended_on_their_first_page(
    waiting: Waiting, emulator: Emulator
):
    """Earlier passes have found all of their records on the first page. They say nothing against listing."""
    waiting.source = replace(MESSAGES, list=lambda: Messages.list(page_size=100))
    *early, kept = await waiting.send(11)
    waiting.start(kept, interval=600)  # keeps the poll
    tasks = [waiting.start(sid, interval=0.05) for sid in early]
    await until(lambda: waiting.lists >= 8)
    for sid in early:
        emulator.set_message_status(sid, "delivered")
    await asyncio.gather(*tasks)
    emulator.clock.advance(5)
    sids = await waiting.send(800)
    emulator.clock.advance(5)
    await waiting.send(600)
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    await asyncio.gather(*(waiting.start(sid, interval=5) for sid in sids))
    assert (waiting.lists, waiting.fetches) == (14, 0)


async def test_status_poll_lists_pages_of_others_between_its_records(waiting: Waiting, emulator: Emulator):
    """Another triggerer waits for every second campaign."""
    waiting.source = replace(MESSAGES, list=lambda: Messages.list(page_size=100))
    sids: list[str] = []
    for _ in range(6):
        sids += await waiting.send(800)
        emulator.clock.advance(1)
        await waiting.send(800)
        emulator.clock.advance(1)
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    await asyncio.gather(*(waiting.start(sid, interval=5) for sid in sids))
    assert (waiting.lists, waiting.fetches) == (96, 0)


async def test_status_poll_stops_listing_pages_older_than_its_records(waiting: Waiting, emulator: Emulator):
    waiting.source = replace(MESSAGES, list=lambda: Messages.list(page_size=100))
    await waiting.send_delivered(3000)
    emulator.clock.advance(2 * 3600)
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send_delivered(450)
    events = await asyncio.gather(*(waiting.start(sid, created=time.time() + 2 * 3600) for sid in sids))
    assert {event["outcome"] for event in events} == {"reached"}
    lists = emulator.journal.find("GET", "Messages.json")
    assert lists
    assert not any("PageToken" in entry.params for entry in lists)  # only the first page, in each pass
    assert waiting.fetches == 450


@pytest.mark.parametrize("order", ["first", "last", "date_created"])
async def test_status_poll_finds_unsent_messages_in_any_order(waiting: Waiting, emulator: Emulator, order: str):
    emulator.quirks.set(unsent=order)
    unsent = await waiting.send(50, to="+15005559012")  # queued forever, without date_sent
    await waiting.send(2000)
    emulator.clock.advance(10)
    failing = unsent[::2]
    tasks = [waiting.start(sid) for sid in unsent]
    for sid in failing:
        emulator.set_message_status(sid, "failed", 30001)
    events = await asyncio.gather(*(task for sid, task in zip(unsent, tasks, strict=True) if sid in failing))
    assert {(event["outcome"], event["error_code"]) for event in events} == {("failed", 30001)}
    assert sum(task.done() for task in tasks) == len(failing)


async def test_status_poll_records_missing_from_list_are_fetched(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send_delivered(30)
    events = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {event["outcome"] for event in events} == {"reached"}
    assert waiting.lists >= 1


async def test_status_poll_stale_statuses_only_delay(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(status_lag=9.0)
    sids = await waiting.send_delivered(10)
    events = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {event["status"] for event in events} == {"delivered"}
    assert waiting.lists >= 2


async def test_status_poll_fetches_beyond_the_limit_take_turns(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    """New waits join all the time, and the old ones still get their turn."""
    monkeypatch.setattr(poll, "MAX_FETCHES_PER_CYCLE", 10)
    emulator.quirks.set(list_lag=3600)
    old = [waiting.start(sid) for sid in await waiting.send_delivered(25)]
    newcomers = await waiting.send(200)

    async def come() -> None:
        for sid in newcomers:
            await asyncio.sleep(0.02)
            waiting.start(sid)

    coming = asyncio.create_task(come())
    async with asyncio.timeout(4 * CYCLE + 2):
        assert {event["outcome"] for event in await asyncio.gather(*old)} == {"reached"}
    coming.cancel()


async def test_status_poll_final_polls_exceed_the_fetch_limit(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(poll, "MAX_FETCHES_PER_CYCLE", 2)
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send(40)
    started = time.monotonic()
    events = await asyncio.gather(*(waiting.start(sid, interval=86_400, duration=0.5) for sid in sids))
    assert {event["outcome"] for event in events} == {"timeout"}
    assert time.monotonic() - started < 2


# ---------------------------------------------------------------- missing records


async def test_wait_for_deleted_record_errors_after_two_misses(waiting: Waiting, emulator: Emulator):
    sid = "SM" + "0" * 32
    event = await waiting.start(sid, created=time.time() - poll.NOT_FOUND_GRACE)
    assert event["outcome"] == "error"
    assert str(event["reason"]).startswith(f"{sid} does not exist: ")
    assert waiting.fetches == 2


async def test_wait_for_recent_record_not_found_continues(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(fetch_lag=1.0, list_lag=1.0)
    [sid] = await waiting.send(to="+14155550100")
    event = await waiting.start(sid, created=time.time())
    assert emulator.journal.count("GET", status=404) >= 3
    assert event["outcome"] == "reached"


async def test_status_wait_counts_misses_after_the_grace_period(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(poll, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    wait = StatusWait(WaitSpec("SM" + "0" * 32, Delivery(), interval=1, created=1000.0))
    for now[0], done in ((1001, False), (1059.9, False), (1060, False), (1061, True)):
        wait.on_not_found(NotFound("not there"))
        assert wait.future.done() == done


async def test_status_wait_found_record_resets_the_miss_count(monkeypatch: pytest.MonkeyPatch):
    wait = StatusWait(WaitSpec("SM" + "0" * 32, Delivery(), interval=1))
    for _ in range(3):
        wait.on_not_found(NotFound("not there"))
        wait.on_record({"status": "sent"})
    assert not wait.future.done()


async def test_status_poll_missing_record_leaves_other_waits(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    missing = waiting.start("SM" + "f" * 32, created=1.0)
    tasks = [waiting.start(sid) for sid in sids]
    assert (await missing)["outcome"] == "error"
    assert not any(task.done() for task in tasks)


# ---------------------------------------------------------------- times


async def test_wait_for_after_deadline_polls_once_at_once(waiting: Waiting, emulator: Emulator):
    delivered, still = [*await waiting.send_delivered(), *await waiting.send()]
    started = time.monotonic()
    tasks = [waiting.start(sid, interval=86_400, duration=-100) for sid in (delivered, still)]
    assert [(await task)["outcome"] for task in tasks] == ["reached", "timeout"]
    assert waiting.requests == 2
    assert time.monotonic() - started < 2


async def test_wait_for_times_out_with_last_status(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send()
    started = time.monotonic()
    event = await waiting.start(sid, interval=86_400, duration=0.5)
    assert 0.5 <= time.monotonic() - started < 1.5
    assert (event["outcome"], event["status"]) == ("timeout", "queued" if event["status"] == "queued" else "sending")
    assert event["reason"] == f"{sid} had no final status at the deadline: its last status is {event['status']}"
    assert waiting.requests == 1


async def test_wait_for_not_before_delays_the_first_poll(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send_delivered()
    waiting.start(sid, not_before=time.time() + 1)
    await asyncio.sleep(0.8)
    assert waiting.requests == 0
    assert (await waiting.tasks[0])["outcome"] == "reached"


async def test_status_poll_keeps_each_interval(waiting: Waiting, emulator: Emulator):
    often, seldom = await waiting.send(2)
    waiting.start(often, interval=0.1)
    waiting.start(seldom, interval=0.5)
    await asyncio.sleep(2)
    assert 15 <= emulator.journal.count("GET", often) <= 21
    assert 3 <= emulator.journal.count("GET", seldom) <= 5


async def test_status_poll_polls_waits_of_one_interval_together(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send(20):
        waiting.start(sid, interval=1)
        await asyncio.sleep(0.02)
    await asyncio.sleep(2)
    times = [entry.time for entry in emulator.journal.find("GET")]
    cycles = 1 + sum(later - earlier > 0.3 for earlier, later in pairwise(times))
    assert cycles <= 3


async def test_status_poll_ignores_changes_of_the_system_clock(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    [sid] = await waiting.send()
    task = waiting.start(sid, duration=600)
    await until(lambda: waiting.requests)
    for step in (-86_400, +86_400):
        clock = SimpleNamespace(time=lambda step=step: time.time() + step, monotonic=time.monotonic)
        monkeypatch.setattr(poll, "time", clock)
        seen = waiting.requests
        await until(lambda seen=seen: waiting.requests >= seen + 2)
        assert not task.done()


# ---------------------------------------------------------------- sharing


async def test_status_poll_is_shared_by_connections_with_equal_credentials(waiting: Waiting, emulator: Emulator):
    waiting.connections["two"] = replace(waiting.connections["one"], conn_id="two")
    first, second = await waiting.send(20), await waiting.send(20)
    tasks = [waiting.start(sid, interval=0.5) for sid in first]
    tasks += [waiting.start(sid, interval=0.5, name="two") for sid in second]
    await until(lambda: waiting.lists >= 2)
    assert waiting.requests == waiting.lists <= 3
    assert sorted(waiting.opened) == ["one", "two"]
    later = waiting.start(first[0], name="two")
    for sid in first + second:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks, later)} == {"reached"}
    assert sorted(waiting.opened) == ["one", "two", "two"]  # a wait that joins later reads its connection


async def test_status_poll_is_not_shared_by_keys_of_one_account(waiting: Waiting, emulator: Emulator):
    key = emulator.main_key
    extra = f'{{"account_sid": "{emulator.account_sid}"}}'
    waiting.connections["two"] = settings(emulator, login=key[0], password=key[1], extra=extra)
    sids = await waiting.send(20)
    for sid in sids[:10]:
        waiting.start(sid)
    for sid in sids[10:]:
        waiting.start(sid, name="two")
    await until(lambda: len({entry.user for entry in emulator.journal.find("GET", status=200)}) == 2)


@pytest.mark.parametrize("name", ["one", "two"])
async def test_status_poll_wrong_token_for_same_account_learns_no_status(
    waiting: Waiting, emulator: Emulator, name: str
):
    """The connection of the new wait has another name, or the same name and other credentials."""
    sids = await waiting.send(10)
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.lists >= 2)
    waiting.connections[name] = settings(emulator, password="0" * 32)
    stranger = waiting.start(sids[0], name=name)
    event = await stranger
    assert event["outcome"] == "error"
    assert "status" not in event
    assert not any(task.done() for task in tasks)


async def test_status_poll_rejection_keeps_waits_of_one_connection_from_credentials_of_another(
    waiting: Waiting, emulator: Emulator
):
    """Two connections have equal credentials. Later one of them has others, which are wrong."""
    waiting.connections["two"] = waiting.connections["one"]
    sids = await waiting.send(8)
    tasks = [waiting.start(sid, name=name) for sid, name in zip(sids, ["one", "two"] * 4, strict=True)]
    await until(lambda: waiting.lists >= 2)
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    emulator.fail_next(2, status=401)
    events = await asyncio.gather(*tasks[::2])
    assert {event["outcome"] for event in events} == {"error"}
    seen = emulator.journal.count("GET", status=200)
    await until(lambda: emulator.journal.count("GET", status=200) >= seen + 2)
    assert not any(task.done() for task in tasks[1::2])


async def test_status_poll_reads_both_connections_after_rejection(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 600.0)
    waiting.connections["two"] = waiting.connections["one"]
    sids = await waiting.send(8)
    tasks = [waiting.start(sid, name=name) for sid, name in zip(sids, ["one", "two"] * 4, strict=True)]
    await until(lambda: waiting.lists >= 2)
    first, second = waiting.opened
    waiting.connections[first] = settings(emulator, password="0" * 32)
    emulator.fail_next(2, status=401)
    await until(lambda: len(waiting.opened) >= 4)
    assert waiting.opened[2:4] == [first, second]
    seen = emulator.journal.count("GET", status=200)
    await until(lambda: emulator.journal.count("GET", status=200) >= seen + 2)
    assert not any(task.done() for task in tasks)


async def test_status_poll_is_not_shared_by_accounts(waiting: Waiting, emulator: Emulator):
    async with AsyncClient(settings(emulator)) as client:
        other = await client.accounts.create(friendly_name="other")
    waiting.connections["two"] = replace(settings(emulator), account_sid=str(other.sid))
    [sid] = await waiting.send_delivered()
    missing = waiting.start(sid, name="two", created=1.0)
    assert (await waiting.start(sid))["outcome"] == "reached"
    assert (await missing)["outcome"] == "error"


async def test_status_poll_serves_two_waits_for_one_message(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send(to=NO_REPORT)
    emulator.clock.advance(10)
    accepting = waiting.start(sid, goal=Delivery(accept_sent=True))
    strict = waiting.start(sid, duration=0.5)
    assert (await accepting)["outcome"] == "reached"
    assert (await strict)["outcome"] == "timeout"
    assert (await strict)["status"] == "sent"


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429},
        {"status": 429, "retry_after": 1},
        {"status": 500},
        {"status": 503},
        {"drop": True},
        {"cut": True},
        {"html": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 30])
async def test_status_poll_backs_off_and_ends_only_waits_past_deadline(
    waiting: Waiting, emulator: Emulator, fault: dict[str, Any], count: int
):
    sids = await waiting.send(count)
    emulator.fail_next(100_000, method="GET", **fault)
    [brief] = await waiting.send()
    tasks = [waiting.start(sid, interval=0.02, duration=60) for sid in sids]
    past = waiting.start(brief, interval=0.02, duration=0.2)
    event = await past
    assert event["outcome"] == "timeout"
    assert "at the deadline: GET /2010" in str(event["reason"])
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    assert waiting.requests <= (6 if "retry_after" in fault else 14 * (1 if count == 1 else 5))
    emulator.state.faults.clear()
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one"]


async def test_status_poll_honors_retry_after(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send_delivered(10):
        waiting.start(sid, interval=0.05)
    emulator.fail_next(status=429, retry_after=1, method="GET")
    await until(lambda: waiting.requests == 1)
    waiting.start((await waiting.send())[0], interval=0.05)  # a wait that joins meanwhile has to back off, too
    started = time.monotonic()
    await asyncio.gather(*waiting.tasks[:10])
    assert 0.8 <= time.monotonic() - started < 4


async def test_status_poll_failing_record_does_not_delay_other_waits(
    waiting: Waiting, emulator: Emulator, caplog: pytest.LogCaptureFixture
):
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send_delivered(8)
    emulator.fail_next(100_000, status=500, path=sids[0])
    failing = waiting.start(sids[0])
    events = await asyncio.gather(*(waiting.start(sid) for sid in sids[1:]))
    assert {event["outcome"] for event in events} == {"reached"}
    assert not failing.done()
    assert "Backing off from polling messages" not in caplog.text


async def test_status_poll_failing_list_is_replaced_by_fetches(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send_delivered(10)
    emulator.fail_next(100_000, status=500, path="Messages.json")
    events = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {event["outcome"] for event in events} == {"reached"}


async def test_status_poll_failing_large_pages_are_listed_in_smaller_ones(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(60)
    emulator.fail_next(100_000, status=500, path="Messages.json", params={"PageSize": "1000"})
    tasks = [waiting.start(sid) for sid in sids]
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    await asyncio.gather(*tasks)
    assert waiting.fetches == 0


async def test_status_poll_survives_a_network_outage(waiting: Waiting):
    with serve() as first:
        waiting.emulator, waiting.connections["one"] = first, settings(first)
        tasks = [waiting.start(sid, duration=60, created=time.time()) for sid in await waiting.send(10)]
        brief = waiting.start((await waiting.send())[0], duration=1.0)
        await until(lambda: first.journal.count("GET"))
    event = await brief
    assert event["outcome"] == "timeout"
    assert "not sent" in str(event["reason"])
    with serve(port=first.port) as second:
        await until(lambda: second.journal.count("GET") >= 10)
    assert not any(task.done() for task in tasks)


async def test_status_poll_malformed_record_leaves_other_waits(waiting: Waiting, emulator: Emulator):
    class Malformed:
        def verdict(self, record: Any, now: Any) -> Any:
            raise ValueError("Message.date_updated is not a datetime")

    sids = await waiting.send_delivered(6)
    malformed = waiting.start(sids[0], goal=Malformed(), duration=1)
    events = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {event["outcome"] for event in events} == {"reached"}
    assert not malformed.done()
    assert (await malformed)["outcome"] == "timeout"


async def test_status_poll_unknown_status_continues(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    from airflow_provider_twilio.emulator.models.message import STATUSES

    monkeypatch.setattr("airflow_provider_twilio.emulator.control.STATUSES", (*STATUSES, "teleported"))
    sids = await waiting.send(5)
    for sid in sids:
        emulator.set_message_status(sid, "teleported")
    tasks = [waiting.start(sid) for sid in sids]
    await asyncio.sleep(3 * CYCLE)
    assert not any(task.done() for task in tasks)
    for sid in sids:
        emulator.set_message_status(sid, "read")
    assert {event["status"] for event in await asyncio.gather(*tasks)} == {"read"}


# ---------------------------------------------------------------- credentials


async def test_status_poll_rejected_credentials_reload_the_connection(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    right = waiting.connections["one"]
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.opened)
    waiting.connections["one"] = right  # as when the connection is edited
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one", "one"]
    assert emulator.journal.count("GET", status=401) == 2  # the list, and a fetch instead


async def test_status_poll_rejected_credentials_end_all_waits(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    events = await asyncio.gather(*(waiting.start(sid, duration=600) for sid in sids))
    assert {event["outcome"] for event in events} == {"error"}
    assert all(str(event["reason"]).startswith("AuthenticationFailed: GET /2010") for event in events)
    assert waiting.opened == ["one", "one"]
    assert waiting.requests <= 4


async def test_status_poll_rejected_credentials_are_tried_again_for_minutes(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A token is rotated at Twilio a while before the connection has the new one."""
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 600.0)
    sids = await waiting.send(10)
    right = waiting.connections["one"]
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.lists)
    emulator.fail_next(100_000, status=401, method="GET")
    await until(lambda: emulator.journal.count("GET", status=401) >= 10)
    assert not any(task.done() for task in tasks)
    assert "Twilio rejects the credentials with which messages are polled" in caplog.text
    emulator.state.faults.clear()
    waiting.connections["one"] = replace(right)
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"reached"}


async def test_status_poll_rejected_credentials_end_waits_at_their_deadlines(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 600.0)
    brief, long = await waiting.send(2)
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    started = time.monotonic()
    task, other = waiting.start(brief, duration=1), waiting.start(long, duration=60)
    event = await task
    assert event["outcome"] == "error"
    assert str(event["reason"]).startswith("AuthenticationFailed: GET /2010")
    assert 1 <= time.monotonic() - started < 3
    assert not other.done()


async def test_status_poll_rejected_credentials_end_waits_after_patience(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.5)
    [sid] = await waiting.send()
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    assert (await waiting.start(sid))["outcome"] == "error"
    assert len(waiting.opened) >= 3


async def test_status_poll_follows_each_change_of_credentials(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    tasks = [waiting.start(sid) for sid in sids]
    for round_ in range(3):
        await until(lambda: waiting.lists)
        emulator.fail_next(2, status=401, method="GET")
        await until(lambda round_=round_: len(waiting.opened) == round_ + 2)
        emulator.journal.clear()
        await until(lambda: emulator.journal.count("GET", status=200))
        assert not any(task.done() for task in tasks)


@pytest.mark.parametrize("status", [401, 403])
async def test_status_poll_without_list_permission_fetches_individually(
    waiting: Waiting, emulator: Emulator, status: int
):
    sids = await waiting.send(30)
    emulator.fail_next(100_000, status=status, path="Messages.json")
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.fetches >= 60)
    assert waiting.lists == 1
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one"]


async def test_status_poll_unreadable_connection_is_retried(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send_delivered()
    right = waiting.connections.pop("one")
    task = waiting.start(sid)
    await until(lambda: len(waiting.opened) == 2)
    waiting.connections["one"] = right
    assert (await task)["outcome"] == "reached"


async def test_status_poll_unreadable_connection_ends_all_waits(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(2)
    del waiting.connections["one"]
    tasks = [waiting.start(sid) for sid in sids]
    for task in tasks:
        with pytest.raises(PollFailed, match=r"The poll for messages failed. KeyError: 'one'"):
            await task
    assert len(waiting.opened) == shared.MAX_UNEXPECTED_ERRORS


# ---------------------------------------------------------------- joining and leaving


async def test_status_poll_continues_after_the_first_wait_leaves(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.requests)
    tasks[0].cancel()
    for sid in sids:
        emulator.set_message_status(sid, "delivered")
    assert {event["outcome"] for event in await asyncio.gather(*tasks[1:])} == {"reached"}
    assert waiting.opened == ["one"]


@pytest.mark.parametrize("after", [0.0, 0.05, 0.3])
async def test_status_poll_waits_may_leave_at_any_time(waiting: Waiting, emulator: Emulator, after: float):
    """The fixture checks that no poll is left."""
    emulator.quirks.set(latency=0.2)
    tasks = [waiting.start(sid, interval=0.01) for sid in await waiting.send(10)]
    await asyncio.sleep(after)
    for task in tasks:
        task.cancel()


async def test_status_poll_ends_during_back_off(waiting: Waiting, emulator: Emulator):
    emulator.fail_next(10, status=429, retry_after=3600, method="GET")
    task = waiting.start((await waiting.send())[0], interval=0.01)
    await until(lambda: waiting.requests)
    task.cancel()


async def test_status_poll_serves_waits_that_join_as_it_ends(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send_delivered(40)
    for number, sid in enumerate(sids):
        task = waiting.start(sid, interval=0.01)
        assert (await asyncio.wait_for(task, 2))["outcome"] == "reached"
        for _ in range(number % 8):
            await asyncio.sleep(0)


async def test_status_poll_wait_due_earlier_wakes_the_poll(waiting: Waiting, emulator: Emulator):
    slow, fast = await waiting.send_delivered(2)
    waiting.start(slow, interval=86_400)
    await until(lambda: waiting.opened)
    await asyncio.sleep(0.5)
    assert (await asyncio.wait_for(waiting.start(fast), 4))["outcome"] == "reached"


async def test_status_poll_runs_in_an_empty_context(waiting: Waiting, emulator: Emulator):
    owner = contextvars.ContextVar("owner", default="nobody")
    seen = []

    class Spy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(owner.get())

    spy = Spy()
    shared.log.addHandler(spy)
    try:
        owner.set("the first task")
        [sid] = await waiting.send_delivered()
        emulator.fail_next(status=503, method="GET")
        await waiting.start(sid)
    finally:
        shared.log.removeHandler(spy)
    assert set(seen) == {"nobody"}


def test_status_poll_is_created_per_event_loop(emulator: Emulator):
    async def run() -> str:
        waiting = Waiting(emulator)
        [sid] = await waiting.send_delivered()
        outcome: str = (await waiting.start(sid))["outcome"]
        return outcome

    gc.collect()
    before = len(StatusPoll._registries)  # event loops of other tests that have not been collected
    assert [asyncio.run(run()) for _ in range(3)] == ["reached"] * 3
    gc.collect()
    assert len(StatusPoll._registries) <= before + 1


def test_status_poll_ends_with_its_event_loop(emulator: Emulator):
    async def run() -> None:
        waiting = Waiting(emulator)
        waiting.start((await waiting.send())[0])
        await until(lambda: waiting.requests)

    asyncio.run(run())


# ---------------------------------------------------------------- cost and privacy


async def test_status_wait_takes_little_memory(waiting: Waiting, emulator: Emulator):
    sids = [f"SM{number:032x}" for number in range(2000)]
    waiting.start(sids[0], interval=3600)
    await asyncio.sleep(0.1)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for sid in sids[1:]:
            waiting.start(sid, interval=3600)
        await asyncio.sleep(0.1)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / len(sids) < 8 * 1024  # including the asyncio task of each


async def test_status_poll_join_and_leave_take_constant_time(waiting: Waiting, emulator: Emulator):
    started = time.process_time()
    for number in range(5000):
        waiting.start(f"SM{number:032x}", interval=3600)
        await asyncio.sleep(0)
    for task in waiting.tasks:
        task.cancel()
        await asyncio.sleep(0)
    assert time.process_time() - started < 3


async def test_wait_event_has_no_phone_number_and_no_body(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send(to="+15005559001")
    emulator.clock.advance(10)
    event = await waiting.start(sid)
    assert event["reason"] == (
        f"message {sid} is undelivered: error 30003: the handset is unreachable: off, out of range, or unable to"
        " receive; resending can help. See https://www.twilio.com/docs/api/errors/30003"
    )
    assert event["error_code"] == 30003
    assert set(event) <= {"sid", "outcome", "reason", *EVENT_FIELDS}
    assert "hello" not in str(event)
    assert "5005559001" not in str(event)
