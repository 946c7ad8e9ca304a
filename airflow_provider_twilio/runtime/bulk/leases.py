"""Leases: the periods in which the processes of a stream may have been sending.

A process stores its lease before it sends, extends it while it sends, and starts no request after its end. So a later
process knows in which periods a request of unknown outcome may have been sent. A lease also has the offset between the
clock of its process and Twilio's, as soon as the process has received a response.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.runtime.idempotency.intent import Window
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.client.clock import TwilioClock


@dataclass(slots=True)
class Lease:
    """A period in which a process may start requests, by the clock of that process.

    :param started_at: Start of the period.
    :param until: End of the period.
    :param clock_offset: Seconds by which Twilio's clock was ahead of the process's; None if it is not known.
    """

    started_at: datetime
    until: datetime
    clock_offset: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the value for the state store."""
        return {
            "started_at": self.started_at.isoformat(),
            "until": self.until.isoformat(),
            "clock_offset": self.clock_offset,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Lease:
        """Build a lease from its stored form."""
        started_at, until = (datetime.fromisoformat(value[name]) for name in ("started_at", "until"))
        return cls(started_at, until, value["clock_offset"])


def lease_keys(store: StateStore, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the key and the stored value of each lease of a stream, oldest first."""
    index = 0
    while (value := store.get(lease_key := f"{key}.lease.{index}")) is not None:
        yield lease_key, value
        index += 1


class Leases:
    """The leases of a stream: those of earlier processes, and that of this process. All methods may block.

    :param store: State store of the stream.
    :param key: Prefix of the stream's keys.
    :param request_timeout: Maximum duration of a request, in seconds.
    :param twilio_clock: Twilio's clock, as the client of this process reads it.
    """

    def __init__(
        self, store: StateStore, key: str, *, request_timeout: float, twilio_clock: TwilioClock | None = None
    ) -> None:
        self._store, self._key, self._twilio_clock = store, key, twilio_clock
        self._request_timeout = timedelta(seconds=request_timeout)
        self._own: Lease | None = None
        self._lock, self._has_ended = threading.Lock(), False
        self.index: int | None = None
        """Position of this process's lease, from 0; None before :meth:`acquire`."""

    def acquire(self, seconds: float) -> None:
        """Store a lease of this process, which begins now."""
        self.index = sum(1 for _ in lease_keys(self._store, self._key))
        now = datetime.now(UTC)
        self._own = Lease(now, now)
        self.extend(seconds)

    def extend(self, seconds: float) -> None:
        """Extend the lease to some seconds from now, unless it has ended."""
        with self._lock:
            if not self._has_ended:
                self._set_end(seconds)

    def end(self) -> None:
        """End the lease permanently: no request is in flight.

        An extension that another thread is storing is awaited first. A canceled one runs on in its thread, and would
        otherwise replace the end.
        """
        with self._lock:
            self._has_ended = True
            self._set_end(0.0)

    def _set_end(self, seconds: float) -> None:
        if self._own is None:
            return
        now = datetime.now(UTC)
        self._own.until = now + timedelta(seconds=seconds)
        if self._twilio_clock is not None and (offset := self._twilio_clock.offset(now)) is not None:
            self._own.clock_offset = offset
        self._store.set(f"{self._key}.lease.{self.index}", self._own.as_json())

    def windows(self, first: int | None, started_at: datetime, *, own: bool) -> tuple[Window, ...]:
        """Return the windows in which an item may have been sent.

        :param first: Position of the lease in which the item was first sent; None if there were no leases then.
        :param started_at: Time before which the item was not sent, by the clock of that process.
        :param own: Whether this process has sent the item.
        """
        leases = [Lease.from_json(value) for _, value in lease_keys(self._store, self._key)]
        leases = leases[first : None if own else self.index]
        if first is None or not leases:
            return (Window(started_at, datetime.now(UTC)),)
        return tuple(
            Window(
                lease.started_at if later else max(started_at, lease.started_at),
                lease.until + self._request_timeout,
                lease.clock_offset,
            )
            for later, lease in enumerate(leases)
        )
