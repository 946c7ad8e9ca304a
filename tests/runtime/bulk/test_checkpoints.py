"""A stream goes on after a crash where it was: nothing twice, nothing forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import checkpoints as chunks
from airflow_provider_twilio.runtime.bulk.checkpoints import (
    ClaimedSids,
    InputChanged,
    Superseded,
    decode_outcome,
    delete_checkpoints,
    run_resumable,
    stored_outcomes,
)
from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally, WorkItem
from airflow_provider_twilio.runtime.bulk.reconcile import Reconciler
from tests.runtime.bulk.conftest import Dict
from tests.support.polling import until

MANY = 450


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHECKPOINT_SIZE", 200)


def sends(emulator: Emulator, count: int = MANY, body: str = "hello") -> Iterator[WorkItem]:
    for index in range(count):
        yield WorkItem(
            Messages.create(to=f"+1415555{index:04}", from_=emulator.phone_number, body=body), f"+1415555{index:04}"
        )


class Asks:
    """Settle by what the emulator holds."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.asked: list[int] = []

    async def __call__(
        self, unsure: Sequence[tuple[WorkItem, datetime]], taken: ClaimedSids
    ) -> Mapping[int, Record | TwilioError]:
        self.asked.append(len(unsure))
        by_number = {message["to"]: Record(message) for message in self.emulator.messages}
        return {item.number: by_number[item.key] for item, _ in unsure if item.key in by_number}


def one_each(emulator: Emulator, count: int = MANY) -> bool:
    sent = Counter(message["to"] for message in emulator.messages)
    return len(sent) == count and set(sent.values()) == {1}


async def test_each_chunk_is_opened_and_closed(emulator: Emulator, open_client, memory: Dict):
    async with open_client() as client:
        tally = await run_resumable(client, sends(emulator), store=memory, key="k")
    assert tally.done == MANY
    assert memory.writes == 1 + 2 * 3  # whose it is, and each chunk opened and closed
    assert 5 * memory.largest < 64 * 1024  # a whole one has five times as many
    kept = [row for rows in stored_outcomes(memory, "k") for row in rows]
    by_sid = {message["sid"]: message["to"] for message in emulator.messages}
    assert [by_sid[row] for row in kept] == [item.key for item in sends(emulator)]
    delete_checkpoints(memory, "k", MANY)
    assert not memory.values


async def test_what_is_done_is_taken_over(emulator: Emulator, open_client, memory: Dict):
    told: list[Outcome] = []
    async with open_client() as client:
        await run_resumable(client, sends(emulator), store=memory, key="k")
        before = len(emulator.journal)
        tally = await run_resumable(client, sends(emulator), told.append, store=memory, key="k")
    assert len(emulator.journal) == before
    assert (tally.done, told) == (MANY, [])


@pytest.mark.parametrize("sent", [1, 120, 250, 440])
async def test_after_a_crash(emulator: Emulator, open_client, memory: Dict, sent: int):
    async def watch(task: asyncio.Task[Tally], least: int) -> None:
        await until(lambda: len(emulator.world.main.messages) >= least, pause=0)
        task.cancel()

    async with open_client() as client:
        for least in (sent, sent + 5):
            task = asyncio.create_task(
                run_resumable(client, sends(emulator), store=memory, key="k", reconcile=Asks(emulator))
            )
            await asyncio.gather(watch(task, least), task, return_exceptions=True)
            assert task.cancelled()
        await asyncio.sleep(0.2)  # what was on its way arrives
        asks = Asks(emulator)
        tally = await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks, reconcile_delay=0.1)
    assert one_each(emulator)
    assert tally.done == MANY
    assert len(asks.asked) == 1
    assert all(decode_outcome(row)[2] for rows in stored_outcomes(memory, "k") for row in rows)


async def test_the_rest_goes_on_while_the_unsure_are_waited_for(emulator: Emulator, open_client, memory: Dict):
    order: list[str] = []
    first = list(sends(emulator))[: chunks.CHECKPOINT_SIZE]
    memory.set(
        "k.0", {"digest": await chunks.digest(first), "started_at": "2026-01-01T00:00:00+00:00", "outcomes": None}
    )
    async with open_client() as client:
        await run_resumable(
            client,
            sends(emulator),
            lambda outcome: order.append(outcome.item.key),
            store=memory,
            key="k",
            reconcile=Asks(emulator),
            reconcile_delay=1.0,
        )
    assert one_each(emulator)
    assert set(order[: MANY - chunks.CHECKPOINT_SIZE]) == {item.key for item in sends(emulator)} - {
        item.key for item in first
    }


