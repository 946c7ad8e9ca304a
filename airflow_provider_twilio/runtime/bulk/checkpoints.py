"""Checkpoints of a stream of requests, so that a later try resumes where an earlier one stopped.

.. code-block:: python

    tally = await run_resumable(client, items, on_outcome, store=store, key="messages", reconcile=reconcile)

A checkpoint of some hundred items is opened in the state store before the first of them is sent, and closed with the
outcome of each. A later try with the same items, in the same order, finds

* closed checkpoints, whose outcomes it takes over,
* open checkpoints, any item of which may have been sent, and
* no checkpoint for the remaining items, none of which was sent.

Items that may have been sent are reconciled: once their requests can no longer be in flight, ``reconcile`` queries
Twilio for all of them at once. Meanwhile the remaining items are sent. Idempotent requests need no ``reconcile``: they
are sent again.

Each process first claims ownership of the stream in the state store. A superseded process that is still alive polls
that claim and starts no request when its lease has expired, so all of its requests have ended before the new owner
reconciles.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from airflow_provider_twilio.api.errors import InvalidRequest, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.runtime.bulk.engine import AsyncSender, Engine
from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally, WorkItem
from airflow_provider_twilio.runtime.bulk.leases import Leases, lease_keys
from airflow_provider_twilio.runtime.bulk.source import YIELD_EVERY, batches
from airflow_provider_twilio.runtime.bulk.stored import (
    DEFERRED,
    UNKNOWN,
    Checkpoint,
    decode_outcome,
    encode_outcome,
    known_sids,
)
from airflow_provider_twilio.runtime.idempotency.intent import Window
from airflow_provider_twilio.runtime.state_store import StateStore

CHECKPOINT_SIZE = 1000
"""Number of items in a checkpoint. Its value stays below the 64 KB that Airflow's task state store accepts."""
MAX_OPEN = 32
"""Maximum number of open checkpoints. A single slow request keeps its checkpoint open."""
CLAIM_CHECKS = 18
"""Number of times that the claim is polled during ``reconcile_delay``."""
LEASE_CHECKS = 3
"""Duration of a lease, in polling intervals of the claim."""
MIN_CHECK_INTERVAL = 0.05
"""Minimum time between two polls of the claim, in seconds."""
MAX_ATTEMPTS = 2
"""Maximum number of times that one run sends an item whose responses are lost. Each attempt is reconciled first."""

SUPERSEDED = "another try has started to send the same requests; this one has stopped"

log = logging.getLogger(__name__)

