"""Execution of a stream of requests: concurrent, rate-limited, and with an outcome for each request.

.. code-block:: python

    items = (WorkItem(Messages.delete(sid), key=sid) for sid in sids)  # any iterable, lazy or asynchronous
    tally = await run(client, items, on_outcome, concurrency=50, max_failures=100)

``on_outcome`` is called with each :class:`Outcome` as it occurs, in no particular order.

A request that Twilio throttles is sent again, at a lower concurrency. So is an idempotent request without a response.
An error that affects every request ends the run: invalid credentials, a suspended account, no funds, the daily cap, or
a host that stays unreachable for minutes. More failures than ``max_failures`` end it with :class:`TooManyFailures`.
Requests in flight are always awaited first, and their outcomes reported. If the run is canceled, they are awaited for
some seconds.

An error that affects every request of a sender ends only the sender's lane: its remaining items fail with the same
error, without a request.

The client should have ``retries=0``: retrying is done here, where the errors of all requests are known. Memory use is
bounded, however long the stream: some hundred items are read ahead, or two batches of a source with larger ones. A
plain iterable is read in a thread, so it may read files. If building the items takes much CPU time, read only their
input in a thread (:func:`read_in_thread`) and build the items in an asynchronous generator: two threads that compete
for the interpreter delay each other by milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

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
from airflow_provider_twilio.runtime.bulk.backoff import Backoff
from airflow_provider_twilio.runtime.bulk.gc_tuning import relaxed_gc
from airflow_provider_twilio.runtime.bulk.items import Outcome, OutcomeKind, Tally, WorkItem, format_codes
from airflow_provider_twilio.runtime.bulk.pace import AdaptiveConcurrency, DelayQueue, RateLimiter
from airflow_provider_twilio.runtime.bulk.sender_queue import SenderQueues
from airflow_provider_twilio.runtime.bulk.source import YIELD_EVERY, ReadAhead, batches

if TYPE_CHECKING:
    from airflow_provider_twilio.client.prepare import PreparedRequest
    from airflow_provider_twilio.client.settings import Settings

MAX_DELAYED = 1000
"""Maximum number of items that are not due yet. With that many, no further items are started."""
MAX_RETRIES = 5
"""Maximum number of times that an idempotent request is sent again after a server error."""
MAX_DRAIN = 3.0
"""Maximum time that a canceled run awaits its requests in flight, in seconds. Airflow kills a task soon afterwards."""

Disposition = OutcomeKind | Literal["retry", "overflow", "reject_sender", "abort"]

log = logging.getLogger(__name__)


class TooManyFailures(TwilioError):
    """A run ended because more requests failed than allowed."""

    permanent = True


class AsyncSender(Protocol):
    """Anything that can send a request asynchronously, such as the asynchronous client."""

    @property
    def settings(self) -> Settings: ...
    async def send(self, request: Request[Any] | PreparedRequest[Any], /) -> Any: ...


def disposition(request: Request[Any], error: TwilioError) -> Disposition:
    """Return what an error means: an outcome, a retry, an overflow of the queue, or the end of the lane or the run."""
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if is_retryable(request, error):
        return "retry"
    if error.code == codes.QUEUE_FULL:
        return "overflow"
    if isinstance(error, AuthenticationFailed) or error.code in codes.ACCOUNT_WIDE:
        return "abort"
    if error.code in codes.SENDER_WIDE and not request.idempotent:
        return "reject_sender"
    if isinstance(error, PermissionDenied) and error.code not in codes.GEO_PERMISSIONS:
        return "abort"
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
    lane_count: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Send the requests of all items, report each outcome, and return the counts.

    :param client: The asynchronous client. It should have ``concurrency`` connections, and no retries.
    :param items: The items, which are read as they are needed; a plain iterable is read in a thread.
    :param on_outcome: Called with each outcome on the event loop, so it must not block.
    :param concurrency: Maximum number of requests in flight.
    :param rate: Maximum weight per second and lane; None for no limit.
    :param max_failures: End the run when more requests than this have failed.
    :param lane_count: Number of lanes. The run ends with an error that has ended all of them.
    :param tally: Counts to update, for a caller that reads them during the run.
    :raises TooManyFailures: When more requests than ``max_failures`` have failed.
    :raises TwilioError: When an error affects every request. Exceptions of ``items`` are raised too.
    """
    engine = Engine(
        client,
        on_outcome,
        concurrency=concurrency,
        rate=rate,
        max_failures=max_failures,
        lane_count=lane_count,
        tally=tally,
    )
    await engine.run(batches(items))
    return engine.tally


