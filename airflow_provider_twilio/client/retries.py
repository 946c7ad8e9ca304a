"""When the same request goes out again, and how long to wait before: one rule for both clients."""

from __future__ import annotations

import logging
from typing import Any, cast

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.outcomes import is_retryable
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.settings import Settings

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
"""The longest first wait, in seconds; each further one may be twice as long."""


def retry_delay(settings: Settings, request: Request[Any], error: TwilioError, tries: int) -> float | None:
    """Give the seconds to wait before the request goes out again; None if it may not, or has been tried enough.

    As long as Twilio asked, or exponentially longer with full jitter; never longer than ``retry_max_wait``.

    :param tries: how often it has been tried.
    """
    if not is_retryable(request, error):
        return None
    from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

    # tenacity decides, and each client has a loop of its own: what succeeds at once pays nothing for it.
    state = RetryCallState(cast("Any", None), None, (), {})
    state.attempt_number = tries
    if stop_after_attempt(settings.retries + 1)(state):
        return None
    by_itself = wait_random_exponential(multiplier=FIRST_DELAY, max=settings.retry_max_wait)
    seconds = by_itself(state) if error.retry_after is None else min(error.retry_after, settings.retry_max_wait)
    log.warning("%s; trying again in %.1f s (%d of %d)", error, seconds, tries, settings.retries)
    return seconds
