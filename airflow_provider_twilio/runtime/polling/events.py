"""The outcome of a wait, as plain JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_twilio.api.errors import (
    NotFound,
    TwilioError,
)
from airflow_provider_twilio.api.verdicts import Goal

log = logging.getLogger(__name__)

EVENT_FIELDS = (
    "status",
    "error_code",
    "price",
    "price_unit",
    "num_segments",
    "date_created",
    "date_sent",
    "date_updated",
    "start_time",
    "end_time",
    "duration",
    "answered_by",
)
"""What an outcome tells of a record: no number, no text. Airflow logs it word for word."""


def wait_event(
    sid: str, outcome: str, reason: str | None = None, record: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Tell an outcome in plain JSON: ``reached``, ``failed``, ``timeout`` or ``error``, why, and the record's facts."""
    facts = {name: record[name] for name in EVENT_FIELDS if record.get(name) is not None} if record else {}
    return {"sid": sid, "outcome": outcome, "reason": reason, **facts}


def evaluate(goal: Goal, sid: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Tell the outcome that a record shows; None while it is to be waited on, as for what can't be made sense of."""
    try:
        verdict = goal.verdict(record, datetime.now(UTC))
    except Exception:  # one odd record must not end the poll for all
        log.warning("%s can't be made sense of, and is waited on", sid, exc_info=True)
        return None
    return None if verdict.outcome == "waiting" else wait_event(sid, verdict.outcome, verdict.reason, record)


def missing(sid: str, error: NotFound) -> dict[str, Any]:
    return wait_event(sid, "error", f"{sid} is gone: {error}")


def rejected(sid: str, error: TwilioError) -> dict[str, Any]:
    return wait_event(sid, "error", f"{type(error).__name__}: {error}")


def timed_out(sid: str, seen: str, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return wait_event(sid, "timeout", f"{sid} has not come to its end at its deadline: {seen}", record)
