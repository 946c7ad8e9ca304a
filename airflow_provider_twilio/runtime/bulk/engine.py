"""Run a stream of requests: many at once, no faster than is allowed, each with an outcome of its own.

    items = (Item(Messages.delete(sid), name=sid) for sid in sids)        # any iterable, lazy or async, of any length
    tally = await run(client, items, tell, concurrency=50, total=len(sids), most_failures=100)

``tell`` is called with each :class:`Outcome` as it comes, in no order. The kinds of outcome:

* ``done``: carried out; ``outcome.answer`` is the record. Also what is gone already, of what may be repeated.
* ``skipped``: the recipient has opted out.
* ``later``: can't be done yet, such as deleting a message that is on its way; another time it can. Also what is left of
  a sender whose queue stays full.
* ``failed``: can't be done; ``outcome.code`` is Twilio's error code, ``outcome.reason`` the words.
* ``unknown``: the answer to what must not be repeated was lost: ask Twilio whether it was carried out.

What Twilio refuses for its pace, and what may be repeated and got no answer, is sent again, with fewer at once. What
would befall all alike ends the run with its error: credentials, a suspended account, no funds, the daily cap, a host
that can't be reached for minutes. So does ``most_failures``, with :class:`TooManyFailures`. Everything on its way is
waited for before, and told.

The client should have ``retries=0``: repeating is done here, where the others' troubles are known. Memory is bounded,
however long the stream: some hundred items are read ahead, or two batches of a source that gives larger ones. A plain
iterable is read in a thread, so that it may read files; where making the items is work, only what they are made of
should be read there (:func:`in_thread`), and an asynchronous stream make them: two threads that want the interpreter
hold each other up for milliseconds at a time.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    NotFound,
    OptedOut,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    ServerError,
    TwilioError,
)
from airflow_provider_twilio.api.outcomes import error_without_response, is_retryable
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.runtime.bulk.gc_tuning import relaxed_gc
from airflow_provider_twilio.runtime.bulk.pace import AdaptiveConcurrency, RateLimiter

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")
Kind = Literal["done", "skipped", "later", "failed", "unknown"]

READ_AHEAD = 200
"""When fewer are left, or fewer than the last batch held, the next batch is asked for. What lies ready for long is cold
in the processor's caches when its turn comes."""
BATCH_SIZE = 500
"""So many are read at once in a thread."""
YIELD_EVERY = 50
"""So many are made, or about so many sent, before others on the event loop have their turn."""
MAX_HELD = 1000
"""How many items whose time has not come are held, before no more are read."""
MAX_ATTEMPTS = 5
"""How often a request that may be repeated is sent again when Twilio fails on it."""
MAX_CONSECUTIVE_ERRORS = 10
"""After so many troubles with nothing done between them, the run ends."""
MAX_RETRY_AFTER = 300.0
QUEUE_BACKOFF = 5.0
"""Seconds for which a lane rests at first when its sender's queue is full; each time in a row twice as long."""
MAX_QUEUE_BACKOFF = 60.0
MAX_OVERFLOWS = 6
"""How often in a row a queue is found full before what is left of its lane is left for later."""

log = logging.getLogger(__name__)


class TooManyFailures(TwilioError):
    """Report that a run was ended since more requests failed than was allowed."""

    permanent = True


class AsyncSender(Protocol):
    """Send requests: the asynchronous client."""

    @property
    def settings(self) -> Settings: ...
    async def send(self, request: Request[Any], /) -> Any: ...


@dataclass(slots=True, eq=False)
class WorkItem:
    """Hold one request of a stream.

    :param request: what is sent. Whether it may be repeated, it says itself.
    :param name: tells the caller which one it is.
    :param weight: what it takes of the rate, such as its segments.
    :param lane: whose rate it takes of, such as its sender.
    """

    request: Request[Any]
    key: Any = None
    weight: float = 1.0
    lane: str = ""
    number: int = field(default=-1, init=False)
    """Its place in the stream, for ``chunks``."""
    attempts: int = field(default=0, init=False)
    """How often it met a trouble of its own."""


@dataclass(slots=True, eq=False)
class Outcome:
    """Tell what came of an item: see the module."""

    item: WorkItem
    kind: Kind
    result: Any = None
    error: TwilioError | None = None

    @property
    def code(self) -> int | None:
        """Twilio's error code, if there was one."""
        return None if self.error is None else self.error.code

    @property
    def reason(self) -> str:
        """What went wrong, in words that carry no number and no text; empty if nothing did."""
        return "" if self.error is None else str(self.error)


