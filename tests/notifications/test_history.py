"""Earlier alerts in Twilio's records, and what they mean for the next one."""

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


def rfc2822(when: datetime) -> str:
    return when.strftime("%a, %d %b %Y %H:%M:%S +0000")


def message(ago: float, tag: str | None = ONE, status: str = "delivered", **fields: Any) -> Message:
    """Return the record of a message that was sent this many minutes before noon."""
    body = f"text #{tag}" if tag else "text"
    dates = {"date_created": rfc2822(NOON - minutes(ago)), "date_sent": None}
    return Message({"direction": "outbound-api", "status": status, "body": body, **dates, **fields})


def history(*records: Message | Call, tagged: bool = True, due: datetime | None = None) -> AlertHistory:
    return MessageLog(records, NOON).history(due, tagged=tagged)


def test_history_of_tagged_messages_contains_alerts_only():
    found = history(
        message(9),
        message(8, tag=None),
        message(7, direction="inbound"),
        message(6, status="canceled"),
        message(5, direction="outbound-reply"),
        message(4, body=f"#{ONE} is not at the end"),
        message(3, tag=OTHER),
    )
    assert [alert.tag for alert in found.alerts] == [ONE, OTHER]


def test_history_of_calls_contains_every_outbound_call():
    call = Call({"direction": "outbound-api", "status": "completed", "start_time": None, "date_created": rfc2822(NOON)})
    assert len(history(call, tagged=False).alerts) == 1
    assert history(call, tagged=False).last_sent(None, minutes(1)) == NOON


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_last_sent_ignores_undelivered_alerts(status: str):
    assert history(message(5, status=status)).last_sent(ONE, minutes(10)) is None
    assert history(message(5, status=status), message(7)).last_sent(ONE, minutes(10)) == NOON - minutes(7)


def test_last_sent_finds_same_alert_within_window():
    found = history(message(30), message(5, tag=OTHER))
    assert found.last_sent(ONE, minutes(31)) == NOON - minutes(30)
    assert found.last_sent(ONE, minutes(30)) is None
    assert found.last_sent("ZZZZZZ", minutes(999)) is None


def test_held_until_returns_when_hour_has_room():
    found = history(message(61), message(50), message(20), message(10))
    assert found.held_until(4) is None
    assert found.held_until(3) == NOON + minutes(10)
    assert found.held_until(2) == NOON + minutes(40)  # two of the three have to be older than an hour


def test_held_after_next_until_with_one_alert_left_returns_end():
    assert history().held_after_next_until(1) == NOON + minutes(60)
    found = history(message(70), message(50), message(20))
    assert found.held_after_next_until(3) == NOON + minutes(10)
    assert found.held_after_next_until(4) is None


def test_held_since_for_first_alert_after_limit_returns_start():
    burst = [message(70), message(70), message(69)]
    assert history(*burst).held_since(3) == NOON - minutes(69)
    assert history(*burst).held_since(4) is None
    assert history(*burst, message(1)).held_since(3) is None  # the last one was already the first after the limit
    assert history(message(24 * 60 + 1)).held_since(1) is None


def test_limit_is_announced_considers_past_hour_only():
    body = "text. More are held back until 13:00 UTC. #BCDFGH"
    assert history(message(5), message(4, body=body)).limit_is_announced()
    assert not history(message(5), message(61, body=body)).limit_is_announced()


def test_history_counts_scheduled_alerts_as_due_together():
    morning = NOON + timedelta(hours=9)
    scheduled = [message(ago, status="scheduled") for ago in (300, 200, 5)]
    found = history(*scheduled, message(2), due=morning)
    assert found.held_until(3) == morning + minutes(60)
    assert found.last_sent(ONE, minutes(10)) == morning


def test_run_ids_returns_runs_linked_by_alert():
    link = "https://x.example/dags/%C3%A9t%C3%A9/runs/manual__2026-01-31T12:00:00+00:00/tasks/load"
    (alert,) = history(message(5, body=f"Airflow: été.load failed {link} #{ONE}")).alerts
    assert alert.run_ids("été") == ["manual__2026-01-31T12:00:00+00:00"]
    assert alert.run_ids("ete") == []


def test_history_request_filters_by_recipient_and_known_sender():
    request = history_request(Messages.create(to="+14155550101", from_="+15005550006", body="text"))
    assert dict(request.data) == {"To": "+14155550101", "From": "+15005550006", "PageSize": "1000"}
    assert request.is_safe
    service = history_request(Messages.create(to="+14155550101", messaging_service_sid=f"MG{'a' * 32}", body="text"))
    assert dict(service.data) == {"To": "+14155550101", "PageSize": "1000"}


@pytest.mark.parametrize("date", [{}, {"date": "yesterday"}])
def test_history_request_reads_time_from_date_header(date: dict[str, str]):
    request = history_request(Messages.create(to="+14155550101", body="text"))
    body = b'{"messages": []}'
    response = Response(200, {"date": "Sat, 31 Jan 2026 12:00:00 GMT"}, body)
    assert request.parser.parse(request, response).now == NOON
    assert datetime.now(UTC) - request.parser.parse(request, Response(200, date, body)).now < minutes(10)
