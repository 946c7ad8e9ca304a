"""A plugin for pytest: the fixture ``twilio_emulator``, for tests of DAGs.

pytest loads this module wherever the package is installed, so it imports nothing until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.server import Emulator

SPEED = "twilio_emulator_speed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project's pytest settings say how fast lifecycles run."""
    parser.addini(SPEED, "how many seconds of a message's or call's life pass in one second in tests", default="1000")


@pytest.fixture(scope="session")
def _twilio_emulator(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    """Run one emulator for all tests of this process."""
    from airflow_provider_twilio.emulator.server import serve

    given = str(pytestconfig.getini(SPEED))
    try:
        emulator = serve(speed=float(given))
    except ValueError:
        raise pytest.UsageError(f"{SPEED} is {given!r}: give a positive number") from None
    with emulator:
        yield emulator


@pytest.fixture
def twilio_emulator(_twilio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Give a running emulator in its first state, to which the connection ``twilio_default`` leads during the test.

    What was sent: ``twilio_emulator.messages``. What shall go wrong: ``twilio_emulator.fail_next(status=503)``. Time:
    ``twilio_emulator.clock.advance(hours=2)``. Another connection:
    ``monkeypatch.setenv("AIRFLOW_CONN_OTHER", twilio_emulator.connection_uri)``.
    """
    _twilio_emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", _twilio_emulator.connection_uri)
    return _twilio_emulator
