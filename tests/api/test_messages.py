"""Messages, their media and feedback: what each operation asks, and when a message counts as delivered."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import (
    DELIVERED,
    FAILED,
    FINAL,
    INBOUND,
    Delivery,
    Feedback,
    Media,
    MediaItems,
    Message,
    MessageFeedback,
    Messages,
)

SM, MM, ME, MG = (kind + "0" * 32 for kind in ("SM", "MM", "ME", "MG"))
TO = "+14155550100"
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


def test_a_time_to_send_at_goes_out_in_utc():
    at = (datetime.now(timezone(timedelta(hours=5))) + timedelta(hours=1)).replace(microsecond=0)
    for given in (at, at.isoformat()):
        request = Messages.create(to=TO, messaging_service_sid=MG, body="hi", schedule_type="fixed", send_at=given)
        assert request.get("SendAt") == at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_content_variables_are_json():
    request = Messages.create(to=TO, content_sid="HX" + "0" * 32, content_variables={"1": "Ü"})
    assert request.get("ContentVariables") == '{"1": "Ü"}'


def test_redacting_sends_an_empty_body():
    request = Messages.update(SM, body="")
    assert (request.method, request.path, request.data) == ("POST", f"Messages/{SM}.json", (("Body", ""),))
    assert Messages.update(MM, status="canceled").data == (("Status", "canceled"),)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "body or status is missing"),
        ({"body": "new text"}, 'body is 8 characters.*give body=""'),
        ({"status": "delivered"}, "status is none of its values.*canceled"),
    ],
)
def test_an_update_does_what_twilio_can_do(arguments: dict[str, Any], said: str):
    with pytest.raises(BadParameter, match=said):
        Messages.update(SM, **arguments)


def test_media_and_feedback_are_below_their_message():
    listing = MediaItems.list(MM, date_created_after=date(2026, 1, 1), limit=5)
    assert (listing.path, listing.record) == (f"Messages/{MM}/Media.json", Media)
    assert listing.data == (("DateCreated>", "2026-01-01"),)
    assert MediaItems.fetch(MM, ME).path == f"Messages/{MM}/Media/{ME}.json"
    assert MediaItems.delete(MM, ME).method == "DELETE"
    feedback = Feedback.create(SM, outcome="confirmed")
    assert (feedback.path, feedback.answer) == (f"Messages/{SM}/Feedback.json", MessageFeedback)


def test_statuses_are_apart():
    assert not DELIVERED & FAILED
    assert DELIVERED | FAILED | INBOUND == FINAL
    assert not FINAL & {"accepted", "scheduled", "queued", "sending", "sent", "receiving"}


@pytest.mark.parametrize(
    "status", ["accepted", "scheduled", "queued", "sending", "sent", "receiving", "brand-new", None]
)
def test_what_may_still_change_is_waited_for(status: str | None):
    assert Delivery().verdict(Message(sid=SM, status=status), NOW).outcome == "waiting"


@pytest.mark.parametrize("status", ["delivered", "read", "received"])
def test_delivered_and_read_are_reached(status: str):
    assert Delivery().verdict({"sid": SM, "status": status}, NOW).outcome == "reached"


@pytest.mark.parametrize("status", ["failed", "undelivered", "canceled", "partially_delivered"])
def test_a_failure_is_told_with_its_code_and_without_the_number(status: str):
    verdict = Delivery().verdict({"sid": SM, "status": status, "to": TO, "error_code": 30003}, NOW)
    assert (verdict.outcome, verdict.code) == ("failed", 30003)
    assert f"message {SM} is {status}: error 30003: the handset can't be reached" in (verdict.reason or "")
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
def test_sent_counts_only_where_it_is_told_to(goal: Delivery, age: int, outcome: str):
    since = (NOW - timedelta(seconds=age)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert goal.verdict({"sid": SM, "status": "sent", "date_updated": since}, NOW).outcome == outcome
