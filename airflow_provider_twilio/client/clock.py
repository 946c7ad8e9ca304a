"""Twilio's clock, as the ``Date`` headers of its responses show it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from airflow_provider_twilio.api.outcomes import parse_http_date
from airflow_provider_twilio.api.response import Response

MAX_DURATION = 5.0
"""Maximum duration of a request whose response shows Twilio's time, in seconds. It limits the error of the time."""

HALF_RESOLUTION = timedelta(seconds=0.5)
"""Half of the resolution of a ``Date`` header."""

MIN_OFFSET = 2.0
"""Minimum offset from another clock, in seconds. A smaller one may come from the resolution and from delays."""


class TwilioClock:
    """Twilio's clock: the time of the last response, and the time that has passed since.

    It does not depend on the clock of this machine, only on its monotonic clock. The clients of one connection may
    share it between threads.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None  # replaced as a whole, so that threads need no lock

    def observe(self, response: Response, started: float) -> None:
        """Read the time of a response that has just arrived, unless it came from elsewhere or took too long.

        :param started: Time of the monotonic clock at which the request was sent.
        """
        now = time.monotonic()
        if response.status >= 500 or now - started > MAX_DURATION:  # a proxy's response has the clock of the proxy
            return
        date = parse_http_date(response.headers.get("date", ""))
        if date is not None:
            self._last = date + HALF_RESOLUTION, now

    @property
    def observed_at(self) -> float | None:
        """Time of the last response that showed Twilio's time, by the monotonic clock; None before the first one."""
        return None if self._last is None else self._last[1]

    def now(self) -> datetime | None:
        """Return the current time of Twilio's clock, in UTC; None before the first response."""
        if self._last is None:
            return None
        date, observed = self._last
        return date + timedelta(seconds=time.monotonic() - observed)

    def offset(self, local: datetime) -> float | None:
        """Return the seconds by which Twilio's clock is ahead of a clock; None before the first response.

        A difference within the resolution of the measurement is zero.

        :param local: The current time of the other clock.
        """
        now = self.now()
        if now is None:
            return None
        offset = (now - local).total_seconds()
        return 0.0 if abs(offset) < MIN_OFFSET else offset
