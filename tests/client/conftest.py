"""Both clients behind one face, so that each rule is tested once and holds for both."""

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
from tests.support.scripted import Scripted

ACCOUNT = "AC" + "a" * 32
TOKEN = "f0e1d2c3b4a5968778695a4b3c2d1e0f"


class Running(Protocol):
    client: Any

    def send(self, request: Request[Any]) -> Any: ...
    def together(self, requests: Sequence[Request[Any]]) -> Sequence[Any]: ...
    def list(self, listing: Listing[Any]) -> Sequence[Any]: ...
    def close(self) -> None: ...


class RunsBlocking:
    def __init__(self, settings: Settings, **options: Any) -> None:
        self.client = Client(settings, **options)

    def send(self, request):
        return self.client.send(request)

    def list(self, listing):
        return list(self.client.iter_records(listing))

    def together(self, requests):
        """Send them all at once, each in a thread of its own."""
        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(self.client.send, requests))

    def close(self):
        self.client.close()


class RunsAwaiting:
    def __init__(self, settings: Settings, **options: Any) -> None:
        self.client = AsyncClient(settings, **options)
        self.loop = asyncio.Runner()

    def send(self, request):
        return self.loop.run(self.client.send(request))

    def list(self, listing):
        async def walk():
            return [record async for record in self.client.iter_records(listing)]

        return self.loop.run(walk())

    def together(self, requests):
        """Send them all at once, each in a task of its own."""

        async def gather():
            return await asyncio.gather(*map(self.client.send, requests))

        return self.loop.run(gather())

    def close(self):
        self.loop.run(self.client.close())
        self.loop.close()


@pytest.fixture(params=[RunsBlocking, RunsAwaiting], ids=["blocking", "asynchronous"])
def run(request) -> Iterator[Callable[..., Running]]:
    """Open either client on a base address: ``run(server.url, timeout=0.2).send(Messages.fetch(sid))``."""
    opened = []

    def open_client(base: str | None, *, settings: Settings | None = None, **options: Any) -> Running:
        conceal = options.pop("mask_secret", None)
        values = {"auth": Basic(ACCOUNT, TOKEN), "base": base, "timeout": 5.0, "retries": 3, "retry_max_wait": 0.01}
        made: Running = request.param(
            settings or Settings(account_sid=ACCOUNT, **{**values, **options}), mask_secret=conceal
        )
        opened.append(made)
        return made

    yield open_client
    for made in opened:
        made.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        yield scripted
