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
import contextvars
import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.core import Listing, Record, Request
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
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

FEW = 3
"""So many are fetched one by one at once: no page is cheaper."""
PAGE_WORTH = 20
"""A page is taken to cost as much as so many fetches, since it carries a thousand records."""
VAIN_PAGES = 5
"""The pages may cost this many pages more than they save; then the rest is fetched one by one."""
FETCHES_A_TICK = 500
FETCHES_AT_ONCE = 20
FAILURES = 3
"""So many fetches that fail in a row say that Twilio can't be asked; fewer, that something is wrong with a record."""
LONGEST_BACKOFF = 60.0
LONGEST_RETRY_AFTER = 300.0
UNLISTED = 600.0
"""Seconds before a list that was not permitted is asked for again."""
STRANGE = 5
"""So many errors in a row that are not Twilio's, as of a connection that can't be read, end the poll."""
FRESH = 60.0
"""Seconds after its creation for which a record may be missing without meaning anything."""

Connect = Callable[[], "AbstractAsyncContextManager[AsyncClient]"]


@dataclass(frozen=True, slots=True)
class Source:
    """Say where the records that are waited for are listed and fetched."""

    name: str
    list: Callable[..., Listing[Any]]
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


def event(sid: str, outcome: str, reason: str | None = None, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Tell an outcome in plain JSON: ``reached``, ``failed``, ``timeout`` or ``error``, why, and the record's facts."""
    facts = {name: record[name] for name in TOLD if record.get(name) is not None} if record else {}
    return {"sid": sid, "outcome": outcome, "reason": reason, **facts}


def weigh(goal: Goal, sid: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Tell the outcome that a record shows; None while it is to be waited on, as for what can't be made sense of."""
    try:
        verdict = goal.verdict(record, datetime.now(UTC))
    except Exception:  # one odd record must not end the poll for all
        log.warning("%s can't be made sense of, and is waited on", sid, exc_info=True)
        return None
    return None if verdict.outcome == "waiting" else event(sid, verdict.outcome, verdict.reason, record)


def gone(sid: str, error: NotFound) -> dict[str, Any]:
    return event(sid, "error", f"{sid} is gone: {error}")


def refused(sid: str, error: TwilioError) -> dict[str, Any]:
    return event(sid, "error", f"{type(error).__name__}: {error}")


def late(sid: str, seen: str, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return event(sid, "timeout", f"{sid} has not come to its end at its deadline: {seen}", record)


class PollEnded(Exception):
    """Report that the poll could not go on, for a reason that is not Twilio's."""


class Waiter(ABC):
    """Take part in a poll. Its times are given in seconds since the epoch.

    :param key: what it is about.
    :param interval: seconds between two looks.
    :param deadline: the end of the wait; None for no end. A last look is taken there.
    :param not_before: when the first look makes sense.
    """

    __slots__ = ("_begin", "_deadline", "due", "future", "interval", "key", "poller")

    def __init__(
        self, key: str | None, *, interval: float, deadline: float | None = None, not_before: float = 0.0
    ) -> None:
        self.key = key
        self.interval = interval
        self.poller: Poll[Any] | None = None
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        shift = now - time.time()
        self._deadline = math.inf if deadline is None else deadline + shift
        self._begin = not_before + shift
        self.due = now if now >= self._deadline else self._next(now)

    @property
    def past(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self._deadline

    def postpone(self) -> None:
        """Set the time of the next look."""
        self.due = self._next(time.monotonic())

    def _next(self, now: float) -> float:
        """Give the next time of a grid that all of this interval share, so that their looks fall together."""
        due = (math.floor(max(now, self._begin) / self.interval) + 1) * self.interval
        return due if now >= self._deadline else min(due, self._deadline)

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Note that it could not be asked for: that counts at the deadline only."""

    @abstractmethod
    def refuse(self, error: TwilioError) -> None:
        """End, since Twilio does not accept what is asked."""

    def end(self, told: Any) -> None:
        """End with an outcome, or with an error."""
        if self.poller is not None:
            self.poller.leave(self)
        if self.future.done():
            return
        if isinstance(told, Exception):
            self.future.set_exception(told)
        else:
            self.future.set_result(told)


class Wait(Waiter):
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
        self._settled = created + now - time.time() + FRESH
        self._missed = 0

    def judge(self, record: Mapping[str, Any]) -> None:
        """Weigh a record, and end the wait if it has come to something."""
        self._missed = 0
        told = weigh(self.goal, self.sid, record)
        self._asked(late(self.sid, f"it is {record.get('status')}", record) if told is None and self.past else told)

    def miss(self, error: NotFound) -> None:
        """Note that there is no such record: that counts when seen twice, and not just after the creation."""
        self._missed += time.monotonic() >= self._settled
        self._asked(gone(self.sid, error) if self._missed >= 2 else late(self.sid, str(error)) if self.past else None)

    def fail(self, error: Exception) -> None:
        self._asked(late(self.sid, str(error)) if self.past else None)

    def refuse(self, error: TwilioError) -> None:
        self.end(refused(self.sid, error))

    def _asked(self, told: dict[str, Any] | None) -> None:
        if told is not None:
            self.end(told)
        else:
            self.asked = time.monotonic()
            self.postpone()


async def wait_for(wait: Wait, source: Source, name: Hashable, connect: Connect) -> dict[str, Any]:
    """Wait until a message or call has come to its end, and tell its outcome.

    :param name: what names the connection and account; waits of one name share a poller without asking further.
    :param connect: opens a client; called once by a poller, and again after an authentication error.
    :raises PollEnded: the connection can't be opened, or something is wrong here.
    """
    Poller.named(source, name, connect).join(wait)
    try:
        told: dict[str, Any] = await wait.future
        return told
    finally:
        if wait.poller is not None:
            wait.poller.leave(wait)


W = TypeVar("W", bound=Waiter)


class Poll(ABC, Generic[W]):
    """Ask Twilio on behalf of many. There is one to an event loop, account and purpose; it ends with the last of them.

    :ivar waits: who takes part, by what they are about.
    """

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __init__(self, source: Source, registry: dict[Hashable, Any], connect: Connect) -> None:
        self.source = source
        self.waits: dict[str | None, list[W]] = {}
        self.ways = [connect]
        self._registry = registry
        self._works = False
        self._alarm = math.inf
        self._woken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"twilio-poll-{source.name}", context=contextvars.Context()
        )

    @classmethod
    def named(cls, source: Source, name: Hashable, connect: Connect) -> Self:
        """Give the poll of a connection and account; make it if there is none."""
        registry = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        key = (source.name, name)
        if key not in registry:
            registry[key] = cls(source, registry, connect)
        found: Self = registry[key]
        return found

    @abstractmethod
    async def _tick(self, client: AsyncClient) -> None:
        """Look for everyone who is due. Who is not seen stays due.

        :raises TwilioError: Twilio can't be asked.
        """

    def join(self, wait: W) -> None:
        wait.poller = self
        self.waits.setdefault(wait.key, []).append(wait)
        if wait.due < self._alarm:
            self._woken.set()

    def leave(self, wait: W) -> None:
        of_key = self.waits.get(wait.key, [])
        if wait in of_key:
            of_key.remove(wait)
        if not of_key:
            self.waits.pop(wait.key, None)
        if not self.waits:
            self._woken.set()

    # ------------------------------------------------------------ the task

    async def _run(self) -> None:
        # Between the last look at `waits` and the end nothing is awaited: whoever comes finds this poller or a new one.
        try:
            await self._serve()
        except Exception as error:
            log.exception("The poll for %s ended", self.source.name)
            for wait in self._all():
                wait.end(PollEnded(mask(f"The poll for {self.source.name} ended. {type(error).__name__}: {error}")))
        finally:
            for key in [key for key, poller in self._registry.items() if poller is self]:
                del self._registry[key]
            for wait in self._all():  # only if the loop is about to end
                wait.future.cancel()

    async def _serve(self) -> None:
        """Ask by the connections known, until nobody waits. Whoever waits is told when none of them is accepted."""
        refusals = strange = 0
        while self.waits:
            # The first of them twice: its credentials may just have been renewed.
            way = self.ways[max(0, refusals - 1)]
            self._works = False
            try:
                async with way() as client:
                    if self._hand_over(client):
                        return
                    await self._ask(client)
            except TwilioError as error:  # a permanent one: `_ask` is patient with all others
                refusals = 1 if self._works else refusals + 1
                if refusals > len(self.ways):
                    for wait in self._all():
                        wait.refuse(error)
                    refusals = 0
            except Exception as error:
                strange = 1 if self._works else strange + 1
                if strange >= STRANGE:
                    raise
                await self._pause(error, strange)

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
            other.join(wait)
        self.waits.clear()
        return True

    async def _ask(self, client: AsyncClient) -> None:
        """Look whenever someone is due. While Twilio can't be asked, back off for all."""
        failures = 0
        while await self._somebody_is_due():
            try:
                await self._tick(client)
                failures, self._works = 0, True
            except TwilioError as error:
                if error.permanent:
                    raise
                failures += 1
                await self._pause(error, failures)

    async def _somebody_is_due(self) -> bool:
        """Sleep until a look is due; False when nobody waits any more."""
        while self.waits:
            due = min(wait.due for waits in self.waits.values() for wait in waits)
            if due <= time.monotonic():
                return True
            await self._rest(due)
        return False

    async def _pause(self, error: Exception, failures: int) -> None:
        """Rest after a failure, the longer the more there were. Whose deadline has passed need not wait on."""
        asked: float = getattr(error, "retry_after", None) or 0.0
        pause = max(min(2.0**failures, LONGEST_BACKOFF), min(asked, LONGEST_RETRY_AFTER))
        pause *= random.uniform(1.0, 1.25)  # noqa: S311 (no secret is made of it)
        log.warning("The poll for %s rests for %.0f s: %s", self.source.name, pause, error)
        for wait in self._all():
            if wait.past:
                wait.fail(error)
        until = time.monotonic() + pause
        while self.waits and time.monotonic() < until:
            await self._rest(until)

    async def _rest(self, until: float) -> None:
        """Sleep until a time, or until nobody waits any more, or somebody comes who is due before."""
        self._alarm = until
        self._woken.clear()
        try:
            await asyncio.wait_for(self._woken.wait(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            pass
        finally:
            self._alarm = math.inf

    def _all(self) -> list[W]:
        return [wait for waits in self.waits.values() for wait in waits]


class Poller(Poll[Wait]):
    """Ask what has become of messages or calls."""

    _list_from = 0.0

    async def _tick(self, client: AsyncClient) -> None:
        now = time.monotonic()
        missing = {wait.sid: None for wait in self._all() if wait.due <= now}
        trouble = None
        if len(missing) > FEW and now >= self._list_from:
            trouble = await self._walk(client, missing)
        queue = self._in_turn(missing)
        if trouble is not None and queue:
            # The list is only the cheaper way. Whether there is another, one fetch tells.
            await self._fetch(client, queue[:1])
            del queue[:1]
            log.info("The %s are fetched one by one: %s", self.source.name, trouble)
            if isinstance(trouble, AuthenticationFailed | PermissionDenied):
                self._list_from = now + UNLISTED
        await self._fetch(client, queue)

    async def _walk(self, client: AsyncClient, missing: dict[str, None]) -> TwilioError | None:
        """Go through the newest pages while they cost less than fetching; give what was wrong with the list, if so."""
        debt = 0
        try:
            async for page in client.pages(self.source.list()):
                found = 0
                for record in page.records:
                    sid = record.get("sid")
                    if sid in self.waits:
                        self._show(sid, record)
                    if sid in missing:
                        del missing[sid]
                        found += 1
                debt = max(0, debt + PAGE_WORTH - found)
                if len(missing) <= FEW or debt >= min(VAIN_PAGES * PAGE_WORTH, len(missing)):
                    return None
        except RateLimited:
            raise
        except TwilioError as error:
            return error
        return None

    def _in_turn(self, missing: Mapping[str, None]) -> list[str]:
        """Choose whom to ask for one by one: who is past the deadline, then who was not asked for longest."""

        def turn(sid: str) -> tuple[bool, float]:
            waits = self.waits[sid]
            return not any(wait.past for wait in waits), min(wait.asked for wait in waits)

        queue = sorted((sid for sid in missing if sid in self.waits), key=turn)
        last_chances = sum(not turn(sid)[0] for sid in queue)
        most = max(FETCHES_A_TICK, last_chances)
        for sid in queue[most:]:  # their turn comes: they keep their place by `asked`
            for wait in self.waits[sid]:
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
                    self._show(sid, await client.send(self.source.fetch(sid)))
                except NotFound as error:
                    for wait in self._of(sid):
                        wait.miss(error)
                except InvalidRequest as error:
                    for wait in self._of(sid):
                        wait.end(refused(sid, error))
                except (ServerError, NotSent) as error:
                    for wait in self._of(sid):
                        wait.fail(error)
                    failures += 1
                    if failures >= FAILURES or (len(sids) < FAILURES and not answered):
                        raise
                    continue
                failures, answered = 0, True

        workers = [asyncio.ensure_future(work()) for _ in range(min(FETCHES_AT_ONCE, len(sids)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _show(self, sid: str, record: Record) -> None:
        for wait in self._of(sid):
            wait.judge(record)

    def _of(self, sid: str) -> list[Wait]:
        return list(self.waits.get(sid, ()))
