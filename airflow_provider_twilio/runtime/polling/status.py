"""Many waits, one poll: all who wait for one account's messages, or calls, in one process share a poller.

Each tick the poller learns every status it needs by the cheaper way: it walks the newest pages of the list, 1000
records a request, and fetches one by one what the pages don't show. Ten thousand waiting messages cost about ten
requests a tick.

:class:`Poll` is what any shared poll is: who takes part, by which connection, when to look, and when to rest.
:class:`Poller` asks for the end of messages and calls; the poll for what comes in is ``inbound``.

No Airflow here: a poller is handed a way to open a client. It is an asyncio task of its own in an empty context, so
that it belongs to none of the waits that it serves, and it ends with the last of them.

Times are of the monotonic clock: setting the machine's clock neither stops a poll nor moves a deadline.
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
from airflow_provider_twilio.runtime.polling.events import evaluate, missing, rejected, timed_out
from airflow_provider_twilio.runtime.polling.shared import Connect, SharedPoll, Source, Subscriber

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

FETCH_THRESHOLD = 3
"""So many are fetched one by one at once: no page is cheaper."""


PAGE_COST = 20
"""A page is taken to cost as much as so many fetches, since it carries a thousand records."""


MAX_PAGE_DEBT = 5
"""The pages may cost this many pages more than they save; then the rest is fetched one by one."""


MAX_FETCHES_PER_CYCLE = 500


FETCH_CONCURRENCY = 20


MAX_CONSECUTIVE_FAILURES = 3
"""So many fetches that fail in a row say that Twilio can't be asked; fewer, that something is wrong with a record."""


LIST_RETRY_DELAY = 600.0
"""Seconds before a list that was not permitted is asked for again."""


NOT_FOUND_GRACE = 60.0
"""Seconds after its creation for which a record may be missing without meaning anything."""


MESSAGES = Source("messages", Messages.list, Messages.fetch)


CALLS = Source("calls", Calls.list, Calls.fetch)


class StatusWait(Subscriber):
    """Hold one who waits for the end of a message or call. Its times are given in seconds since the epoch.

    :param sid: the message or call.
    :param goal: what is waited for.
    :param interval: seconds between two looks.
    :param deadline: the end of the wait; None for no end. A last look is taken there.
    :param not_before: when the first look makes sense: a scheduled message isn't asked for before.
    :param created: when it was created: just then it may not be found yet.
    """

    __slots__ = ("_missed", "_settled", "asked", "goal", "sid")

    def __init__(
        self,
        sid: str,
        goal: Goal,
        *,
        interval: float,
        deadline: float | None = None,
        not_before: float = 0.0,
        created: float = 0.0,
    ) -> None:
        super().__init__(sid, interval=interval, deadline=deadline, not_before=not_before)
        self.sid = sid
        self.goal = goal
        self.asked = now = time.monotonic()
        self._settled = created + now - time.time() + NOT_FOUND_GRACE
        self._missed = 0

    def on_record(self, record: Mapping[str, Any]) -> None:
        """Weigh a record, and end the wait if it has come to something."""
        self._missed = 0
        told = evaluate(self.goal, self.sid, record)
        self._asked(
            timed_out(self.sid, f"it is {record.get('status')}", record) if told is None and self.past else told
        )

    def on_not_found(self, error: NotFound) -> None:
        """Note that there is no such record: that counts when seen twice, and not just after the creation."""
        self._missed += time.monotonic() >= self._settled
        self._asked(
            missing(self.sid, error) if self._missed >= 2 else timed_out(self.sid, str(error)) if self.past else None
        )

    def on_error(self, error: Exception) -> None:
        self._asked(timed_out(self.sid, str(error)) if self.past else None)

    def on_rejected(self, error: TwilioError) -> None:
        self.end(rejected(self.sid, error))

    def _asked(self, told: dict[str, Any] | None) -> None:
        if told is not None:
            self.end(told)
        else:
            self.asked = time.monotonic()
            self.postpone()


