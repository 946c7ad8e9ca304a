"""Tests of the outcome of a task: the record's facts, or one of Airflow's exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from airflow_provider_twilio._airflow.outcome import raise_for_event
from airflow_provider_twilio.runtime.polling.events import WaitEvent


def test_raise_for_event_reached_returns_facts():
    event: WaitEvent = {"sid": "SM", "outcome": "reached", "reason": None, "status": "delivered", "price": "-0.0083"}
    assert raise_for_event(event) == {"sid": "SM", "status": "delivered", "price": "-0.0083"}


@pytest.mark.parametrize(
    ("event", "options", "exception"),
    [
        ({"outcome": "failed"}, {}, AirflowFailException),
        ({"outcome": "error"}, {}, AirflowFailException),
        ({"outcome": "timeout"}, {}, AirflowFailException),
        ({"outcome": "timeout"}, {"timeout_error": AirflowSensorTimeout}, AirflowSensorTimeout),
        ({"outcome": "failed", "error_code": 21610}, {}, AirflowFailException),
        ({"outcome": "failed", "error_code": 21610}, {"skip_opted_out": True}, AirflowSkipException),
        ({"outcome": "error", "error_code": 21610}, {"skip_opted_out": True}, AirflowFailException),
    ],
)
def test_raise_for_event_other_outcome_raises_reason(event: Any, options: dict[str, Any], exception: type[Exception]):
    with pytest.raises(exception, match=r"^why$"):
        raise_for_event(event | {"reason": "why"}, **options)


@pytest.mark.parametrize("event", [{}, {"outcome": "unknown", "secret": "value"}])
def test_raise_for_event_unknown_outcome_fails_without_values(event: Any):
    with pytest.raises(AirflowFailException, match="no known outcome") as caught:
        raise_for_event(event)
    assert "value" not in str(caught.value)