@dataclass(slots=True)
class SenderQueue:
    """Hold of a lane whose sender's queue is full: how often in a row it was found so, when last, and what asks now."""

    times: int = 0
    since: float = 0.0
    error: TwilioError | None = None
    probe: WorkItem | None = None


@dataclass(slots=True)
class Tally:
    """Count what came of the items so far. ``failed`` and ``skipped`` are by code; 0 is for none."""

    done: int = 0
    later: int = 0
    unknown: int = 0
    skipped: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    throttled: int = 0
    """How often Twilio refused for the pace."""

    def add(self, outcome: Outcome) -> None:
        self.count(outcome.kind, outcome.code or 0)

    def count(self, kind: Kind, code: int = 0) -> None:
        match kind:
            case "done":
                self.done += 1
            case "skipped":
                self.skipped[code] += 1
            case "failed":
                self.failed[code] += 1
            case "later":
                self.later += 1
            case "unknown":
                self.unknown += 1

    @property
    def total(self) -> int:
        """How many there are."""
        return self.done + self.later + self.unknown + self.skipped.total() + self.failed.total()


Disposition = Kind | Literal["again", "full", "stop"]


def disposition(request: Request[Any], error: TwilioError) -> Disposition:
    """Choose what to do about an error: an outcome, or try again, rest the sender, or stop it all."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if is_retryable(request, error):
        return "again"
    if error.code == codes.QUEUE_FULL:
        return "full"
    if isinstance(error, AuthenticationFailed) or error.code in codes.ACCOUNT_WIDE:
        return "stop"
    if isinstance(error, PermissionDenied) and error.code not in codes.GEO_PERMISSIONS:
        return "stop"
    if isinstance(error, OptedOut):
        return "skipped"
    if isinstance(error, RateLimited):
        return "later"
    if isinstance(error, NotFound) and request.idempotent:
        return "done"
    return "failed"


async def run(
    client: AsyncSender,
    items: Iterable[WorkItem] | AsyncIterable[WorkItem],
    on_outcome: Callable[[Outcome], object] | None = None,
    *,
    concurrency: int = 50,
    rate: float | None = None,
    max_failures: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Send all items' requests, tell each outcome, and count them: see the module.

    :param client: the asynchronous client, which should have as many connections as ``concurrency``, and no retries.
    :param items: read as they are needed; a plain iterable in a thread.
    :param tell: called with each outcome, on the event loop: it must not block.
    :param concurrency: how many are on their way at the most.
    :param rate: weights a second, for each lane by itself; None for as fast as it goes.
    :param most_failures: end the run when more have failed.
    :param tally: counted on, for who wants to see it meanwhile.
    :raises TooManyFailures: more have failed.
    :raises TwilioError: what would befall all; and whatever ``items`` raises.
    """
    engine = Engine(client, on_outcome, concurrency=concurrency, rate=rate, max_failures=max_failures, tally=tally)
    await engine.run(batches(items))
    return engine.tally


async def batches(items: Iterable[WorkItem] | AsyncIterable[WorkItem]) -> AsyncIterator[list[WorkItem]]:
    """Give items some at a time."""
    if not isinstance(items, AsyncIterable):
        async for batch in read_in_thread(items):
            yield batch
        return
    batch = []
    async for item in items:
        batch.append(item)
        if len(batch) >= YIELD_EVERY:
            yield batch
            batch = []
            await asyncio.sleep(0)
    if batch:
        yield batch


async def read_in_thread(stream: Iterable[T]) -> AsyncIterator[list[T]]:
    """Read a stream some hundred at a time, in a thread: reading may block."""
    iterator = iter(stream)
    while some := await asyncio.to_thread(lambda: list(islice(iterator, BATCH_SIZE))):
        yield some


