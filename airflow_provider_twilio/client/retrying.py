"""When the same request goes out again, and how long to wait before: one rule for both clients."""

from __future__ import annotations

import logging
import random
from typing import Any

from airflow_provider_twilio.api.core import Request
from airflow_provider_twilio.api.errors import TwilioError, worth_repeating
from airflow_provider_twilio.client.settings import Settings

log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
"""The longest first wait, in seconds; each further one may be twice as long."""


def wait(settings: Settings, request: Request[Any], error: TwilioError, tries: int) -> float | None:
    """Give the seconds to wait before the request goes out again; None if it may not, or has been tried enough.

    As long as Twilio asked, or exponentially longer with full jitter; never longer than ``retry_max_wait``.

    :param tries: how often it has been tried.
    """
    if tries > settings.retries or not worth_repeating(request, error):
        return None
    asked = error.retry_after
    if asked is None:
        asked = random.uniform(0, FIRST_WAIT * 2 ** min(tries, 30))  # noqa: S311 (no secret is made of it)
    seconds = min(asked, settings.retry_max_wait)
    log.warning("%s; trying again in %.1f s (%d of %d)", error, seconds, tries, settings.retries)
    return seconds
