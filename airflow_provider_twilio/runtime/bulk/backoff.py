"""Pauses of a bulk run after errors that may affect every request."""

from __future__ import annotations

import logging
import random

from airflow_provider_twilio.api.errors import TwilioError

MAX_RETRY_AFTER = 300.0
"""Maximum pause that a Retry-After header can cause, in seconds."""
MAX_CONSECUTIVE_ERRORS = 10
"""Abort the run after this many consecutive errors without a success."""

log = logging.getLogger(__name__)


class Backoff:
    """The exponential back-off of a run, with jitter. All times are of the monotonic clock.

    :param max_pause: Maximum pause, in seconds.
    """

    def __init__(self, max_pause: float) -> None:
        self.resume_at = 0.0
        """Start no request before this time."""
        self.consecutive_errors = 0
        self._max_pause = max_pause
        self._last_error_at = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether the run has met too many consecutive errors to continue."""
        return self.consecutive_errors > MAX_CONSECUTIVE_ERRORS

    def on_response(self) -> None:
        """Record that Twilio processed a request: the next error is the first of its series."""
        self.consecutive_errors = 0

    def on_error(self, error: TwilioError, started_at: float, now: float) -> bool:
        """Record an error, and extend the pause. Return whether the error starts or continues a series.

        A request that was already in flight at the last error says nothing new: only its Retry-After counts.

        :param started_at: Time at which the request was started.
        """
        if error.retry_after:
            self.resume_at = max(self.resume_at, now + min(error.retry_after, MAX_RETRY_AFTER))
        if started_at < self._last_error_at:
            return False
        self._last_error_at = now
        self.consecutive_errors += 1
        if self.consecutive_errors > 1 and not self.exhausted:
            longest = min(2.0 ** (self.consecutive_errors - 2), self._max_pause)
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 (not used for security)
            self.resume_at = max(self.resume_at, now + pause)
            log.warning("Backing off for %.1f s after %d consecutive errors: %s", pause, self.consecutive_errors, error)
        return True
