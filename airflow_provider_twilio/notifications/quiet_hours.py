"""Hours in which nobody is to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_twilio.api.errors import BadParameter

REMEDY = 'give start, end and time zone, such as ("22:00", "07:00", "Europe/Berlin")'


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hold from when to when it is quiet, by the clock of the one who is told."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def read(cls, given: Any) -> QuietHours:
        """Read ``("22:00", "07:00", "Europe/Berlin")``, also from the list that JSON makes of it.

        :raises BadParameter: it is none.
        """
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 3:
            raise BadParameter("quiet_hours", "is not three texts", REMEDY)
        try:
            start, end = (time.fromisoformat(text) for text in given[:2])
        except (TypeError, ValueError):
            raise BadParameter("quiet_hours", "has a time that is none", REMEDY) from None
        if start == end or start.tzinfo or end.tzinfo:
            raise BadParameter(
                "quiet_hours", "starts when it ends" if start == end else "has times with a zone", REMEDY
            )
        try:
            return cls(start, end, ZoneInfo(given[2]))
        except (TypeError, ValueError, OSError, KeyError):
            raise BadParameter("quiet_hours", "has a time zone that isn't known", REMEDY) from None

    def end_after(self, now: datetime) -> datetime | None:
        """Give when the quiet hours that are on now end; None if none are."""
        here = now.astimezone(self.zone)
        clock, over_midnight = here.time(), self.start > self.end
        inside = clock >= self.start or clock < self.end if over_midnight else self.start <= clock < self.end
        if not inside:
            return None
        day = here.date() + timedelta(days=over_midnight and clock >= self.start)
        return datetime.combine(day, self.end, self.zone).astimezone(UTC)
