"""Pauses after errors that may affect every request."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api.errors import NotSent, RateLimited
from airflow_provider_twilio.runtime.bulk.backoff import MAX_CONSECUTIVE_ERRORS, MAX_RETRY_AFTER, Backoff

ERROR = NotSent("no route")


def test_backoff_pauses_from_the_second_consecutive_error():
    backoff = Backoff(max_pause=4.0)
    assert backoff.on_error(ERROR, 0.0, 1.0)
    assert backoff.resume_at == 0.0
    assert backoff.on_error(ERROR, 1.0, 2.0)
    assert 2.5 <= backoff.resume_at <= 3.0
    for now in (10.0, 20.0, 30.0, 40.0):
        assert backoff.on_error(ERROR, now, now)
    assert 42.0 <= backoff.resume_at <= 44.0  # at most max_pause
    backoff.on_response()
    assert backoff.on_error(ERROR, 50.0, 50.0)
    assert backoff.resume_at <= 44.0


def test_backoff_ignores_errors_of_requests_from_before_the_last_error():
    backoff = Backoff(max_pause=4.0)
    assert backoff.on_error(ERROR, 0.0, 5.0)
    assert not backoff.on_error(ERROR, 4.9, 6.0)
    assert backoff.consecutive_errors == 1
    assert backoff.resume_at == 0.0


@pytest.mark.parametrize(("retry_after", "pause"), [(7.0, 7.0), (10 * MAX_RETRY_AFTER, MAX_RETRY_AFTER)])
def test_backoff_honors_retry_after_of_any_error(retry_after: float, pause: float):
    backoff = Backoff(max_pause=4.0)
    backoff.on_error(ERROR, 0.0, 5.0)
    assert not backoff.on_error(RateLimited("too many", retry_after=retry_after), 1.0, 6.0)
    assert backoff.resume_at == 6.0 + pause


def test_backoff_is_exhausted_after_too_many_consecutive_errors():
    backoff = Backoff(max_pause=4.0)
    for now in (*range(MAX_CONSECUTIVE_ERRORS), 100):
        assert not backoff.exhausted
        backoff.on_error(ERROR, float(now), float(now))
    assert backoff.exhausted
    assert backoff.resume_at < 100.0  # the run ends without another pause
