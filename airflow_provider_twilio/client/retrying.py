"""One retry policy for both clients: which errors are worth it, how long to wait, when to stop."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_provider_twilio.api.core import Request
from airflow_provider_twilio.api.errors import TwilioError, worth_repeating
from airflow_provider_twilio.client.settings import Settings

log = logging.getLogger(__name__)


def policy(settings: Settings, request: Request[Any]) -> dict[str, Any]:
    """Give the arguments of tenacity's ``Retrying`` and ``AsyncRetrying`` for a request."""
    return {
        "retry": retry_if_exception(partial(worth_repeating, request)),
        "wait": partial(_wait, settings.retry_max_wait),
        "stop": stop_after_attempt(settings.retries + 1),
        "before_sleep": partial(_tell, settings.retries),
        "reraise": True,
    }


def _wait(longest: float, state: RetryCallState) -> float:
    """Wait as long as Twilio asked, or exponentially longer with full jitter; never longer than the longest."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TwilioError) else None
    if asked is not None:
        return min(asked, longest)
    return float(wait_random_exponential(multiplier=0.5, max=longest)(state))


def _tell(retries: int, state: RetryCallState) -> None:
    log.warning(
        "%s; trying again in %.1f s (%d of %d)",
        state.outcome.exception() if state.outcome else None,
        state.upcoming_sleep,
        state.attempt_number,
        retries,
    )
