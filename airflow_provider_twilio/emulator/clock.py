"""Time, as the emulator sees it: the real one, moved or stopped by a test, with lifecycles that run at a speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

LAST = datetime(3000, 1, 1, tzinfo=UTC).timestamp()
"""The clock goes from 1970 to here, so that what lies ahead or behind by some years has a date too."""


class Clock:
    """Tell the time.

    The hands follow the real time, so that dates stay true beside a client's own, and so are those that it asks for.
    ``speed`` shortens what takes time: at speed 10 a message that takes 2 s to be delivered takes 0.2 s.

    :param speed: how many seconds of a lifecycle pass in one second.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"speed is {speed!r}: give a positive number")
        self.speed = speed
        self._shift = 0.0
        self._frozen: float | None = None
        self.moved: list[Callable[[], None]] = []
        """Called after the clock was moved by hand."""

    def now(self) -> float:
        """Give the time in seconds since the epoch."""
        return time.time() + self._shift if self._frozen is None else self._frozen

    @property
    def utc(self) -> datetime:
        """The time as an aware datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float = 0.0, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Move the clock ahead: ``clock.advance(hours=2)``. What is due by then has happened."""
        by = seconds + 60 * (minutes + 60 * (hours + 24 * days))
        if not by >= 0:
            raise ValueError("the clock only moves ahead")
        _check(self.now() + by)
        if self._frozen is None:
            self._shift += by
        else:
            self._frozen += by
        self._tell()

    def freeze(self, at: datetime | None = None) -> None:
        """Stop the clock, now or at a time; from then on only :meth:`advance` moves it."""
        if at is not None and at.tzinfo is None:
            raise ValueError("give an aware datetime")
        when = self.now() if at is None else at.timestamp()
        _check(when)
        self._frozen = when
        self._tell()

    def resume(self) -> None:
        """Let a stopped clock run on from where it stands."""
        if self._frozen is not None:
            self._shift = self._frozen - time.time()
            self._frozen = None
            self._tell()

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def reset(self) -> None:
        """Put the clock back to the real time."""
        self._shift, self._frozen = 0.0, None
        self._tell()

    def _tell(self) -> None:
        for listener in list(self.moved):
            listener()


def _check(when: float) -> None:
    if not 0 <= when <= LAST:
        raise ValueError("the clock goes from 1970 to the year 3000")
