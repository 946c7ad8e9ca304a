"""An emulator that is started once for each test module, and a task that sends to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_twilio.emulator import Emulator, serve
from tests.support.send_once import Task


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(server: Emulator) -> Emulator:
    server.reset()
    server.clock.freeze()
    return server


@pytest.fixture
def sender(emulator: Emulator) -> Task:
    return Task(emulator)
