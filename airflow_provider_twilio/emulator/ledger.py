"""Sum up what an account has used, without going through all it ever did each time somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Protocol

from airflow_provider_twilio.emulator.shelf import Shelf


class Charged(Protocol):
    """What costs something, once it is settled a fixed sum."""

    sid: str
    seq: int

    @property
    def day(self) -> int: ...
    @property
    def category(self) -> str: ...
    @property
    def segments(self) -> int: ...
    def charged(self, now: float) -> float: ...
    def settled(self, now: float) -> bool: ...


@dataclass(slots=True, eq=False)
class Charge:
    """Sum up what records have cost, and how many they were, on one day in one category."""

    count: int = 0
    usage: float = 0.0
    price: float = 0.0


Charges = dict[tuple[int, str], Charge]


def add(charges: Charges, record: Any, now: float, sign: int = 1) -> None:
    """Add a record to the sums, or take it out again."""
    price = record.charged(now)
    for day in record.days(now) if hasattr(record, "days") else [record.day]:  # a number costs its rent each month
        charge = charges.setdefault((day, record.category), Charge())
        if price:
            charge.count += sign
            charge.usage += sign * record.segments
            charge.price += sign * price


@dataclass(slots=True, eq=False)
class Ledger:
    """Hold the sums of what is settled, those that were deleted included, and which records are not settled yet."""

    sums: Charges = field(default_factory=dict)
    _open: dict[str, Charged] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)

    def total(self, shelves: Iterable[Shelf[Any]], now: float) -> Charges:
        """Give the sums over all records, those of now included."""
        for shelf in shelves:
            self._open.update((record.sid, record) for record in self._new(shelf))
        for record in [record for record in self._open.values() if record.settled(now)]:
            add(self.sums, record, now)
            del self._open[record.sid]
        total = {key: Charge(sum_.count, sum_.usage, sum_.price) for key, sum_ in self.sums.items()}
        for record in self._open.values():
            add(total, record, now)
        return total

    def _new(self, shelf: Shelf[Any]) -> Iterator[Any]:
        """Give the records that were made since the last time."""
        seen = self._seen.get(id(shelf), 0)
        new: list[Any] = list(takewhile(lambda record: record.seq > seen, reversed(shelf)))
        if new:
            self._seen[id(shelf)] = new[0].seq
        yield from reversed(new)

    def bury(self, shelf: Shelf[Any], record: Any, now: float) -> None:
        """Keep what a record has cost that is about to be deleted: usage outlives its records."""
        if not self._is_settled(shelf, record):
            self._open.pop(record.sid, None)
            add(self.sums, record, now)

    def reopen(self, shelf: Shelf[Any], record: Any, now: float) -> None:
        """Take a record out of the sums, because it is about to take another turn."""
        if self._is_settled(shelf, record):
            add(self.sums, record, now, -1)
            self._open[record.sid] = record

    def _is_settled(self, shelf: Shelf[Any], record: Any) -> bool:
        return record.sid not in self._open and record.seq <= self._seen.get(id(shelf), 0)
