"""Execution of a stream of requests: concurrency, rate, errors, and the outcome of each."""

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
from tests.support.scripted import Drop, Received, ScriptedResponse, ScriptedServer

ACCOUNT = "AC" + "a" * 32


def number(index: int) -> str:
    return f"+1415555{index:04}"


def message_items(emulator: Emulator, count: int, lane: str = "") -> Iterator[WorkItem]:
    for index in range(count):
        yield WorkItem(Messages.create(to=number(index), from_=emulator.phone_number, body="hello"), index, lane=lane)


class Outcomes(dict[Any, Outcome]):
    """The outcomes by key, each of which may be reported once only."""

    def __call__(self, outcome: Outcome) -> None:
        assert outcome.item.key not in self
        self[outcome.item.key] = outcome


async def test_engine_reports_each_item_once(emulator: Emulator, open_client):
    outcomes = Outcomes()
    async with open_client() as client:
        tally = await run(client, message_items(emulator, 700), outcomes)
    assert tally.done == len(outcomes) == len(emulator.messages) == 700
    assert {message["to"] for message in emulator.messages} == {number(index) for index in range(700)}
    assert all(outcome.result["to"] == number(name) for name, outcome in outcomes.items())


async def test_engine_accepts_an_async_stream(emulator: Emulator, open_client):
    async with open_client() as client:
        await run(client, message_items(emulator, 30))

        async def deletions():
            async for message in client.messages.list():
                yield WorkItem(Messages.delete(message.sid), message.sid)

        emulator.clock.advance(hours=1)
        tally = await run(client, deletions())
    assert tally.done == 30
    assert not emulator.messages


async def test_engine_reports_the_outcome_of_each_error(emulator: Emulator, open_client):
    to = {"invalid": 9201, "region": 9203, "opted out": 9204, "valid": 1}
    gone, fresh = "SM" + "0" * 32, Messages.create(to="+14155550001", from_=emulator.phone_number, body="hello")
    outcomes = Outcomes()
    async with open_client() as client:
        in_flight = (await client.send(fresh)).sid
        items = [
            WorkItem(Messages.create(to=f"+1500555{last:04}", from_=emulator.phone_number, body="hello"), name)
            for name, last in to.items()
        ]
        items += [WorkItem(Messages.delete(gone), "gone"), WorkItem(Messages.delete(in_flight), "in flight")]
        tally = await run(client, items, outcomes)
    assert {name: (outcome.kind, outcome.code) for name, outcome in outcomes.items()} == {
        "invalid": ("failed", 21211),
        "region": ("failed", 21408),
        "opted out": ("skipped", 21610),
        "valid": ("done", None),
        "gone": ("done", None),
        "in flight": ("later", 20009),
    }
    assert (tally.done, tally.later, tally.failed, tally.skipped) == (2, 1, {21211: 1, 21408: 1}, {21610: 1})
    assert tally.total == 6
    assert "21211" in outcomes["invalid"].reason
    assert "5559201" not in outcomes["invalid"].reason


async def test_engine_lowers_concurrency_when_throttled(emulator: Emulator, open_client):
    emulator.quirks.set(concurrency=20, latency=0.005)
    async with open_client() as client:
        tally = await run(client, message_items(emulator, 2000), concurrency=50)
    assert tally.done == len(emulator.messages) == 2000
    statuses = [entry.status for entry in emulator.journal]
    assert statuses.count(429) == tally.throttled
    assert 0 < tally.throttled < 150
    assert statuses[1000:].count(429) <= 20  # the concurrency has adapted by then


async def test_engine_honors_retry_after(emulator: Emulator, open_client):
    emulator.fail_next(1, status=429, retry_after=1)
    async with open_client() as client:
        await run(client, message_items(emulator, 200), concurrency=5)
    times = [entry.time for entry in emulator.journal]
    assert max(later - earlier for earlier, later in pairwise(times)) >= 0.9
    assert len(emulator.messages) == 200


