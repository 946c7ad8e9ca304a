"""Records in the order in which they are listed, so that no request has to sort them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import Any, Generic, Protocol, TypeVar

NEVER = float("inf")

Rank = tuple[int, float, int]
"""The position of a record in a list, greatest first: its section, its sort key, its sequence number."""


class Stored(Protocol):
    """Any record that a store can list.

    ``sort_key`` is a time, and ``seq`` the order of creation.
    """

    sid: str
    seq: int
    created: float
    sort_key: float


R = TypeVar("R", bound=Stored)


class RecordStore(Generic[R]):
    """Records by SID and by sort key, listed newest first.

    A sort key later than the time of the listing is one that the record does not have yet: a message not yet sent.

    :param index: Attributes to index. Their values must never change.
    """

    def __init__(self, index: Sequence[str] = ()) -> None:
        self._by_sid: dict[str, R] = {}
        self._order: list[tuple[float, int, R]] = []
        self._index: dict[str, dict[Any, list[R]]] = {name: {} for name in index}

    def lookup(self, limit: int, **values: Any) -> RecordStore[R]:
        """Return a smaller store that has all records with these values.

        It is the whole store if that is faster.

        The caller still has to filter the records. When nearly all records have the value, the whole store finds
        ``limit`` of them sooner.

        :param limit: The number of records that the caller needs.
        :param values: Values of indexed attributes.
        """
        if not values:
            return self
        matches = min((self._index[name].get(value, []) for name, value in values.items()), key=len)
        if len(matches) ** 2 > limit * len(self):
            return self
        part: RecordStore[R] = RecordStore()
        part._by_sid = {record.sid: record for record in matches}
        part._order = sorted(((record.sort_key, record.seq, record) for record in matches), key=_order_key)
        return part

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[R]:
        """Yield all records in order of creation."""
        return iter(self._by_sid.values())

    def __reversed__(self) -> Iterator[R]:
        """Yield all records in reverse order of creation."""
        return reversed(self._by_sid.values())

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_sid

    def get(self, sid: str) -> R | None:
        return self._by_sid.get(sid)

    def add(self, record: R) -> None:
        self._by_sid[record.sid] = record
        for name, by_value in self._index.items():
            by_value.setdefault(getattr(record, name), []).append(record)
        entry = (record.sort_key, record.seq, record)
        if not self._order or self._order[-1][:2] < entry[:2]:
            self._order.append(entry)
        else:
            insort(self._order, entry, key=_order_key)

    def remove(self, record: R) -> None:
        del self._by_sid[record.sid]
        for name, by_value in self._index.items():
            value = getattr(record, name)
            same = by_value[value]
            at = bisect_left(same, record.seq, key=_seq)
            if at < len(same) and same[at] is record:
                del same[at]
            else:  # the record came from another store, out of order
                same.remove(record)
            if not by_value[value]:
                del by_value[value]
        self._remove_from_order(record)

    def move(self, record: R, sort_key: float) -> None:
        """Set a record's sort key, and move the record accordingly."""
        self._remove_from_order(record)
        record.sort_key = sort_key
        insort(self._order, (sort_key, record.seq, record), key=_order_key)

    def _remove_from_order(self, record: R) -> None:
        at = bisect_left(self._order, (record.sort_key, record.seq), key=_order_key)
        del self._order[at]

    def iter_newest(
        self,
        as_of: float,
        pending: str,
        after: Rank | None = None,
        keep: Callable[[R], bool] | None = None,
        span: tuple[float, float] | None = None,
    ) -> Iterator[tuple[Rank, R]]:
        """Yield the records from the newest, as they were listed at a time.

        :param as_of: The time of the listing.
        :param pending: Where to list records whose sort key is later than ``as_of``: ``first``, ``last``, or among the
            others by ``date_created``.
        :param after: The rank after which to start.
        :param keep: The filter that listed records pass.
        :param span: The range of sort keys to list. Pending records are outside of it.
        """
        cut = bisect_right(self._order, (as_of, 1 << 62), key=_order_key)
        if span is not None:
            floor, ceiling = (bisect_left(self._order, (edge, 0), key=_order_key) for edge in span)
            return self._iter_sorted(floor, min(cut, ceiling), after, as_of, keep)
        listed = self._iter_sorted(0, cut, after, as_of, keep)
        section = {"first": 1, "last": -1}.get(pending, 0)
        waiting = [
            ((section, record.created if section == 0 else float(record.seq), record.seq), record)
            for _, _, record in self._order[cut:]
            if record.created <= as_of and (keep is None or keep(record))
        ]
        if after is not None:
            waiting = [pair for pair in waiting if pair[0] < after]
        waiting.sort(key=lambda pair: pair[0], reverse=True)
        return merge(waiting, listed, key=lambda pair: pair[0], reverse=True) if waiting else listed

    def _iter_sorted(
        self, floor: int, cut: int, after: Rank | None, as_of: float, keep: Callable[[R], bool] | None
    ) -> Iterator[tuple[Rank, R]]:
        if after is not None:
            if after[0] < 0:
                return
            if after[0] == 0:
                cut = min(cut, bisect_left(self._order, after[1:], key=_order_key))
        order = self._order
        for at in range(cut - 1, floor - 1, -1):
            sort_key, seq, record = order[at]
            if record.created <= as_of and (keep is None or keep(record)):
                yield (0, sort_key, seq), record


def _seq(record: Stored) -> int:
    return record.seq


def _order_key(entry: tuple[float, int, object]) -> tuple[float, int]:
    return entry[:2]
