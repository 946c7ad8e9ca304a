"""The intent: the write-ahead record of a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

CLOCK_SKEW = 15.0
"""Maximum difference between Twilio's clock and this machine's, after correcting its offset, in seconds."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The record that is stored before a request is sent. Times are of the sender's clock, in UTC.

    :param fingerprint: Identifies the record that the request creates at Twilio; see
        :func:`~airflow_provider_twilio.runtime.idempotency.fingerprint.fingerprint`.
    :param digest: Keyed hash of the whole request.
    :param first_sent_at: Time at which the request was first sent.
    :param sent_at: Time at which the request was last sent.
    :param timeout: Maximum duration of the request, in seconds from ``sent_at``.
    :param attempts: Number of attempts. Before each further one, Twilio's list showed that the previous one had no
        effect.
    :param clock_offset: Seconds by which Twilio's clock was ahead of the sender's; None if the sender had not yet
        received a response.
    :param owner: Token of the process that stored the intent. Only the owner may send the request.
    :param generation: Number of processes that have owned the intent, including this one.
    """

    fingerprint: Mapping[str, Any]
    digest: str
    first_sent_at: datetime
    sent_at: datetime
    timeout: float
    attempts: int = 1
    clock_offset: float | None = None
    owner: str | None = None
    generation: int | None = None

    def as_json(self) -> dict[str, Any]:
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {**values, "first_sent_at": self.first_sent_at.isoformat(), "sent_at": self.sent_at.isoformat()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Intent:
        """Build an intent from its stored form, ignoring keys that this release does not know."""
        known = {name: value[name] for name in cls.__slots__ if name in value}
        times = {name: datetime.fromisoformat(value[name]) for name in ("first_sent_at", "sent_at")}
        return cls(**{**known, **times})

    @property
    def ends_at(self) -> datetime:
        """Time at which the request has ended, with or without a response."""
        return self.sent_at + timedelta(seconds=self.timeout)

    @property
    def window(self) -> Window:
        """The time during which the request was in flight."""
        return Window(self.first_sent_at, self.ends_at, self.clock_offset)

    def covers(self, moment: datetime | None, clock_offset: float | None = None) -> bool:
        """Return whether a record created at a moment may be the result of this send: see :meth:`Window.covers`."""
        return self.window.covers(moment, clock_offset)


@dataclass(frozen=True, slots=True)
class Window:
    """The time between the start and the end of a process's requests.

    :param start: Start, by the clock of that process.
    :param end: End, by the same clock.
    :param clock_offset: Seconds by which Twilio's clock was ahead of it; None if unknown.
    """

    start: datetime
    end: datetime
    clock_offset: float | None = None

    def at_twilio(self, clock_offset: float | None) -> list[tuple[datetime, datetime]]:
        """Return the start and the end by Twilio's clock.

        If the clock of the process that sent the request is unknown, it may have been right, or it may have been this
        machine's: there is a result for each of them.

        :param clock_offset: Seconds by which Twilio's clock is ahead of this machine's; None if unknown.
        """
        offsets = {0.0, clock_offset or 0.0} if self.clock_offset is None else {self.clock_offset}
        return [(self.start + timedelta(seconds=offset), self.end + timedelta(seconds=offset)) for offset in offsets]

    def covers(self, moment: datetime | None, clock_offset: float | None = None) -> bool:
        """Return whether a moment of Twilio's clock lies within the window; an unknown moment always may.

        :param clock_offset: Seconds by which Twilio's clock is ahead of this machine's; None if unknown.
        """
        skew = timedelta(seconds=CLOCK_SKEW)
        return moment is None or any(
            start - skew <= moment <= end + skew for start, end in self.at_twilio(clock_offset)
        )
