"""The journal: every request that came in, what was answered, and which fault got in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

LENGTH = 200_000


@dataclass(slots=True, eq=False)
class Entry:
    """Hold one request. ``status`` is what the client saw: None if it saw none."""

    number: int
    time: float
    method: str
    path: str
    query: bytes
    body: bytes
    user: str
    status: int | None = None
    code: int | None = None
    fault: str | None = None
    sid: str | None = None
    duration: float = 0.0

    @property
    def params(self) -> dict[str, str | list[str]]:
        """The query's and the form's parameters; repeated ones as lists."""
        result: dict[str, str | list[str]] = {}
        for encoded in (self.query, self.body):
            for name, value in parse_qsl(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=None):
                held = result.get(name)
                if held is None:
                    result[name] = value
                elif isinstance(held, list):
                    held.append(value)
                else:
                    result[name] = [held, value]
        return result

    @property
    def query_string(self) -> str:
        """The query as it came, still encoded."""
        return self.query.decode("latin-1")

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "time": self.time,
            "duration": round(self.duration, 6),
            "code": self.code,
            "fault": self.fault,
            "sid": self.sid,
            "user": self.user,
            "params": self.params,
        }


class Journal:
    """Keep the latest requests, the oldest first.

    ``len``, iteration and indexing go over all that are kept; :meth:`find` and :meth:`count` choose among them.
    """

    def __init__(self, length: int = LENGTH) -> None:
        self._entries: deque[Entry] = deque(maxlen=length)
        self.total = 0
        """How many there were, including those that are no longer kept."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    def add(self, time: float, method: str, path: str, query: bytes, body: bytes) -> Entry:
        self.total += 1
        entry = Entry(self.total, time, method, path, query, body, "")
        self._entries.append(entry)
        return entry

    def find(
        self,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        since: float | None = None,
        **params: str,
    ) -> list[Entry]:
        """Give the requests of this method, whose path contains this text, with this status and these parameters."""
        return [
            entry
            for entry in list(self._entries)
            if (method is None or entry.method == method.upper())
            and (path is None or path in entry.path)
            and (status is None or entry.status == status)
            and (since is None or entry.time >= since)
            and (not params or params.items() <= _flat(entry.params).items())
        ]

    def count(
        self, method: str | None = None, path: str | None = None, status: int | None = None, **params: str
    ) -> int:
        """Count the requests that :meth:`find` gives."""
        return len(self.find(method, path, status, None, **params))

    def clear(self) -> None:
        self._entries.clear()


def _flat(params: dict[str, str | list[str]]) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in params.items()}
