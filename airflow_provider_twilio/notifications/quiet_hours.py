"""Quiet hours: a daily period in which no alert arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_twilio.api.errors import BadParameter

MINUTE = timedelta(minutes=1)
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
        """Return when the current quiet hours end, or None outside quiet hours.

        The local clock decides. If it skips the end, the quiet hours end at the change. If it shows the end twice, they
        end both times.
        """
        local = now.astimezone(self.zone)
        clock, spans_midnight = local.time(), self.start > self.end
        inside = clock >= self.start or clock < self.end if spans_midnight else self.start <= clock < self.end
        if not inside:
            return None
        days = (local.date(), local.date() + timedelta(days=1))
        return min(end for day in days for fold in (0, 1) if (end := self._end_on(day, fold)) > now)

    def _end_on(self, day: date, fold: int) -> datetime:
        """Return the end of the quiet hours on a day.

        :param fold: 0 for the first occurrence on a day on which the end occurs twice, 1 for the second one.
        """
        end = datetime.combine(day, self.end, self.zone)
        moment = end.replace(fold=fold).astimezone(UTC)
        if moment.astimezone(self.zone).time() == self.end:
            return moment
        # The clocks skip the end. Without a fold, the result is after the change, by less than the skipped time.
        moment = end.astimezone(UTC).replace(second=0, microsecond=0)
        offset = moment.astimezone(self.zone).utcoffset()
        while (moment - MINUTE).astimezone(self.zone).utcoffset() == offset:
            moment -= MINUTE
        return moment
