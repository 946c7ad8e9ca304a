"""A poll that many share."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_twilio.api.errors import (
    TwilioError,
)
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)


MAX_BACKOFF = 60.0


MAX_RETRY_AFTER = 300.0


MAX_UNEXPECTED_ERRORS = 5
"""So many errors in a row that are not Twilio's, as of a connection that can't be read, end the poll."""


Connect = Callable[[], "AbstractAsyncContextManager[AsyncClient]"]


@dataclass(frozen=True, slots=True)
class Source:
    """Say where the records that are waited for are listed and fetched."""

    name: str
    list: Callable[..., Listing[Any]]
    fetch: Callable[[str], Request[Any]]


class PollFailed(Exception):
    """Report that the poll could not go on, for a reason that is not Twilio's."""


class Subscriber(ABC):
    """Take part in a poll. Its times are given in seconds since the epoch.

    :param key: what it is about.
    :param interval: seconds between two looks.
    :param deadline: the end of the wait; None for no end. A last look is taken there.
    :param not_before: when the first look makes sense.
    """

    __slots__ = ("_begin", "_deadline", "due", "future", "interval", "key", "poll")

    def __init__(
        self, key: str | None, *, interval: float, deadline: float | None = None, not_before: float = 0.0
    ) -> None:
        self.key = key
        self.interval = interval
        self.poll: SharedPoll[Any] | None = None
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
    def on_error(self, error: Exception) -> None:
        """Note that it could not be asked for: that counts at the deadline only."""

    @abstractmethod
    def on_rejected(self, error: TwilioError) -> None:
        """End, since Twilio does not accept what is asked."""

    def end(self, told: Any) -> None:
        """End with an outcome, or with an error."""
        if self.poll is not None:
            self.poll.leave(self)
        if self.future.done():
            return
        if isinstance(told, Exception):
            self.future.set_exception(told)
        else:
            self.future.set_result(told)


W = TypeVar("W", bound=Subscriber)


class SharedPoll(ABC, Generic[W]):
    """Ask Twilio on behalf of many. There is one to an event loop, account and purpose; it ends with the last of them.

    :ivar waits: who takes part, by what they are about.
    """

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __init__(self, source: Source, registry: dict[Hashable, Any], connect: Connect) -> None:
        self.source = source
        self.subscribers: dict[str | None, list[W]] = {}
        self.client_factories = [connect]
        self._registry = registry
        self._works = False
        self._alarm = math.inf
        self._woken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"twilio-poll-{source.name}", context=contextvars.Context()
        )

    @classmethod
    def get_or_create(cls, source: Source, name: Hashable, connect: Connect) -> Self:
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
        wait.poll = self
        self.subscribers.setdefault(wait.key, []).append(wait)
        if wait.due < self._alarm:
            self._woken.set()

    def leave(self, wait: W) -> None:
        of_key = self.subscribers.get(wait.key, [])
        if wait in of_key:
            of_key.remove(wait)
        if not of_key:
            self.subscribers.pop(wait.key, None)
        if not self.subscribers:
            self._woken.set()

    # ------------------------------------------------------------ the task

    async def _run(self) -> None:
        # Between the last look at `waits` and the end nothing is awaited: whoever comes finds this poller or a new one.
        try:
            await self._serve()
        except Exception as error:
            log.exception("The poll for %s ended", self.source.name)
            for wait in self._all():
                wait.end(PollFailed(mask(f"The poll for {self.source.name} ended. {type(error).__name__}: {error}")))
        finally:
            for key in [key for key, poller in self._registry.items() if poller is self]:
                del self._registry[key]
            for wait in self._all():  # only if the loop is about to end
                wait.future.cancel()

    async def _serve(self) -> None:
        """Ask by the connections known, until nobody waits. Whoever waits is told when none of them is accepted."""
        refusals = strange = 0
        while self.subscribers:
            # The first of them twice: its credentials may just have been renewed.
            way = self.client_factories[max(0, refusals - 1)]
            self._works = False
            try:
                async with way() as client:
                    if self._merge_into_existing(client):
                        return
                    await self._ask(client)
            except TwilioError as error:  # a permanent one: `_ask` is patient with all others
                refusals = 1 if self._works else refusals + 1
                if refusals > len(self.client_factories):
                    for wait in self._all():
                        wait.on_rejected(error)
                    refusals = 0
            except Exception as error:
                strange = 1 if self._works else strange + 1
                if strange >= MAX_UNEXPECTED_ERRORS:
                    raise
                await self._back_off(error, strange)

    def _merge_into_existing(self, client: AsyncClient) -> bool:
        """Join the poller that serves this account already, by another connection."""
        account = (self.source.name, client.settings.url("/{AccountSid}"))
        other = self._registry.setdefault(account, self)
        if other is self:
            return False
        for key in [key for key, poller in self._registry.items() if poller is self]:
            self._registry[key] = other
        other.client_factories.extend(self.client_factories)
        for wait in self._all():
            other.join(wait)
        self.subscribers.clear()
        return True

    async def _ask(self, client: AsyncClient) -> None:
        """Look whenever someone is due. While Twilio can't be asked, back off for all."""
        failures = 0
        while await self._wait_until_due():
            try:
                await self._tick(client)
                failures, self._works = 0, True
            except TwilioError as error:
                if error.permanent:
                    raise
                failures += 1
                await self._back_off(error, failures)

    async def _wait_until_due(self) -> bool:
        """Sleep until a look is due; False when nobody waits any more."""
        while self.subscribers:
            due = min(wait.due for waits in self.subscribers.values() for wait in waits)
            if due <= time.monotonic():
                return True
            await self._sleep_until(due)
        return False

    async def _back_off(self, error: Exception, failures: int) -> None:
        """Rest after a failure, the longer the more there were. Whose deadline has passed need not wait on."""
        asked: float = getattr(error, "retry_after", None) or 0.0
        pause = max(min(2.0**failures, MAX_BACKOFF), min(asked, MAX_RETRY_AFTER))
        pause *= random.uniform(1.0, 1.25)  # noqa: S311 (no secret is made of it)
        log.warning("The poll for %s rests for %.0f s: %s", self.source.name, pause, error)
        for wait in self._all():
            if wait.past:
                wait.on_error(error)
        until = time.monotonic() + pause
        while self.subscribers and time.monotonic() < until:
            await self._sleep_until(until)

    async def _sleep_until(self, until: float) -> None:
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
        return [wait for waits in self.subscribers.values() for wait in waits]
