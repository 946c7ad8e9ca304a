"""Resumption of a stream after a crash: without a duplicate and without a gap."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import checkpoints
from airflow_provider_twilio.runtime.bulk.checkpoints import (
    ClaimedSids,
    InputChanged,
    Superseded,
    Unresolved,
    delete_checkpoints,
    run_resumable,
    stored_outcomes,
)
from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally, WorkItem
from airflow_provider_twilio.runtime.bulk.reconcile import Reconciler
from airflow_provider_twilio.runtime.bulk.stored import decode_outcome
from tests.runtime.bulk.conftest import DictStore
from tests.support.polling import until

MANY = 450


@pytest.fixture(autouse=True)
def small_checkpoints(monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 200)


def message_items(emulator: Emulator, count: int = MANY, body: str = "hello") -> Iterator[WorkItem]:
    for index in range(count):
        yield WorkItem(
            Messages.create(to=f"+1415555{index:04}", from_=emulator.phone_number, body=body), f"+1415555{index:04}"
        )


class EmulatorReconcile:
    """A reconcile function that searches the emulator's messages, and records how many items it was called with."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.item_counts: list[int] = []

    async def __call__(
        self, unresolved: Sequence[Unresolved], claimed_sids: ClaimedSids
    ) -> Mapping[int, Record | TwilioError]:
        self.item_counts.append(len(unresolved))
        by_number = {message["to"]: Record(message) for message in self.emulator.messages}
        return {item.number: by_number[item.key] for item, _ in unresolved if item.key in by_number}


def each_sent_once(emulator: Emulator, count: int = MANY) -> bool:
    counts = Counter(message["to"] for message in emulator.messages)
    return len(counts) == count and set(counts.values()) == {1}


async def test_run_resumable_opens_and_closes_each_checkpoint(emulator: Emulator, open_client, store: DictStore):
    async with open_client() as client:
        tally = await run_resumable(client, message_items(emulator), store=store, key="k")
    assert tally.done == MANY
    assert store.writes == 1 + 2 * 3  # the claim, and each checkpoint opened and closed
    assert 5 * store.largest < 64 * 1024  # a full checkpoint has five times as many items
    outcomes = [stored for some in stored_outcomes(store, "k") for stored in some]
    by_sid = {message["sid"]: message["to"] for message in emulator.messages}
    assert [by_sid[sid] for sid in outcomes] == [item.key for item in message_items(emulator)]
    delete_checkpoints(store, "k", MANY)
    assert not store.values


async def test_run_resumable_takes_over_closed_checkpoints(emulator: Emulator, open_client, store: DictStore):
    outcomes: list[Outcome] = []
    async with open_client() as client:
        await run_resumable(client, message_items(emulator), store=store, key="k")
        before = len(emulator.journal)
        tally = await run_resumable(client, message_items(emulator), outcomes.append, store=store, key="k")
    assert len(emulator.journal) == before
    assert (tally.done, outcomes) == (MANY, [])


@pytest.mark.parametrize("sent", [1, 120, 250, 440])
async def test_run_resumable_after_crashes_sends_each_message_once(
    emulator: Emulator, open_client, store: DictStore, sent: int
):
    async def crash_at(task: asyncio.Task[Tally], minimum: int) -> dict[str, Any]:
        await until(lambda: len(emulator.state.main.messages) >= minimum, pause=0)
        task.cancel()
        return dict(store.values)

    async with open_client() as client:
        for minimum in (sent, sent + 5):
            task = asyncio.create_task(
                run_resumable(
                    client, message_items(emulator), store=store, key="k", reconcile=EmulatorReconcile(emulator)
                )
            )
            stored, _ = await asyncio.gather(crash_at(task, minimum), task, return_exceptions=True)
            assert task.cancelled()
            store.values = stored  # a killed process stores no outcomes
        await asyncio.sleep(0.2)  # requests in flight arrive
        reconcile = EmulatorReconcile(emulator)
        tally = await run_resumable(
            client, message_items(emulator), store=store, key="k", reconcile=reconcile, reconcile_delay=0.1
        )
    assert each_sent_once(emulator)
    assert tally.done == MANY
    assert len(reconcile.item_counts) == 1
    assert all(decode_outcome(stored)[2] for some in stored_outcomes(store, "k") for stored in some)


