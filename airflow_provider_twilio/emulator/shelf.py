"""Keep records in the order in which they are listed, so that no request has to sort them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import Any, Generic, Protocol, TypeVar

NEVER = float("inf")

Rank = tuple[int, float, int]
"""Where a record stands in a list, the greatest first: its section, the time it is sorted by, its number."""


class Shelved(Protocol):
    """A record on a shelf: it stands at the time ``key``; ``seq`` numbers records in the order they were made."""

    sid: str
    seq: int
    created: float
    key: float


R = TypeVar("R", bound=Shelved)


class Shelf(Generic[R]):
    """Hold records by SID and by key, the newest listed first.

    A key that lies ahead of the listing's time is one that the record doesn't have yet: a message that will be sent.

    :param index: attributes, none of which ever changes, by whose values records are to be found.
    """

    def __init__(self, index: Sequence[str] = ()) -> None:
        self._by_sid: dict[str, R] = {}
        self._order: list[tuple[float, int, R]] = []
        self._index: dict[str, dict[Any, list[R]]] = {name: {} for name in index}

    def having(self, most: int, **values: Any) -> Shelf[R]:
        """Give a shelf of the records that have one of these values in an indexed attribute, if that saves work.

        All of them still have to be tested. What nearly all have is found faster by going through the shelf itself.

        :param most: how many are wanted.
        """
        if not values:
            return self
        held = min((self._index[name].get(value, []) for name, value in values.items()), key=len)
        if len(held) ** 2 > most * len(self):
            return self
        part: Shelf[R] = Shelf()
        part._by_sid = {record.sid: record for record in held}
        part._order = sorted(((record.key, record.seq, record) for record in held), key=_place)
        return part

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[R]:
        """Give all, in the order they were made."""
        return iter(self._by_sid.values())

    def __reversed__(self) -> Iterator[R]:
        """Give all, the latest made first."""
        return reversed(self._by_sid.values())

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_sid

    def get(self, sid: str) -> R | None:
        return self._by_sid.get(sid)

    def add(self, record: R) -> None:
        self._by_sid[record.sid] = record
        for name, held in self._index.items():
            held.setdefault(getattr(record, name), []).append(record)
        entry = (record.key, record.seq, record)
        if not self._order or self._order[-1][:2] < entry[:2]:
            self._order.append(entry)
        else:
            insort(self._order, entry, key=_place)

    def remove(self, record: R) -> None:
        del self._by_sid[record.sid]
        for name, held in self._index.items():
            value = getattr(record, name)
            same = held[value]
            at = bisect_left(same, record.seq, key=_number)
            if at < len(same) and same[at] is record:
                del same[at]
            else:  # it came from another shelf, out of turn
                same.remove(record)
            if not held[value]:
                del held[value]
        self._take(record)

    def move(self, record: R, key: float) -> None:
        """Give a record a new key, and its place by it."""
        self._take(record)
        record.key = key
        insort(self._order, (key, record.seq, record), key=_place)

    def _take(self, record: R) -> None:
        at = bisect_left(self._order, (record.key, record.seq), key=_place)
        del self._order[at]

    def newest(
        self,
        asof: float,
        pending: str,
        after: Rank | None = None,
        keep: Callable[[R], bool] | None = None,
        span: tuple[float, float] | None = None,
    ) -> Iterator[tuple[Rank, R]]:
        """List from the newest on, as it stood at a time.

        :param pending: where records stand whose key lies ahead of ``asof``: ``first``, ``last``, or among the
            others by ``date_created``.
        :param after: the rank after which to go on.
        :param keep: list only what this takes.
        :param span: list only what has its key in this span, which what is pending hasn't.
        """
        cut = bisect_right(self._order, (asof, 1 << 62), key=_place)
        if span is not None:
            floor, ceiling = (bisect_left(self._order, (edge, 0), key=_place) for edge in span)
            return self._settled(floor, min(cut, ceiling), after, asof, keep)
        settled = self._settled(0, cut, after, asof, keep)
        section = {"first": 1, "last": -1}.get(pending, 0)
        waiting = [
            ((section, record.created if section == 0 else float(record.seq), record.seq), record)
            for _, _, record in self._order[cut:]
            if record.created <= asof and (keep is None or keep(record))
        ]
        if after is not None:
            waiting = [pair for pair in waiting if pair[0] < after]
        waiting.sort(key=lambda pair: pair[0], reverse=True)
        return merge(waiting, settled, key=lambda pair: pair[0], reverse=True) if waiting else settled

    def _settled(
        self, floor: int, cut: int, after: Rank | None, asof: float, keep: Callable[[R], bool] | None
    ) -> Iterator[tuple[Rank, R]]:
        if after is not None:
            if after[0] < 0:
                return
            if after[0] == 0:
                cut = min(cut, bisect_left(self._order, after[1:], key=_place))
        order = self._order
        for at in range(cut - 1, floor - 1, -1):
            key, seq, record = order[at]
            if record.created <= asof and (keep is None or keep(record)):
                yield (0, key, seq), record


def _number(record: Shelved) -> int:
    return record.seq


def _place(entry: tuple[float, int, object]) -> tuple[float, int]:
    return entry[:2]