ClaimedSids = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""A function that returns those of the given SIDs that belong to other items."""
Unresolved = tuple[WorkItem, tuple[Window, ...]]
"""An item that may have been sent, and the windows in which it may have been."""
Reconcile = Callable[[Sequence[Unresolved], ClaimedSids], Awaitable[Mapping[int, "Record | TwilioError"]]]
"""A function that queries Twilio for items that may have been sent. It returns, by ``item.number``, the record of each
item that was sent, and an error for each item whose outcome cannot be determined."""


class Superseded(TwilioError):
    """Another process has started to send the same requests: a later try, which took this one for dead."""


class InputChanged(InvalidRequest):
    """The items differ from those that an earlier try started to send."""


async def digest(items: Sequence[WorkItem]) -> str:
    """Return a hash of the requests of items, in their order. Yield to the event loop in between."""
    hashed = hashlib.sha256()
    for first in range(0, len(items), YIELD_EVERY):
        for item in items[first : first + YIELD_EVERY]:
            request = item.request
            content = (request.method, request.path, request.data, request.json)
            hashed.update(repr(content).encode("utf-8", "surrogatepass"))
        await asyncio.sleep(0)
    return hashed.hexdigest()[:32]


async def run_resumable(
    client: AsyncSender,
    items: Iterable[WorkItem] | AsyncIterable[WorkItem],
    on_outcome: Callable[[Outcome], object] | None = None,
    *,
    store: StateStore,
    key: str,
    reconcile: Reconcile | None = None,
    reconcile_delay: float = 0.0,
    concurrency: int = 50,
    rate: float | None = None,
    max_failures: int | None = None,
    lane_count: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Run a stream, resuming where an earlier try stopped.

    The other parameters are those of :func:`~airflow_provider_twilio.runtime.bulk.engine.run`.

    :param items: The items: the same ones in each try, in the same order.
    :param on_outcome: Called with each outcome of this try. The tally also counts those of earlier tries, which
        :func:`stored_outcomes` yields.
    :param store: State store of the checkpoints. :func:`delete_checkpoints` deletes them.
    :param key: Prefix of the keys in the store.
    :param reconcile: Finds out which items were sent; required if the requests are not idempotent.
    :param reconcile_delay: Seconds after which a request that Twilio does not list was never carried out.
    :raises InputChanged: When the items differ from those of an earlier try.
    :raises Superseded: When another process has started to send the same items.
    """
    tally = Tally() if tally is None else tally
    checkpoints = Checkpoints(
        items,
        on_outcome,
        store=store,
        key=key,
        tally=tally,
        reconcile=reconcile,
        reconcile_delay=reconcile_delay,
        leases=Leases(
            store,
            key,
            request_timeout=client.settings.timeout,
            twilio_clock=getattr(client, "twilio_clock", None),
        ),
    )
    engine = Engine(
        client,
        checkpoints.on_engine_outcome,
        concurrency=concurrency,
        rate=rate,
        max_failures=max_failures,
        lane_count=lane_count,
        tally=tally,
    )
    await checkpoints.claim(engine)
    watch = asyncio.ensure_future(checkpoints.watch(engine)) if reconcile is not None else None
    try:
        try:
            await engine.run(checkpoints.batches())
        finally:  # before the open checkpoints are stored: nothing extends the lease after its end
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
    except Superseded:
        raise
    except (Exception, asyncio.CancelledError):
        await checkpoints.store_open(engine.interrupted)
        raise
    return tally


def stored_outcomes(store: StateStore, key: str) -> Iterator[list[Any]]:
    """Yield the stored outcomes of a stream, one list for each checkpoint. An item that was not sent has None.

    Any item of a checkpoint that a crash has left open may have been sent. If it is the last one, it may be shorter.
    """
    index = 0
    while (state := store.get(f"{key}.{index}")) is not None:
        yield outcomes_in(state)
        index += 1


def outcomes_in(state: Mapping[str, Any]) -> list[Any]:
    """Return the outcomes in the stored state of a checkpoint. All items of an open one may have been sent."""
    return state["outcomes"] or [UNKNOWN] * CHECKPOINT_SIZE


def stored_sids(store: StateStore, key: str) -> Iterator[list[str]]:
    """Yield the SIDs of a stream's records, one list for each checkpoint."""
    for outcomes in stored_outcomes(store, key):
        yield known_sids(outcomes)


def _intersection(sids: Collection[str], outcomes: Iterable[Sequence[Any]]) -> set[str]:
    return {stored for some in outcomes for stored in some if isinstance(stored, str) and stored in sids}


