"""A poll that many waits share.

A poll has one asyncio task for each event loop, purpose and set of credentials. It knows its subscribers, when to poll,
and how long to back off. The task runs in an empty context, so that it belongs to none of its subscribers, and it ends
with the last of them. Subclasses define what is polled.

Neither the name of a connection nor the account determines who shares a poll: a name may stand for other credentials
later, and two keys of one account may have different permissions. So a new subscriber starts an entry poll, which reads
the connection. Its subscribers then join the poll that has exactly these credentials, or the entry poll becomes that
poll. Subscribers that use the same connection at the same time share an entry poll. After an authentication error, all
subscribers enter again, so that each is served with the present credentials of its own connection.

This module does not import Airflow: the caller passes in a function that opens a client.

Internal times are on the monotonic clock, so setting the machine's clock neither stops a poll nor moves a deadline.
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

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.privacy import mask
from airflow_provider_twilio.runtime.polling.identity import access_identity

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

log = logging.getLogger(__name__)

MAX_BACKOFF = 60.0
"""Maximum back-off after failed polls, in seconds."""


MAX_RETRY_AFTER = 300.0
"""Maximum pause that a Retry-After header can ask for, in seconds."""


AUTH_PATIENCE = 600.0
"""Seconds for which rejected credentials are tried again, while somebody may be rotating them."""


MAX_AUTH_BACKOFF = 30.0
"""Maximum pause before rejected credentials are tried again, in seconds; less than a deferral's grace period."""


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
    """The poll cannot continue, for a reason other than an error from Twilio."""


T = TypeVar("T")


