"""Many waits, one poll: against the emulator, over its socket."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
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
from airflow_provider_twilio.runtime.polling.events import EVENT_FIELDS
from airflow_provider_twilio.runtime.polling.shared import PollFailed
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll, StatusWait, wait_for
from tests.support.polling import end, settings, until

TICK = 0.2
NEVER_ENDS = "+15005559016"
NO_REPORT = "+15005559010"
Told = dict[str, Any]


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
    """Rest for a tenth of a second and less, where the poll would rest for seconds."""
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)


class Waiting:
    """Wait by connections to one emulator, and count how often each was opened."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.opened: list[str] = []
        self.connections = {"one": settings(emulator)}
        self.tasks: list[asyncio.Task[Told]] = []
        self.source = MESSAGES

    def start(
        self, sid: str, *, interval: float = TICK, name: str = "one", lasts: float | None = None, **times: Any
    ) -> asyncio.Task[Told]:
        if lasts is not None:
            times["deadline"] = time.time() + lasts
        goal = times.pop("goal", Delivery())
        wait = StatusWait(sid, goal, interval=interval, **times)
        self.tasks.append(asyncio.create_task(wait_for(wait, self.source, name, lambda: self.connect(name))))
        return self.tasks[-1]

    @asynccontextmanager
    async def connect(self, name: str) -> AsyncIterator[AsyncClient]:
        self.opened.append(name)
        async with AsyncClient(self.connections[name]) as client:
            yield client

    async def send(self, many: int = 1, to: str = NEVER_ENDS) -> list[str]:
        """Send a message, which does not come to an end by itself, and put as many like it beside it."""
        async with AsyncClient(settings(self.emulator)) as client:
            first = await client.messages.create(to=to, from_=self.emulator.phone_number, body="hello")
        world = self.emulator.world
        with world.lock:
            kept = world.main.messages
            like = kept.get(str(first.sid))
            assert like is not None
            for _ in range(many - 1):
                kept.add(replace(like, sid=world.sid("SM"), seq=world.next()))
            sids = [message.sid for message in kept][-many:]
        self.emulator.journal.clear()
        return sids

    async def send_delivered(self, many: int = 1) -> list[str]:
        """Send messages that have been delivered when they are first asked for."""
        sids = await self.send(many, to="+14155550100")
        self.emulator.clock.advance(10)
        return sids

    @property
    def gets(self) -> int:
        return self.emulator.journal.count("GET")

    @property
    def lists(self) -> int:
        return self.emulator.journal.count("GET", "Messages.json")

    @property
    def fetches(self) -> int:
        return self.gets - self.lists


@pytest.fixture
async def waiting(emulator: Emulator) -> AsyncIterator[Waiting]:
    """Waits, which must leave no poller behind once they have ended."""
    it = Waiting(emulator)
    yield it
    await end(it.tasks, StatusPoll)


# ---------------------------------------------------------------- few requests for many


