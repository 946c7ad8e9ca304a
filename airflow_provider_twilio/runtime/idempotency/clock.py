"""The clock that a send reads and waits by."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_twilio.client.clock import TwilioClock


class TimeSource(Protocol):
    """Anything that can return the current time and wait."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class SystemTime:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


class SendClock:
    """The clock of a send: a time that may be wrong, its offset from Twilio's clock, and a reliable duration.

    :param source: The clock of this machine.
    :param twilio: Twilio's clock, as the client of the send reads it.
    """

    def __init__(self, source: TimeSource, twilio: TwilioClock) -> None:
        self._source, self._twilio = source, twilio
        self._started, self._skipped = time.monotonic(), 0.0
        self._measured_at: float | None = None
        self.offset: float | None = None
        """Seconds by which Twilio's clock is ahead of this one; None if it is not yet known."""

    def now(self) -> datetime:
        """Return the current time of the source."""
        return self._source.now()

    def sleep(self, seconds: float, /) -> None:
        """Wait, and count the time as elapsed."""
        started = time.monotonic()
        self._source.sleep(seconds)
        self._skipped += max(seconds - (time.monotonic() - started), 0.0)

    @property
    def elapsed(self) -> float:
        """Seconds since the send started. A clock that is wrong, or that is set in the meantime, does not matter."""
        return time.monotonic() - self._started + self._skipped

    def measure(self) -> None:
        """Measure the offset from Twilio's clock. Call after each response."""
        if self._twilio.observed_at != self._measured_at:
            self._measured_at = self._twilio.observed_at
            self.offset = self._twilio.offset(self.now())


class Deadline:
    """An upper limit of a wait, by elapsed time: a wrong clock or a wrong stored time cannot make it endless.

    :param clock: The clock of the send.
    """

    def __init__(self, clock: SendClock) -> None:
        self._clock = clock
        self._requests: object = None
        self._started = 0.0

    def limit(self, seconds_left: float, timeout: float, requests: object) -> float:
        """Return the smaller one of the seconds that are left by the clock and by the elapsed time.

        :param timeout: Maximum duration of the wait, in seconds, since the known requests last changed.
        :param requests: The known requests.
        """
        if requests != self._requests:
            self._requests, self._started = requests, self._clock.elapsed
        return min(seconds_left, self._started + timeout - self._clock.elapsed)