async def test_a_lost_answer_is_settled_in_the_run(emulator: Emulator, open_client, memory: Dict):
    emulator.fail_next(5, accept_then_drop=True, skip=20)
    emulator.fail_next(5, drop=True, skip=200)
    asks = Asks(emulator)
    async with open_client() as client:
        tally = await run_resumable(
            client, sends(emulator, 300), store=memory, key="k", reconcile=asks, reconcile_delay=0.1, concurrency=20
        )
    assert one_each(emulator, 300)
    assert (tally.done, tally.unknown) == (300, 0)
    assert sum(asks.asked) == 10


async def test_what_was_answered_is_not_taken_for_what_was_lost(emulator: Emulator, open_client, memory: Dict):
    """Two templates to one phone look alike in Twilio's list; the first is known, though its chunk is still open."""
    emulator.fail_next(1, drop=True, skip=1)
    items = [
        WorkItem(Messages.create(to="+14155550001", from_=emulator.phone_number, content_sid="HX" + digit * 32))
        for digit in "12"
    ]
    async with open_client() as client:
        tally = await run_resumable(
            client, items, store=memory, key="k", reconcile=Reconciler(client), reconcile_delay=0.1, concurrency=1
        )
    assert tally.done == len(emulator.messages) == 2
    assert set(*stored_outcomes(memory, "k")) == {message["sid"] for message in emulator.messages}


async def test_what_is_never_listed_is_not_sent_for_ever(emulator: Emulator, open_client, memory: Dict):
    emulator.fail_next(100, drop=True)
    told: list[Outcome] = []
    async with open_client() as client:
        tally = await run_resumable(
            client,
            sends(emulator, 1),
            told.append,
            store=memory,
            key="k",
            reconcile=Asks(emulator),
            reconcile_delay=0.01,
        )
    assert (tally.failed, tally.unknown) == ({0: 1}, 0)
    assert len(emulator.journal) == chunks.MAX_ATTEMPTS
    assert "never listed" in told[0].reason


async def test_what_is_stopped_goes_on_without_asking(emulator: Emulator, open_client, memory: Dict):
    emulator.fail_next(1, status=401, skip=250)
    asks = Asks(emulator)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks)
        assert 250 <= len(emulator.messages) < MANY
        tally = await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks)
    assert one_each(emulator)
    assert (tally.done, asks.asked) == (MANY, [])


async def test_a_crash_after_a_stop(emulator: Emulator, open_client, memory: Dict):
    emulator.fail_next(1, status=401, skip=250)
    asks = Asks(emulator)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks)
        task = asyncio.create_task(run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks))
        await until(lambda: len(emulator.world.main.messages) >= 320, pause=0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)
        tally = await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks, reconcile_delay=0.1)
    assert one_each(emulator)
    assert tally.done == MANY


async def test_a_settlement_that_fails_is_made_later(emulator: Emulator, open_client, memory: Dict):
    class Refused(Asks):
        async def __call__(
            self, unsure: Sequence[tuple[WorkItem, datetime]], taken: ClaimedSids
        ) -> Mapping[int, Record | TwilioError]:
            raise AuthenticationFailed("not now")

    emulator.fail_next(3, accept_then_drop=True)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=Refused(emulator))
        asks = Asks(emulator)
        await run_resumable(client, sends(emulator), store=memory, key="k", reconcile=asks)
    assert one_each(emulator)
    assert asks.asked == [3]


async def test_what_may_be_repeated_is_just_sent_again(emulator: Emulator, open_client, memory: Dict):
    async with open_client() as client:
        await run_resumable(client, sends(emulator, 10), store=memory, key="sent")
        emulator.clock.advance(hours=1)
        items = [WorkItem(Messages.delete(message["sid"])) for message in emulator.messages]
        memory.set(
            "k.0", {"digest": await chunks.digest(items), "started_at": "2026-01-01T00:00:00+00:00", "outcomes": None}
        )
        tally = await run_resumable(client, items, store=memory, key="k")
    assert tally.done == 10
    assert list(stored_outcomes(memory, "k")) == [[True] * 10]


async def test_what_was_left_for_later_is_tried_again(emulator: Emulator, open_client, memory: Dict):
    async with open_client() as client:
        await run_resumable(client, sends(emulator, 3), store=memory, key="sent")
        items = [WorkItem(Messages.delete(message["sid"])) for message in emulator.messages]
        assert (await run_resumable(client, items, store=memory, key="k")).later == 3
        emulator.clock.advance(hours=1)
        tally = await run_resumable(client, items, store=memory, key="k")
    assert (tally.done, tally.later) == (3, 0)


