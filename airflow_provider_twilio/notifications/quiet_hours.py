"""Quiet hours: a daily period in which no alert arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_twilio.api.errors import BadParameter

REMEDY = 'pass a start, an end and a time zone, such as ("22:00", "07:00", "Europe/Berlin")'


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily period, in the recipient's time zone. It may extend past midnight."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, value: Any) -> QuietHours:
        """Build quiet hours from ``("22:00", "07:00", "Europe/Berlin")``, or the list that JSON makes of it.

        :raises BadParameter: When the value is not of this form.
        """
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 3:
            raise BadParameter("quiet_hours", "is not a sequence of three strings", REMEDY)
        try:
            start, end = (time.fromisoformat(text) for text in value[:2])
        except (TypeError, ValueError):
            raise BadParameter("quiet_hours", "has an invalid time", REMEDY) from None
        if start == end:
            raise BadParameter("quiet_hours", "has equal start and end times", REMEDY)
        if start.tzinfo or end.tzinfo:
            raise BadParameter("quiet_hours", "has a time with a UTC offset", REMEDY)
        try:
            return cls(start, end, ZoneInfo(value[2]))
        except (TypeError, ValueError, OSError, KeyError):
            raise BadParameter("quiet_hours", "has an unknown time zone", REMEDY) from None

    def end_after(self, now: datetime) -> datetime | None:
        """Return when the current quiet hours end, or None outside quiet hours."""
        local = now.astimezone(self.zone)
        clock, spans_midnight = local.time(), self.start > self.end
        inside = clock >= self.start or clock < self.end if spans_midnight else self.start <= clock < self.end
        if not inside:
            return None
        day = local.date() + timedelta(days=spans_midnight and clock >= self.start)
        return datetime.combine(day, self.end, self.zone).astimezone(UTC)
