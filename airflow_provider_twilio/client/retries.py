"""Retries of a request: whether, and after which delay. Shared by both clients."""

from __future__ import annotations

import logging
from typing import Any, cast

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.outcomes import is_retryable
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.settings import Settings

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
"""Maximum delay before the first retry, in seconds. It doubles with each further retry."""


def retry_delay(settings: Settings, request: Request[Any], error: TwilioError, attempts: int) -> float | None:
    """Return the seconds to wait before a retry, or None if the request must not be retried.

    The delay is Twilio's Retry-After, or else exponential back-off with full jitter. It is never longer than the
    connection's ``retry_max_wait``.

    :param error: The error of the last attempt.
    :param attempts: Number of attempts so far.
    """
    if not is_retryable(request, error):
        return None
    from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

    # Only the decision is tenacity's. The clients have loops of their own, so that a success costs nothing.
    state = RetryCallState(cast("Any", None), None, (), {})
    state.attempt_number = attempts
    if stop_after_attempt(settings.retries + 1)(state):
        return None
    backoff = wait_random_exponential(multiplier=FIRST_DELAY, max=settings.retry_max_wait)
    seconds = backoff(state) if error.retry_after is None else min(error.retry_after, settings.retry_max_wait)
    log.warning("Retrying in %.1f s (retry %d of %d): %s", seconds, attempts, settings.retries, error)
    return seconds
