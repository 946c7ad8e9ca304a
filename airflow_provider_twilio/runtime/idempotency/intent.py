"""The write-ahead record of a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

CLOCK_SKEW = 15.0
"""Seconds by which clocks, ours and Twilio's, may differ."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Hold what is stored before a request goes out. Times are of our clock, in UTC.

    :param sought: what finds its result: :func:`sought`.
    :param same: a hash of the whole request.
    :param since: when it first went out.
    :param at: when it last went out.
    :param timeout: seconds it may take from then.
    :param sends: how often it went out, each time after the one before was seen not to be carried out.
    """

    fingerprint: Mapping[str, Any]
    digest: str
    first_sent_at: datetime
    sent_at: datetime
    timeout: float
    attempts: int = 1

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "first_sent_at": self.first_sent_at.isoformat(), "sent_at": self.sent_at.isoformat()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Intent:
        known = {name: value[name] for name in cls.__slots__}
        return cls(
            **{
                **known,
                "first_sent_at": datetime.fromisoformat(value["first_sent_at"]),
                "sent_at": datetime.fromisoformat(value["sent_at"]),
            }
        )

    @property
    def ends_at(self) -> datetime:
        """When it is over, answered or not."""
        return self.sent_at + timedelta(seconds=self.timeout)

    def covers(self, moment: datetime | None) -> bool:
        """Tell whether what was made then may be its result."""
        return is_within(self.first_sent_at, moment, self.ends_at)


def is_within(start: datetime, moment: datetime | None, end: datetime) -> bool:
    skew = timedelta(seconds=CLOCK_SKEW)
    return moment is None or start - skew <= moment <= end + skew