async def test_run_resumable_canceled_keeps_outcomes_and_needs_no_reconciliation(
    emulator: Emulator, open_client, store: DictStore
):
    emulator.quirks.set(latency=0.02)
    async with open_client() as client:
        task = asyncio.create_task(
            run_resumable(client, message_items(emulator), store=store, key="k", reconcile=EmulatorReconcile(emulator))
        )
        await until(lambda: len(emulator.state.main.messages) >= 70)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        sent = len(emulator.messages)
        assert sum(stored is not None for some in stored_outcomes(store, "k") for stored in some) == sent < MANY
        reconcile, tally = EmulatorReconcile(emulator), Tally()
        await run_resumable(
            client, message_items(emulator), store=store, key="k", reconcile=reconcile, reconcile_delay=60, tally=tally
        )
    assert (reconcile.item_counts, tally.done, tally.resumed) == ([], MANY, sent)
    assert each_sent_once(emulator)


async def test_run_resumable_sends_remaining_items_before_it_reconciles(
    emulator: Emulator, open_client, store: DictStore
):
    order: list[str] = []
    first = list(message_items(emulator))[: checkpoints.CHECKPOINT_SIZE]
    store.set(
        "k.0", {"digest": await checkpoints.digest(first), "started_at": "2026-01-01T00:00:00+00:00", "outcomes": None}
    )
    async with open_client() as client:
        await run_resumable(
            client,
            message_items(emulator),
            lambda outcome: order.append(outcome.item.key),
            store=store,
            key="k",
            reconcile=EmulatorReconcile(emulator),
            reconcile_delay=1.0,
        )
    assert each_sent_once(emulator)
    assert set(order[: MANY - checkpoints.CHECKPOINT_SIZE]) == {item.key for item in message_items(emulator)} - {
        item.key for item in first
    }


async def test_run_resumable_reconciles_lost_responses_in_the_same_run(
    emulator: Emulator, open_client, store: DictStore
):
    emulator.fail_next(5, accept_then_drop=True, skip=20)
    emulator.fail_next(5, drop=True, skip=200)
    reconcile = EmulatorReconcile(emulator)
    async with open_client() as client:
        tally = await run_resumable(
            client,
            message_items(emulator, 300),
            store=store,
            key="k",
            reconcile=reconcile,
            reconcile_delay=0.1,
            concurrency=20,
        )
    assert each_sent_once(emulator, 300)
    assert (tally.done, tally.unknown) == (300, 0)
    assert sum(reconcile.item_counts) == 10


async def test_run_resumable_does_not_assign_a_known_record_to_a_lost_response(
    emulator: Emulator, open_client, store: DictStore
):
    """Twilio's list cannot distinguish two templates to one number; the first SID is known from its open checkpoint."""
    emulator.fail_next(1, drop=True, skip=1)
    items = [
        WorkItem(Messages.create(to="+14155550001", from_=emulator.phone_number, content_sid="HX" + digit * 32))
        for digit in "12"
    ]
    async with open_client() as client:
        tally = await run_resumable(
            client, items, store=store, key="k", reconcile=Reconciler(client), reconcile_delay=0.1, concurrency=1
        )
    assert tally.done == len(emulator.messages) == 2
    assert set(*stored_outcomes(store, "k")) == {message["sid"] for message in emulator.messages}


async def test_run_resumable_fails_an_item_that_is_never_listed(emulator: Emulator, open_client, store: DictStore):
    emulator.fail_next(100, drop=True)
    outcomes: list[Outcome] = []
    async with open_client() as client:
        tally = await run_resumable(
            client,
            message_items(emulator, 1),
            outcomes.append,
            store=store,
            key="k",
            reconcile=EmulatorReconcile(emulator),
            reconcile_delay=0.01,
        )
    assert (tally.failed, tally.unknown) == ({0: 1}, 0)
    assert len(emulator.journal) == checkpoints.MAX_ATTEMPTS
    assert "never listed" in outcomes[0].reason


async def test_run_resumable_after_an_orderly_stop_needs_no_reconciliation(
    emulator: Emulator, open_client, store: DictStore
):
    emulator.fail_next(1, status=401, skip=250)
    reconcile = EmulatorReconcile(emulator)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, message_items(emulator), store=store, key="k", reconcile=reconcile)
        assert 250 <= len(emulator.messages) < MANY
        tally = await run_resumable(client, message_items(emulator), store=store, key="k", reconcile=reconcile)
    assert each_sent_once(emulator)
    assert (tally.done, reconcile.item_counts) == (MANY, [])


