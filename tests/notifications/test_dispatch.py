"""Alerts that are limited, held back or scheduled, against the emulator."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.notifications.twilio import TwilioNotifier
from tests.notifications.conftest import (
    ALSO,
    OWNED,
    TO,
    Logged,
    Notify,
    bodies,
    deadline_context,
    task_context,
)


def send_burst(notify: Notify, number: int, **options: Any) -> None:
    """Notify of the failures of this many mapped tasks."""
    for index in range(number):
        notify(TwilioNotifier(to=TO, **options), task_context(map_index=index))


# ---------------------------------------------------------------- dedupe_window and max_per_hour


def test_notifier_with_dedupe_window_sends_same_alert_once(emulator: Emulator, notify: Notify):
    send_burst(notify, 3, dedupe_window=timedelta(minutes=30))
    assert len(bodies(emulator)) == 1
    notify(TwilioNotifier(to=TO, dedupe_window=1800), task_context(task_id="other"))
    notify(TwilioNotifier(to=ALSO, dedupe_window=1800), task_context())
    assert (len(bodies(emulator)), len(bodies(emulator, ALSO))) == (2, 1)
    emulator.clock.advance(minutes=31)
    send_burst(notify, 2, dedupe_window=1800.0)
    assert len(bodies(emulator)) == 3
    for body in bodies(emulator):
        assert count(body).segments == 1
        assert re.search(r" #\w{6}$", body)


def test_notifier_with_max_per_hour_limits_and_announces(emulator: Emulator, notify: Notify, logged: Logged):
    began = emulator.clock.utc
    send_burst(notify, 6, max_per_hour=3)
    first, second, third = bodies(emulator)
    assert "held back" not in first + second
    until = {f"{began + timedelta(hours=1, minutes=late):%H:%M} UTC" for late in (0, 1)}
    assert any(f"More are held back until {time}." in third for time in until)
    assert "Not notifying +1415•••0101: 3 alerts in the past hour; holding back until" in logged()
    assert [entry.method for entry in emulator.journal].count("GET") == 6

    emulator.clock.advance(hours=1, minutes=1)
    send_burst(notify, 2, max_per_hour=3)
    fourth, fifth = bodies(emulator)[3:]
    assert re.search(r"Since \d\d:\d\d UTC some may have been held back\.", fourth)
    assert "held back" not in fifth
    assert all(count(body).segments == 1 for body in bodies(emulator))


def test_notifier_body_carries_limit_notice(emulator: Emulator, notify: Notify):
    send_burst(notify, 2, max_per_hour=1, body="It failed. " * 40, max_segments=1)
    (body,) = bodies(emulator)
    assert re.fullmatch(r"It failed\..*\.\.\. More are held back until \d\d:\d\d UTC\. #\w{6}", body)
    assert count(body).segments == 1


def test_notifier_after_simultaneous_burst_announces_limit(emulator: Emulator, notify: Notify):
    for index in range(5):  # five at the same instant: each read an empty history
        notify(TwilioNotifier(to=TO, dedupe_window=1), task_context(task_id=f"load{index}"))
    assert "held back" not in "".join(bodies(emulator))
    for index in range(2):
        notifier = TwilioNotifier(to=TO, max_per_hour=3)
        notifier.burst_window = 0.01
        notify(notifier, task_context(map_index=index))
    assert len(bodies(emulator)) == 6
    assert "More are held back until" in bodies(emulator)[-1]


def test_notifier_recognizes_earlier_calls_by_to_and_from(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, call=True, max_per_hour=1), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context(task_id="other"))
    assert [call["to"] for call in emulator.calls] == [TO, ALSO]
    assert "More are held back until" in emulator.transcript(emulator.calls[0]["sid"])[0]


def test_notifier_recognizes_content_templates_by_to_and_from(emulator: Emulator, notify: Notify):
    sent: dict[str, Any] = {"from_": f"whatsapp:{OWNED}", "content_sid": f"HX{'b' * 32}", "max_per_hour": 2}
    for _ in range(4):
        notify(TwilioNotifier(to=f"whatsapp:{TO}", **sent), task_context())
    assert len(emulator.messages) == 2


def test_notifier_limits_ignore_other_messages(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, body="Your parcel has been shipped"), task_context())
    send_burst(notify, 1, max_per_hour=1, dedupe_window=600)
    assert len(bodies(emulator)) == 4


def test_notifier_without_readable_history_sends(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(100, status=503, method="GET")
    notify(TwilioNotifier(to=TO, max_per_hour=1), deadline_context())
    assert len(bodies(emulator)) == 1
    assert "Cannot read earlier alerts from Twilio, holding none back" in logged()


# ---------------------------------------------------------------- quiet hours


def current_quiet_hours() -> tuple[str, str, str]:
    """Return quiet hours that have begun and continue for hours."""
    now = datetime.now(UTC)
    return (f"{now - timedelta(hours=2):%H:%M}", f"{now + timedelta(hours=5):%H:%M}", "UTC")


def create_messaging_service(emulator: Emulator) -> str:
    """Create a messaging service with the emulator's number, and return its SID."""
    services = "https://messaging.twilio.com/v1/Services"
    sid: str = TwilioHook().request("POST", services, {"FriendlyName": "alerts"})["sid"]
    (number,) = emulator.numbers
    TwilioHook().request("POST", f"{services}/{sid}/PhoneNumbers", {"PhoneNumberSid": number["sid"]})
    return sid


