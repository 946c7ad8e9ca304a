"""Verdicts: which statuses reach, miss or leave open a goal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_twilio.api import calls
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.verdicts import Completion, Delivery

SM, CA = (kind + "0" * 32 for kind in ("SM", "CA"))
TO = "+14155550100"
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "status", ["accepted", "scheduled", "queued", "sending", "sent", "receiving", "brand-new", None]
)
def test_delivery_waits_while_the_status_may_change(status: str | None):
    assert Delivery().verdict(Message(sid=SM, status=status), NOW).outcome == "waiting"


@pytest.mark.parametrize("status", ["delivered", "read", "received"])
def test_delivery_is_reached_by_delivered_and_read(status: str):
    assert Delivery().verdict({"sid": SM, "status": status}, NOW).outcome == "reached"


@pytest.mark.parametrize("status", ["failed", "undelivered", "canceled", "partially_delivered"])
def test_delivery_failure_names_code_but_no_number(status: str):
    verdict = Delivery().verdict({"sid": SM, "status": status, "to": TO, "error_code": 30003}, NOW)
    assert (verdict.outcome, verdict.code) == ("failed", 30003)
    assert f"message {SM} is {status}: error 30003: the handset is unreachable" in (verdict.reason or "")
    assert TO not in (verdict.reason or "")
    assert Delivery().verdict({"sid": SM, "status": status}, NOW).reason == f"message {SM} is {status}"


@pytest.mark.parametrize(
    ("goal", "age", "outcome"),
    [
        (Delivery(), 10**6, "waiting"),
        (Delivery(accept_sent=True), 0, "reached"),
        (Delivery(sent_grace=60), 59, "waiting"),
        (Delivery(sent_grace=60), 60, "reached"),
        (Delivery(sent_grace=0), 0, "reached"),
    ],
)
def test_delivery_accepts_sent_only_if_configured(goal: Delivery, age: int, outcome: str):
    since = (NOW - timedelta(seconds=age)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert goal.verdict({"sid": SM, "status": "sent", "date_updated": since}, NOW).outcome == outcome


@pytest.mark.parametrize("status", ["queued", "ringing", "in-progress", "brand-new", None])
def test_completion_waits_while_the_status_may_change(status: str | None):
    assert Completion(accept=("ringing",)).verdict({"sid": CA, "status": status}, NOW).outcome == "waiting"


@pytest.mark.parametrize("status", sorted(calls.FAILED))
def test_completion_fails_without_answer_unless_accepted(status: str):
    verdict = Completion().verdict({"sid": CA, "status": status, "to": TO}, NOW)
    assert verdict.outcome == "failed"
    assert f"call {CA} is {status}: " in (verdict.reason or "")
    assert TO not in (verdict.reason or "")
    assert Completion(accept=(status,)).verdict({"sid": CA, "status": status}, NOW).outcome == "reached"


@pytest.mark.parametrize(
    ("answered_by", "outcome"), [("human", "reached"), ("machine_start", "failed"), (None, "failed")]
)
def test_completion_requires_configured_answered_by(answered_by: str | None, outcome: str):
    record = {"sid": CA, "status": "completed", "answered_by": answered_by}
    assert Completion().verdict(record, NOW).outcome == "reached"
    assert Completion(answered_by=("human",)).verdict(record, NOW).outcome == outcome