async def test_run_resumable_after_a_stop_and_a_crash_sends_each_message_once(
    emulator: Emulator, open_client, store: DictStore
):
    emulator.fail_next(1, status=401, skip=250)
    reconcile = EmulatorReconcile(emulator)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, message_items(emulator), store=store, key="k", reconcile=reconcile)
        task = asyncio.create_task(
            run_resumable(client, message_items(emulator), store=store, key="k", reconcile=reconcile)
        )
        await until(lambda: len(emulator.state.main.messages) >= 320, pause=0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)
        tally = await run_resumable(
            client, message_items(emulator), store=store, key="k", reconcile=reconcile, reconcile_delay=0.1
        )
    assert each_sent_once(emulator)
    assert tally.done == MANY


async def test_run_resumable_reconciles_again_after_a_failed_reconciliation(
    emulator: Emulator, open_client, store: DictStore
):
    class RejectedReconcile(EmulatorReconcile):
        async def __call__(
            self, unresolved: Sequence[Unresolved], claimed_sids: ClaimedSids
        ) -> Mapping[int, Record | TwilioError]:
            raise AuthenticationFailed("not now")

    emulator.fail_next(3, accept_then_drop=True)
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(
                client, message_items(emulator), store=store, key="k", reconcile=RejectedReconcile(emulator)
            )
        reconcile = EmulatorReconcile(emulator)
        await run_resumable(client, message_items(emulator), store=store, key="k", reconcile=reconcile)
    assert each_sent_once(emulator)
    assert reconcile.item_counts == [3]


async def test_run_resumable_sends_idempotent_requests_again(emulator: Emulator, open_client, store: DictStore):
    async with open_client() as client:
        await run_resumable(client, message_items(emulator, 10), store=store, key="sent")
        emulator.clock.advance(hours=1)
        items = [WorkItem(Messages.delete(message["sid"])) for message in emulator.messages]
        store.set(
            "k.0",
            {"digest": await checkpoints.digest(items), "started_at": "2026-01-01T00:00:00+00:00", "outcomes": None},
        )
        tally = await run_resumable(client, items, store=store, key="k")
    assert tally.done == 10
    assert list(stored_outcomes(store, "k")) == [[True] * 10]


async def test_run_resumable_sends_deferred_items_again(emulator: Emulator, open_client, store: DictStore):
    async with open_client() as client:
        await run_resumable(client, message_items(emulator, 3), store=store, key="sent")
        items = [WorkItem(Messages.delete(message["sid"])) for message in emulator.messages]
        assert (await run_resumable(client, items, store=store, key="k")).later == 3
        emulator.clock.advance(hours=1)
        tally = await run_resumable(client, items, store=store, key="k")
    assert (tally.done, tally.later) == (3, 0)


async def test_run_resumable_takes_over_failures(emulator: Emulator, open_client, store: DictStore):
    invalid = [
        WorkItem(Messages.create(to=f"+1500555{last}", from_=emulator.phone_number, body="hello"))
        for last in (9201, 9204)
    ]
    async with open_client() as client:
        await run_resumable(client, invalid, store=store, key="k")
        before = len(emulator.journal)
        tally = await run_resumable(client, invalid, store=store, key="k")
    assert len(emulator.journal) == before
    assert (tally.failed, tally.skipped) == ({21211: 1}, {21610: 1})