def test_notifier_in_quiet_hours_holds_back(emulator: Emulator, notify: Notify, logged: Logged):
    notify(TwilioNotifier(to=TO, quiet_hours=current_quiet_hours()), task_context())
    notify(TwilioNotifier(to=TO, quiet_hours=current_quiet_hours(), call=True), task_context())
    assert not emulator.journal.find("POST")
    assert "Not notifying +1415•••0101: quiet hours until" in logged()
    start, end, zone = current_quiet_hours()
    notify(TwilioNotifier(to=TO, quiet_hours=(end, start, zone)), task_context())
    assert len(bodies(emulator)) == 1


@pytest.mark.parametrize("source", ["parameter", "connection"])
def test_notifier_in_quiet_hours_schedules_with_messaging_service(
    emulator: Emulator, notify: Notify, source: str, monkeypatch: pytest.MonkeyPatch
):
    sid = create_messaging_service(emulator)
    options: dict[str, Any] = {"quiet_hours": current_quiet_hours(), "max_per_hour": 2, "to": TO}
    if source == "parameter":
        options["messaging_service_sid"] = sid
    else:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?messaging_service_sid={sid}")
    for _ in range(4):
        notify(TwilioNotifier(**options), task_context())
    first, second = emulator.messages  # both are due at the same time, so the limit allows two
    assert (first["status"], second["status"]) == ("scheduled", "scheduled")
    (entry, _) = emulator.journal.find("POST", "Messages.json", ScheduleType="fixed")
    assert str(entry.params["SendAt"])[11:16] == options["quiet_hours"][1]
    assert "More are held back until" in second["body"]


def test_notifier_near_end_of_quiet_hours_schedules_outside_next_ones(emulator: Emulator, notify: Notify):
    now = datetime.now(UTC)
    start, end = now + timedelta(minutes=4), now + timedelta(minutes=2)  # quiet again before Twilio would send
    quiet_hours = (f"{start:%H:%M}", f"{end:%H:%M}", "UTC")
    sid = create_messaging_service(emulator)
    notify(TwilioNotifier(to=TO, quiet_hours=quiet_hours, messaging_service_sid=sid), task_context())
    (entry,) = emulator.journal.find("POST", "Messages.json", ScheduleType="fixed")
    assert str(entry.params["SendAt"])[:16] == f"{end + timedelta(days=1):%Y-%m-%dT%H:%M}"
