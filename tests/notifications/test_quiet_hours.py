"""Quiet hours in the recipient's time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.notifications.quiet_hours import QuietHours

BERLIN = ("22:00", "07:00", "Europe/Berlin")
EARLY = ("22:00", "02:30", "Europe/Berlin")
LATE = ("02:30", "07:00", "Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "now", "end"),
    [
        (BERLIN, "2026-01-31T20:59", None),
        (BERLIN, "2026-01-31T21:00", "2026-02-01T06:00"),
        (BERLIN, "2026-01-31T23:30", "2026-02-01T06:00"),  # after midnight in Berlin
        (BERLIN, "2026-02-01T05:59:59", "2026-02-01T06:00"),
        (BERLIN, "2026-02-01T06:00", None),
        (BERLIN, "2026-03-28T23:00", "2026-03-29T05:00"),  # the clocks go forward that night
        (BERLIN, "2026-10-24T22:00", "2026-10-25T06:00"),  # the clocks go back that night
        # On 2026-03-29 the clocks in Berlin go from 02:00 to 03:00, so that 02:30 does not exist.
        (EARLY, "2026-03-28T21:00", "2026-03-29T01:00"),
        (EARLY, "2026-03-29T00:59:59", "2026-03-29T01:00"),
        (EARLY, "2026-03-29T01:00", None),
        (("22:00", "02:30:30", "Europe/Berlin"), "2026-03-28T23:00", "2026-03-29T01:00"),
        (LATE, "2026-03-29T00:59", None),
        (LATE, "2026-03-29T01:00", "2026-03-29T05:00"),
        (("02:10", "02:50", "Europe/Berlin"), "2026-03-29T01:00", None),
        # On 2026-10-25 the clocks in Berlin go from 03:00 to 02:00, so that 02:30 occurs twice.
        (EARLY, "2026-10-24T20:00", "2026-10-25T00:30"),
        (EARLY, "2026-10-25T00:15", "2026-10-25T00:30"),
        (EARLY, "2026-10-25T00:45", None),
        (EARLY, "2026-10-25T01:00", "2026-10-25T01:30"),
        (EARLY, "2026-10-25T01:29:59", "2026-10-25T01:30"),
        (EARLY, "2026-10-25T01:30", None),
        (LATE, "2026-10-25T00:29", None),
        (LATE, "2026-10-25T00:30", "2026-10-25T06:00"),
        (LATE, "2026-10-25T01:45", "2026-10-25T06:00"),
        (("21:00", "00:30", "America/Havana"), "2026-03-08T03:00", "2026-03-08T05:00"),  # midnight is skipped
        (("21:00", "00:30", "America/Havana"), "2026-11-01T05:15", "2026-11-01T05:30"),  # midnight occurs twice
        (("12:00", "13:30", "Asia/Kolkata"), "2026-01-31T06:29", None),
        (("12:00", "13:30", "Asia/Kolkata"), "2026-01-31T06:30", "2026-01-31T08:00"),
        (["12:00", "13:30", "Asia/Kolkata"], "2026-01-31T08:00", None),  # a list, as JSON delivers it
    ],
)
def test_end_after_returns_end_of_current_quiet_hours(value: Any, now: str, end: str | None):
    assert QuietHours.parse(value).end_after(at(now)) == (None if end is None else at(end))


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("22:00-07:00", "is not a sequence of three strings"),
        (("22:00", "07:00"), "is not a sequence of three strings"),
        (("22 o'clock", "07:00", "UTC"), "has an invalid time"),
        ((22, 7, "UTC"), "has an invalid time"),
        (("22:00", "22:00", "UTC"), "has equal start and end times"),
        (("22:00+01:00", "07:00", "UTC"), "has a time with a UTC offset"),
        (("22:00", "07:00", "Europe/Atlantis"), "has an unknown time zone"),
        (("22:00", "07:00", "../etc/passwd"), "has an unknown time zone"),
        (("22:00", "07:00", None), "has an unknown time zone"),
    ],
)
def test_quiet_hours_with_invalid_value_raises_bad_parameter(value: Any, fault: str):
    with pytest.raises(BadParameter, match=f"quiet_hours {fault}: pass a start, an end and a time zone"):
        QuietHours.parse(value)