class Subscriber(ABC, Generic[T]):
    """A participant in a poll. Times are passed in as seconds since the epoch.

    :param key: What the subscriber waits for: a SID, or a phone number.
    :param interval: Seconds between two polls.
    :param deadline: End of the wait, after one last poll at that time; None for no end.
    :param not_before: Time of the first poll.
    """

    __slots__ = (
        "_deadline",
        "_not_before",
        "_rejected_at",
        "_rejections",
        "due",
        "future",
        "interval",
        "key",
        "origin",
        "poll",
    )

    def __init__(
        self, key: str | None, *, interval: float, deadline: float | None = None, not_before: float = 0.0
    ) -> None:
        self.key = key
        self.interval = interval
        self.poll: SharedPoll[Any] | None = None
        self.origin: tuple[Hashable, Connect] | None = None
        """The name of the subscriber's connection and account, and what opens a client for it."""
        self._rejections = 0
        self._rejected_at = 0.0
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

    @property
    def auth_patience(self) -> float:
        """Seconds for which rejected credentials are tried again."""
        return AUTH_PATIENCE

    def postpone(self) -> None:
        """Set the time of the next poll."""
        self.due = self._next_due(time.monotonic())

    def _next_due(self, now: float) -> float:
        """Return the next multiple of the interval.

        Subscribers with the same interval are due at the same time.
        """
        due = (math.floor(max(now, self._not_before) / self.interval) + 1) * self.interval
        return due if now >= self._deadline else min(due, self._deadline)

    def count_rejection(self, error: TwilioError, *, is_first: bool) -> int:
        """Count a poll that Twilio rejects, and return the number of consecutive ones.

        The connection is tried twice, since its credentials may just have been rotated. Rejected credentials are tried
        again until the deadline, for a limited time.

        :param is_first: Whether a poll has succeeded since the previous rejection.
        """
        now = time.monotonic()
        self._rejections = 1 if is_first else self._rejections + 1
        if self._rejections == 1:
            self._rejected_at = now
            return 1
        patience = self.auth_patience if isinstance(error, AuthenticationFailed) else 0.0
        if self.past_deadline or now - self._rejected_at >= patience:
            self.on_rejected(error)
        return self._rejections

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
    """A poll on behalf of many subscribers: one for each event loop, purpose and set of credentials.

    :ivar subscribers: The subscribers, by what they wait for.
    """

    _registries: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __init__(self, source: Source, registry: dict[Hashable, Any], name: Hashable, connect: Connect) -> None:
        self.source = source
        self.subscribers: dict[str | None, list[S]] = {}
        self._origin = (name, connect)
        self._identity: str | None = None
        """The identity of the credentials; None for an entry poll."""
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
        """Return the entry poll of a connection and account, and create it if there is none."""
        registry = cls._registries.setdefault(asyncio.get_running_loop(), {})
        key = (source.name, "entry", name)
        if key not in registry:
            registry[key] = cls(source, registry, name, connect)
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
        subscriber.origin = subscriber.origin or self._origin
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
            self._unregister()
            for subscriber in self._all():  # only if the event loop is about to end
                subscriber.future.cancel()

    async def _serve(self) -> None:
        """Read the connection, and poll until there are no subscribers or another poll has them."""
        unexpected_errors = 0
        while self.subscribers:
            self._succeeded = False
            try:
                async with self._origin[1]() as client:
                    if not self._claim(access_identity(client.settings)):
                        return
                    await self._poll_while_subscribed(client)
            except TwilioError as error:  # permanent: `_poll_while_subscribed` handles all others
                await self._handle_rejection(error)
                if self._identity is not None:
                    self._enter_again()
            except Exception as error:
                unexpected_errors = 1 if self._succeeded else unexpected_errors + 1
                if unexpected_errors >= MAX_UNEXPECTED_ERRORS:
                    raise
                await self._back_off(error, unexpected_errors)

    def _claim(self, identity: str) -> bool:
        """Become the poll of these credentials, or move the subscribers to the poll that has them.

        :return: Whether this is the poll of these credentials.
        """
        if self._identity not in (None, identity):  # the connection has changed; those of others may not have
            self._enter_again()
            return False
        self._unregister()
        other = self._registry.setdefault((self.source.name, "access", identity), self)
        if other is self:
            self._identity = identity
            return True
        for subscriber in self._all():
            other.join(subscriber)
        self.subscribers.clear()
        return False

    def _enter_again(self) -> None:
        """Move each subscriber to an entry poll, which reads the subscriber's own connection."""
        self._unregister()
        subscribers = self._all()
        self.subscribers.clear()
        for subscriber in subscribers:
            self.get_or_create(self.source, *(subscriber.origin or self._origin)).join(subscriber)

    def _unregister(self) -> None:
        for key in [key for key, poll in self._registry.items() if poll is self]:
            del self._registry[key]

    async def _handle_rejection(self, error: TwilioError) -> None:
        """End the waits that should not be tried again, and pause before the others are."""
        subscribers = self._all()
        rejections = max(
            (subscriber.count_rejection(error, is_first=self._succeeded) for subscriber in subscribers), default=0
        )
        if rejections > 1 and self.subscribers:
            pause = min(2.0 ** (rejections - 1), MAX_AUTH_BACKOFF, MAX_BACKOFF) * random.uniform(1.0, 1.25)  # noqa: S311
            log.warning(
                "Twilio rejects the credentials with which %s are polled. Reading the connection again in %.0f s; the"
                " waits fail after %.0f min of rejections, or at their deadlines: %s",
                self.source.name,
                pause,
                AUTH_PATIENCE / 60,
                error,
            )
            await self._pause(pause)

    async def _poll_while_subscribed(self, client: AsyncClient) -> None:
        """Poll whenever a subscriber is due, and back off while Twilio cannot be polled.

        :raises TwilioError: Twilio rejects the requests permanently.
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

        Subscribers past their deadline are notified of the error before the pause.
        """
        retry_after: float = getattr(error, "retry_after", None) or 0.0
        pause = max(min(2.0**failures, MAX_BACKOFF), min(retry_after, MAX_RETRY_AFTER))
        pause *= random.uniform(1.0, 1.25)  # noqa: S311 (not a secret)
        log.warning("Backing off from polling %s for %.0f s: %s", self.source.name, pause, error)
        for subscriber in self._all():
            if subscriber.past_deadline:
                subscriber.on_error(error)
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless all subscribers leave."""
        until = time.monotonic() + seconds
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