class Engine:
    """Carry out one :func:`run`, over batches of items. For who hands batches over by himself."""

    def __init__(
        self,
        client: AsyncSender,
        on_outcome: Callable[[Outcome], object] | None = None,
        *,
        concurrency: int = 50,
        rate: float | None = None,
        max_failures: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.client = client
        self.tally = tally if tally is not None else Tally()
        self._on_outcome = on_outcome
        self._max_failures = max_failures
        self._throttle = AdaptiveConcurrency(concurrency)
        self._pace = RateLimiter(rate)
        self._active = 0
        self._read_ahead: deque[WorkItem] = deque()
        self._least = READ_AHEAD
        self._held: list[tuple[float, int, WorkItem]] = []
        self._order = 0
        self._since_yield = 0
        self._reading: asyncio.Future[None] | None = None
        self._ended = False  # the stream
        self._error: BaseException | None = None
        self._consecutive_errors = 0
        self._last_error_at = 0.0
        self._resume_at = 0.0
        self._lease_ends = math.inf
        self._queues: dict[str, SenderQueue] = {}
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def run(self, source: AsyncIterator[list[WorkItem]]) -> None:
        """Send what the source gives, until it ends."""
        self._source = source
        workers = [asyncio.ensure_future(self._run_worker()) for _ in range(self._throttle.maximum)]
        try:
            with relaxed_gc():
                await asyncio.gather(*workers)
        finally:
            tasks = [*workers, *([self._reading] if self._reading else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def extend_lease(self, until: float) -> None:
        """Begin nothing after a time of the monotonic clock, until it is allowed anew."""
        self._lease_ends = until
        self._changed.set()

    def stop(self, error: BaseException) -> None:
        """End the run with an error, when what is on its way has been answered."""
        self._error = self._error or error
        self._changed.set()

    async def _run_worker(self) -> None:
        send = self.client.send
        while (item := await self._next()) is not None:
            begun = time.monotonic()
            try:
                answer = await send(item.request)
            except TwilioError as error:
                self._handle_error(item, error, begun)
            except BaseException as error:  # of ours: it would come again
                if isinstance(error, Exception) and not item.request.idempotent:  # it may have been carried out
                    self._report(
                        Outcome(
                            item, "unknown", error=error_without_response(item.request, type(error).__name__, sent=True)
                        )
                    )
                self._fail(error)
            else:
                self._consecutive_errors = 0
                self._throttle.on_success(begun)
                if self._queues:
                    self._reopen_queue(item.lane, begun)
                self.tally.done += 1  # as _report does, of which most of it is about failures
                if self._on_outcome is not None:
                    self._on_outcome(Outcome(item, "done", answer))
            finally:
                if (full := self._queues.get(item.lane)) is not None and full.probe is item:
                    full.probe = None
                self._active -= 1
                self._changed.set()

    # ------------------------------------------------------------ whose turn it is

    async def _next(self) -> WorkItem | None:
        """Give the next item when its time has come; None at the end.

        What is ready is taken at once. Else one worker waits, and the others behind it.
        """
        self._since_yield += 1
        if self._since_yield == YIELD_EVERY:  # called before those that sleep below go on
            asyncio.get_running_loop().call_soon(self._on_yielded)
        if self._since_yield >= YIELD_EVERY:
            await asyncio.sleep(0)
        if (item := self._claim(time.monotonic())) is not None:
            return item
        async with self._turn:
            while self._error is None:
                self._changed.clear()
                now = time.monotonic()
                if (item := self._claim(now)) is not None:
                    return item
                if self._ended and not (self._held or self._read_ahead or self._active):
                    return None
                await self._wait(now)
            return None

    def _on_yielded(self) -> None:
        self._since_yield = 0

    def _claim(self, now: float) -> WorkItem | None:
        """Give an item if one more may be on its way, and one is ready."""
        if self._active >= self._throttle.limit or self._error is not None:
            return None
        if not self._resume_at <= now < self._lease_ends or (item := self._ready(now)) is None:
            return None
        self._active += 1
        return item

    def _ready(self, now: float) -> WorkItem | None:
        """Give an item whose time has come: one that is held before one that is new."""
        while self._held and self._held[0][0] <= now:
            item = heapq.heappop(self._held)[2]
            if self._pace.is_paused(item.lane, now):
                self._hold(item, self._pace.reserve(item.lane, item.weight, now))
            elif self._admit(item, now):
                return item
        while self._read_ahead and len(self._held) < MAX_HELD:
            item = self._read_ahead.popleft()
            if self._reading is None and len(self._read_ahead) < self._least:
                self._read()
            due = self._pace.reserve(item.lane, item.weight, now)
            if due > now:
                self._hold(item, due)
            elif not self._queues or self._admit(item, now):
                return item
        if not self._read_ahead:
            self._read()
        return None

    def _hold(self, item: WorkItem, due: float) -> None:
        self._order += 1
        heapq.heappush(self._held, (due, self._order, item))

    def _read(self) -> None:
        """Have the next batch read, unless it is being read."""
        if self._reading is None and not self._ended:
            self._reading = asyncio.ensure_future(self._read_batch())

    async def _read_batch(self) -> None:
        try:
            batch = await anext(self._source)
            self._read_ahead.extend(batch)
            self._least = max(READ_AHEAD, len(batch))
        except StopAsyncIteration:
            self._ended = True
        except BaseException as error:  # whatever it is, the stream has broken, and not come to its end
            self._fail(error)
        finally:
            self._reading = None
            self._changed.set()

    async def _wait(self, now: float) -> None:
        """Sleep until an item may be due, or until something has changed.

        :param now: when it was seen that none is. What has become due since then is due at once.
        """
        until = None
        if self._active < self._throttle.limit and now < self._lease_ends:
            until = self._resume_at if now < self._resume_at else self._held[0][0] if self._held else None
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                await self._changed.wait()
        except TimeoutError:
            pass

    # ------------------------------------------------------------ what came of it

    def _handle_error(self, item: WorkItem, error: TwilioError, begun: float) -> None:
        judged = disposition(item.request, error)
        match judged:
            case "again":
                self._retry(item, error, begun)
            case "full":
                self._on_queue_overflow(item, error, begun)
            case "stop":
                self._abort(error)
            case "unknown":
                self._back_off(error, begun)
                self._report(Outcome(item, judged, error=error))
            case _:
                self._consecutive_errors = 0
                self._report(Outcome(item, judged, error=error if judged != "done" else None))

    def _report(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        failed = self.tally.failed.total() if outcome.kind == "failed" else 0
        if self._max_failures is not None and failed > self._max_failures:
            told = ", ".join(
                f"{code or 'without a code'}: {number}" for code, number in self.tally.failed.most_common(5)
            )
            self._abort(TooManyFailures(f"{failed} of {self.tally.total} have failed ({told}): no more are tried"))

    def _retry(self, item: WorkItem, error: TwilioError, begun: float) -> None:
        """Send it again, with fewer at once; unless the trouble is its own."""
        if isinstance(error, ServerError):
            item.attempts += 1
            if item.attempts > MAX_ATTEMPTS:
                self._report(Outcome(item, "failed", error=error))
                return
        if isinstance(error, RateLimited):
            self.tally.throttled += 1
        self._hold(item, 0.0)
        self._back_off(error, begun)

    def _back_off(self, error: TwilioError, begun: float) -> None:
        """Note a trouble that may be everyone's. Those that were on their way already tell nothing new."""
        now = time.monotonic()
        if error.retry_after:
            self._resume_at = max(self._resume_at, now + min(error.retry_after, MAX_RETRY_AFTER))
        if begun < self._last_error_at:
            return
        self._last_error_at = now
        self._throttle.on_throttled(now)
        self._consecutive_errors += 1
        if self._consecutive_errors > MAX_CONSECUTIVE_ERRORS:
            self._abort(error)
        elif self._consecutive_errors > 1:
            longest = min(2.0 ** (self._consecutive_errors - 2), self.client.settings.retry_max_wait)
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret is made of it)
            self._resume_at = max(self._resume_at, now + pause)
            log.warning("Resting for %.1f s: %s", pause, error)

    # ------------------------------------------------------------ full queues

    def _on_queue_overflow(self, item: WorkItem, error: TwilioError, begun: float) -> None:
        """Let a lane rest whose sender's queue is full, and go on with others."""
        now, lane = time.monotonic(), item.lane
        full = self._queues.setdefault(lane, SenderQueue())
        if begun >= full.since:  # those that were on their way already tell nothing new
            full.times, full.since, full.error = full.times + 1, now, error
            pause = (
                min(QUEUE_BACKOFF * 2.0 ** (full.times - 1), MAX_QUEUE_BACKOFF) if full.times < MAX_OVERFLOWS else 0.0
            )
            log.warning("The queue of a sender is full: %s", f"it rests for {pause:.0f} s" if pause else "it is left")
            self._pace.pause(lane, now + pause)
        self._hold(item, self._pace.reserve(lane, item.weight, now))

    def _admit(self, item: WorkItem, now: float) -> bool:
        """Tell whether an item goes out; of a lane whose queue was full, one at a time, to see whether it still is."""
        full = self._queues.get(item.lane)
        if full is None:
            return True
        if full.times >= MAX_OVERFLOWS:
            self._report(Outcome(item, "later", error=full.error))
        elif full.probe is None:
            full.probe = item
            return True
        else:
            self._hold(item, now + QUEUE_BACKOFF / 20)
        return False

    def _reopen_queue(self, lane: str, begun: float) -> None:
        """Note that a queue has taken a message: it is no longer full."""
        full = self._queues.get(lane)
        if full is not None and begun >= full.since:
            del self._queues[lane]
            self._pace.pause(lane, time.monotonic())

    def _fail(self, error: BaseException) -> None:
        self.stop(error)
        if isinstance(error, asyncio.CancelledError):
            raise error

    def _abort(self, error: TwilioError) -> None:
        if self._error is None:
            log.error("Stopping: %s", error)
            self.stop(error)
