"""What a log says of the next alert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.calls import Call
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.notifications.history import AlertHistory, MessageLog, history_request

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ONE, OTHER = "BCDFGH", "23456Z"


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def wire(when: datetime) -> str:
    return when.strftime("%a, %d %b %Y %H:%M:%S +0000")


def message(ago: float, tag: str | None = ONE, status: str = "delivered", **fields: Any) -> Message:
    """Give the record of a message that was sent some minutes before noon."""
    body = f"text #{tag}" if tag else "text"
    dates = {"date_created": wire(NOON - minutes(ago)), "date_sent": None}
    return Message({"direction": "outbound-api", "status": status, "body": body, **dates, **fields})


def past(*records: Message | Call, tagged: bool = True, due: datetime | None = None) -> AlertHistory:
    return MessageLog(records, NOON).past(due, tagged=tagged)


def test_only_alerts_count():
    found = past(
        message(9),
        message(8, tag=None),
        message(7, direction="inbound"),
        message(6, status="canceled"),
        message(5, direction="outbound-reply"),
        message(4, body=f"#{ONE} is not at the end"),
        message(3, tag=OTHER),
    )
    assert [one.tag for one in found.alerts] == [ONE, OTHER]


def test_calls_count_all():
    call = Call({"direction": "outbound-api", "status": "completed", "start_time": None, "date_created": wire(NOON)})
    assert len(past(call, tagged=False).alerts) == 1
    assert past(call, tagged=False).repeats(None, minutes(1)) == NOON


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_what_reached_nobody_is_told_again(status: str):
    assert past(message(5, status=status)).repeats(ONE, minutes(10)) is None
    assert past(message(5, status=status), message(7)).repeats(ONE, minutes(10)) == NOON - minutes(7)


def test_a_repetition_is_of_the_same_alert_within_the_window():
    found = past(message(30), message(5, tag=OTHER))
    assert found.repeats(ONE, minutes(31)) == NOON - minutes(30)
    assert found.repeats(ONE, minutes(30)) is None
    assert found.repeats("ZZZZZZ", minutes(999)) is None


def test_holds_back_until_there_is_room_in_the_hour():
    found = past(message(61), message(50), message(20), message(10))
    assert found.held_until(4) is None
    assert found.held_until(3) == NOON + minutes(10)
    assert found.held_until(2) == NOON + minutes(40)  # two of the three have to be past the hour


def test_knows_the_last_one_allowed():
    assert past().closes_until(1) == NOON + minutes(60)
    found = past(message(70), message(50), message(20))
    assert found.closes_until(3) == NOON + minutes(10)
    assert found.closes_until(4) is None


def test_knows_the_first_one_after():
    storm = [message(70), message(70), message(69)]
    assert past(*storm).held_since(3) == NOON - minutes(69)
    assert past(*storm).held_since(4) is None
    assert past(*storm, message(1)).held_since(3) is None  # that was the first
    assert past(message(24 * 60 + 1)).held_since(1) is None


def test_knows_whether_the_limit_is_announced():
    told = "text. More are held back until 13:00 UTC. #BCDFGH"
    assert past(message(5), message(4, body=told)).is_announced()
    assert not past(message(5), message(61, body=told)).is_announced()


def test_what_is_scheduled_arrives_together():
    morning = NOON + timedelta(hours=9)
    scheduled = [message(ago, status="scheduled") for ago in (300, 200, 5)]
    found = past(*scheduled, message(2), due=morning)
    assert found.held_until(3) == morning + minutes(60)
    assert found.repeats(ONE, minutes(10)) == morning


def test_names_the_runs_that_links_lead_to():
    link = "https://x.example/dags/%C3%A9t%C3%A9/runs/manual__2026-01-31T12:00:00+00:00/tasks/load"
    (one,) = past(message(5, body=f"Airflow: été.load failed {link} #{ONE}")).alerts
    assert one.runs("été") == ["manual__2026-01-31T12:00:00+00:00"]
    assert one.runs("ete") == []


def test_reads_the_log_by_one_request_that_pins_what_is_known():
    request = history_request(Messages.create(to="+14155550101", from_="+15005550006", body="text"))
    assert dict(request.data) == {"To": "+14155550101", "From": "+15005550006", "PageSize": "1000"}
    assert request.is_safe
    service = history_request(Messages.create(to="+14155550101", messaging_service_sid=f"MG{'a' * 32}", body="text"))
    assert dict(service.data) == {"To": "+14155550101", "PageSize": "1000"}


@pytest.mark.parametrize("date", [{}, {"date": "yesterday"}])
def test_the_time_is_twilios(date: dict[str, str]):
    request = history_request(Messages.create(to="+14155550101", body="text"))
    body = b'{"messages": []}'
    answer = Response(200, {"date": "Sat, 31 Jan 2026 12:00:00 GMT"}, body)
    assert request.parser.parse(request, answer).now == NOON
    assert datetime.now(UTC) - request.parser.parse(request, Response(200, date, body)).now < minutes(10)