async def test_failures_are_taken_over_too(emulator: Emulator, open_client, memory: Dict):
    bad = [
        WorkItem(Messages.create(to=f"+1500555{last}", from_=emulator.phone_number, body="hello"))
        for last in (9201, 9204)
    ]
    async with open_client() as client:
        await run_resumable(client, bad, store=memory, key="k")
        before = len(emulator.journal)
        tally = await run_resumable(client, bad, store=memory, key="k")
    assert len(emulator.journal) == before
    assert (tally.failed, tally.skipped) == ({21211: 1}, {21610: 1})


async def test_who_was_thought_dead_stops(emulator: Emulator, open_client, memory: Dict):
    """A process whose supervisor died may still be sending when the next try begins."""
    asks = Asks(emulator)

    def begun(_: Outcome) -> None:
        memory.set("k.owner", "another")

    async with open_client() as client:
        with pytest.raises(Superseded):
            await run_resumable(client, sends(emulator, 3000), begun, store=memory, key="k", reconcile=asks)
        assert len(emulator.messages) < 2000
        await run_resumable(client, sends(emulator, 3000), store=memory, key="k", reconcile=asks, reconcile_delay=0.1)
    assert one_each(emulator, 3000)


async def test_who_was_thought_dead_sends_nothing_more_when_the_next_settles(
    emulator: Emulator, open_client, memory: Dict
):
    """All its chunks are open already: it would never look whose they are before it opens another."""

    async def begin(client: AsyncClient) -> Tally:
        return await run_resumable(
            client,
            sends(emulator),
            store=memory,
            key="k",
            reconcile=Reconciler(client),
            reconcile_delay=3.0,
            rate=100.0,
        )

    async with open_client() as client:
        old = asyncio.create_task(begin(client))
        await until(lambda: len(emulator.world.main.messages) >= 50)
        assert len(memory.values) == 1 + 3
        new = asyncio.create_task(begin(client))
        with pytest.raises(Superseded):
            await old
        assert (await new).done == MANY
    assert one_each(emulator)


@pytest.mark.parametrize(("recovers", "patience"), [(True, 30.0), (False, 2.0)])
async def test_who_can_t_see_whose_it_is_does_not_send(
    emulator: Emulator, open_client, monkeypatch, recovers: bool, patience: float
):
    class Away(Dict):
        away = False

        def get(self, key: str) -> object:
            if self.away:
                raise OSError("no route")
            return super().get(key)

    monkeypatch.setattr(chunks, "CLAIM_CHECKS", patience * 9)
    memory = Away()
    async with open_client() as client:
        run = asyncio.create_task(
            run_resumable(
                client,
                sends(emulator),
                store=memory,
                key="k",
                reconcile=Asks(emulator),
                reconcile_delay=patience,
                rate=100.0,
            )
        )
        await until(lambda: len(emulator.world.main.messages) >= 50)
        memory.away = True
        await asyncio.sleep(1.0)
        sent = len(emulator.messages)
        assert sent < MANY
        await asyncio.sleep(0.5)
        assert len(emulator.messages) == sent
        memory.away = not recovers
        if recovers:
            assert (await run).done == MANY
        else:
            with pytest.raises(Superseded, match="cannot determine"):
                await run
    assert one_each(emulator, MANY if recovers else sent)


async def test_others_than_before_are_refused(emulator: Emulator, open_client, memory: Dict):
    async with open_client() as client:
        await run_resumable(client, sends(emulator, 10), store=memory, key="k")
        before = len(emulator.journal)
        with pytest.raises(InputChanged, match=r"checkpoint 0 \(items from 1\)"):
            await run_resumable(client, sends(emulator, 10, "other"), store=memory, key="k")
    assert len(emulator.journal) == before


async def test_a_memory_that_fails_stops_it(emulator: Emulator, open_client):
    class Full(Dict):
        def set(self, key: str, value: object) -> None:
            if self.writes >= 2:
                raise OSError("no space left")
            super().set(key, value)

    async with open_client() as client:
        with pytest.raises(OSError, match="no space left"):
            await run_resumable(client, sends(emulator, 40_000), store=Full(), key="k")
    assert len(emulator.messages) <= 2 * chunks.CHECKPOINT_SIZE
