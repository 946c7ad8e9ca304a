"""The shared poll for the final statuses of messages and calls.

In each polling cycle the poll learns every status it needs in the cheaper of two ways: it lists the newest pages, 1,000
records a request, and fetches individually the records that the pages do not show. Ten thousand waiting messages cost
about ten requests a cycle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    NotSent,
    PermissionDenied,
    RateLimited,
    ServerError,
    TwilioError,
)
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.runtime.polling.budget import PAGE_COST, ListingBudget
from airflow_provider_twilio.runtime.polling.events import WaitEvent, evaluate, missing, rejected, timed_out
from airflow_provider_twilio.runtime.polling.shared import Connect, SharedPoll, Source, Subscriber
from airflow_provider_twilio.runtime.polling.spec import WaitSpec

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

FETCH_THRESHOLD = 3
"""Number of records that are fetched individually; listing a page would not be cheaper."""


MAX_FETCHES_PER_CYCLE = 500
"""Maximum number of individual fetches in a polling cycle."""


FETCH_CONCURRENCY = 20
"""Maximum number of concurrent fetches."""


MAX_CONSECUTIVE_FAILURES = 3
"""Number of consecutive failed fetches after which Twilio counts as unavailable; fewer point to single records."""


LIST_RETRY_DELAY = 600.0
"""Seconds before a list that was not permitted is requested again."""


NOT_FOUND_GRACE = 60.0
"""Seconds after its creation in which Twilio may not find a record that exists."""


MESSAGES = Source("messages", Messages.list, Messages.fetch)


CALLS = Source("calls", Calls.list, Calls.fetch)


class StatusWait(Subscriber[WaitEvent]):
    """A wait for the final status of a message or call.

    :param spec: What the wait is about.
    """

    __slots__ = ("_not_found_count", "_not_found_counts_from", "created", "goal", "last_polled", "sid")

    def __init__(self, spec: WaitSpec[Goal]) -> None:
        super().__init__(spec.sid, interval=spec.interval, deadline=spec.deadline, not_before=spec.not_before)
        self.sid = spec.sid
        self.goal = spec.goal
        self.created = spec.created
        self.last_polled = now = time.monotonic()
        self._not_found_counts_from = spec.created + now - time.time() + NOT_FOUND_GRACE
        self._not_found_count = 0

    def on_record(self, record: Mapping[str, Any]) -> None:
        """Evaluate a record, and end the wait if its status is final."""
        self._not_found_count = 0
        event = evaluate(self.goal, self.sid, record)
        if event is None and self.past_deadline:
            event = timed_out(self.sid, f"its last status is {record.get('status')}", record)
        self._after_poll(event)

    def on_not_found(self, error: NotFound) -> None:
        """Handle a missing record. It ends the wait when it occurs twice.

        The minute after the creation does not count.
        """
        self._not_found_count += time.monotonic() >= self._not_found_counts_from
        if self._not_found_count >= 2:
            self._after_poll(missing(self.sid, error))
        else:
            self.on_error(error)

    def on_error(self, error: Exception) -> None:
        """Handle a failed poll. It ends the wait only at the deadline."""
        self._after_poll(timed_out(self.sid, str(error)) if self.past_deadline else None)

    def on_rejected(self, error: TwilioError) -> None:
        """End the wait, since Twilio rejects the requests of the poll."""
        self.end(rejected(self.sid, error))

    def _after_poll(self, event: WaitEvent | None) -> None:
        if event is not None:
            self.end(event)
        else:
            self.last_polled = time.monotonic()
            self.postpone()


async def wait_for(spec: WaitSpec[Goal], source: Source, name: Hashable, connect: Connect) -> WaitEvent:
    """Wait until the final status of a message or call, or the deadline.

    :return: The event of the wait.

    :param name: Name of the connection and account. Waits that join with one name at the same time read the connection
        once. All waits with the same credentials share a poll.
    :param connect: Function that opens a client. It is called when the wait joins, and again after an authentication
        error.
    :raises PollFailed: The connection cannot be read, or the poll has failed unexpectedly.
    """
    wait = StatusWait(spec)
    StatusPoll.get_or_create(source, name, connect).join(wait)
    try:
        return await wait.future
    finally:
        if wait.poll is not None:
            wait.poll.leave(wait)


class StatusPoll(SharedPoll[StatusWait]):
    """A shared poll for the final statuses of messages or calls."""

    _list_from = 0.0
    """Time from which the list may be requested."""

    _listing_share = 1.0
    """Share of the cost of fetching that pages without a match may cost. It is halved after a pass without a match."""

    async def _poll_due(self, client: AsyncClient) -> None:
        now = time.monotonic()
        pending = {wait.sid: None for wait in self._all() if wait.due <= now}
        list_error = None
        if len(pending) > FETCH_THRESHOLD and now >= self._list_from:
            list_error = await self._walk_pages(client, pending)
        queue = self._fetch_order(pending)
        if list_error is not None and queue:
            # Listing is only the cheaper way. One fetch shows whether the other way works.
            await self._fetch(client, queue[:1])
            del queue[:1]
            log.info("Fetching %s individually, since they cannot be listed: %s", self.source.name, list_error)
            if isinstance(list_error, AuthenticationFailed | PermissionDenied):
                self._list_from = now + LIST_RETRY_DELAY
        await self._fetch(client, queue)

    async def _walk_pages(self, client: AsyncClient, pending: dict[str, None]) -> TwilioError | None:
        """List the newest pages while that is cheaper than fetching.

        Records that are found are removed from `pending`.

        Return the error if the list cannot be requested.

        :raises RateLimited: The account's rate limit is reached, which fetching would not help.
        """
        budget = ListingBudget(
            page_cost=PAGE_COST,
            share=self._listing_share,
            max_fetches=MAX_FETCHES_PER_CYCLE,
            created=min(wait.created for sid in pending for wait in self.subscribers[sid]),
        )
        has_matches = False
        try:
            async for page in client.iter_pages(self.source.list()):
                found = 0
                for record in page.records:
                    sid = record.get("sid")
                    if sid in self.subscribers:
                        self._publish(sid, record)
                    if sid in pending:
                        del pending[sid]
                        found += 1
                has_matches = has_matches or found > 0
                if len(pending) <= FETCH_THRESHOLD:
                    break
                last = page.records[-1] if page.records else None
                if not budget.allows_next(found=found, remaining=len(pending), last=last):
                    break
            self._listing_share = 1.0 if has_matches else self._listing_share / 2
        except RateLimited:
            raise
        except TwilioError as error:
            return error
        return None

    def _fetch_order(self, pending: Mapping[str, None]) -> list[str]:
        """Return the SIDs to fetch in this cycle, in order.

        Those past their deadline come first, and then those that were polled longest ago.
        """

        def priority(sid: str) -> tuple[bool, float]:
            waits = self.subscribers[sid]
            return not any(wait.past_deadline for wait in waits), min(wait.last_polled for wait in waits)

        queue = sorted((sid for sid in pending if sid in self.subscribers), key=priority)
        past_deadline = sum(not priority(sid)[0] for sid in queue)
        count = max(MAX_FETCHES_PER_CYCLE, past_deadline)
        for sid in queue[count:]:  # a later cycle fetches them: `last_polled` keeps their place in the queue
            for wait in self.subscribers[sid]:
                wait.postpone()
        return queue[:count]

    async def _fetch(self, client: AsyncClient, sids: Sequence[str]) -> None:
        """Fetch records individually, several at a time.

        :raises TwilioError: Twilio cannot be polled. The waits that were not reached stay due.
        """
        queue, failures, succeeded = iter(sids), 0, False

        async def work() -> None:
            nonlocal failures, succeeded
            for sid in queue:
                try:
                    self._publish(sid, await client.send(self.source.fetch(sid)))
                except NotFound as error:
                    for wait in self._waits_for(sid):
                        wait.on_not_found(error)
                except InvalidRequest as error:
                    for wait in self._waits_for(sid):
                        wait.end(rejected(sid, error))
                except (ServerError, NotSent) as error:
                    for wait in self._waits_for(sid):
                        wait.on_error(error)
                    failures += 1
                    if failures >= MAX_CONSECUTIVE_FAILURES or (len(sids) < MAX_CONSECUTIVE_FAILURES and not succeeded):
                        raise
                    continue
                failures, succeeded = 0, True

        workers = [asyncio.ensure_future(work()) for _ in range(min(FETCH_CONCURRENCY, len(sids)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _publish(self, sid: str, record: Record) -> None:
        for wait in self._waits_for(sid):
            wait.on_record(record)

    def _waits_for(self, sid: str) -> list[StatusWait]:
        """Return a copy, since waits leave the poll as they end."""
        return list(self.subscribers.get(sid, ()))
