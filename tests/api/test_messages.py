"""Message, media and feedback operations: paths, parameters and checks."""

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
    Feedback,
    Media,
    MediaItems,
    MessageFeedback,
    Messages,
)

SM, MM, ME, MG = (kind + "0" * 32 for kind in ("SM", "MM", "ME", "MG"))
TO = "+14155550100"


def test_create_message_sends_send_at_in_utc():
    at = (datetime.now(timezone(timedelta(hours=5))) + timedelta(hours=1)).replace(microsecond=0)
    for given in (at, at.isoformat()):
        request = Messages.create(to=TO, messaging_service_sid=MG, body="hi", schedule_type="fixed", send_at=given)
        assert request.get("SendAt") == at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_create_message_sends_content_variables_as_json():
    request = Messages.create(to=TO, content_sid="HX" + "0" * 32, content_variables={"1": "Ü"})
    assert request.get("ContentVariables") == '{"1": "Ü"}'


def test_update_message_redacts_with_an_empty_body():
    request = Messages.update(SM, body="")
    assert (request.method, request.path, request.data) == ("POST", f"Messages/{SM}.json", (("Body", ""),))
    assert Messages.update(MM, status="canceled").data == (("Status", "canceled"),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "body or status is missing"),
        ({"body": "new text"}, 'body is 8 characters.*pass body=""'),
        ({"status": "delivered"}, "status is not an allowed value.*canceled"),
        ({"body": "", "status": "canceled"}, "body and status are mutually exclusive: cancel the message in one"),
    ],
)
def test_update_message_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        Messages.update(SM, **arguments)


def test_media_and_feedback_paths_are_below_their_message():
    listing = MediaItems.list(MM, date_created_after=date(2026, 1, 1), limit=5)
    assert (listing.path, listing.record) == (f"Messages/{MM}/Media.json", Media)
    assert listing.data == (("DateCreated>", "2026-01-01"),)
    assert MediaItems.fetch(MM, ME).path == f"Messages/{MM}/Media/{ME}.json"
    assert MediaItems.delete(MM, ME).method == "DELETE"
    feedback = Feedback.create(SM, outcome="confirmed")
    assert (feedback.path, feedback.parser) == (f"Messages/{SM}/Feedback.json", MessageFeedback)


def test_message_statuses_are_disjoint():
    assert not DELIVERED & FAILED
    assert DELIVERED | FAILED | INBOUND == FINAL
    assert not FINAL & {"accepted", "scheduled", "queued", "sending", "sent", "receiving"}