def delete_checkpoints(store: StateStore, key: str, item_count: int) -> None:
    """Delete the checkpoints of a stream with this number of items, its claim and its leases."""
    for index in range(-(-item_count // CHECKPOINT_SIZE)):
        store.delete(f"{key}.{index}")
    for lease_key, _ in list(lease_keys(store, key)):
        store.delete(lease_key)
    store.delete(f"{key}.owner")


class Checkpoints:
    """The checkpoints of one :func:`run_resumable`.

    :param on_outcome: Called with each outcome of this try once it is final.
    :param reconcile_delay: Seconds after which a request that Twilio does not list was never carried out.
    :param leases: The leases of the stream.
    """

    def __init__(
        self,
        items: Iterable[WorkItem] | AsyncIterable[WorkItem],
        on_outcome: Callable[[Outcome], object] | None,
        *,
        store: StateStore,
        key: str,
        tally: Tally,
        leases: Leases,
        reconcile: Reconcile | None = None,
        reconcile_delay: float = 0.0,
    ) -> None:
        self.tally = tally
        self._source, self._read_ahead = batches(items), list[WorkItem]()
        self._on_outcome, self._store, self._key = on_outcome, store, key
        self._reconcile, self._reconcile_delay = reconcile, reconcile_delay
        self._check_interval = max(reconcile_delay / CLAIM_CHECKS, MIN_CHECK_INTERVAL)
        self._lease_seconds = LEASE_CHECKS * self._check_interval
        self._leases = leases
        self._open: dict[int, Checkpoint] = {}
        self._replaced: set[str] = set()
        self._unresolved: list[WorkItem] = []
        self._reconcile_at = 0.0
        self._owner_id = secrets.token_hex(8)
        self._writes: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._responded = asyncio.Event()
        self._clock_is_read = False
        self._error: BaseException | None = None

    # ------------------------------------------------------------ ownership

    async def claim(self, engine: Engine) -> None:
        """Claim the stream for this process. If items are reconciled, limit the engine to the lease of the claim."""
        await asyncio.to_thread(self._store.set, f"{self._key}.owner", self._owner_id)
        if self._reconcile is not None:
            started_at = time.monotonic()
            await asyncio.to_thread(self._leases.acquire, self._lease_seconds)
            engine.extend_lease(started_at + self._lease_seconds)

    async def watch(self, engine: Engine) -> None:
        """Poll the claim and extend the lease; stop the engine once another process owns the stream."""
        last_seen = time.monotonic()
        while True:
            await self._wait_for_check()
            started_at = time.monotonic()
            try:
                owner = await asyncio.to_thread(self._store.get, f"{self._key}.owner")
                if owner == self._owner_id:
                    await asyncio.to_thread(self._leases.extend, self._lease_seconds)
            except Exception as error:
                if started_at - last_seen > self._reconcile_delay:
                    message = f"cannot determine whether another try has started to send the same requests: {error}"
                    engine.stop(Superseded(message))
                    return
                log.warning("Pausing until the state store confirms that no other try has started: %s", error)
            else:
                if owner != self._owner_id:
                    engine.stop(Superseded(SUPERSEDED))
                    return
                last_seen = started_at
                engine.extend_lease(started_at + self._lease_seconds)

    async def _wait_for_check(self) -> None:
        """Wait until the claim is to be polled: at once after the first response, which shows Twilio's clock."""
        if self._clock_is_read:
            await asyncio.sleep(self._check_interval)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_interval):
                await self._responded.wait()
                self._clock_is_read = True

    # ------------------------------------------------------------ items to send

    async def batches(self) -> AsyncIterator[list[WorkItem]]:
        """Yield the items to send, one checkpoint at a time. Unresolved items follow once they are reconciled."""
        is_new, index = False, 0
        while items := await self._read(index * CHECKPOINT_SIZE):
            items_digest = await digest(items)
            state = None if is_new else await asyncio.to_thread(self._store.get, f"{self._key}.{index}")
            is_new = state is None
            if state is not None:
                yield await self._resume_checkpoint(index, items, items_digest, state)
            else:
                while len(self._open) >= MAX_OPEN:
                    yield await self._next_unresolved()
                now, outcomes = datetime.now(UTC), list[Any]([None] * len(items))
                checkpoint = Checkpoint(index, items_digest, now, outcomes, items, self._leases.index)
                await asyncio.to_thread(self._open_checkpoint, checkpoint)
                self._open[index] = checkpoint
                yield items
            if self._unresolved and time.monotonic() >= self._reconcile_at:
                yield await self._next_unresolved()
            index += 1
        while self._open:
            yield await self._next_unresolved()

    def _open_checkpoint(self, checkpoint: Checkpoint) -> None:
        if self._store.get(f"{self._key}.owner") != self._owner_id:
            raise Superseded(SUPERSEDED)
        self._store.set(f"{self._key}.{checkpoint.index}", checkpoint.as_json(None))

    async def _read(self, first_number: int) -> list[WorkItem]:
        """Read the items of the next checkpoint, and number them."""
        while len(self._read_ahead) < CHECKPOINT_SIZE and (batch := await anext(self._source, None)):
            self._read_ahead += batch
        items, self._read_ahead = self._read_ahead[:CHECKPOINT_SIZE], self._read_ahead[CHECKPOINT_SIZE:]
        for number, item in enumerate(items, first_number):
            item.number = number
        return items

    async def _resume_checkpoint(
        self, index: int, items: list[WorkItem], items_digest: str, state: Mapping[str, Any]
    ) -> list[WorkItem]:
        """Open a checkpoint of an earlier try again. Return its items that were not sent, or are safe to send again."""
        if state["digest"] != items_digest:
            raise InputChanged(
                f"the input has changed since an earlier try: first difference in checkpoint {index} (items from"
                f" {index * CHECKPOINT_SIZE + 1}). Supply the same rows in the same order, or start a new DAG run."
                " Nothing was sent from that checkpoint on"
            )
        started_at, outcomes = datetime.fromisoformat(state["started_at"]), state["outcomes"]
        checkpoint = Checkpoint(
            index,
            items_digest,
            started_at,
            list(outcomes or [UNKNOWN] * len(items)),
            items,
            state.get("lease"),
            state.get("replaced", []),
        )
        self._replaced.update(checkpoint.replaced)
        to_send: list[WorkItem] = []
        for position, stored in enumerate(checkpoint.outcomes):
            if stored == UNKNOWN and self._reconcile is not None:
                self._mark_unresolved(items[position])
            elif stored in (None, DEFERRED, UNKNOWN):
                to_send.append(items[position])
            else:
                self.tally.count(*decode_outcome(stored)[:2])
                self.tally.resumed += 1
                continue
            checkpoint.record(position, None)
        if checkpoint.remaining:
            self._open[index] = checkpoint
        if to_send and outcomes is not None:  # any of these items may be in flight from here on
            reopened = [UNKNOWN if stored is None else stored for stored in checkpoint.outcomes]
            await asyncio.to_thread(self._store.set, f"{self._key}.{index}", checkpoint.as_json(reopened))
        return to_send

    def _mark_unresolved(self, item: WorkItem) -> None:
        self._unresolved.append(item)
        self._reconcile_at = time.monotonic() + self._reconcile_delay
        self.tally.unresolved, self.tally.reconcile_at = len(self._unresolved), self._reconcile_at

    async def _next_unresolved(self) -> list[WorkItem]:
        """Wait until the unresolved items can be reconciled or something else has changed; return the items to send."""
        if self._error is not None:
            raise self._error
        if self._unresolved and (delay := self._reconcile_at - time.monotonic()) <= 0:
            return await self._reconcile_unresolved()
        self._changed.clear()
        try:
            async with asyncio.timeout(delay if self._unresolved else None):
                await self._changed.wait()
        except TimeoutError:
            pass
        return []

    async def _reconcile_unresolved(self) -> list[WorkItem]:
        """Query Twilio for the unresolved items. Return those that were not sent."""
        items = list(self._unresolved)
        log.info("Reconciling with Twilio: an earlier attempt may have sent %d of the messages", len(items))
        unresolved = await asyncio.to_thread(self._with_windows, items)
        found = await self._reconcile(unresolved, self._claimed_elsewhere) if self._reconcile else {}
        del self._unresolved[: len(items)]
        self.tally.unresolved = len(self._unresolved)
        to_send = []
        for item in items:
            checkpoint, result = self._open[item.number // CHECKPOINT_SIZE], found.get(item.number)
            if isinstance(result, TwilioError):
                self._record_final(Outcome(item, "failed", error=result))
            elif result is not None:
                self._record_final(Outcome(item, "done", result))
            elif checkpoint.attempts.get(item.number, 0) >= MAX_ATTEMPTS:
                message = f"{item.request}: sent {MAX_ATTEMPTS} times without a response, and never listed by Twilio"
                self._record_final(Outcome(item, "failed", error=InvalidRequest(message)))
            else:
                to_send.append(item)
        log.info("Reconciled: %d have an outcome, sending %d again", len(items) - len(to_send), len(to_send))
        return to_send

    def _with_windows(self, items: Sequence[WorkItem]) -> list[Unresolved]:
        """Return items with the windows in which they may have been sent."""
        windows: dict[tuple[int, bool], tuple[Window, ...]] = {}
        unresolved = []
        for item in items:
            checkpoint = self._open[item.number // CHECKPOINT_SIZE]
            group = checkpoint.index, item.number in checkpoint.attempts  # whether this process has sent the item
            if group not in windows:
                windows[group] = self._leases.windows(checkpoint.lease, checkpoint.started_at, own=group[1])
            unresolved.append((item, windows[group]))
        return unresolved

    async def _claimed_elsewhere(self, sids: Collection[str]) -> set[str]:
        """Return those SIDs that belong to items, in closed or open checkpoints."""
        # Collected before the store is read, since a checkpoint may be closed meanwhile.
        outcomes = [checkpoint.outcomes for checkpoint in self._open.values()]
        closed = await asyncio.to_thread(lambda: _intersection(sids, stored_outcomes(self._store, self._key)))
        return closed | _intersection(sids, [*outcomes, list(self._replaced)])

    # ------------------------------------------------------------ outcomes

    def _record_final(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self.on_engine_outcome(outcome)

    def on_engine_outcome(self, outcome: Outcome) -> None:
        """Record an outcome. Close its checkpoint if it is the last one."""
        self._responded.set()
        number = outcome.item.number
        checkpoint = self._open[number // CHECKPOINT_SIZE]
        if outcome.kind == "unknown" and self._reconcile is not None:
            self.tally.unknown -= 1
            checkpoint.attempts[number] = checkpoint.attempts.get(number, 0) + 1
            self._mark_unresolved(outcome.item)
            self._changed.set()
            return
        checkpoint.record(number % CHECKPOINT_SIZE, encode_outcome(outcome))
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if not checkpoint.remaining:
            self._close(checkpoint)

    def _close(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.as_json(checkpoint.outcomes)
        write = asyncio.ensure_future(asyncio.to_thread(self._store.set, f"{self._key}.{checkpoint.index}", state))
        self._writes.add(write)
        write.add_done_callback(lambda _: self._on_closed(checkpoint, write))

    def _on_closed(self, checkpoint: Checkpoint, write: asyncio.Future[None]) -> None:
        self._writes.discard(write)
        if not write.cancelled() and (error := write.exception()) is not None:
            self._error = self._error or error
        else:
            self._open.pop(checkpoint.index, None)
        self._changed.set()

    async def store_open(self, interrupted: Collection[WorkItem] = ()) -> None:
        """Store the outcomes of the open checkpoints, once the engine has stopped.

        :param interrupted: Items whose requests were interrupted.
        """
        await asyncio.gather(*self._writes, return_exceptions=True)
        if await asyncio.to_thread(self._store.get, f"{self._key}.owner") != self._owner_id:
            return
        unresolved = {item.number for item in chain(self._unresolved, interrupted)}
        writes = []
        for checkpoint in self._open.values():
            first = checkpoint.index * CHECKPOINT_SIZE
            outcomes = [
                UNKNOWN if number in unresolved else stored for number, stored in enumerate(checkpoint.outcomes, first)
            ]
            key, state = f"{self._key}.{checkpoint.index}", checkpoint.as_json(outcomes)
            writes.append(asyncio.to_thread(self._store.set, key, state))
        await asyncio.gather(*writes)  # at once: Airflow soon kills a task that it has stopped
        await asyncio.to_thread(self._leases.end)