async def test_a_tick_for_many_takes_a_page_for_each_thousand(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(2500)
    tasks = [waiting.start(sid, interval=1) for sid in sids]
    await until(lambda: waiting.lists >= 3)
    await asyncio.sleep(0.3)

    def ticks() -> int:
        return len({int(entry.time) for entry in emulator.journal.find("GET")})

    assert waiting.lists <= 3 * (ticks() + 1)
    assert waiting.fetches <= poll.FETCH_THRESHOLD * (ticks() + 1)
    emulator.journal.clear()
    for sid in sids:
        emulator.set_message(sid, "delivered")
    told = await asyncio.gather(*tasks)
    assert {entry["outcome"] for entry in told} == {"reached"}
    assert [entry["sid"] for entry in told] == sids
    assert waiting.gets <= (3 + poll.FETCH_THRESHOLD) * (ticks() + 1)
    assert waiting.opened == ["one"]


async def test_few_are_fetched_without_a_list(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send(poll.FETCH_THRESHOLD, to="+14155550100"):
        waiting.start(sid)
    await asyncio.gather(*waiting.tasks)
    assert waiting.lists == 0


async def test_waits_older_than_the_newest_pages_are_fetched(waiting: Waiting, emulator: Emulator):
    old = await waiting.send(5)
    emulator.clock.advance(60)
    await waiting.send(3000)
    tasks = [waiting.start(sid, interval=1) for sid in old]
    await until(lambda: waiting.fetches >= 5)
    assert waiting.lists == 1  # a page is dearer than five fetches, and one in vain is enough
    for sid in old:
        emulator.set_message(sid, "undelivered", 30003)
    assert {told["outcome"] for told in await asyncio.gather(*tasks)} == {"failed"}


async def test_pages_that_show_few_are_not_walked_for_ever(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    """One in a hundred is waited for: one a page, here, where a page is worth two fetches."""
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
        emulator.set_message(sid, "delivered")
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("order", ["first", "last", "date_created"])
async def test_unsent_messages_are_found_wherever_they_sort(waiting: Waiting, emulator: Emulator, order: str):
    emulator.quirks.set(unsent=order)
    unsent = await waiting.send(50, to="+15005559012")  # queued for ever: without date_sent
    await waiting.send(2000)
    emulator.clock.advance(10)
    failing = unsent[::2]
    tasks = [waiting.start(sid) for sid in unsent]
    for sid in failing:
        emulator.set_message(sid, "failed", 30001)
    told = await asyncio.gather(*(task for sid, task in zip(unsent, tasks, strict=True) if sid in failing))
    assert {(entry["outcome"], entry["error_code"]) for entry in told} == {("failed", 30001)}
    assert sum(task.done() for task in tasks) == len(failing)


async def test_what_the_list_shows_late_is_fetched(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send_delivered(30)
    told = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {entry["outcome"] for entry in told} == {"reached"}
    assert waiting.lists >= 1


async def test_stale_statuses_only_delay(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(status_lag=9.0)
    sids = await waiting.send_delivered(10)
    told = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {entry["status"] for entry in told} == {"delivered"}
    assert waiting.lists >= 2


async def test_more_than_can_be_fetched_in_a_tick_take_turns(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    """New ones come all the time; the old ones get their turn all the same."""
    monkeypatch.setattr(poll, "MAX_FETCHES_PER_CYCLE", 10)
    emulator.quirks.set(list_lag=3600)
    old = [waiting.start(sid) for sid in await waiting.send_delivered(25)]
    newcomers = await waiting.send(200)

    async def come() -> None:
        for sid in newcomers:
            await asyncio.sleep(0.02)
            waiting.start(sid)

    coming = asyncio.create_task(come())
    async with asyncio.timeout(4 * TICK + 2):
        assert {told["outcome"] for told in await asyncio.gather(*old)} == {"reached"}
    coming.cancel()


async def test_the_last_look_is_not_put_off(waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(poll, "MAX_FETCHES_PER_CYCLE", 2)
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send(40)
    begun = time.monotonic()
    told = await asyncio.gather(*(waiting.start(sid, interval=86_400, lasts=0.5) for sid in sids))
    assert {entry["outcome"] for entry in told} == {"timeout"}
    assert time.monotonic() - begun < 2


# ---------------------------------------------------------------- what is not there


async def test_a_deleted_record_is_gone_when_it_was_missed_twice(waiting: Waiting, emulator: Emulator):
    sid = "SM" + "0" * 32
    told = await waiting.start(sid, created=time.time() - poll.NOT_FOUND_GRACE)
    assert told["outcome"] == "error"
    assert told["reason"].startswith(f"{sid} is gone: ")
    assert waiting.fetches == 2


async def test_a_fresh_record_may_be_missing(waiting: Waiting, emulator: Emulator):
    emulator.quirks.set(fetch_lag=1.0, list_lag=1.0)
    [sid] = await waiting.send(to="+14155550100")
    told = await waiting.start(sid, created=time.time())
    assert emulator.journal.count("GET", status=404) >= 3
    assert told["outcome"] == "reached"


async def test_only_what_is_missed_after_a_minute_counts(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(poll, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    wait = StatusWait("SM" + "0" * 32, Delivery(), interval=1, created=1000.0)
    for now[0], done in ((1001, False), (1059.9, False), (1060, False), (1061, True)):
        wait.on_not_found(NotFound("not there"))
        assert wait.future.done() == done


async def test_a_look_that_finds_it_begins_the_count_anew(monkeypatch: pytest.MonkeyPatch):
    wait = StatusWait("SM" + "0" * 32, Delivery(), interval=1)
    for _ in range(3):
        wait.on_not_found(NotFound("not there"))
        wait.on_record({"status": "sent"})
    assert not wait.future.done()


async def test_one_that_is_gone_does_not_harm_the_others(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    lost = waiting.start("SM" + "f" * 32, created=1.0)
    tasks = [waiting.start(sid) for sid in sids]
    assert (await lost)["outcome"] == "error"
    assert not any(task.done() for task in tasks)


# ---------------------------------------------------------------- times


async def test_a_wait_past_its_deadline_gets_one_look_at_once(waiting: Waiting, emulator: Emulator):
    delivered, still = [*await waiting.send_delivered(), *await waiting.send()]
    begun = time.monotonic()
    tasks = [waiting.start(sid, interval=86_400, lasts=-100) for sid in (delivered, still)]
    assert [(await task)["outcome"] for task in tasks] == ["reached", "timeout"]
    assert waiting.gets == 2
    assert time.monotonic() - begun < 2


async def test_the_deadline_is_kept_and_tells_what_was_seen(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send()
    begun = time.monotonic()
    told = await waiting.start(sid, interval=86_400, lasts=0.5)
    assert 0.5 <= time.monotonic() - begun < 1.5
    assert (told["outcome"], told["status"]) == ("timeout", "queued" if told["status"] == "queued" else "sending")
    assert told["reason"] == f"{sid} has not come to its end at its deadline: it is {told['status']}"
    assert waiting.gets == 1


async def test_a_scheduled_message_is_not_asked_for_before_its_time(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send_delivered()
    waiting.start(sid, not_before=time.time() + 1)
    await asyncio.sleep(0.8)
    assert waiting.gets == 0
    assert (await waiting.tasks[0])["outcome"] == "reached"


async def test_several_intervals_are_each_kept(waiting: Waiting, emulator: Emulator):
    often, seldom = await waiting.send(2)
    waiting.start(often, interval=0.1)
    waiting.start(seldom, interval=0.5)
    await asyncio.sleep(2)
    assert 15 <= emulator.journal.count("GET", often) <= 21
    assert 3 <= emulator.journal.count("GET", seldom) <= 5


async def test_those_of_one_interval_are_looked_at_together(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send(20):
        waiting.start(sid, interval=1)
        await asyncio.sleep(0.02)
    await asyncio.sleep(2)
    times = [entry.time for entry in emulator.journal.find("GET")]
    ticks = 1 + sum(later - earlier > 0.3 for earlier, later in pairwise(times))
    assert ticks <= 3


async def test_setting_the_clock_neither_stops_the_poll_nor_ends_a_wait(
    waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    [sid] = await waiting.send()
    task = waiting.start(sid, lasts=600)
    await until(lambda: waiting.gets)
    for step in (-86_400, +86_400):
        clock = SimpleNamespace(time=lambda step=step: time.time() + step, monotonic=time.monotonic)
        monkeypatch.setattr(poll, "time", clock)
        seen = waiting.gets
        await until(lambda seen=seen: waiting.gets >= seen + 2)
        assert not task.done()


# ---------------------------------------------------------------- who shares a poller


async def test_two_connections_to_one_account_share_a_poller(waiting: Waiting, emulator: Emulator):
    key = emulator.main_key
    extra = f'{{"account_sid": "{emulator.account_sid}"}}'
    waiting.connections["two"] = settings(emulator, login=key[0], password=key[1], extra=extra)
    first, second = await waiting.send(20), await waiting.send(20)
    tasks = [waiting.start(sid, interval=0.5) for sid in first]
    tasks += [waiting.start(sid, interval=0.5, name="two") for sid in second]
    await until(lambda: waiting.lists >= 2)
    assert waiting.gets == waiting.lists <= 3
    assert sorted(waiting.opened) == ["one", "two"]
    assert len({entry.user for entry in emulator.journal.find("GET")}) == 1
    later = waiting.start(first[0], name="two")  # finds the shared one at once
    for sid in first + second:
        emulator.set_message(sid, "delivered")
    assert {told["outcome"] for told in await asyncio.gather(*tasks, later)} == {"reached"}
    assert sorted(waiting.opened) == ["one", "two"]


async def test_the_other_connection_serves_when_the_first_is_refused(waiting: Waiting, emulator: Emulator):
    waiting.connections["two"] = waiting.connections["one"]
    sids = await waiting.send(8)
    tasks = [waiting.start(sid, name=name) for sid, name in zip(sids, ["one", "two"] * 4, strict=True)]
    await until(lambda: waiting.lists >= 2)
    first, second = waiting.opened
    waiting.connections[first] = settings(emulator, password="0" * 32)
    emulator.fail_next(2, status=401)
    await until(lambda: len(waiting.opened) == 4)
    assert waiting.opened[2:] == [first, second]
    seen = emulator.journal.count("GET", status=200)
    await until(lambda: emulator.journal.count("GET", status=200) >= seen + 2)
    assert not any(task.done() for task in tasks)


async def test_two_accounts_do_not_share(waiting: Waiting, emulator: Emulator):
    async with AsyncClient(settings(emulator)) as client:
        other = await client.accounts.create(friendly_name="other")
    waiting.connections["two"] = replace(settings(emulator), account_sid=str(other.sid))
    [sid] = await waiting.send_delivered()
    missing = waiting.start(sid, name="two", created=1.0)
    assert (await waiting.start(sid))["outcome"] == "reached"
    assert (await missing)["outcome"] == "error"


async def test_two_may_wait_for_one_message(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send(to=NO_REPORT)
    emulator.clock.advance(10)
    accepting = waiting.start(sid, goal=Delivery(accept_sent=True))
    strict = waiting.start(sid, lasts=0.5)
    assert (await accepting)["outcome"] == "reached"
    assert (await strict)["outcome"] == "timeout"
    assert (await strict)["status"] == "sent"


# ---------------------------------------------------------------- trouble


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
@pytest.mark.parametrize("many", [1, 30])
async def test_a_failing_poll_backs_off_for_all_and_fails_only_who_is_past_the_deadline(
    waiting: Waiting, emulator: Emulator, fault: Told, many: int
):
    sids = await waiting.send(many)
    emulator.fail_next(100_000, method="GET", **fault)
    [brief] = await waiting.send()
    tasks = [waiting.start(sid, interval=0.02, lasts=60) for sid in sids]
    past = waiting.start(brief, interval=0.02, lasts=0.2)
    told = await past
    assert told["outcome"] == "timeout"
    assert "at its deadline: GET /2010" in told["reason"]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    assert waiting.gets <= (6 if "retry_after" in fault else 14 * (1 if many == 1 else 5))
    emulator.world.faults.clear()
    for sid in sids:
        emulator.set_message(sid, "delivered")
    assert {entry["outcome"] for entry in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one"]


async def test_retry_after_is_kept(waiting: Waiting, emulator: Emulator):
    for sid in await waiting.send_delivered(10):
        waiting.start(sid, interval=0.05)
    emulator.fail_next(status=429, retry_after=1, method="GET")
    await until(lambda: waiting.gets == 1)
    waiting.start((await waiting.send())[0], interval=0.05)  # who comes meanwhile has to rest too
    begun = time.monotonic()
    await asyncio.gather(*waiting.tasks[:10])
    assert 0.8 <= time.monotonic() - begun < 4


async def test_one_record_that_fails_does_not_hold_up_the_others(
    waiting: Waiting, emulator: Emulator, caplog: pytest.LogCaptureFixture
):
    emulator.quirks.set(list_lag=3600)
    sids = await waiting.send_delivered(8)
    emulator.fail_next(100_000, status=500, path=sids[0])
    bad = waiting.start(sids[0])
    told = await asyncio.gather(*(waiting.start(sid) for sid in sids[1:]))
    assert {entry["outcome"] for entry in told} == {"reached"}
    assert not bad.done()
    assert "The poll for messages rests" not in caplog.text


async def test_a_list_that_fails_is_done_without(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send_delivered(10)
    emulator.fail_next(100_000, status=500, path="Messages.json")
    told = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {entry["outcome"] for entry in told} == {"reached"}


async def test_large_pages_that_fail_are_asked_for_in_smaller_ones(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(60)
    emulator.fail_next(100_000, status=500, path="Messages.json", params={"PageSize": "1000"})
    tasks = [waiting.start(sid) for sid in sids]
    for sid in sids:
        emulator.set_message(sid, "delivered")
    await asyncio.gather(*tasks)
    assert waiting.fetches == 0


async def test_the_network_may_be_away_for_a_while(waiting: Waiting):
    with serve() as there:
        waiting.emulator, waiting.connections["one"] = there, settings(there)
        tasks = [waiting.start(sid, lasts=60, created=time.time()) for sid in await waiting.send(10)]
        brief = waiting.start((await waiting.send())[0], lasts=1.0)
        await until(lambda: there.journal.count("GET"))
    told = await brief
    assert told["outcome"] == "timeout"
    assert "not sent" in told["reason"]
    with serve(port=there.port) as back:
        await until(lambda: back.journal.count("GET") >= 10)
    assert not any(task.done() for task in tasks)


async def test_one_odd_record_does_not_harm_the_others(waiting: Waiting, emulator: Emulator):
    class Odd:
        def verdict(self, record: Any, now: Any) -> Any:
            raise ValueError("Message.date_updated is not a datetime")

    sids = await waiting.send_delivered(6)
    odd = waiting.start(sids[0], goal=Odd(), lasts=1)
    told = await asyncio.gather(*(waiting.start(sid) for sid in sids))
    assert {entry["outcome"] for entry in told} == {"reached"}
    assert not odd.done()
    assert (await odd)["outcome"] == "timeout"


async def test_an_unknown_status_is_waited_on(waiting: Waiting, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    from airflow_provider_twilio.emulator import messages

    monkeypatch.setattr(messages, "STATUSES", (*messages.STATUSES, "teleported"))
    sids = await waiting.send(5)
    for sid in sids:
        emulator.set_message(sid, "teleported")
    tasks = [waiting.start(sid) for sid in sids]
    await asyncio.sleep(3 * TICK)
    assert not any(task.done() for task in tasks)
    for sid in sids:
        emulator.set_message(sid, "read")
    assert {told["status"] for told in await asyncio.gather(*tasks)} == {"read"}


# ---------------------------------------------------------------- credentials


async def test_the_connection_is_read_again_when_the_credentials_are_refused(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    right = waiting.connections["one"]
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.opened)
    waiting.connections["one"] = right  # as when a connection's variable is changed
    for sid in sids:
        emulator.set_message(sid, "delivered")
    assert {told["outcome"] for told in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one", "one"]
    assert emulator.journal.count("GET", status=401) == 2  # the list, and a fetch in its place


async def test_credentials_that_stay_refused_end_all_waits(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    waiting.connections["one"] = settings(emulator, password="0" * 32)
    told = await asyncio.gather(*(waiting.start(sid, lasts=600) for sid in sids))
    assert {entry["outcome"] for entry in told} == {"error"}
    assert all(entry["reason"].startswith("AuthenticationFailed: GET /2010") for entry in told)
    assert waiting.opened == ["one", "one"]
    assert waiting.gets <= 4


async def test_each_change_of_credentials_is_followed(waiting: Waiting, emulator: Emulator):
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
async def test_who_may_not_list_fetches_one_by_one(waiting: Waiting, emulator: Emulator, status: int):
    sids = await waiting.send(30)
    emulator.fail_next(100_000, status=status, path="Messages.json")
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.fetches >= 60)
    assert waiting.lists == 1
    for sid in sids:
        emulator.set_message(sid, "delivered")
    assert {told["outcome"] for told in await asyncio.gather(*tasks)} == {"reached"}
    assert waiting.opened == ["one"]


async def test_a_connection_that_cannot_be_read_is_tried_again(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send_delivered()
    right = waiting.connections.pop("one")
    task = waiting.start(sid)
    await until(lambda: len(waiting.opened) == 2)
    waiting.connections["one"] = right
    assert (await task)["outcome"] == "reached"


async def test_a_connection_that_stays_unreadable_ends_all_waits(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(2)
    del waiting.connections["one"]
    tasks = [waiting.start(sid) for sid in sids]
    for task in tasks:
        with pytest.raises(PollFailed, match=r"The poll for messages ended. KeyError: 'one'"):
            await task
    assert len(waiting.opened) == shared.MAX_UNEXPECTED_ERRORS


# ---------------------------------------------------------------- coming and going


async def test_the_first_waiter_may_leave(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send(10)
    tasks = [waiting.start(sid) for sid in sids]
    await until(lambda: waiting.gets)
    tasks[0].cancel()
    for sid in sids:
        emulator.set_message(sid, "delivered")
    assert {told["outcome"] for told in await asyncio.gather(*tasks[1:])} == {"reached"}
    assert waiting.opened == ["one"]


@pytest.mark.parametrize("after", [0.0, 0.05, 0.3])
async def test_waiters_may_leave_at_any_time(waiting: Waiting, emulator: Emulator, after: float):
    """The fixture sees to it that no poller stays."""
    emulator.quirks.set(latency=0.2)
    tasks = [waiting.start(sid, interval=0.01) for sid in await waiting.send(10)]
    await asyncio.sleep(after)
    for task in tasks:
        task.cancel()


async def test_a_poller_ends_while_it_rests_for_trouble(waiting: Waiting, emulator: Emulator):
    emulator.fail_next(10, status=429, retry_after=3600, method="GET")
    task = waiting.start((await waiting.send())[0], interval=0.01)
    await until(lambda: waiting.gets)
    task.cancel()


async def test_who_comes_while_a_poller_ends_is_served(waiting: Waiting, emulator: Emulator):
    sids = await waiting.send_delivered(40)
    for turn, sid in enumerate(sids):
        task = waiting.start(sid, interval=0.01)
        assert (await asyncio.wait_for(task, 2))["outcome"] == "reached"
        for _ in range(turn % 8):
            await asyncio.sleep(0)


async def test_who_comes_earlier_than_the_next_tick_is_not_kept_waiting(waiting: Waiting, emulator: Emulator):
    slow, quick = await waiting.send_delivered(2)
    waiting.start(slow, interval=86_400)
    await until(lambda: waiting.opened)
    await asyncio.sleep(0.5)
    assert (await asyncio.wait_for(waiting.start(quick), 4))["outcome"] == "reached"


async def test_the_poll_belongs_to_none_of_those_who_wait(waiting: Waiting, emulator: Emulator):
    whose = contextvars.ContextVar("whose", default="nobody")
    seen = []

    class Spy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(whose.get())

    spy = Spy()
    shared.log.addHandler(spy)
    try:
        whose.set("the first task")
        [sid] = await waiting.send_delivered()
        emulator.fail_next(status=503, method="GET")
        await waiting.start(sid)
    finally:
        shared.log.removeHandler(spy)
    assert set(seen) == {"nobody"}


def test_each_event_loop_has_its_own_poller(emulator: Emulator):
    async def run() -> str:
        waiting = Waiting(emulator)
        [sid] = await waiting.send_delivered()
        outcome: str = (await waiting.start(sid))["outcome"]
        return outcome

    gc.collect()
    before = len(StatusPoll._of_loop)  # loops of others, which something holds still
    assert [asyncio.run(run()) for _ in range(3)] == ["reached"] * 3
    gc.collect()
    assert len(StatusPoll._of_loop) <= before + 1


def test_a_loop_that_ends_takes_its_waits_along(emulator: Emulator):
    async def run() -> None:
        waiting = Waiting(emulator)
        waiting.start((await waiting.send())[0])
        await until(lambda: waiting.gets)

    asyncio.run(run())


# ---------------------------------------------------------------- cost, and what is told


async def test_a_wait_takes_little_memory(waiting: Waiting, emulator: Emulator):
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
    assert used / len(sids) < 8 * 1024  # with asyncio's own task for each


async def test_joining_and_leaving_do_not_cost_more_the_more_there_are(waiting: Waiting, emulator: Emulator):
    begun = time.process_time()
    for number in range(5000):
        waiting.start(f"SM{number:032x}", interval=3600)
        await asyncio.sleep(0)
    for task in waiting.tasks:
        task.cancel()
        await asyncio.sleep(0)
    assert time.process_time() - begun < 3


async def test_events_tell_no_number_and_no_text(waiting: Waiting, emulator: Emulator):
    [sid] = await waiting.send(to="+15005559001")
    emulator.clock.advance(10)
    told = await waiting.start(sid)
    assert told["reason"] == (
        f"message {sid} is undelivered: error 30003: the handset can't be reached: off, out of range, or not able to"
        " receive; sending again can help. See https://www.twilio.com/docs/api/errors/30003"
    )
    assert told["error_code"] == 30003
    assert set(told) <= {"sid", "outcome", "reason", *EVENT_FIELDS}
    assert "hello" not in str(told)
    assert "5005559001" not in str(told)
