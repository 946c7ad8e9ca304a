"""One interface to both clients, so that each test runs with both of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest

from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from tests.support.scripted import ScriptedServer

ACCOUNT = "AC" + "a" * 32
TOKEN = "f0e1d2c3b4a5968778695a4b3c2d1e0f"


class RunningClient(Protocol):
    """Anything that can send requests and block until their responses have arrived."""

    client: Any

    def send(self, request: Request[Any]) -> Any: ...
    def together(self, requests: Sequence[Request[Any]]) -> Sequence[Any]: ...
    def list(self, listing: Listing[Any]) -> Sequence[Any]: ...
    def close(self) -> None: ...


class BlockingRunner:
    """The blocking client."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.client = Client(settings, **options)

    def send(self, request):
        return self.client.send(request)

    def list(self, listing):
        return list(self.client.iter_records(listing))

    def together(self, requests):
        """Send all requests concurrently, each in its own thread."""
        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(self.client.send, requests))

    def close(self):
        self.client.close()


class AsyncRunner:
    """The asynchronous client, on an event loop of its own."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.client = AsyncClient(settings, **options)
        self.loop = asyncio.Runner()

    def send(self, request):
        return self.loop.run(self.client.send(request))

    def list(self, listing):
        async def collect():
            return [record async for record in self.client.iter_records(listing)]

        return self.loop.run(collect())

    def together(self, requests):
        """Send all requests concurrently, each in its own task."""

        async def gather():
            return await asyncio.gather(*map(self.client.send, requests))

        return self.loop.run(gather())

    def close(self):
        self.loop.run(self.client.close())
        self.loop.close()


@pytest.fixture(params=[BlockingRunner, AsyncRunner], ids=["blocking", "asynchronous"])
def run(request) -> Iterator[Callable[..., RunningClient]]:
    """Return a function that opens a client: ``run(server.url, timeout=0.2).send(Messages.fetch(sid))``."""
    opened = []

    def open_client(base: str | None, *, settings: Settings | None = None, **options: Any) -> RunningClient:
        mask_secret = options.pop("mask_secret", None)
        values = {"auth": Basic(ACCOUNT, TOKEN), "base": base, "timeout": 5.0, "retries": 3, "retry_max_wait": 0.01}
        runner: RunningClient = request.param(
            settings or Settings(account_sid=ACCOUNT, **{**values, **options}), mask_secret=mask_secret
        )
        opened.append(runner)
        return runner

    yield open_client
    for runner in opened:
        runner.close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted
