"""Go on after a crash: remember a stream chunk by chunk, so that nothing in it is sent twice and nothing forgotten.

    tally = await run_resuming(client, items, tell, memory=memory, key="messages", settle=settle, ...)

A chunk of some hundred items is opened in the memory before the first of them is sent, and closed with what came of
each. Whoever comes after a crash with the same items, in the same order, finds closed chunks, and takes their outcomes
over; open chunks, of which anything may have been sent; and from there on nothing. What may have been sent is settled:
``settle`` asks Twilio for all of it at once, when it must have arrived; meanwhile the rest goes on. What may be
repeated needs no ``settle``, and is sent again.

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
from airflow_provider_twilio.runtime.bulk.engine import IN_A_ROW, Engine, Item, Kind, Outcome, Sender, Tally, batches
from airflow_provider_twilio.runtime.state_store import Memory

SIZE = 1000
"""Items a chunk: what is remembered of it stays below the 64 KB that Airflow's state store takes."""
MOST_OPEN = 32
"""So many chunks may be open, each as one request in it takes long, before no more are begun."""
LOOKS = 18
"""So many looks at whose the stream is are taken while the patience lasts, and sending goes on for three after one."""
SHORTEST_LOOK = 0.05
MOST_SENDS = 2
"""How often one run sends the same, each time after it has seen that the one before was not carried out."""

UNSURE: Final = "?"
LATER: Final = "later"
"""What is remembered of an item that may have been sent, and of one that is to be sent another time."""

REPLACED = "another try has begun to send the same; this one stops"

log = logging.getLogger(__name__)

Taken = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Give of SIDs those that are known to be of other items."""
Settle = Callable[[Sequence[tuple[Item, datetime]], Taken], Awaitable[Mapping[int, "Record | TwilioError"]]]
"""Ask Twilio what became of items that may have been sent since a time: by ``item.number`` the record of each that was,
or the error of each of which that can't be told."""


class Replaced(TwilioError):
    """Report that another process has begun to send the same: a later try, while this one was thought dead."""


class Changed(InvalidRequest):
    """Report that a stream is not the one that an earlier try has begun to send."""


@dataclass(slots=True)
class Chunk:
    """Hold a chunk that is open.

    :param rows: what came of each item; None for nothing yet.
    """

    index: int
    same: str
    since: datetime
    rows: list[Any]
    items: list[Item]
    sends: dict[int, int] = field(default_factory=dict)
    left: int = field(init=False)
    """How many items nothing has come of yet."""

    def __post_init__(self) -> None:
        self.left = self.rows.count(None)

    def note(self, place: int, remembered: Any) -> None:
        """Note what came of an item, or take that back with None."""
        self.left += (remembered is None) - (self.rows[place] is None)
        self.rows[place] = remembered

    def as_json(self, rows: list[Any] | None) -> dict[str, Any]:
        return {"same": self.same, "since": self.since.isoformat(), "rows": rows}


def entry(outcome: Outcome) -> Any:
    """Give what is remembered of an outcome: a SID or True, or its kind and code."""
    if outcome.kind == "done":
        return (outcome.answer.get("sid") if isinstance(outcome.answer, Record) else None) or True
    return LATER if outcome.kind == LATER else [outcome.kind, outcome.code or 0]


def meaning(remembered: Any) -> tuple[Kind, int, str | None]:
    """Read what is remembered of an outcome: its kind, code and SID."""
    if isinstance(remembered, list):
        return remembered[0], remembered[1], None
    if remembered == LATER:
        return LATER, 0, None
    return "done", 0, remembered if isinstance(remembered, str) else None


async def digest(items: Sequence[Item]) -> str:
    """Give a hash of all that items send, in their order. What is on its way has its turn meanwhile."""
    seen = hashlib.sha256()
    for begin in range(0, len(items), IN_A_ROW):
        for item in items[begin : begin + IN_A_ROW]:
            what = item.request
            seen.update(repr((what.method, what.path, what.data, what.json)).encode("utf-8", "surrogatepass"))
        await asyncio.sleep(0)
    return seen.hexdigest()[:32]