async def test_engine_retries_idempotent_requests(emulator: Emulator, open_client):
    async with open_client() as client:
        await run(client, message_items(emulator, 20))
        emulator.clock.advance(hours=1)
        sids = [message["sid"] for message in emulator.messages]
        emulator.fail_next(3, status=503)
        emulator.fail_next(2, accept_then_drop=True)
        tally = await run(client, [WorkItem(Messages.update(sid, body=""), sid) for sid in sids])
    assert tally.done == 20
    assert {message["body"] for message in emulator.messages} == {""}


async def test_engine_reports_unknown_for_a_lost_response_to_a_send(emulator: Emulator, open_client):
    emulator.fail_next(2, accept_then_drop=True)
    outcomes = Outcomes()
    async with open_client() as client:
        tally = await run(client, message_items(emulator, 100), outcomes)
    assert (tally.done, tally.unknown) == (98, 2)
    assert len(emulator.messages) == 100


async def test_engine_fails_an_item_that_keeps_causing_server_errors(open_client):
    settings = Settings("AC" + "a" * 32, Basic("AC" + "a" * 32, "secret"), retries=0, retry_max_wait=0.01)
    with ScriptedServer(ScriptedResponse(503, {"code": 20503}), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            tally = await run(client, [WorkItem(Messages.delete("SM" + "0" * 32))])
    assert tally.failed == {20503: 1}
    assert len(server.requests) == engine.MAX_RETRIES + 1


async def test_engine_pauses_only_the_sender_whose_queue_overflows(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.5)
    emulator.fail_next(1, status=400, code=21611)
    items = list(message_items(emulator, 40, "a")) + [
        WorkItem(Messages.create(to=number(index), from_=emulator.phone_number, body="other"), index, lane="b")
        for index in range(100, 140)
    ]
    ended: dict[object, float] = {}
    started_at = time.monotonic()
    async with open_client() as client:
        tally = await run(
            client,
            items,
            lambda outcome: ended.setdefault(outcome.item.key, time.monotonic() - started_at),
            concurrency=2,
        )
    assert tally.done == 80
    last = {lane: max(ended[item.key] for item in items if item.lane == lane) for lane in "ab"}
    assert last["b"] < 0.5 <= last["a"]


async def test_engine_defers_messages_of_a_queue_that_stays_full(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.02)
    overflowing = Messages.create(to="+15005559205", from_=emulator.phone_number, body="hello")
    async with open_client() as client:
        tally = await run(
            client,
            [*(WorkItem(overflowing, lane="a") for _ in range(30)), *message_items(emulator, 30, "b")],
            concurrency=2,
        )
    assert (tally.later, tally.done) == (30, 30)
    # After a pause, one message at a time probes the queue.
    assert sum(entry.status == 400 for entry in emulator.journal) < 2 * sender_queue.MAX_OVERFLOWS


async def test_engine_probes_at_once_after_an_error_unrelated_to_the_queue(
    emulator: Emulator, open_client, monkeypatch
):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.5)
    emulator.fail_next(1, status=400, code=21611)
    invalid = Messages.create(to="+15005559201", from_=emulator.phone_number, body="hello")
    items = [*(WorkItem(invalid, lane="a") for _ in range(30)), *message_items(emulator, 3, "a")]
    started_at = time.monotonic()
    async with open_client() as client:
        tally = await run(client, items, concurrency=1)
    assert (tally.done, tally.failed) == (3, {21211: 30})
    assert time.monotonic() - started_at < 30 * sender_queue.QUEUE_BACKOFF / 2


async def test_engine_keeps_the_rate_after_a_queue_overflow(emulator: Emulator, open_client, monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.1)
    emulator.fail_next(1, status=400, code=21611)
    async with open_client() as client:
        assert (await run(client, message_items(emulator, 40, "a"), rate=40.0)).done == 40
    times = [entry.time for entry in emulator.journal if entry.status == 201]
    assert times[-1] - times[0] >= 38 / 40


class Draining(ScriptedServer):
    """A sender whose full queue drains one message every few milliseconds."""

    has_room_at = 0.0

    def choose_response(self, request: Received, scripted: Any) -> ScriptedResponse:
        now = time.monotonic()
        if now < self.has_room_at:
            return ScriptedResponse(400, {"code": 21611, "message": "The queue is full"})
        self.has_room_at = now + 0.015
        return ScriptedResponse(201, {"sid": f"SM{len(self.requests):032}", "account_sid": ACCOUNT})