class Engine:
    """The execution of one :func:`run`, for callers that supply the batches themselves."""

    _input: ReadAhead

    def __init__(
        self,
        client: AsyncSender,
        on_outcome: Callable[[Outcome], object] | None = None,
        *,
        concurrency: int = 50,
        rate: float | None = None,
        max_failures: int | None = None,
        lane_count: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.client = client
        self.tally = tally if tally is not None else Tally()
        self._on_outcome = on_outcome
        self._max_failures, self._lane_count = max_failures, lane_count
        self.interrupted: list[WorkItem] = []
        """Items whose requests were canceled, so that Twilio may have carried them out."""
        self._concurrency = AdaptiveConcurrency(concurrency)
        self._limiter = RateLimiter(rate)
        self._queues = SenderQueues(self._limiter)
        self._backoff = Backoff(client.settings.retry_max_wait)
        self._delayed = DelayQueue()
        self._in_flight = 0
        self._since_yield = 0
        self._lease_end = math.inf
        self._error: BaseException | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def run(self, source: AsyncIterator[list[WorkItem]]) -> None:
        """Send the items of a source until it ends."""
        self._input = ReadAhead(source, self._fail, self._changed.set)
        workers = [asyncio.ensure_future(self._run_worker()) for _ in range(self._concurrency.maximum)]
        try:
            with relaxed_gc():
                await self._gather(workers)
        finally:
            tasks = [*workers, *([self._input.task] if self._input.task else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _gather(self, workers: Sequence[asyncio.Future[None]]) -> None:
        """Await the workers. If the run is canceled, start no further request, and await those in flight briefly."""
        gathered = asyncio.gather(*workers)
        try:
            await asyncio.shield(gathered)
        except asyncio.CancelledError as error:
            if not gathered.done():
                self.stop(error)
                await asyncio.wait([gathered], timeout=MAX_DRAIN)
            raise

    def extend_lease(self, until: float) -> None:
        """Start no request after this time of the monotonic clock, unless the lease is extended again."""
        self._lease_end = until
        self._changed.set()

    def stop(self, error: BaseException) -> None:
        """End the run with an error, once the requests in flight have ended."""
        self._error = self._error or error
        self._changed.set()

    async def _run_worker(self) -> None:
        send = self.client.send
        while (item := await self._next()) is not None:
            started_at = time.monotonic()
            try:
                result = await send(item.prepared or item.request)
            except TwilioError as error:
                self._handle_error(item, error, started_at)
            except BaseException as error:  # an error of this program: it would affect the other items too
                if not isinstance(error, Exception):
                    self.interrupted.append(item)
                elif not item.request.idempotent:  # Twilio may have the request
                    unknown = error_without_response(item.request, type(error).__name__, sent=True)
                    self._report(Outcome(item, "unknown", error=unknown))
                self._fail(error)
            else:
                self._backoff.on_response()
                self._concurrency.on_success(started_at)
                if self._queues.overflowed:
                    self._queues.reopen(item.lane, started_at, time.monotonic())
                self.tally.done += 1  # inlines what _report does for a success
                if self._on_outcome is not None:
                    self._on_outcome(Outcome(item, "done", result))
            finally:
                if self._queues.overflowed:
                    self._queues.end_probe(item)
                self._in_flight -= 1
                self._changed.set()

    # ------------------------------------------------------------ selection of the next item

    async def _next(self) -> WorkItem | None:
        """Return the next item once it is due; None at the end of the run.

        An item that is due is returned at once. Otherwise one worker waits for it, and the others wait for their turn.
        """
        self._since_yield += 1
        if self._since_yield == YIELD_EVERY:  # the callback runs before the workers that sleep below resume
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
                if self._input.exhausted and not (self._delayed or self._in_flight):
                    return None
                await self._wait(now)
            return None

    def _on_yielded(self) -> None:
        self._since_yield = 0

    def _claim(self, now: float) -> WorkItem | None:
        """Return an item that is due, if another request may be started; else None."""
        if self._in_flight >= self._concurrency.limit or self._error is not None:
            return None
        if not self._backoff.resume_at <= now < self._lease_end or (item := self._pop_due(now)) is None:
            return None
        self._in_flight += 1
        return item

    def _pop_due(self, now: float) -> WorkItem | None:
        """Return an item that is due, delayed items before new ones; None if there is none."""
        while (item := self._delayed.pop_due(now)) is not None:
            if self._queues.rejected and self._reject(item):
                continue
            if self._limiter.is_paused(item.lane, now):
                self._delayed.push(item, self._limiter.reserve(item.lane, item.weight, now))
            elif self._admit(item, now):
                return item
        while self._input.items and len(self._delayed) < MAX_DELAYED and self._error is None:
            item = self._input.pop()
            if self._queues.rejected and self._reject(item):
                continue
            due = self._limiter.reserve(item.lane, item.weight, now)
            if due > now:
                self._delayed.push(item, due)
            elif not self._queues.overflowed or self._admit(item, now):
                return item
        if not self._input.items:
            self._input.refill()
        return None

    def _reject(self, item: WorkItem) -> bool:
        """Return whether an item's sender is rejected. The item then fails with the sender's error."""
        error = self._queues.rejected.get(item.lane)
        if error is not None:
            self._report(Outcome(item, "failed", error=error))
        return error is not None

    def _admit(self, item: WorkItem, now: float) -> bool:
        """Return whether the sender's queue admits an item; else delay the item, or defer it."""
        match self._queues.admit(item):
            case "send":
                return True
            case "wait":
                self._delayed.push(item, now + self._queues.recheck_delay)
            case "defer":
                self._report(Outcome(item, "later", error=self._queues.overflowed[item.lane].error))
        return False

    async def _wait(self, now: float) -> None:
        """Wait until an item may be due, or until the state of the engine has changed.

        :param now: Time at which no item was due. An item that has become due since then is due at once.
        """
        until = None
        if self._in_flight < self._concurrency.limit and now < self._lease_end:
            until = self._backoff.resume_at if now < self._backoff.resume_at else self._delayed.next_due
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                await self._changed.wait()
        except TimeoutError:
            pass

    # ------------------------------------------------------------ handling of outcomes

    def _handle_error(self, item: WorkItem, error: TwilioError, started_at: float) -> None:
        match disposition(item.request, error):
            case "retry":
                self._retry(item, error, started_at)
            case "overflow":
                now = time.monotonic()
                self._queues.overflow(item.lane, error, started_at, now)
                self._delayed.push(item, self._limiter.reserve(item.lane, item.weight, now))
            case "reject_sender":
                self._reject_sender(item, error)
            case "abort":
                self._abort(error)
            case "unknown":
                self._back_off(error, started_at)
                self._report(Outcome(item, "unknown", error=error))
            case kind:
                self._backoff.on_response()
                self._report(Outcome(item, kind, error=error if kind != "done" else None))

    def _reject_sender(self, item: WorkItem, error: TwilioError) -> None:
        """End the lane of an item. End the run if no other lane is left."""
        is_new = item.lane not in self._queues.rejected
        self._queues.rejected.setdefault(item.lane, error)
        if self._lane_count is not None and len(self._queues.rejected) >= self._lane_count:
            self._abort(error)
            return
        if is_new:
            log.error("Stopping one sender, whose remaining messages fail: %s", error)
            self._delayed.expedite(item.lane)
        self._backoff.on_response()
        self._report(Outcome(item, "failed", error=error))

    def _report(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        failed = self.tally.failed.total() if outcome.kind == "failed" else 0
        if self._max_failures is not None and failed > self._max_failures:
            counts = format_codes(self.tally.failed)
            self._abort(
                TooManyFailures(f"{failed} of {self.tally.total} requests have failed ({counts}): sending no more")
            )

    def _retry(self, item: WorkItem, error: TwilioError, started_at: float) -> None:
        """Send an item again at a lower concurrency, unless it keeps causing server errors."""
        if isinstance(error, ServerError):
            item.server_errors += 1
            if item.server_errors > MAX_RETRIES:
                self._report(Outcome(item, "failed", error=error))
                return
        if isinstance(error, RateLimited):
            self.tally.throttled += 1
        self._delayed.push(item, 0.0)
        self._back_off(error, started_at)

    def _back_off(self, error: TwilioError, started_at: float) -> None:
        now = time.monotonic()
        if self._backoff.on_error(error, started_at, now):
            self._concurrency.on_throttled(now)
            if self._backoff.exhausted:
                self._abort(error)

    def _fail(self, error: BaseException) -> None:
        self.stop(error)
        if isinstance(error, asyncio.CancelledError):
            raise error

    def _abort(self, error: TwilioError) -> None:
        if self._error is None:
            log.error("Stopping: %s", error)
            self.stop(error)
