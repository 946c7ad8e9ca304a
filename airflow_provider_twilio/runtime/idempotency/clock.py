"""The clock that a send reads and waits by."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


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