async def run_resuming(
    client: Sender,
    items: Iterable[Item] | AsyncIterable[Item],
    tell: Callable[[Outcome], object] | None = None,
    *,
    memory: Memory,
    key: str,
    settle: Settle | None = None,
    patience: float = 0.0,
    concurrency: int = 50,
    rate: float | None = None,
    most_failures: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Run a stream as :func:`airflow_provider_twilio.runtime.bulk.engine.run` does, and go on where an earlier try stopped.

    :param items: the same in each try, in the same order.
    :param tell: called with each outcome of this try; those of earlier ones are in the tally, and :func:`remembered`.
    :param memory: keeps a value for each chunk; see :func:`forget`.
    :param key: names the stream in the memory.
    :param settle: finds out what became of items that may have been sent, where they must not be repeated.
    :param patience: seconds after which what Twilio doesn't list was never carried out.
    :raises Changed: the items are others than in an earlier try.
    """
    tally = Tally() if tally is None else tally
    chunks = Chunks(items, tell, memory=memory, key=key, tally=tally, settle=settle, patience=patience)
    engine = Engine(client, chunks.tell, concurrency=concurrency, rate=rate, most_failures=most_failures, tally=tally)
    await chunks.claim(engine)
    watch = asyncio.ensure_future(chunks.watch(engine)) if settle is not None else None
    try:
        await engine.run(chunks.batches())
    except Replaced:
        raise
    except Exception:  # nothing is on its way any more; of a task that is being killed that can't be said
        await chunks.end()
        raise
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    return tally


def remembered(memory: Memory, key: str) -> Iterator[list[Any]]:
    """Give what is remembered of a stream, chunk by chunk: a SID, True, a kind and its code, or None for each item."""
    index = 0
    while (state := memory.get(f"{key}.{index}")) is not None:
        yield state["rows"] or []
        index += 1


def sids(memory: Memory, key: str) -> Iterator[list[str]]:
    """Give the SIDs of what was done, chunk by chunk."""
    for rows in remembered(memory, key):
        yield [sid for row in rows if row is not None and (sid := meaning(row)[2])]


def _among(sids: Collection[str], chunks: Iterable[Sequence[Any]]) -> set[str]:
    return {row for rows in chunks for row in rows if isinstance(row, str) and row in sids}


def forget(memory: Memory, key: str, items: int) -> None:
    """Delete what is remembered of a stream of so many items."""
    for index in range(-(-items // SIZE)):
        memory.delete(f"{key}.{index}")
    memory.delete(f"{key}.owner")


class Chunks:
    """Carry out one :func:`run_resuming`.

    :param tell: called with each outcome of this run, when it is final.
    :param patience: seconds after which what Twilio doesn't list was never carried out.
    """

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        tell: Callable[[Outcome], object] | None,
        *,
        memory: Memory,
        key: str,
        tally: Tally,
        settle: Settle | None = None,
        patience: float = 0.0,
    ) -> None:
        self._source, self._ahead = batches(items), list[Item]()
        self._tell, self._memory, self._key, self.tally = tell, memory, key, tally
        self._settle, self._patience = settle, patience
        self._look = max(patience / LOOKS, SHORTEST_LOOK)
        self._open: dict[int, Chunk] = {}
        self._unsure: list[tuple[Item, datetime]] = []
        self._name = secrets.token_hex(8)
        self._over = 0.0
        self._writes: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    # ------------------------------------------------------------ whose it is

    async def claim(self, engine: Engine) -> None:
        """Make the stream ours; allow the engine to send for a while, if it must be ours for that."""
        begun = time.monotonic()
        await asyncio.to_thread(self._memory.set, f"{self._key}.owner", self._name)
        if self._settle is not None:
            engine.allow(begun + 3 * self._look)

    async def watch(self, engine: Engine) -> None:
        """Look again and again whether the stream is ours still, and stop the engine when it isn't."""
        seen = time.monotonic()
        while True:
            await asyncio.sleep(self._look)
            begun = time.monotonic()
            try:
                owner = await asyncio.to_thread(self._memory.get, f"{self._key}.owner")
            except Exception as error:
                if begun - seen > self._patience:
                    engine.stop(Replaced(f"it can't be told whether another try has begun to send the same: {error}"))
                    return
                log.warning("Not sending on until it can be seen that no other try has begun: %s", error)
            else:
                if owner != self._name:
                    engine.stop(Replaced(REPLACED))
                    return
                seen = begun
                engine.allow(begun + 3 * self._look)

    # ------------------------------------------------------------ what is to be sent

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Give what is to be sent, a chunk at a time; what may have been sent, when that is settled."""
        fresh, index = False, 0
        while items := await self._read(index * SIZE):
            same = await digest(items)
            state = None if fresh else await asyncio.to_thread(self._memory.get, f"{self._key}.{index}")
            fresh = state is None
            if state is not None:
                yield await self._take_up(index, items, same, state)
            else:
                while len(self._open) >= MOST_OPEN:
                    yield await self._next_unsure()
                chunk = Chunk(index, same, datetime.now(UTC), [None] * len(items), items)
                await asyncio.to_thread(self._begin, chunk)
                self._open[index] = chunk
                yield items
            if self._unsure and time.monotonic() >= self._over:
                yield await self._next_unsure()
            index += 1
        while self._open:
            yield await self._next_unsure()

    def _begin(self, chunk: Chunk) -> None:
        if self._memory.get(f"{self._key}.owner") != self._name:
            raise Replaced(REPLACED)
        self._memory.set(f"{self._key}.{chunk.index}", chunk.as_json(None))

    async def _read(self, number: int) -> list[Item]:
        """Read a chunk, and number its items."""
        while len(self._ahead) < SIZE and (some := await anext(self._source, None)):
            self._ahead += some
        items, self._ahead = self._ahead[:SIZE], self._ahead[SIZE:]
        for place, item in enumerate(items):
            item.number = number + place
        return items

    async def _take_up(self, index: int, items: list[Item], same: str, state: Mapping[str, Any]) -> list[Item]:
        """Take over a chunk of an earlier try; give what of it was surely not sent, or may be sent again."""
        if state["same"] != same:
            raise Changed(
                f"what is to be sent has changed since an earlier try began: chunk {index}, from item"
                f" {index * SIZE + 1} on. Give what that one had, in the same order; to begin anew, start a new run"
            )
        since, rows = datetime.fromisoformat(state["since"]), state["rows"]
        chunk = Chunk(index, same, since, list(rows or [UNSURE] * len(items)), items)
        again: list[Item] = []
        for place, remembered in enumerate(chunk.rows):
            if remembered == UNSURE and self._settle is not None:
                self._doubt(items[place], since)
            elif remembered in (None, LATER, UNSURE):
                again.append(items[place])
            else:
                self.tally.count(*meaning(remembered)[:2])
                continue
            chunk.note(place, None)
        if chunk.left:
            self._open[index] = chunk
        if again and rows is not None:  # from now on they may be on their way
            opened = [UNSURE if row is None else row for row in chunk.rows]
            await asyncio.to_thread(self._memory.set, f"{self._key}.{index}", chunk.as_json(opened))
        return again

    def _doubt(self, item: Item, since: datetime) -> None:
        self._unsure.append((item, since))
        self._over = time.monotonic() + self._patience

    async def _next_unsure(self) -> list[Item]:
        """Wait for something to happen: settle what may have been sent, and give what was not."""
        if self._error is not None:
            raise self._error
        if self._unsure and (left := self._over - time.monotonic()) <= 0:
            return await self._settled()
        self._changed.clear()
        try:
            async with asyncio.timeout(left if self._unsure else None):
                await self._changed.wait()
        except TimeoutError:
            pass
        return []

    async def _settled(self) -> list[Item]:
        unsure = list(self._unsure)
        log.info("Asking Twilio which of %d were sent before", len(unsure))
        found = await self._settle(unsure, self._taken) if self._settle else {}
        del self._unsure[: len(unsure)]
        again = []
        for item, _ in unsure:
            chunk, what = self._open[item.number // SIZE], found.get(item.number)
            if isinstance(what, TwilioError):
                self._final(Outcome(item, "failed", error=what))
            elif what is not None:
                self._final(Outcome(item, "done", what))
            elif chunk.sends.get(item.number, 0) >= MOST_SENDS:
                error = InvalidRequest(f"{item.request}: sent {MOST_SENDS} times without an answer, and never listed")
                self._final(Outcome(item, "failed", error=error))
            else:
                again.append(item)
        log.info("%d of them were sent; %d are sent now", len(unsure) - len(again), len(again))
        return again

    async def _taken(self, sids: Collection[str]) -> set[str]:
        """Give of SIDs those that items have, in chunks that are closed or open."""
        rows = [chunk.rows for chunk in self._open.values()]  # before the memory is read: one may be closed meanwhile
        closed = await asyncio.to_thread(lambda: _among(sids, remembered(self._memory, self._key)))
        return closed | _among(sids, rows)

    # ------------------------------------------------------------ what came of it

    def _final(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self.tell(outcome)

    def tell(self, outcome: Outcome) -> None:
        """Note an outcome; close the chunk with the last of its."""
        number = outcome.item.number
        chunk = self._open[number // SIZE]
        if outcome.kind == "unknown" and self._settle is not None:
            self.tally.unknown -= 1
            chunk.sends[number] = chunk.sends.get(number, 0) + 1
            self._doubt(outcome.item, chunk.since)
            self._changed.set()
            return
        chunk.note(number % SIZE, entry(outcome))
        if self._tell is not None:
            self._tell(outcome)
        if not chunk.left:
            self._close(chunk)

    def _close(self, chunk: Chunk) -> None:
        state = chunk.as_json(chunk.rows)
        writing = asyncio.ensure_future(asyncio.to_thread(self._memory.set, f"{self._key}.{chunk.index}", state))
        self._writes.add(writing)
        writing.add_done_callback(lambda _: self._closed(chunk, writing))

    def _closed(self, chunk: Chunk, writing: asyncio.Future[None]) -> None:
        self._writes.discard(writing)
        if not writing.cancelled() and (error := writing.exception()) is not None:
            self._error = self._error or error
        else:
            self._open.pop(chunk.index, None)
        self._changed.set()

    async def end(self) -> None:
        """Remember what is known of the chunks that are open, when nothing is on its way any more."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        unsure = {item.number for item, _ in self._unsure}
        for chunk in list(self._open.values()):
            base = chunk.index * SIZE
            rows = [UNSURE if base + place in unsure else row for place, row in enumerate(chunk.rows)]
            await asyncio.to_thread(self._memory.set, f"{self._key}.{chunk.index}", chunk.as_json(rows))