async def wait_for(wait: StatusWait, source: Source, name: Hashable, connect: Connect) -> dict[str, Any]:
    """Wait until a message or call has come to its end, and tell its outcome.

    :param name: what names the connection and account; waits of one name share a poller without asking further.
    :param connect: opens a client; called once by a poller, and again after an authentication error.
    :raises PollEnded: the connection can't be opened, or something is wrong here.
    """
    StatusPoll.get_or_create(source, name, connect).join(wait)
    try:
        told: dict[str, Any] = await wait.future
        return told
    finally:
        if wait.poll is not None:
            wait.poll.leave(wait)


class StatusPoll(SharedPoll[StatusWait]):
    """Ask what has become of messages or calls."""

    _list_from = 0.0

    async def _tick(self, client: AsyncClient) -> None:
        now = time.monotonic()
        missing = {wait.sid: None for wait in self._all() if wait.due <= now}
        trouble = None
        if len(missing) > FETCH_THRESHOLD and now >= self._list_from:
            trouble = await self._walk_pages(client, missing)
        queue = self._fetch_order(missing)
        if trouble is not None and queue:
            # The list is only the cheaper way. Whether there is another, one fetch tells.
            await self._fetch(client, queue[:1])
            del queue[:1]
            log.info("The %s are fetched one by one: %s", self.source.name, trouble)
            if isinstance(trouble, AuthenticationFailed | PermissionDenied):
                self._list_from = now + LIST_RETRY_DELAY
        await self._fetch(client, queue)

    async def _walk_pages(self, client: AsyncClient, missing: dict[str, None]) -> TwilioError | None:
        """Go through the newest pages while they cost less than fetching; give what was wrong with the list, if so."""
        debt = 0
        try:
            async for page in client.iter_pages(self.source.list()):
                found = 0
                for record in page.records:
                    sid = record.get("sid")
                    if sid in self.subscribers:
                        self._publish(sid, record)
                    if sid in missing:
                        del missing[sid]
                        found += 1
                debt = max(0, debt + PAGE_COST - found)
                if len(missing) <= FETCH_THRESHOLD or debt >= min(MAX_PAGE_DEBT * PAGE_COST, len(missing)):
                    return None
        except RateLimited:
            raise
        except TwilioError as error:
            return error
        return None

    def _fetch_order(self, missing: Mapping[str, None]) -> list[str]:
        """Choose whom to ask for one by one: who is past the deadline, then who was not asked for longest."""

        def turn(sid: str) -> tuple[bool, float]:
            waits = self.subscribers[sid]
            return not any(wait.past for wait in waits), min(wait.asked for wait in waits)

        queue = sorted((sid for sid in missing if sid in self.subscribers), key=turn)
        last_chances = sum(not turn(sid)[0] for sid in queue)
        most = max(MAX_FETCHES_PER_CYCLE, last_chances)
        for sid in queue[most:]:  # their turn comes: they keep their place by `asked`
            for wait in self.subscribers[sid]:
                wait.postpone()
        return queue[:most]

    async def _fetch(self, client: AsyncClient, sids: Sequence[str]) -> None:
        """Ask one by one, for some at once.

        :raises TwilioError: Twilio can't be asked; who was not reached stays due.
        """
        queue, failures, answered = iter(sids), 0, False

        async def work() -> None:
            nonlocal failures, answered
            for sid in queue:
                try:
                    self._publish(sid, await client.send(self.source.fetch(sid)))
                except NotFound as error:
                    for wait in self._of(sid):
                        wait.on_not_found(error)
                except InvalidRequest as error:
                    for wait in self._of(sid):
                        wait.end(rejected(sid, error))
                except (ServerError, NotSent) as error:
                    for wait in self._of(sid):
                        wait.on_error(error)
                    failures += 1
                    if failures >= MAX_CONSECUTIVE_FAILURES or (len(sids) < MAX_CONSECUTIVE_FAILURES and not answered):
                        raise
                    continue
                failures, answered = 0, True

        workers = [asyncio.ensure_future(work()) for _ in range(min(FETCH_CONCURRENCY, len(sids)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _publish(self, sid: str, record: Record) -> None:
        for wait in self._of(sid):
            wait.on_record(record)

    def _of(self, sid: str) -> list[StatusWait]:
        return list(self.subscribers.get(sid, ()))
