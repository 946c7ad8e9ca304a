"""A poll that many waits share.

A poll has one asyncio task for each event loop, account and purpose. It knows its subscribers, the connections it may
poll with, when to poll, and how long to back off. The task runs in an empty context, so that it belongs to none of its
subscribers, and it ends with the last of them. What is polled is for the subclasses to say.

Nothing here imports Airflow: a poll is given a function that opens a client.

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
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.prepare import build_url
from airflow_provider_twilio.privacy import mask

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

MAX_BACKOFF = 60.0
"""Maximum back-off after failed polls, in seconds."""


MAX_RETRY_AFTER = 300.0
"""Maximum pause that a Retry-After header can ask for, in seconds."""


MAX_UNEXPECTED_ERRORS = 5
"""Number of consecutive errors other than Twilio's, such as an unreadable connection, that end the poll."""


Connect = Callable[[], "AbstractAsyncContextManager[AsyncClient]"]
"""A function that opens a client."""


@dataclass(frozen=True, slots=True)
class Source:
    """A type of record, and how to list and fetch its records."""

    name: str
    list: Callable[..., Listing[Any]]
    fetch: Callable[[str], Request[Any]]


class PollFailed(Exception):
    """The poll cannot continue, for a reason other than Twilio's."""


T = TypeVar("T")


