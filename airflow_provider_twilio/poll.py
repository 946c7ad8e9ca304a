"""Many waits, one poll: all who wait for one account's messages, or calls, in one process share a poller.

Each tick the poller learns every status it needs by the cheaper way: it walks the newest pages of the list, 1000
records a request, and fetches one by one what the pages don't show. Ten thousand waiting messages cost about ten
requests a tick.

No Airflow here: a poller is handed a way to open a client. It is an asyncio task of its own in an empty context, so
that it belongs to none of the waits that it serves, and it ends with the last of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.core import Listing, Record, Request
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TwilioError,
)
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

FEW = 3
"""So many are fetched one by one at once: no page is cheaper."""
PAGE_WORTH = 20
"""A page is taken to cost as much as so many fetches, since it carries a thousand records."""
VAIN_PAGES = 5
"""After so many pages in a row that show none who is waited for, the rest is fetched one by one."""
FETCHES_A_TICK = 500
FETCHES_AT_ONCE = 20
LONGEST_BACKOFF = 60.0
FRESH = 60.0
"""Seconds after its creation for which a record may be missing without meaning anything."""

Connect = Callable[[], AbstractAsyncContextManager[AsyncClient]]


@dataclass(frozen=True, slots=True)
class Source:
    """Say where the records that are waited for are listed and fetched."""

    name: str
    list: Callable[[], Listing[Any]]
    fetch: Callable[[str], Request[Any]]


MESSAGES = Source("messages", Messages.list, Messages.fetch)
CALLS = Source("calls", Calls.list, Calls.fetch)

TOLD = (
    "status",
    "error_code",
    "price",
    "price_unit",
    "num_segments",
    "date_created",
    "date_sent",
    "date_updated",
    "start_time",
    "end_time",
    "duration",
    "answered_by",
)
"""What an outcome tells of a record: no number, no text. Airflow logs it word for word."""


def event(sid: str, outcome: str, reason: str | None, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Tell an outcome in plain JSON: ``reached``, ``failed``, ``timeout`` or ``error``, why, and the record's facts."""
    facts = {name: record[name] for name in TOLD if record.get(name) is not None} if record else {}
    return {"sid": sid, "outcome": outcome, "reason": reason, **facts}