async def test_engine_sends_all_to_a_queue_that_drains_slowly(monkeypatch):
    monkeypatch.setattr(sender_queue, "QUEUE_BACKOFF", 0.03)
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "secret"), retries=0)
    items = [
        WorkItem(Messages.create(to=number(index), from_="+15005550006", body="hello"), index, lane="a")
        for index in range(40)
    ]
    with Draining(ScriptedResponse(), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            tally = await run(client, items, concurrency=10)
    assert (tally.done, tally.later) == (40, 0)


async def test_engine_limits_the_rate_of_each_lane(emulator: Emulator, open_client):
    items = [
        WorkItem(
            Messages.create(to=number(index), from_=emulator.phone_number, body="hello"), index, 2.0, "ab"[index % 2]
        )
        for index in range(40)
    ]
    started_at = time.monotonic()
    async with open_client() as client:
        await run(client, items, rate=80.0)
    # Each lane has 20 items of weight 2: the last one is sent after a weight of 38.
    assert time.monotonic() - started_at >= 38 / 80
    times = [entry.time for entry in emulator.journal]
    assert times[-1] - times[0] >= 0.4


async def test_engine_ends_after_max_failures(emulator: Emulator, open_client):
    invalid = Messages.create(to="+15005559201", from_=emulator.phone_number, body="hello")
    outcomes = Outcomes()
    async with open_client() as client:
        with pytest.raises(TooManyFailures, match=r"21211: "):
            await run(
                client, [WorkItem(invalid, index) for index in range(500)], outcomes, concurrency=5, max_failures=10
            )
    assert 11 <= len(outcomes) <= 16
    assert len(emulator.journal) == len(outcomes)  # the requests in flight were awaited


@pytest.mark.parametrize(("fault", "error_type"), [((401, 20003), AuthenticationFailed), ((429, 63038), TwilioError)])
async def test_engine_ends_on_an_error_that_affects_every_request(emulator: Emulator, open_client, fault, error_type):
    emulator.fail_next(1, status=fault[0], code=fault[1], skip=100)
    tally = Tally()
    async with open_client() as client:
        with pytest.raises(error_type) as caught:
            await run(client, message_items(emulator, 1000), concurrency=5, tally=tally)
    assert caught.value.code == fault[1]
    assert 100 <= tally.done == len(emulator.messages) <= 110


async def test_engine_ends_if_the_host_is_unreachable(settings: Settings, monkeypatch):
    monkeypatch.setattr(backoff, "MAX_CONSECUTIVE_ERRORS", 3)
    async with AsyncClient(replace(settings, base="http://127.0.0.1:1")) as client:
        with pytest.raises(NotSent):
            await run(client, [WorkItem(Messages.delete("SM" + "0" * 32), index) for index in range(50)])


async def test_engine_ends_after_consecutive_lost_responses(settings: Settings, monkeypatch):
    monkeypatch.setattr(backoff, "MAX_CONSECUTIVE_ERRORS", 3)
    with ScriptedServer(Drop(), repeat=True) as server:
        async with AsyncClient(replace(settings, base=server.url)) as client:
            items = [
                WorkItem(Messages.create(to=number(index), from_="+15005550006", body="x"), index)
                for index in range(900)
            ]
            outcomes = Outcomes()
            with pytest.raises(TwilioError, match="may or may not"):
                await run(client, items, outcomes, concurrency=20)
    assert len(server.requests) == len(outcomes) < 100


async def test_engine_reads_the_stream_as_needed(emulator: Emulator, open_client):
    read = 0

    def stream() -> Iterator[WorkItem]:
        nonlocal read
        for item in message_items(emulator, 2500):
            read += 1
            yield item

    read_ahead: list[int] = []
    async with open_client() as client:
        tally = Tally()
        await run(client, stream(), lambda _: read_ahead.append(read - tally.total), tally=tally)
    assert tally.done == 2500
    assert max(read_ahead) <= 2 * source.BATCH_SIZE + 100


async def test_engine_raises_an_error_of_the_stream(emulator: Emulator, open_client):
    def stream() -> Iterator[WorkItem]:
        yield from message_items(emulator, 600)
        raise LookupError("row 601")

    async with open_client() as client:
        with pytest.raises(LookupError, match="row 601"):
            await run(client, stream())


async def test_engine_accepts_an_empty_stream(open_client):
    async with open_client() as client:
        assert (await run(client, [])).total == 0


@pytest.mark.parametrize("error", [OSError, SystemExit, asyncio.CancelledError])
async def test_engine_raises_the_exception_of_an_async_stream(
    emulator: Emulator, open_client, error: type[BaseException]
):
    async def stream():
        for item in message_items(emulator, source.READ_AHEAD):
            yield item
        raise error

    async with open_client() as client:
        with pytest.raises(error):
            await run(client, stream())


class ImmediateClient:
    """A client that never suspends. It raises the given errors in turn, with a response for None, and then responds."""

    settings = Settings(ACCOUNT, Basic(ACCOUNT, "token"))

    def __init__(self, *errors: TwilioError | None) -> None:
        self.errors = list(errors)

    async def send(self, request: Any) -> Any:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return {}


async def test_engine_yields_to_other_tasks_if_requests_never_suspend(emulator: Emulator):
    tally, observed = Tally(), list[int]()

    async def observe() -> None:
        while tally.total < 3000:
            observed.append(tally.total)
            await asyncio.sleep(0)

    observer = asyncio.create_task(observe())
    await run(ImmediateClient(), message_items(emulator, 3000), tally=tally, concurrency=20)
    await observer
    assert max(after - before for before, after in pairwise(observed)) <= source.YIELD_EVERY + 20


@pytest.mark.parametrize("pause", [0.03 * step for step in range(3, 8)])  # one of them ends between two clock reads
async def test_engine_resumes_after_a_pause_that_ends_between_two_clock_reads(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, pause: float
):
    class SlowClock:
        """A clock whose reader is interrupted after each read."""

        @staticmethod
        def monotonic() -> float:
            now = time.monotonic()
            time.sleep(0.06)
            return now

    monkeypatch.setattr(engine, "time", SlowClock)
    async with asyncio.timeout(10):
        # During the first pause the stream is read to its end, so that only the clock ends the second one.
        lost = [OutcomeUnknown("lost", retry_after=seconds) for seconds in (0.3, pause)]
        tally = await run(ImmediateClient(lost[0], None, lost[1]), message_items(emulator, 4), concurrency=1)
    assert (tally.unknown, tally.done) == (2, 2)


async def test_engine_requests_the_next_batch_when_it_starts_the_last_one(emulator: Emulator, open_client):
    """Building a batch may take as long as sending one, such as when it is stored first."""
    items, requested = list(message_items(emulator, 3000)), list[int]()
    tally = Tally()

    async def source() -> AsyncIterator[list[WorkItem]]:
        for first in range(0, len(items), 1000):
            requested.append(tally.total)
            yield items[first : first + 1000]

    async with open_client() as client:
        await Engine(client, tally=tally).run(source())
    assert tally.done == 3000
    assert max(requested[1], requested[2] - 1000) <= 50


class BrokenClient:
    """A client whose every request raises an exception."""

    settings = Settings(ACCOUNT, Basic(ACCOUNT, "token"))

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def send(self, request: Any) -> Any:
        raise self.error


async def test_engine_raises_a_base_exception_of_the_client(emulator: Emulator):
    with pytest.raises(SystemExit):
        await run(BrokenClient(SystemExit(3)), message_items(emulator, 10))


async def test_engine_reports_unknown_after_a_foreign_exception_of_a_send(emulator: Emulator):
    tally, outcomes = Tally(), Outcomes()
    with pytest.raises(MemoryError):
        await run(BrokenClient(MemoryError()), message_items(emulator, 1), outcomes, tally=tally)
    assert (tally.unknown, outcomes[0].kind) == (1, "unknown")
    tally = Tally()
    with pytest.raises(MemoryError):
        await run(BrokenClient(MemoryError()), [WorkItem(Messages.delete("SM" + "0" * 32))], tally=tally)
    assert tally.total == 0
