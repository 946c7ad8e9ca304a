"""The two ways to wait: a callback that blocks, and one that is awaited. All else of a notifier is the same."""

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
from airflow_provider_twilio.hooks.twilio import TwilioHook

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings

T = TypeVar("T")

CALLBACK_LIMITS = {"timeout": 6.0, "retries": 1, "retry_max_wait": 3.0}
"""How long Twilio is waited for outside a task: the DAG processor kills callbacks that take long, without a word."""
LIMITS_AFTER_FAILURE = {"timeout": 2.0, "retries": 0}
"""How long still, once one has waited in vain."""


class NotifierClient(Protocol):
    """A client of either kind, awaited."""

    settings: Settings

    async def send(self, request: Request[T], /) -> T: ...


class TimeBoxedClient:
    """A client that leaves time for the fallback, whoever else is to be told.

    :param client: any other.
    :param seconds: after so many nothing more is sent.
    """

    def __init__(self, client: NotifierClient, seconds: float) -> None:
        self._client = client
        self._ends = time.monotonic() + seconds
        self._wait_no_longer_than(CALLBACK_LIMITS)

    @property
    def settings(self) -> Settings:
        return self._client.settings

    async def send(self, request: Request[T], /) -> T:
        if time.monotonic() >= self._ends:
            raise NotSent(f"{request}: not sent, no time is left")
        try:
            return await self._client.send(request)
        except (NotSent, ServerError, OutcomeUnknown):  # no recipient's trouble: it will meet the others, too
            self._wait_no_longer_than(LIMITS_AFTER_FAILURE)
            raise

    def _wait_no_longer_than(self, most: Mapping[str, float]) -> None:
        settings = self._client.settings
        least = {name: min(getattr(settings, name), value) for name, value in most.items()}
        self._client.settings = replace(settings, **least)


class ExecutionMode(Protocol):
    """What differs between a callback that blocks and one that is awaited."""

    def client(self, hook: TwilioHook) -> AbstractAsyncContextManager[NotifierClient]: ...
    async def run(self, function: Callable[..., T], *arguments: Any) -> T: ...
    async def notify(self, notifier: BaseNotifier, context: Any) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None: ...


class SyncMode:
    """Do all here and now: nothing that it awaits waits."""

    @asynccontextmanager
    async def client(self, hook: TwilioHook) -> AsyncIterator[NotifierClient]:
        with hook.client.with_settings() as client:
            yield _Immediate(client)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def notify(self, notifier: BaseNotifier, context: Any) -> None:
        notifier(context)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        # A deadline's callback on an executor can't ask: Airflow would wait for an answer that never comes.
        return None if "deadline" in context else _airflow.failed_tasks(dag_id, run_ids)


class _Immediate:
    """Make a blocking client look like an awaited one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def settings(self) -> Settings:
        settings: Settings = self._client.settings
        return settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._client.settings = settings

    async def send(self, request: Request[T], /) -> T:
        answer: T = self._client.send(request)
        return answer


def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("it waited")


class AsyncMode:
    """Leave the event loop to others meanwhile: what blocks runs in a thread."""

    @asynccontextmanager
    async def client(self, hook: TwilioHook) -> AsyncIterator[NotifierClient]:
        async with hook.aclient() as client:
            yield client

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

    async def failed(self, context: Mapping[str, Any], dag_id: str, run_ids: list[str]) -> int | None:
        return await self.run(_airflow.failed_tasks, dag_id, run_ids)
