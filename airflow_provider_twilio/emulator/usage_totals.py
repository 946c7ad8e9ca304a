"""Usage totals of an account, kept up to date so that no request has to read all records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from airflow_provider_twilio.emulator.record_store import RecordStore


class Billable(Protocol):
    """Any record that has a price, which becomes final at some time."""

    sid: str
    seq: int

    @property
    def day(self) -> int: ...
    @property
    def category(self) -> str: ...
    @property
    def segments(self) -> int: ...
    def charged(self, now: float) -> float: ...
    def is_price_final(self, now: float) -> bool: ...


@dataclass(slots=True, eq=False)
class Total:
    """The number, the usage and the price of the records of one day and category."""

    count: int = 0
    usage: float = 0.0
    price: float = 0.0


Totals = dict[tuple[int, str], Total]
"""Totals by day (since 1970) and usage category."""


def add(totals: Totals, record: Any, now: float, sign: int = 1) -> None:
    """Add a record to the totals, or subtract it with a ``sign`` of -1."""
    price = record.charged(now)
    for day in record.days(now) if hasattr(record, "days") else [record.day]:  # a phone number costs rent each month
        total = totals.setdefault((day, record.category), Total())
        if price:
            total.count += sign
            total.usage += sign * record.segments
            total.price += sign * price


@dataclass(slots=True, eq=False)
class UsageTotals:
    """The totals of an account, and the records whose price is not final.

    The totals include deleted records.
    """

    final: Totals = field(default_factory=dict)
    _pending: dict[str, Billable] = field(default_factory=dict)
    """The records whose price is not final, by SID."""
    _last_seq: dict[int, int] = field(default_factory=dict)
    """The newest record that was counted, by the id of its store."""

    def compute(self, stores: Iterable[RecordStore[Any]], now: float) -> Totals:
        """Return the totals of all records, with the prices of now."""
        for store in stores:
            self._pending.update((record.sid, record) for record in self._new_records(store))
        for record in [record for record in self._pending.values() if record.is_price_final(now)]:
            add(self.final, record, now)
            del self._pending[record.sid]
        totals = {key: Total(total.count, total.usage, total.price) for key, total in self.final.items()}
        for record in self._pending.values():
            add(totals, record, now)
        return totals

    def _new_records(self, store: RecordStore[Any]) -> Iterator[Any]:
        """Yield the records that were created since the last call."""
        last_seq = self._last_seq.get(id(store), 0)
        new: list[Any] = list(takewhile(lambda record: record.seq > last_seq, reversed(store)))
        if new:
            self._last_seq[id(store)] = new[0].seq
        yield from reversed(new)

    def archive(self, store: RecordStore[Any], record: Any, now: float) -> None:
        """Count a record that is about to be deleted: its usage outlives it."""
        if not self._is_final(store, record):
            self._pending.pop(record.sid, None)
            add(self.final, record, now)

    def reopen(self, store: RecordStore[Any], record: Any, now: float) -> None:
        """Subtract a record whose status, and so its price, is about to change."""
        if self._is_final(store, record):
            add(self.final, record, now, -1)
            self._pending[record.sid] = record

    def _is_final(self, store: RecordStore[Any], record: Any) -> bool:
        return record.sid not in self._pending and record.seq <= self._last_seq.get(id(store), 0)
