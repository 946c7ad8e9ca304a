"""Limits of a bulk run: how many requests are in flight, and when each lane may send its next one.

All times are of the monotonic clock, in seconds.
"""

from __future__ import annotations

import heapq
from itertools import count

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.items import WorkItem

PROBE_INTERVAL = 10.0
"""Seconds after throttling before a higher concurrency is tried again."""


class AdaptiveConcurrency:
    """A concurrency limit that follows what Twilio accepts: additive increase, multiplicative decrease (AIMD).

    Throttling halves the limit; each round of successful requests raises it by one. It stays below the concurrency at
    which Twilio throttled, and probes from time to time whether a higher one is accepted by now.

    :param maximum: Upper bound of the limit.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.limit = float(maximum)
        self._ceiling = float(maximum)
        self._step = 1.0
        self._next_probe = 0.0

    def on_success(self, now: float) -> None:
        """Record that Twilio accepted a request."""
        if self.limit >= self.maximum:
            return
        if self.limit < self._ceiling:
            self.limit = min(self.limit + 1 / self.limit, self._ceiling)
        elif now >= self._next_probe:
            self._ceiling = min(self._ceiling + self._step, float(self.maximum))
            self._step *= 2
            self._next_probe = now + PROBE_INTERVAL

    def on_throttled(self, now: float) -> None:
        """Record that Twilio throttled a request, or could not be reached."""
        self._ceiling = max(1.0, int(self.limit) - 1.0)
        self.limit = max(1.0, self.limit / 2)
        self._step = 1.0
        self._next_probe = now + PROBE_INTERVAL


class RateLimiter:
    """A rate limit that applies to each lane separately, such as to a sender's segments per second.

    :param rate: Weight per second and lane; None for no limit.
    """

    def __init__(self, rate: float | None = None) -> None:
        if rate is not None and not rate > 0:
            raise BadParameter("rate", f"is {rate}", "pass a number above 0, or None")
        self.rate = rate
        self._next: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}

    def reserve(self, lane: str, weight: float, now: float) -> float:
        """Return the time at which the next item of a lane may be sent, and reserve it."""
        due = max(now, self._next.get(lane, 0.0)) if self._next else now
        if self.rate is not None:
            self._next[lane] = due + weight / self.rate
        return due

    def pause(self, lane: str, until: float) -> None:
        """Send nothing of a lane before a time. Existing reservations still count against the rate."""
        self._paused_until[lane] = until
        self._next[lane] = until if self.rate is None else max(until, self._next.get(lane, 0.0))

    def is_paused(self, lane: str, now: float) -> bool:
        """Return whether a lane is paused."""
        return bool(self._paused_until) and self._paused_until.get(lane, 0.0) > now


class DelayQueue:
    """Items that are not due yet, ordered by their due time and then by insertion."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, WorkItem]] = []
        self._sequence = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> float | None:
        """Time at which the first item is due; None if the queue is empty."""
        return self._heap[0][0] if self._heap else None

    def push(self, item: WorkItem, due: float) -> None:
        """Add an item."""
        heapq.heappush(self._heap, (due, next(self._sequence), item))

    def pop_due(self, now: float) -> WorkItem | None:
        """Remove and return the first item if it is due, else return None."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None

    def expedite(self, lane: str) -> None:
        """Make all items of a lane due at once."""
        self._heap = [(0.0 if item.lane == lane else due, number, item) for due, number, item in self._heap]
        heapq.heapify(self._heap)
