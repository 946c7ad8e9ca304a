"""Execution modes: the few steps that differ between ``notify``, which blocks, and ``async_notify``.

The rest of a notifier is one coroutine. In synchronous mode nothing that it awaits ever suspends, so that
:func:`run_to_completion` can run it without an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.sdk import BaseNotifier

from airflow_provider_twilio._airflow import compat as _airflow
from airflow_provider_twilio.api.errors import NotSent, OutcomeUnknown, ServerError
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.settings import OAuth
from airflow_provider_twilio.hooks.twilio import TwilioHook

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.prepare import PreparedRequest
    from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")

CALLBACK_LIMITS = {"timeout": 6.0, "retries": 1, "retry_max_wait": 3.0}
"""Upper bounds of the connection's settings in a notifier (times in seconds).

Airflow kills callbacks that take long, without a log line in some places.
"""
LIMITS_AFTER_FAILURE = {"timeout": 2.0, "retries": 0}
"""Upper bounds of the connection's settings once a request has failed for lack of a response (times in seconds)."""


class NotifierClient(Protocol):
    """Anything that can send a request when awaited."""

    settings: Settings

    async def send(self, request: Request[T] | PreparedRequest[T], /) -> T: ...


class TimeBoxedClient:
    """A client with a deadline, so that the remaining recipients and the fallback get their turn.

    :param client: The client that sends the requests.
    :param deadline: Time after which no request is started or awaited, by the monotonic clock.
    """

    def __init__(self, client: NotifierClient, deadline: float) -> None:
        self._client = client
        self._deadline = deadline
        self.settings = client.settings
        self._limit_settings(CALLBACK_LIMITS)

    @property
    def seconds_left(self) -> float:
        """The time until the deadline, in seconds."""
        return max(0.0, self._deadline - time.monotonic())

    async def send(self, request: Request[T] | PreparedRequest[T], /) -> T:
        seconds_left = self.seconds_left
        if not seconds_left:
            raise NotSent(f"{request}: the time budget of the notifier is used up. The request was not sent")
        exchanges = 2 if isinstance(self.settings.auth, OAuth) else 1  # the request may have to obtain a token first
        timeout, retries = min(self.settings.timeout, seconds_left / exchanges), self.settings.retries
        if exchanges * (timeout * (retries + 1) + self.settings.retry_max_wait * retries) > seconds_left:
            retries = 0
        self._client.settings = replace(self.settings, timeout=timeout, retries=retries)
        try:
            return await self._client.send(request)
        except (NotSent, ServerError, OutcomeUnknown):  # not specific to this recipient: the next ones will fail, too
            self._limit_settings(LIMITS_AFTER_FAILURE)
            raise

    def _limit_settings(self, limits: Mapping[str, float]) -> None:
        limited = {name: min(getattr(self.settings, name), limit) for name, limit in limits.items()}
        self.settings = replace(self.settings, **limited)


class ExecutionMode(Protocol):
    """Anything that can run a notifier's steps, by blocking or by awaiting."""

    is_blocking: bool

    def open_client(self, hook: TwilioHook) -> AbstractAsyncContextManager[NotifierClient]: ...
    async def run(self, function: Callable[..., T], *arguments: Any) -> T: ...
    async def notify(self, notifier: BaseNotifier, context: Any) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def count_failed_tasks(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None: ...


class SyncMode:
    """The blocking mode. Its coroutines never suspend."""

    is_blocking = True

    @asynccontextmanager
    async def open_client(self, hook: TwilioHook) -> AsyncIterator[NotifierClient]:
        with hook.client.with_settings() as client:
            yield _AwaitableClient(client)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def notify(self, notifier: BaseNotifier, context: Any) -> None:
        notifier(context)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def count_failed_tasks(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        # A deadline's callback on an executor must not ask: Airflow would wait for a response that never comes.
        return None if "deadline" in context else _airflow.failed_tasks(dag_id, run_ids)


class _AwaitableClient:
    """A blocking client behind the interface of an asynchronous one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def settings(self) -> Settings:
        settings: Settings = self._client.settings
        return settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._client.settings = settings

    async def send(self, request: Request[T] | PreparedRequest[T], /) -> T:
        result: T = self._client.send(request)
        return result


def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop, and return its result.

    :raises RuntimeError: When the coroutine suspends.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("The coroutine suspended in synchronous mode")


class AsyncMode:
    """The asynchronous mode. Blocking functions run in a thread."""

    is_blocking = False

    @asynccontextmanager
    async def open_client(self, hook: TwilioHook) -> AsyncIterator[NotifierClient]:
        async with hook.aclient() as client:
            yield _ReconnectingClient(client)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        from asgiref.sync import sync_to_async

        return await sync_to_async(function)(*arguments)

    async def notify(self, notifier: BaseNotifier, context: Any) -> None:
        if type(notifier).async_notify is BaseNotifier.async_notify:
            await self.run(notifier, context)
        else:
            notifier.context = context
            await notifier

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def count_failed_tasks(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        return await self.run(_airflow.failed_tasks, dag_id, run_ids)


class _ReconnectingClient:
    """An asynchronous client that reconnects when its timeout changes.

    aiohttp applies the timeout that the settings had when the session was opened.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.settings = client.settings

    async def send(self, request: Request[T] | PreparedRequest[T], /) -> T:
        if self.settings.timeout != self._client.settings.timeout:
            await self._client.close()
        self._client.settings = self.settings
        return await self._client.send(request)
