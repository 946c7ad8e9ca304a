"""A pytest plugin with the fixture ``twilio_emulator``, for tests of DAGs.

pytest loads this module wherever the package is installed, so it imports the emulator only when the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.server import Emulator

SPEED_OPTION = "twilio_emulator_speed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the pytest setting for the speed of lifecycles."""
    parser.addini(SPEED_OPTION, "seconds of a message or call lifecycle that pass in one second", default="1000")


@pytest.fixture(scope="session")
def _twilio_emulator(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    """Run one emulator for all tests of the process."""
    from airflow_provider_twilio.emulator.server import serve

    speed = str(pytestconfig.getini(SPEED_OPTION))
    try:
        emulator = serve(speed=float(speed))
    except ValueError:
        raise pytest.UsageError(f"{SPEED_OPTION} is {speed!r}: use a positive number") from None
    with emulator:
        yield emulator


@pytest.fixture
def twilio_emulator(_twilio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return an emulator in its initial state.

    The connection ``twilio_default`` points to it during the test.

    ``twilio_emulator.messages`` lists the messages, ``twilio_emulator.fail_next(status=503)`` injects a fault, and
    ``twilio_emulator.clock.advance(hours=2)`` moves the clock. For another connection, use
    ``monkeypatch.setenv("AIRFLOW_CONN_OTHER", twilio_emulator.connection_uri)``.
    """
    _twilio_emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", _twilio_emulator.connection_uri)
    return _twilio_emulator
