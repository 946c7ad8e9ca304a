"""Go on after a crash: remember a stream chunk by chunk, so that nothing in it is sent twice and nothing forgotten.

    tally = await run_resuming(client, items, tell, memory=memory, key="messages", reconcile=reconcile, ...)

A chunk of some hundred items is opened in the memory before the first of them is sent, and closed with what came of
each. Whoever comes after a crash with the same items, in the same order, finds closed chunks, and takes their outcomes
over; open chunks, of which anything may have been sent; and from there on nothing. What may have been sent is settled:
``reconcile`` asks Twilio for all of it at once, when it must have arrived; meanwhile the rest goes on. What may be
repeated needs no ``reconcile``, and is sent again.

Whoever comes writes first into the memory that the stream is his. Who was thought dead, and still sends, looks there
all the time, and begins nothing when he has not looked for a moment: what he has begun has come to its end when the
other one settles.
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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_twilio.api.errors import InvalidRequest, TwilioError
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.runtime.bulk.engine import (
    YIELD_EVERY,
    AsyncSender,
    Engine,
    Kind,
    Outcome,
    Tally,
    WorkItem,
    batches,
)
from airflow_provider_twilio.runtime.state_store import StateStore

SIZE = 1000
"""Items a chunk: what is remembered of it stays below the 64 KB that Airflow's state store takes."""
MAX_OPEN = 32
"""So many chunks may be open, each as one request in it takes long, before no more are begun."""
CLAIM_CHECKS = 18
"""So many looks at whose the stream is are taken while the patience lasts, and sending goes on for three after one."""
MIN_CHECK_INTERVAL = 0.05
MAX_ATTEMPTS = 2
"""How often one run sends the same, each time after it has seen that the one before was not carried out."""

UNKNOWN: Final = "?"
DEFERRED: Final = "later"
"""What is remembered of an item that may have been sent, and of one that is to be sent another time."""

SUPERSEDED = "another try has begun to send the same; this one stops"

log = logging.getLogger(__name__)

ClaimedSids = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Give of SIDs those that are known to be of other items."""
Reconcile = Callable[
    [Sequence[tuple[WorkItem, datetime]], ClaimedSids], Awaitable[Mapping[int, "Record | TwilioError"]]
]
"""Ask Twilio what became of items that may have been sent since a time: by ``item.number`` the record of each that was,
or the error of each of which that can't be told."""


class Superseded(TwilioError):
    """Report that another process has begun to send the same: a later try, while this one was thought dead."""


class InputChanged(InvalidRequest):
    """Report that a stream is not the one that an earlier try has begun to send."""


@dataclass(slots=True)
class Checkpoint:
    """Hold a chunk that is open.

    :param rows: what came of each item; None for nothing yet.
    """

    index: int
    digest: str
    started_at: datetime
    outcomes: list[Any]
    items: list[WorkItem]
    sends: dict[int, int] = field(default_factory=dict)
    remaining: int = field(init=False)
    """How many items nothing has come of yet."""

    def __post_init__(self) -> None:
        self.remaining = self.outcomes.count(None)

    def record(self, place: int, remembered: Any) -> None:
        """Note what came of an item, or take that back with None."""
        self.remaining += (remembered is None) - (self.outcomes[place] is None)
        self.outcomes[place] = remembered

    def as_json(self, rows: list[Any] | None) -> dict[str, Any]:
        return {"digest": self.digest, "started_at": self.started_at.isoformat(), "outcomes": rows}


def encode_outcome(outcome: Outcome) -> Any:
    """Give what is remembered of an outcome: a SID or True, or its kind and code."""
    if outcome.kind == "done":
        return (outcome.result.get("sid") if isinstance(outcome.result, Record) else None) or True
    return DEFERRED if outcome.kind == DEFERRED else [outcome.kind, outcome.code or 0]


def decode_outcome(remembered: Any) -> tuple[Kind, int, str | None]:
    """Read what is remembered of an outcome: its kind, code and SID."""
    if isinstance(remembered, list):
        return remembered[0], remembered[1], None
    if remembered == DEFERRED:
        return DEFERRED, 0, None
    return "done", 0, remembered if isinstance(remembered, str) else None