class SlowLeaseStore(DictStore):
    """A store in which each extension of a lease takes a while to be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.extending = threading.Event()

    def set(self, key: str, value: Any) -> None:
        is_later = key in self.values and ".lease." in key
        if is_later and datetime.fromisoformat(value["until"]) > datetime.now(UTC):
            self.extending.set()
            time.sleep(0.5)
        super().set(key, value)


async def test_run_resumable_canceled_while_it_extends_the_lease_ends_the_lease(emulator: Emulator, open_client):
    store = SlowLeaseStore()
    emulator.quirks.set(latency=0.02)
    async with open_client() as client:
        task = asyncio.create_task(
            run_resumable(
                client,
                message_items(emulator),
                store=store,
                key="k",
                reconcile=EmulatorReconcile(emulator),
                reconcile_delay=60,
                concurrency=2,
            )
        )
        await until(store.extending.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.7)
    assert datetime.fromisoformat(store.get("k.lease.0")["until"]) <= datetime.now(UTC)


async def test_run_resumable_stops_if_superseded(emulator: Emulator, open_client, store: DictStore):
    """A process whose supervisor died may still be sending when the next try starts."""
    reconcile = EmulatorReconcile(emulator)

    def supersede(_: Outcome) -> None:
        store.set("k.owner", "another")

    async with open_client() as client:
        with pytest.raises(Superseded):
            await run_resumable(
                client, message_items(emulator, 3000), supersede, store=store, key="k", reconcile=reconcile
            )
        assert len(emulator.messages) < 2000
        await run_resumable(
            client, message_items(emulator, 3000), store=store, key="k", reconcile=reconcile, reconcile_delay=0.1
        )
    assert each_sent_once(emulator, 3000)


async def test_run_resumable_sends_nothing_once_its_successor_reconciles(
    emulator: Emulator, open_client, store: DictStore
):
    """All checkpoints of the old process are open, so it does not check its claim before it opens another one."""

    async def start(client: AsyncClient) -> Tally:
        return await run_resumable(
            client,
            message_items(emulator),
            store=store,
            key="k",
            reconcile=Reconciler(client),
            reconcile_delay=3.0,
            rate=100.0,
        )

    async with open_client() as client:
        old = asyncio.create_task(start(client))
        await until(lambda: len(emulator.state.main.messages) >= 50)
        assert len(store.values) == 1 + 1 + 3  # the claim, the lease, and the checkpoints
        new = asyncio.create_task(start(client))
        with pytest.raises(Superseded):
            await old
        assert (await new).done == MANY
    assert each_sent_once(emulator)


@pytest.mark.parametrize(("recovers", "reconcile_delay"), [(True, 30.0), (False, 2.0)])
async def test_run_resumable_pauses_while_the_claim_cannot_be_read(
    emulator: Emulator, open_client, monkeypatch, recovers: bool, reconcile_delay: float
):
    class UnreachableStore(DictStore):
        is_unreachable = False

        def get(self, key: str) -> object:
            if self.is_unreachable:
                raise OSError("no route")
            return super().get(key)

    monkeypatch.setattr(checkpoints, "CLAIM_CHECKS", reconcile_delay * 9)
    store = UnreachableStore()
    async with open_client() as client:
        run = asyncio.create_task(
            run_resumable(
                client,
                message_items(emulator),
                store=store,
                key="k",
                reconcile=EmulatorReconcile(emulator),
                reconcile_delay=reconcile_delay,
                rate=100.0,
            )
        )
        await until(lambda: len(emulator.state.main.messages) >= 50)
        store.is_unreachable = True
        await asyncio.sleep(1.0)
        sent = len(emulator.messages)
        assert sent < MANY
        await asyncio.sleep(0.5)
        assert len(emulator.messages) == sent
        store.is_unreachable = not recovers
        if recovers:
            assert (await run).done == MANY
        else:
            with pytest.raises(Superseded, match="cannot determine"):
                await run
    assert each_sent_once(emulator, MANY if recovers else sent)


async def test_run_resumable_rejects_changed_items(emulator: Emulator, open_client, store: DictStore):
    async with open_client() as client:
        await run_resumable(client, message_items(emulator, 10), store=store, key="k")
        before = len(emulator.journal)
        with pytest.raises(InputChanged, match=r"checkpoint 0 \(items from 1\)"):
            await run_resumable(client, message_items(emulator, 10, "other"), store=store, key="k")
    assert len(emulator.journal) == before


async def test_run_resumable_stops_if_the_store_fails(emulator: Emulator, open_client):
    class FullStore(DictStore):
        def set(self, key: str, value: object) -> None:
            if self.writes >= 2:
                raise OSError("no space left")
            super().set(key, value)

    async with open_client() as client:
        with pytest.raises(OSError, match="no space left"):
            await run_resumable(client, message_items(emulator, 40_000), store=FullStore(), key="k")
    assert len(emulator.messages) <= 2 * checkpoints.CHECKPOINT_SIZE
