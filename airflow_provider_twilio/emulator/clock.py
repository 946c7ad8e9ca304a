"""The clock of an emulator, which tests can move or stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

LAST = datetime(3000, 1, 1, tzinfo=UTC).timestamp()
"""The latest time of the clock. Times a few years before and after it still have a date."""


class Clock:
    """The time of an emulator, and the speed of lifecycles.

    The clock follows the real time, so that dates agree with those of a client. ``speed`` shortens lifecycles only: at
    speed 10, a message whose delivery takes 2 s is delivered after 0.2 s.

    :param speed: Number of seconds of a lifecycle that pass in one second.
    :raises ValueError: ``speed`` is not a positive number.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"speed is {speed!r}: use a positive number")
        self.speed = speed
        self._shift = 0.0
        self._frozen: float | None = None
        self.moved: list[Callable[[], None]] = []
        """Called after the clock was moved, stopped or resumed."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time() + self._shift if self._frozen is None else self._frozen

    @property
    def utc(self) -> datetime:
        """The time as an aware datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float = 0.0, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Move the clock forward: ``clock.advance(hours=2)``.

        Everything that is due by then has happened.
        """
        by = seconds + 60 * (minutes + 60 * (hours + 24 * days))
        if not by >= 0:
            raise ValueError("the clock cannot move backward")
        _check(self.now() + by)
        if self._frozen is None:
            self._shift += by
        else:
            self._frozen += by
        self._notify()

    def freeze(self, at: datetime | None = None) -> None:
        """Stop the clock, now or at a given time. Afterwards only :meth:`advance` moves it."""
        if at is not None and at.tzinfo is None:
            raise ValueError("use a datetime with a time zone")
        when = self.now() if at is None else at.timestamp()
        _check(when)
        self._frozen = when
        self._notify()

    def resume(self) -> None:
        """Start a stopped clock again, from the time that it shows."""
        if self._frozen is not None:
            self._shift = self._frozen - time.time()
            self._frozen = None
            self._notify()

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def reset(self) -> None:
        """Set the clock to the real time."""
        self._shift, self._frozen = 0.0, None
        self._notify()

    def _notify(self) -> None:
        for listener in list(self.moved):
            listener()


def _check(when: float) -> None:
    if not 0 <= when <= LAST:
        raise ValueError("the clock can only be set between 1970 and the year 3000")
