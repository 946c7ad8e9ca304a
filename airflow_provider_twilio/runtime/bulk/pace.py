"""How many requests at once, and how soon the next one of a sender."""

from __future__ import annotations

from airflow_provider_twilio.api.errors import BadParameter

PROBE = 10.0
"""Seconds for which the number at which Twilio refused is not tried again."""


class AdaptiveConcurrency:
    """Say how many requests may be on their way: fewer by half when Twilio refuses for pace, one more after each round.

    Where it was refused it stays below, and looks from time to time whether more is possible by now.

    :param most: the largest number.
    """

    def __init__(self, most: int) -> None:
        self.maximum = most
        self.limit = float(most)
        self._ceiling = float(most)
        self._step = 1.0
        self._probe = 0.0

    def on_success(self, now: float) -> None:
        """Note that a request was taken."""
        if self.limit >= self.maximum:
            return
        if self.limit < self._ceiling:
            self.limit = min(self.limit + 1 / self.limit, self._ceiling)
        elif now >= self._probe:
            self._ceiling = min(self._ceiling + self._step, float(self.maximum))
            self._step *= 2
            self._probe = now + PROBE

    def on_throttled(self, now: float) -> None:
        """Note that Twilio refused requests for their pace, or could not be reached."""
        self._ceiling = max(1.0, int(self.limit) - 1.0)
        self.limit = max(1.0, self.limit / 2)
        self._step = 1.0
        self._probe = now + PROBE


class RateLimiter:
    """Say when the next request of a lane may go out, such as of a sender that takes so many segments a second.

    :param rate: weights a second, for each lane by itself; None for as fast as it goes.
    """

    def __init__(self, rate: float | None = None) -> None:
        if rate is not None and not rate > 0:
            raise BadParameter("rate", f"is {rate}", "give a number above 0, or None")
        self.rate = rate
        self._next: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}

    def reserve(self, lane: str, weight: float, now: float) -> float:
        """Give the time at which the next one of a lane may go out, and book it."""
        due = max(now, self._next.get(lane, 0.0)) if self._next else now
        if self.rate is not None:
            self._next[lane] = due + weight / self.rate
        return due

    def pause(self, lane: str, until: float) -> None:
        """Let nothing of a lane go out before a time, whatever was booked; what was booked stays so."""
        self._paused_until[lane] = until
        self._next[lane] = until if self.rate is None else max(until, self._next.get(lane, 0.0))

    def is_paused(self, lane: str, now: float) -> bool:
        """Tell whether a lane rests."""
        return bool(self._paused_until) and self._paused_until.get(lane, 0.0) > now