class Subscriber(ABC, Generic[T]):
    """A participant in a poll. Its times are in seconds since the epoch.

    :param key: What the subscriber waits for: a SID, or a phone number.
    :param interval: Seconds between two polls.
    :param deadline: End of the wait, at which the subscriber is polled for once more; None for no end.
    :param not_before: Time of the first poll.
    """

    __slots__ = ("_deadline", "_not_before", "due", "future", "interval", "key", "poll")

    def __init__(
        self, key: str | None, *, interval: float, deadline: float | None = None, not_before: float = 0.0
    ) -> None:
        self.key = key
        self.interval = interval
        self.poll: SharedPoll[Any] | None = None
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        shift = now - time.time()
        self._deadline = math.inf if deadline is None else deadline + shift
        self._not_before = not_before + shift
        self.due = now if now >= self._deadline else self._next_due(now)

    @property
    def past_deadline(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._deadline

    def postpone(self) -> None:
        """Set the time of the next poll."""
        self.due = self._next_due(time.monotonic())

    def _next_due(self, now: float) -> float:
        """Return the next multiple of the interval.

        Subscribers with the same interval are due at the same time.
        """
        due = (math.floor(max(now, self._not_before) / self.interval) + 1) * self.interval
        return due if now >= self._deadline else min(due, self._deadline)

    @abstractmethod
    def on_error(self, error: Exception) -> None:
        """Handle a failed poll. It ends the wait only at the deadline."""

    @abstractmethod
    def on_rejected(self, error: TwilioError) -> None:
        """End the wait, since Twilio rejects the requests of the poll."""

    def end(self, result: T | Exception) -> None:
        """End the wait with a result or an error."""
        if self.poll is not None:
            self.poll.leave(self)
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


S = TypeVar("S", bound=Subscriber[Any])


class SharedPoll(ABC, Generic[S]):
    """A poll on behalf of many subscribers: one for each event loop, account and purpose.

    :ivar subscribers: The subscribers, by what they wait for.
    :ivar client_factories: What opens a client, for each connection to the account.
    """

    _registries: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __init__(self, source: Source, registry: dict[Hashable, Any], connect: Connect) -> None:
        self.source = source
        self.subscribers: dict[str | None, list[S]] = {}
        self.client_factories = [connect]
        self._registry = registry
        self._succeeded = False
        """Whether a poll with the current client has succeeded."""
        self._wakes_at = math.inf
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"twilio-poll-{source.name}", context=contextvars.Context()
        )

    @classmethod
    def get_or_create(cls, source: Source, name: Hashable, connect: Connect) -> Self:
        """Return the poll of a connection and account, and create it if there is none."""
        registry = cls._registries.setdefault(asyncio.get_running_loop(), {})
        key = (source.name, name)
        if key not in registry:
            registry[key] = cls(source, registry, connect)
        found: Self = registry[key]
        return found

    @abstractmethod
    async def _poll_due(self, client: AsyncClient) -> None:
        """Poll for every subscriber that is due. A subscriber that was not reached stays due.

        :raises TwilioError: Twilio cannot be polled.
        """

    def join(self, subscriber: S) -> None:
        """Add a subscriber."""
        subscriber.poll = self
        self.subscribers.setdefault(subscriber.key, []).append(subscriber)
        if subscriber.due < self._wakes_at:
            self._wake.set()

    def leave(self, subscriber: S) -> None:
        """Remove a subscriber. The poll ends when none is left."""
        of_key = self.subscribers.get(subscriber.key, [])
        if subscriber in of_key:
            of_key.remove(subscriber)
        if not of_key:
            self.subscribers.pop(subscriber.key, None)
        if not self.subscribers:
            self._wake.set()

    # ------------------------------------------------------------ the task

    async def _run(self) -> None:
        # Nothing is awaited between the last check of `subscribers` and the removal from the registry: a new subscriber
        # finds either a poll that serves it, or none.
        try:
            await self._serve()
        except Exception as error:
            log.exception("The poll for %s failed", self.source.name)
            reason = mask(f"The poll for {self.source.name} failed. {type(error).__name__}: {error}")
            for subscriber in self._all():
                subscriber.end(PollFailed(reason))
        finally:
            for key in [key for key, poll in self._registry.items() if poll is self]:
                del self._registry[key]
            for subscriber in self._all():  # only if the event loop is about to end
                subscriber.future.cancel()

    async def _serve(self) -> None:
        """Poll with the known connections until there are no subscribers.

        Subscribers learn of rejected credentials once every connection has been rejected.
        """
        rejections = unexpected_errors = 0
        while self.subscribers:
            # The first connection is tried twice: its credentials may just have been rotated.
            open_client = self.client_factories[max(0, rejections - 1)]
            self._succeeded = False
            try:
                async with open_client() as client:
                    if self._merge_into_existing(client):
                        return
                    await self._poll_while_subscribed(client)
            except TwilioError as error:  # a permanent one: the loop backs off after all others
                rejections = 1 if self._succeeded else rejections + 1
                if rejections > len(self.client_factories):
                    for subscriber in self._all():
                        subscriber.on_rejected(error)
                    rejections = 0
            except Exception as error:
                unexpected_errors = 1 if self._succeeded else unexpected_errors + 1
                if unexpected_errors >= MAX_UNEXPECTED_ERRORS:
                    raise
                await self._back_off(error, unexpected_errors)

    def _merge_into_existing(self, client: AsyncClient) -> bool:
        """Move the subscribers to the poll that another connection has for this account.

        :return: Whether there is such a poll.
        """
        account = (self.source.name, build_url(client.settings, "/{AccountSid}"))
        other = self._registry.setdefault(account, self)
        if other is self:
            return False
        for key in [key for key, poll in self._registry.items() if poll is self]:
            self._registry[key] = other
        other.client_factories.extend(self.client_factories)
        for subscriber in self._all():
            other.join(subscriber)
        self.subscribers.clear()
        return True

    async def _poll_while_subscribed(self, client: AsyncClient) -> None:
        """Poll whenever a subscriber is due, and back off while Twilio cannot be polled.

        :raises TwilioError: Twilio rejects the requests, and would again.
        """
        failures = 0
        while await self._wait_until_due():
            try:
                await self._poll_due(client)
                failures, self._succeeded = 0, True
            except TwilioError as error:
                if error.permanent:
                    raise
                failures += 1
                await self._back_off(error, failures)

    async def _wait_until_due(self) -> bool:
        """Sleep until a subscriber is due; return False when there are no subscribers."""
        while self.subscribers:
            due = min(subscriber.due for subscriber in self._all())
            if due <= time.monotonic():
                return True
            await self._sleep_until(due)
        return False

    async def _back_off(self, error: Exception, failures: int) -> None:
        """Pause after a failed poll, longer with each failure.

        Subscribers past their deadline learn of the error before the pause.
        """
        retry_after: float = getattr(error, "retry_after", None) or 0.0
        pause = max(min(2.0**failures, MAX_BACKOFF), min(retry_after, MAX_RETRY_AFTER))
        pause *= random.uniform(1.0, 1.25)  # noqa: S311 (not a secret)
        log.warning("Backing off from polling %s for %.0f s: %s", self.source.name, pause, error)
        for subscriber in self._all():
            if subscriber.past_deadline:
                subscriber.on_error(error)
        until = time.monotonic() + pause
        while self.subscribers and time.monotonic() < until:
            await self._sleep_until(until)

    async def _sleep_until(self, until: float) -> None:
        """Sleep until a time, unless a subscriber that is due earlier joins, or all leave."""
        self._wakes_at = until
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            pass
        finally:
            self._wakes_at = math.inf

    def _all(self) -> list[S]:
        return [subscriber for of_key in self.subscribers.values() for subscriber in of_key]
