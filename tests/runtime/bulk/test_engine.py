"""Any stream of requests, at a concurrency and a pace, each with an outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, NotSent, OutcomeUnknown, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import backoff, engine, sender_queue, source
from airflow_provider_twilio.runtime.bulk.engine import Engine, TooManyFailures, run
from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally, WorkItem
from tests.support.scripted import Answer, Drop, Received, Scripted

ACCOUNT = "AC" + "a" * 32


def number(index: int) -> str:
    return f"+1415555{index:04}"


def sends(emulator: Emulator, count: int, lane: str = "") -> Iterator[WorkItem]:
    for index in range(count):
        yield WorkItem(Messages.create(to=number(index), from_=emulator.phone_number, body="hello"), index, lane=lane)


class Told(dict[Any, Outcome]):
    def __call__(self, outcome: Outcome) -> None:
        assert outcome.item.key not in self
        self[outcome.item.key] = outcome


async def test_each_item_is_sent_and_told(emulator: Emulator, open_client):
    told = Told()
    async with open_client() as client:
        tally = await run(client, sends(emulator, 700), told)
    assert tally.done == len(told) == len(emulator.messages) == 700
    assert {message["to"] for message in emulator.messages} == {number(index) for index in range(700)}
    assert all(outcome.result["to"] == number(name) for name, outcome in told.items())


async def test_an_async_stream(emulator: Emulator, open_client):
    async with open_client() as client:
        await run(client, sends(emulator, 30))

        async def deletions():
            async for message in client.messages.list():
                yield WorkItem(Messages.delete(message.sid), message.sid)

        emulator.clock.advance(hours=1)
        tally = await run(client, deletions())
    assert tally.done == 30
    assert not emulator.messages


async def test_outcomes(emulator: Emulator, open_client):
    to = {"invalid": 9201, "region": 9203, "opted out": 9204, "good": 1}
    gone, fresh = "SM" + "0" * 32, Messages.create(to="+14155550001", from_=emulator.phone_number, body="hello")
    told = Told()
    async with open_client() as client:
        moving = (await client.send(fresh)).sid
        items = [
            WorkItem(Messages.create(to=f"+1500555{last:04}", from_=emulator.phone_number, body="hello"), name)
            for name, last in to.items()
        ]
        items += [WorkItem(Messages.delete(gone), "gone"), WorkItem(Messages.delete(moving), "moving")]
        tally = await run(client, items, told)
    assert {name: (outcome.kind, outcome.code) for name, outcome in told.items()} == {
        "invalid": ("failed", 21211),
        "region": ("failed", 21408),
        "opted out": ("skipped", 21610),
        "good": ("done", None),
        "gone": ("done", None),
        "moving": ("later", 20009),
    }
    assert (tally.done, tally.later, tally.failed, tally.skipped) == (2, 1, {21211: 1, 21408: 1}, {21610: 1})
    assert tally.total == 6
    assert "21211" in told["invalid"].reason
    assert "5559201" not in told["invalid"].reason


async def test_no_more_at_once_than_twilio_takes(emulator: Emulator, open_client):
    emulator.quirks.set(concurrency=20, latency=0.005)
    async with open_client() as client:
        tally = await run(client, sends(emulator, 2000), concurrency=50)
    assert tally.done == len(emulator.messages) == 2000
    statuses = [entry.status for entry in emulator.journal]
    assert statuses.count(429) == tally.throttled
    assert 0 < tally.throttled < 150
    assert statuses[1000:].count(429) <= 20  # it knows by now


async def test_retry_after_is_honoured(emulator: Emulator, open_client):
    emulator.fail_next(1, status=429, retry_after=1)
    async with open_client() as client:
        await run(client, sends(emulator, 200), concurrency=5)
    times = [entry.time for entry in emulator.journal]
    assert max(later - earlier for earlier, later in pairwise(times)) >= 0.9
    assert len(emulator.messages) == 200


async def test_what_may_be_repeated_is_repeated(emulator: Emulator, open_client):
    async with open_client() as client:
        await run(client, sends(emulator, 20))
        emulator.clock.advance(hours=1)
        sids = [message["sid"] for message in emulator.messages]
        emulator.fail_next(3, status=503)
        emulator.fail_next(2, accept_then_drop=True)
        tally = await run(client, [WorkItem(Messages.update(sid, body=""), sid) for sid in sids])
    assert tally.done == 20
    assert {message["body"] for message in emulator.messages} == {""}


async def test_what_must_not_be_repeated_is_unknown(emulator: Emulator, open_client):
    emulator.fail_next(2, accept_then_drop=True)
    told = Told()
    async with open_client() as client:
        tally = await run(client, sends(emulator, 100), told)
    assert (tally.done, tally.unknown) == (98, 2)
    assert len(emulator.messages) == 100


async def test_what_fails_by_itself_ends(open_client):
    settings = Settings("AC" + "a" * 32, Basic("AC" + "a" * 32, "secret"), retries=0, retry_max_wait=0.01)
    with Scripted(Answer(503, {"code": 20503}), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            tally = await run(client, [WorkItem(Messages.delete("SM" + "0" * 32))])
    assert tally.failed == {20503: 1}
    assert len(server.requests) == engine.MAX_ATTEMPTS + 1


async def test_a_full_queue_rests_its_sender_only(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.5)
    emulator.fail_next(1, status=400, code=21611)
    items = list(sends(emulator, 40, "a")) + [
        WorkItem(Messages.create(to=number(index), from_=emulator.phone_number, body="other"), index, lane="b")
        for index in range(100, 140)
    ]
    ended: dict[object, float] = {}
    began = time.monotonic()
    async with open_client() as client:
        tally = await run(
            client,
            items,
            lambda outcome: ended.setdefault(outcome.item.key, time.monotonic() - began),
            concurrency=2,
        )
    assert tally.done == 80
    last = {lane: max(ended[item.key] for item in items if item.lane == lane) for lane in "ab"}
    assert last["b"] < 0.5 <= last["a"]


async def test_a_queue_that_stays_full_is_left_for_later(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.02)
    full = Messages.create(to="+15005559205", from_=emulator.phone_number, body="hello")
    async with open_client() as client:
        tally = await run(
            client, [*(WorkItem(full, lane="a") for _ in range(30)), *sends(emulator, 30, "b")], concurrency=2
        )
    assert (tally.later, tally.done) == (30, 30)
    # Once it rests, one at a time looks whether there is room again.
    assert sum(entry.status == 400 for entry in emulator.journal) < 2 * sender_queue.MAX_OVERFLOWS


async def test_what_says_nothing_of_a_full_queue_makes_nobody_wait(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.5)
    emulator.fail_next(1, status=400, code=21611)
    bad = Messages.create(to="+15005559201", from_=emulator.phone_number, body="hello")
    items = [*(WorkItem(bad, lane="a") for _ in range(30)), *sends(emulator, 3, "a")]
    began = time.monotonic()
    async with open_client() as client:
        tally = await run(client, items, concurrency=1)
    assert (tally.done, tally.failed) == (3, {21211: 30})
    assert time.monotonic() - began < 30 * sender_queue.QUEUE_BACKOFF / 2


async def test_the_rate_is_kept_after_a_full_queue(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.1)
    emulator.fail_next(1, status=400, code=21611)
    async with open_client() as client:
        assert (await run(client, sends(emulator, 40, "a"), rate=40.0)).done == 40
    times = [entry.time for entry in emulator.journal if entry.status == 201]
    assert times[-1] - times[0] >= 38 / 40


class Draining(Scripted):
    """A sender whose queue is full, and makes room for one message every few milliseconds."""

    room = 0.0

    def answer(self, request: Received, scripted: Any) -> Answer:
        now = time.monotonic()
        if now < self.room:
            return Answer(400, {"code": 21611, "message": "The queue is full"})
        self.room = now + 0.015
        return Answer(201, {"sid": f"SM{len(self.requests):032}", "account_sid": ACCOUNT})


async def test_a_queue_that_drains_slowly_takes_all(monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.03)
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "secret"), retries=0)
    items = [
        WorkItem(Messages.create(to=number(index), from_="+15005550006", body="hello"), index, lane="a")
        for index in range(40)
    ]
    with Draining(Answer(), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            tally = await run(client, items, concurrency=10)
    assert (tally.done, tally.later) == (40, 0)


async def test_the_rate_is_of_each_lane(emulator: Emulator, open_client):
    items = [
        WorkItem(
            Messages.create(to=number(index), from_=emulator.phone_number, body="hello"), index, 2.0, "ab"[index % 2]
        )
        for index in range(40)
    ]
    began = time.monotonic()
    async with open_client() as client:
        await run(client, items, rate=80.0)
    # Each lane has 20 of weight 2: the last goes out when 38 have passed.
    assert time.monotonic() - began >= 38 / 80
    times = [entry.time for entry in emulator.journal]
    assert times[-1] - times[0] >= 0.4


async def test_too_many_failures_end_it(emulator: Emulator, open_client):
    bad = Messages.create(to="+15005559201", from_=emulator.phone_number, body="hello")
    told = Told()
    async with open_client() as client:
        with pytest.raises(TooManyFailures, match=r"21211: "):
            await run(client, [WorkItem(bad, index) for index in range(500)], told, concurrency=5, max_failures=10)
    assert 11 <= len(told) <= 16
    assert len(emulator.journal) == len(told)  # each that was on its way was waited for


@pytest.mark.parametrize(("fault", "kind"), [((401, 20003), AuthenticationFailed), ((429, 63038), TwilioError)])
async def test_what_befalls_all_ends_it(emulator: Emulator, open_client, fault, kind):
    emulator.fail_next(1, status=fault[0], code=fault[1], skip=100)
    tally = Tally()
    async with open_client() as client:
        with pytest.raises(kind) as caught:
            await run(client, sends(emulator, 1000), concurrency=5, tally=tally)
    assert caught.value.code == fault[1]
    assert 100 <= tally.done == len(emulator.messages) <= 110


async def test_a_host_that_is_away_ends_it(settings: Settings, monkeypatch):
    monkeypatch.setattr(backoff, "MAX_CONSECUTIVE_ERRORS", 3)
    async with AsyncClient(replace(settings, base="http://127.0.0.1:1")) as client:
        with pytest.raises(NotSent):
            await run(client, [WorkItem(Messages.delete("SM" + "0" * 32), index) for index in range(50)])


async def test_lost_answers_in_a_row_end_it(settings: Settings, monkeypatch):
    monkeypatch.setattr(backoff, "MAX_CONSECUTIVE_ERRORS", 3)
    with Scripted(Drop(), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            items = [
                WorkItem(Messages.create(to=number(index), from_="+15005550006", body="x"), index)
                for index in range(900)
            ]
            told = Told()
            with pytest.raises(TwilioError, match="may or may not"):
                await run(client, items, told, concurrency=20)
    assert len(server.requests) == len(told) < 100


async def test_the_stream_is_read_as_it_is_needed(emulator: Emulator, open_client):
    read = 0

    def stream() -> Iterator[WorkItem]:
        nonlocal read
        for item in sends(emulator, 2500):
            read += 1
            yield item

    ahead: list[int] = []
    async with open_client() as client:
        tally = Tally()
        await run(client, stream(), lambda _: ahead.append(read - tally.total), tally=tally)
    assert tally.done == 2500
    assert max(ahead) <= 2 * source.BATCH_SIZE + 100


async def test_an_error_of_the_stream_ends_it(emulator: Emulator, open_client):
    def stream() -> Iterator[WorkItem]:
        yield from sends(emulator, 600)
        raise LookupError("row 601")

    async with open_client() as client:
        with pytest.raises(LookupError, match="row 601"):
            await run(client, stream())


async def test_nothing_at_all(open_client):
    async with open_client() as client:
        assert (await run(client, [])).total == 0


@pytest.mark.parametrize("error", [OSError, SystemExit, asyncio.CancelledError])
async def test_a_broken_stream_is_not_taken_for_the_end(emulator: Emulator, open_client, error: type[BaseException]):
    async def stream():
        for item in sends(emulator, source.READ_AHEAD):
            yield item
        raise error

    async with open_client() as client:
        with pytest.raises(error):
            await run(client, stream())


class AtOnce:
    """Raise the errors that are given, one by one, with an answer for None; then answer everything. Never wait."""

    settings = Settings(ACCOUNT, Basic(ACCOUNT, "token"))

    def __init__(self, *errors: TwilioError | None) -> None:
        self.errors = list(errors)

    async def send(self, request: Any) -> Any:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return {}


async def test_what_waits_for_nothing_leaves_others_their_turn(emulator: Emulator):
    tally, told = Tally(), list[int]()

    async def look() -> None:
        while tally.total < 3000:
            told.append(tally.total)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await run(AtOnce(), sends(emulator, 3000), tally=tally, concurrency=20)
    await looking
    assert max(after - before for before, after in pairwise(told)) <= source.YIELD_EVERY + 20


@pytest.mark.parametrize("pause", [0.03 * step for step in range(3, 8)])  # for one it ends between two looks
async def test_a_pause_that_ends_while_it_is_looked_at(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, pause: float
):
    class Slow:
        """Be interrupted after each look at the clock."""

        @staticmethod
        def monotonic() -> float:
            now = time.monotonic()
            time.sleep(0.06)
            return now

    monkeypatch.setattr(engine, "time", Slow)
    async with asyncio.timeout(10):
        # The first pause has the stream read to its end: nothing but the clock ends the second one.
        lost = [OutcomeUnknown("lost", retry_after=seconds) for seconds in (0.3, pause)]
        tally = await run(AtOnce(lost[0], None, lost[1]), sends(emulator, 4), concurrency=1)
    assert (tally.unknown, tally.done) == (2, 2)


async def test_the_next_batch_is_asked_for_when_the_last_is_begun(emulator: Emulator, open_client):
    """Making a batch may take as long as sending one, as where it is written down first."""
    items, asked = list(sends(emulator, 3000)), list[int]()
    tally = Tally()

    async def source() -> AsyncIterator[list[WorkItem]]:
        for begin in range(0, len(items), 1000):
            asked.append(tally.total)
            yield items[begin : begin + 1000]

    async with open_client() as client:
        await Engine(client, tally=tally).run(source())
    assert tally.done == 3000
    assert max(asked[1], asked[2] - 1000) <= 50


class Broken:
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "token"))

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def send(self, request: Any) -> Any:
        raise self.error


async def test_what_is_no_exception_ends_a_run_too(emulator: Emulator):
    with pytest.raises(SystemExit):
        await run(Broken(SystemExit(3)), sends(emulator, 10))


async def test_after_an_error_that_is_not_twilios_a_send_is_not_known_to_have_failed(emulator: Emulator):
    tally, told = Tally(), Told()
    with pytest.raises(MemoryError):
        await run(Broken(MemoryError()), sends(emulator, 1), told, tally=tally)
    assert (tally.unknown, told[0].kind) == (1, "unknown")
    tally = Tally()
    with pytest.raises(MemoryError):
        await run(Broken(MemoryError()), [WorkItem(Messages.delete("SM" + "0" * 32))], tally=tally)
    assert tally.total == 0
