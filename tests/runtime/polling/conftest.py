"""An emulator for the tests of the shared polls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="module")
def _emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Emulator:
    _emulator.reset()
    return _emulator
