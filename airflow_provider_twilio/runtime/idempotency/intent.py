"""The write-ahead record of a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

SKEW = 15.0
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

    sought: Mapping[str, Any]
    same: str
    since: datetime
    at: datetime
    timeout: float
    sends: int = 1

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": self.since.isoformat(), "at": self.at.isoformat()}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Intent:
        known = {name: value[name] for name in cls.__slots__}
        return cls(
            **{**known, "since": datetime.fromisoformat(value["since"]), "at": datetime.fromisoformat(value["at"])}
        )

    @property
    def ends(self) -> datetime:
        """When it is over, answered or not."""
        return self.at + timedelta(seconds=self.timeout)

    def spans(self, moment: datetime | None) -> bool:
        """Tell whether what was made then may be its result."""
        return is_within(self.since, moment, self.ends)


def is_within(since: datetime, moment: datetime | None, until: datetime) -> bool:
    skew = timedelta(seconds=SKEW)
    return moment is None or since - skew <= moment <= until + skew
