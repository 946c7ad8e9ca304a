"""Quiet hours, by the clock of the one who is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.notifications.quiet_hours import QuietHours

BERLIN = ("22:00", "07:00", "Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "now", "end"),
    [
        (BERLIN, "2026-01-31T20:59", None),
        (BERLIN, "2026-01-31T21:00", "2026-02-01T06:00"),
        (BERLIN, "2026-01-31T23:30", "2026-02-01T06:00"),  # after midnight in Berlin
        (BERLIN, "2026-02-01T05:59:59", "2026-02-01T06:00"),
        (BERLIN, "2026-02-01T06:00", None),
        (BERLIN, "2026-03-28T23:00", "2026-03-29T05:00"),  # the clocks go forward that night
        (BERLIN, "2026-10-24T22:00", "2026-10-25T06:00"),  # and back
        (("12:00", "13:30", "Asia/Kolkata"), "2026-01-31T06:29", None),
        (("12:00", "13:30", "Asia/Kolkata"), "2026-01-31T06:30", "2026-01-31T08:00"),
        (["12:00", "13:30", "Asia/Kolkata"], "2026-01-31T08:00", None),  # as JSON has it
    ],
)
def test_until(given: Any, now: str, end: str | None):
    assert QuietHours.read(given).end_after(at(now)) == (None if end is None else at(end))


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("22:00-07:00", "is not three texts"),
        (("22:00", "07:00"), "is not three texts"),
        (("22 o'clock", "07:00", "UTC"), "has a time that is none"),
        ((22, 7, "UTC"), "has a time that is none"),
        (("22:00", "22:00", "UTC"), "starts when it ends"),
        (("22:00+01:00", "07:00", "UTC"), "has times with a zone"),
        (("22:00", "07:00", "Europe/Atlantis"), "has a time zone that isn't known"),
        (("22:00", "07:00", "../etc/passwd"), "has a time zone that isn't known"),
        (("22:00", "07:00", None), "has a time zone that isn't known"),
    ],
)
def test_what_is_wrong_is_refused(given: Any, fault: str):
    with pytest.raises(BadParameter, match=f"quiet_hours {fault}: give start, end and time zone"):
        QuietHours.read(given)