@dataclass(slots=True, eq=False)
class Wait:
    """Hold one who waits.

    :param sid: the message or call.
    :param goal: what is waited for.
    :param interval: seconds between two looks.
    :param deadline: the end of the wait, in seconds since the epoch; None for no end. A last look is taken there.
    :param not_before: when the first look makes sense: a scheduled message isn't asked for before.
    :param created: when it was created: just then it may not be found yet.
    """

    sid: str
    goal: Goal
    interval: float
    deadline: float | None = None
    not_before: float = 0.0
    created: float = 0.0
    due: float = field(default=0.0, init=False)
    missed: int = field(default=0, init=False)
    seen: float = field(default=0.0, init=False)
    poller: Poller | None = field(default=None, init=False)
    future: asyncio.Future[dict[str, Any]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        now = time.time()
        self.due = now if self._past(now) else self._grid(now)

    def look_again(self, now: float) -> None:
        """Set the time of the next look."""
        self.due = self._grid(now)

    def _grid(self, now: float) -> float:
        """Give the next time of a grid that all of this interval share, so that their looks fall together."""
        after = max(now, self.not_before)
        due = (math.floor(after / self.interval) + 1) * self.interval
        return due if self.deadline is None or self._past(now) else min(due, self.deadline)

    def _past(self, now: float) -> bool:
        return self.deadline is not None and now >= self.deadline

    def judge(self, record: Mapping[str, Any]) -> None:
        """Weigh a record, and end the wait if it has come to something."""
        now = time.time()
        self.missed, self.seen = 0, now
        verdict = self.goal.verdict(record, datetime.fromtimestamp(now, UTC))
        if verdict.outcome != "waiting":
            self.end(verdict.outcome, verdict.reason, record)
        elif self._past(now):
            self.end("timeout", f"{self.sid} is still {record.get('status')} at its deadline", record)

    def miss(self, error: NotFound) -> None:
        """Note that there is no such record: that counts when seen twice, and not just after the creation."""
        now = time.time()
        self.missed, self.seen = self.missed + 1, now
        if self.missed >= 2 and now - self.created >= FRESH:
            self.end("error", f"{self.sid} is gone: {error}")
        elif self._past(now):
            self.end("timeout", f"{self.sid} is not found at its deadline: {error}")

    def fail_if_past(self, reason: str) -> None:
        if self._past(time.time()):
            self.end("timeout", f"{self.sid} could not be asked for at its deadline: {reason}")

    def end(self, outcome: str, reason: str | None, record: Mapping[str, Any] | None = None) -> None:
        """End the wait and tell its outcome."""
        if not self.future.done():
            self.future.set_result(event(self.sid, outcome, reason, record))


async def wait_for(wait: Wait, source: Source, name: Hashable, connect: Connect) -> dict[str, Any]:
    """Wait until a message or call has come to its end, and tell its outcome.

    :param name: what names the connection and account; waits of one name share a poller without asking further.
    :param connect: opens a client; called once by a poller, and again after an authentication error.
    """
    Poller.named(source, name, connect).join(wait, connect)
    try:
        return await wait.future
    finally:
        if wait.poller is not None:
            wait.poller.leave(wait)


class Poller:
    """Ask for what many wait for. There is one to an event loop, account and kind of record."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Poller]] = WeakKeyDictionary()

    def __init__(self, source: Source, registry: dict[Hashable, Poller]) -> None:
        self.source = source
        self.waits: dict[str, list[Wait]] = {}
        self.ways: list[Connect] = []
        self.requests = 0
        self._registry = registry
        self._listed = True
        self._woken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    @classmethod
    def named(cls, source: Source, name: Hashable, connect: Connect) -> Poller:
        """Give the poller of a connection and account; make it if there is none."""
        registry = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        key = (source.name, name)
        if key not in registry:
            registry[key] = cls(source, registry)
        return registry[key]

    def join(self, wait: Wait, connect: Connect) -> None:
        wait.poller = self
        self.waits.setdefault(wait.sid, []).append(wait)
        if not self.ways:
            self.ways.append(connect)
        self._woken.set()

    def leave(self, wait: Wait) -> None:
        of_sid = self.waits.get(wait.sid, [])
        if wait in of_sid:
            of_sid.remove(wait)
        if not of_sid:
            self.waits.pop(wait.sid, None)
        self._woken.set()

    # ------------------------------------------------------------ the task

    async def _run(self) -> None:
        try:
            while await self._somebody_waits():
                await self._serve()
        except Exception as error:  # a fault of ours or of the connection: each who waits is told
            log.exception("The poll for %s ended", self.source.name)
            for wait in self._all():
                if not wait.future.done():
                    wait.future.set_exception(error)
        finally:
            for key in [key for key, poller in self._registry.items() if poller is self]:
                del self._registry[key]

    async def _serve(self) -> None:
        """Open a client and ask with it, until nobody waits or the credentials are refused."""
        refused: TwilioError | None = None
        for way in self._again():
            async with AsyncExitStack() as stack:
                try:
                    client = await stack.enter_async_context(way())
                    if self._hand_over(client):
                        return
                    await self._ask(client)
                    return
                except (AuthenticationFailed, PermissionDenied) as error:
                    refused = error
                except TwilioError as error:
                    refused = error
                    if not error.permanent:
                        raise
        for wait in self._all():
            wait.end("error", str(refused))

    def _again(self) -> Iterable[Connect]:
        """Give each known way to connect, and the first twice: credentials may just have been renewed."""
        yield self.ways[0]
        yield from list(self.ways)

    def _hand_over(self, client: AsyncClient) -> bool:
        """Join the poller that serves this account already, by another connection."""
        account = (self.source.name, client.settings.url("/{AccountSid}"))
        other = self._registry.setdefault(account, self)
        if other is self:
            return False
        for key in [key for key, poller in self._registry.items() if poller is self]:
            self._registry[key] = other
        other.ways.extend(self.ways)
        for wait in self._all():
            other.join(wait, self.ways[0])
        self.waits.clear()
        return True

    async def _ask(self, client: AsyncClient) -> None:
        """Look whenever someone is due. While Twilio can't be asked, back off for all."""
        failures = 0
        while await self._somebody_due():
            try:
                await self._tick(client)
                failures = 0
            except TwilioError as error:
                if error.permanent:
                    raise
                failures += 1
                pause = min(LONGEST_BACKOFF, error.retry_after or 2.0**failures)
                pause *= random.uniform(0.75, 1.25)  # noqa: S311 (so that several pollers don't come back at once)
                log.warning("The poll for %s rests for %.0f s: %s", self.source.name, pause, error)
                for wait in self._all():
                    wait.fail_if_past(str(error))
                until = time.time() + pause
                while self.waits and time.time() < until:
                    await self._rest(until - time.time())

    async def _somebody_due(self) -> bool:
        """Sleep until a look is due; False when nobody waits any more."""
        while await self._somebody_waits():
            pause = min(wait.due for wait in self._all() if not wait.future.done()) - time.time()
            if pause <= 0:
                return True
            await self._rest(pause)
        return False

    async def _somebody_waits(self) -> bool:
        """Tell whether anybody waits; those who were told, and have yet to leave, are let go first."""
        while self.waits:
            if any(not wait.future.done() for wait in self._all()):
                return True
            await self._rest(None)
        return False

    async def _rest(self, pause: float | None) -> None:
        """Sleep until somebody comes or goes, but no longer than so many seconds."""
        self._woken.clear()
        try:
            await asyncio.wait_for(self._woken.wait(), pause)
        except TimeoutError:
            pass

    def _all(self) -> list[Wait]:
        return [wait for waits in self.waits.values() for wait in waits]

    # ------------------------------------------------------------ one tick

    async def _tick(self, client: AsyncClient) -> None:
        """Look for everyone who is due."""
        now = time.time()
        missing: dict[str, None] = {}
        for wait in self._all():
            if wait.due <= now and not wait.future.done():
                wait.look_again(now)
                missing[wait.sid] = None
        if len(missing) > FEW and self._listed:
            await self._walk(client, missing)
        if missing:
            await self._fetch(client, missing)

    async def _walk(self, client: AsyncClient, missing: dict[str, None]) -> None:
        """Go through the newest pages while they show enough of those who are missing."""
        vain = 0
        try:
            async for page in client.pages(self.source.list()):
                self.requests += 1
                found = 0
                for record in page.records:
                    sid = record["sid"]
                    if sid in self.waits:
                        self._show(sid, record)
                        found += missing.pop(sid, 0) is None
                vain = 0 if found else vain + 1
                if len(missing) <= FEW or vain >= min(VAIN_PAGES, math.ceil(len(missing) / PAGE_WORTH)):
                    return
        except PermissionDenied:
            log.info("These credentials may not list %s: they are fetched one by one", self.source.name)
            self._listed = False

    async def _fetch(self, client: AsyncClient, missing: Iterable[str]) -> None:
        """Ask one by one for those that no page showed; the longest unseen first, and not all at once."""
        waiting = [sid for sid in missing if sid in self.waits]
        waiting.sort(key=lambda sid: min(wait.seen for wait in self.waits[sid]))
        queue = iter(waiting[:FETCHES_A_TICK])

        async def work() -> None:
            for sid in queue:
                self.requests += 1
                try:
                    self._show(sid, await client.send(self.source.fetch(sid)))
                except NotFound as error:
                    for wait in list(self.waits.get(sid, ())):
                        wait.miss(error)
                except InvalidRequest as error:
                    for wait in list(self.waits.get(sid, ())):
                        wait.end("error", str(error))

        workers = [asyncio.ensure_future(work()) for _ in range(min(FETCHES_AT_ONCE, len(waiting)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _show(self, sid: str, record: Record) -> None:
        for wait in list(self.waits.get(sid, ())):
            wait.judge(record)
