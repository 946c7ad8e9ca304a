"""An emulator to which the default connection points."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="session")
def running() -> Iterator[Emulator]:
    with serve(speed=100) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    running.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", running.connection_uri)
    return running
