from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Emulator:
    _emulator.reset()
    return _emulator


@pytest.fixture
def settings(emulator: Emulator) -> Settings:
    return Settings(
        account_sid=emulator.account_sid,
        auth=Basic(emulator.account_sid, emulator.auth_token),
        base=emulator.url,
        timeout=5.0,
        retries=0,
        retry_max_wait=0.05,
    )


OpenClient = Callable[..., Any]


@pytest.fixture
def open_client(settings: Settings) -> OpenClient:
    @asynccontextmanager
    async def open_with(concurrency: int = 50) -> AsyncIterator[AsyncClient]:
        async with AsyncClient(settings, concurrency=concurrency) as client:
            yield client

    return open_with


class DictStore:
    """A state store in memory that keeps values as JSON, as Airflow's task state store does."""

    durable = True

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.largest = 0
        self.writes = 0

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        text = json.dumps(value)
        self.largest = max(self.largest, len(text))
        self.writes += 1
        self.values[key] = text

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@pytest.fixture
def store() -> DictStore:
    return DictStore()