async def digest(items: Sequence[WorkItem]) -> str:
    """Give a hash of all that items send, in their order. What is on its way has its turn meanwhile."""
    seen = hashlib.sha256()
    for begin in range(0, len(items), YIELD_EVERY):
        for item in items[begin : begin + YIELD_EVERY]:
            what = item.request
            seen.update(repr((what.method, what.path, what.data, what.json)).encode("utf-8", "surrogatepass"))
        await asyncio.sleep(0)
    return seen.hexdigest()[:32]


async def run_resumable(
    client: AsyncSender,
    items: Iterable[WorkItem] | AsyncIterable[WorkItem],
    on_outcome: Callable[[Outcome], object] | None = None,
    *,
    store: StateStore,
    key: str,
    reconcile: Reconcile | None = None,
    patience: float = 0.0,
    concurrency: int = 50,
    rate: float | None = None,
    max_failures: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Run a stream as :func:`airflow_provider_twilio.runtime.bulk.engine.run` does, and go on where an earlier try stopped.

    :param items: the same in each try, in the same order.
    :param tell: called with each outcome of this try; those of earlier ones are in the tally, and :func:`remembered`.
    :param memory: keeps a value for each chunk; see :func:`forget`.
    :param key: names the stream in the memory.
    :param reconcile: finds out what became of items that may have been sent, where they must not be repeated.
    :param patience: seconds after which what Twilio doesn't list was never carried out.
    :raises Changed: the items are others than in an earlier try.
    """
    tally = Tally() if tally is None else tally
    chunks = Checkpoints(items, on_outcome, store=store, key=key, tally=tally, reconcile=reconcile, patience=patience)
    engine = Engine(
        client, chunks.on_engine_outcome, concurrency=concurrency, rate=rate, max_failures=max_failures, tally=tally
    )
    await chunks.claim(engine)
    watch = asyncio.ensure_future(chunks.watch(engine)) if reconcile is not None else None
    try:
        await engine.run(chunks.batches())
    except Superseded:
        raise
    except Exception:  # nothing is on its way any more; of a task that is being killed that can't be said
        await chunks.end()
        raise
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    return tally


def stored_outcomes(store: StateStore, key: str) -> Iterator[list[Any]]:
    """Give what is remembered of a stream, chunk by chunk: a SID, True, a kind and its code, or None for each item."""
    index = 0
    while (state := store.get(f"{key}.{index}")) is not None:
        yield state["outcomes"] or []
        index += 1


def stored_sids(store: StateStore, key: str) -> Iterator[list[str]]:
    """Give the SIDs of what was done, chunk by chunk."""
    for rows in stored_outcomes(store, key):
        yield [sid for row in rows if row is not None and (sid := decode_outcome(row)[2])]


def _among(sids: Collection[str], chunks: Iterable[Sequence[Any]]) -> set[str]:
    return {row for rows in chunks for row in rows if isinstance(row, str) and row in sids}


def delete_checkpoints(store: StateStore, key: str, items: int) -> None:
    """Delete what is remembered of a stream of so many items."""
    for index in range(-(-items // SIZE)):
        store.delete(f"{key}.{index}")
    store.delete(f"{key}.owner")


class Checkpoints:
    """Carry out one :func:`run_resuming`.

    :param tell: called with each outcome of this run, when it is final.
    :param patience: seconds after which what Twilio doesn't list was never carried out.
    """

    def __init__(
        self,
        items: Iterable[WorkItem] | AsyncIterable[WorkItem],
        on_outcome: Callable[[Outcome], object] | None,
        *,
        store: StateStore,
        key: str,
        tally: Tally,
        reconcile: Reconcile | None = None,
        patience: float = 0.0,
    ) -> None:
        self._source, self._ahead = batches(items), list[WorkItem]()
        self._on_outcome, self._store, self._key, self.tally = on_outcome, store, key, tally
        self._reconcile, self._patience = reconcile, patience
        self._check_interval = max(patience / CLAIM_CHECKS, MIN_CHECK_INTERVAL)
        self._open: dict[int, Checkpoint] = {}
        self._unresolved: list[tuple[WorkItem, datetime]] = []
        self._name = secrets.token_hex(8)
        self._over = 0.0
        self._writes: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    # ------------------------------------------------------------ whose it is

    async def claim(self, engine: Engine) -> None:
        """Make the stream ours; allow the engine to send for a while, if it must be ours for that."""
        begun = time.monotonic()
        await asyncio.to_thread(self._store.set, f"{self._key}.owner", self._name)
        if self._reconcile is not None:
            engine.extend_lease(begun + 3 * self._check_interval)

    async def watch(self, engine: Engine) -> None:
        """Look again and again whether the stream is ours still, and stop the engine when it isn't."""
        seen = time.monotonic()
        while True:
            await asyncio.sleep(self._check_interval)
            begun = time.monotonic()
            try:
                owner = await asyncio.to_thread(self._store.get, f"{self._key}.owner")
            except Exception as error:
                if begun - seen > self._patience:
                    engine.stop(Superseded(f"it can't be told whether another try has begun to send the same: {error}"))
                    return
                log.warning("Not sending on until it can be seen that no other try has begun: %s", error)
            else:
                if owner != self._name:
                    engine.stop(Superseded(SUPERSEDED))
                    return
                seen = begun
                engine.extend_lease(begun + 3 * self._check_interval)

    # ------------------------------------------------------------ what is to be sent

    async def batches(self) -> AsyncIterator[list[WorkItem]]:
        """Give what is to be sent, a chunk at a time; what may have been sent, when that is settled."""
        fresh, index = False, 0
        while items := await self._read(index * SIZE):
            same = await digest(items)
            state = None if fresh else await asyncio.to_thread(self._store.get, f"{self._key}.{index}")
            fresh = state is None
            if state is not None:
                yield await self._resume_checkpoint(index, items, same, state)
            else:
                while len(self._open) >= MAX_OPEN:
                    yield await self._next_unresolved()
                chunk = Checkpoint(index, same, datetime.now(UTC), [None] * len(items), items)
                await asyncio.to_thread(self._open_checkpoint, chunk)
                self._open[index] = chunk
                yield items
            if self._unresolved and time.monotonic() >= self._over:
                yield await self._next_unresolved()
            index += 1
        while self._open:
            yield await self._next_unresolved()

    def _open_checkpoint(self, chunk: Checkpoint) -> None:
        if self._store.get(f"{self._key}.owner") != self._name:
            raise Superseded(SUPERSEDED)
        self._store.set(f"{self._key}.{chunk.index}", chunk.as_json(None))

    async def _read(self, number: int) -> list[WorkItem]:
        """Read a chunk, and number its items."""
        while len(self._ahead) < SIZE and (some := await anext(self._source, None)):
            self._ahead += some
        items, self._ahead = self._ahead[:SIZE], self._ahead[SIZE:]
        for place, item in enumerate(items):
            item.number = number + place
        return items

    async def _resume_checkpoint(
        self, index: int, items: list[WorkItem], same: str, state: Mapping[str, Any]
    ) -> list[WorkItem]:
        """Take over a chunk of an earlier try; give what of it was surely not sent, or may be sent again."""
        if state["digest"] != same:
            raise InputChanged(
                f"what is to be sent has changed since an earlier try began: chunk {index}, from item"
                f" {index * SIZE + 1} on. Give what that one had, in the same order; to begin anew, start a new run"
            )
        since, rows = datetime.fromisoformat(state["started_at"]), state["outcomes"]
        chunk = Checkpoint(index, same, since, list(rows or [UNKNOWN] * len(items)), items)
        again: list[WorkItem] = []
        for place, remembered in enumerate(chunk.outcomes):
            if remembered == UNKNOWN and self._reconcile is not None:
                self._mark_unresolved(items[place], since)
            elif remembered in (None, DEFERRED, UNKNOWN):
                again.append(items[place])
            else:
                self.tally.count(*decode_outcome(remembered)[:2])
                continue
            chunk.record(place, None)
        if chunk.remaining:
            self._open[index] = chunk
        if again and rows is not None:  # from now on they may be on their way
            opened = [UNKNOWN if row is None else row for row in chunk.outcomes]
            await asyncio.to_thread(self._store.set, f"{self._key}.{index}", chunk.as_json(opened))
        return again

    def _mark_unresolved(self, item: WorkItem, since: datetime) -> None:
        self._unresolved.append((item, since))
        self._over = time.monotonic() + self._patience

    async def _next_unresolved(self) -> list[WorkItem]:
        """Wait for something to happen: settle what may have been sent, and give what was not."""
        if self._error is not None:
            raise self._error
        if self._unresolved and (left := self._over - time.monotonic()) <= 0:
            return await self._reconcile_unresolved()
        self._changed.clear()
        try:
            async with asyncio.timeout(left if self._unresolved else None):
                await self._changed.wait()
        except TimeoutError:
            pass
        return []

    async def _reconcile_unresolved(self) -> list[WorkItem]:
        unsure = list(self._unresolved)
        log.info("Asking Twilio which of %d were sent before", len(unsure))
        found = await self._reconcile(unsure, self._claimed_elsewhere) if self._reconcile else {}
        del self._unresolved[: len(unsure)]
        again = []
        for item, _ in unsure:
            chunk, what = self._open[item.number // SIZE], found.get(item.number)
            if isinstance(what, TwilioError):
                self._final(Outcome(item, "failed", error=what))
            elif what is not None:
                self._final(Outcome(item, "done", what))
            elif chunk.sends.get(item.number, 0) >= MAX_ATTEMPTS:
                error = InvalidRequest(f"{item.request}: sent {MAX_ATTEMPTS} times without an answer, and never listed")
                self._final(Outcome(item, "failed", error=error))
            else:
                again.append(item)
        log.info("%d of them were sent; %d are sent now", len(unsure) - len(again), len(again))
        return again

    async def _claimed_elsewhere(self, sids: Collection[str]) -> set[str]:
        """Give of SIDs those that items have, in chunks that are closed or open."""
        rows = [
            chunk.outcomes for chunk in self._open.values()
        ]  # before the memory is read: one may be closed meanwhile
        closed = await asyncio.to_thread(lambda: _among(sids, stored_outcomes(self._store, self._key)))
        return closed | _among(sids, rows)

    # ------------------------------------------------------------ what came of it

    def _final(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self.on_engine_outcome(outcome)

    def on_engine_outcome(self, outcome: Outcome) -> None:
        """Note an outcome; close the chunk with the last of its."""
        number = outcome.item.number
        chunk = self._open[number // SIZE]
        if outcome.kind == "unknown" and self._reconcile is not None:
            self.tally.unknown -= 1
            chunk.sends[number] = chunk.sends.get(number, 0) + 1
            self._mark_unresolved(outcome.item, chunk.started_at)
            self._changed.set()
            return
        chunk.record(number % SIZE, encode_outcome(outcome))
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if not chunk.remaining:
            self._close(chunk)

    def _close(self, chunk: Checkpoint) -> None:
        state = chunk.as_json(chunk.outcomes)
        writing = asyncio.ensure_future(asyncio.to_thread(self._store.set, f"{self._key}.{chunk.index}", state))
        self._writes.add(writing)
        writing.add_done_callback(lambda _: self._closed(chunk, writing))

    def _closed(self, chunk: Checkpoint, writing: asyncio.Future[None]) -> None:
        self._writes.discard(writing)
        if not writing.cancelled() and (error := writing.exception()) is not None:
            self._error = self._error or error
        else:
            self._open.pop(chunk.index, None)
        self._changed.set()

    async def end(self) -> None:
        """Remember what is known of the chunks that are open, when nothing is on its way any more."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        unsure = {item.number for item, _ in self._unresolved}
        for chunk in list(self._open.values()):
            base = chunk.index * SIZE
            rows = [UNKNOWN if base + place in unsure else row for place, row in enumerate(chunk.outcomes)]
            await asyncio.to_thread(self._store.set, f"{self._key}.{chunk.index}", chunk.as_json(rows))
