"""The intent: the write-ahead record of a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

CLOCK_SKEW = 15.0
"""Maximum difference between this machine's clock and Twilio's, in seconds."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The record that is stored before a request is sent. Times are of this machine's clock, in UTC.

    :param fingerprint: Identifies the record that the request creates at Twilio; see
        :func:`~airflow_provider_twilio.runtime.idempotency.fingerprint.fingerprint`.
    :param digest: Keyed hash of the whole request.
    :param first_sent_at: Time at which the request was first sent.
    :param sent_at: Time at which the request was last sent.
    :param timeout: Maximum duration of the request, in seconds from ``sent_at``.
    :param attempts: Number of attempts. Before each further one, Twilio's list showed that the previous one had no
        effect.
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
        """Build an intent from its stored form, ignoring keys that this release does not know."""
        known = {name: value[name] for name in cls.__slots__}
        times = {name: datetime.fromisoformat(value[name]) for name in ("first_sent_at", "sent_at")}
        return cls(**{**known, **times})

    @property
    def ends_at(self) -> datetime:
        """Time at which the request has ended, with or without a response."""
        return self.sent_at + timedelta(seconds=self.timeout)

    def covers(self, moment: datetime | None) -> bool:
        """Return whether a record created at a moment may be the result of this send."""
        return is_within(self.first_sent_at, moment, self.ends_at)


def is_within(start: datetime, moment: datetime | None, end: datetime) -> bool:
    """Return whether a moment of Twilio's clock lies between two of ours; an unknown moment always may."""
    skew = timedelta(seconds=CLOCK_SKEW)
    return moment is None or start - skew <= moment <= end + skew
