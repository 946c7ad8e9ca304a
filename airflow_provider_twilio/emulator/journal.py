"""The request journal: every request, its response, and the fault that was injected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

MAX_ENTRIES = 200_000
SECRET_PARAMS = frozenset({"client_secret", "SipAuthPassword"})
"""Parameters that the control API and the inbox do not show."""


@dataclass(slots=True, eq=False)
class Entry:
    """A request. ``status`` is that of the response; None if the client received none."""

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
        """The parameters of the query and the form, with a list for a repeated name."""
        result: dict[str, str | list[str]] = {}
        for encoded in (self.query, self.body):
            for name, value in parse_qsl(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=None):
                existing = result.get(name)
                if existing is None:
                    result[name] = value
                elif isinstance(existing, list):
                    existing.append(value)
                else:
                    result[name] = [existing, value]
        return result

    @property
    def masked_params(self) -> dict[str, str | list[str]]:
        """The parameters, without the values of secrets."""
        return {name: "***" if name in SECRET_PARAMS else value for name, value in self.params.items()}

    @property
    def query_string(self) -> str:
        """The query string, still encoded."""
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
            "params": self.masked_params,
        }


class Journal:
    """The latest requests, oldest first.

    ``len``, iteration and indexing cover all entries; :meth:`find` and :meth:`count` select some of them.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: deque[Entry] = deque(maxlen=max_entries)
        self.total = 0
        """Number of requests since the start, including those that were dropped."""

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
        """Return the requests that match all arguments.

        :param path: A string that the path contains.
        :param since: The earliest time, in seconds since 1970.
        """
        return [
            entry
            for entry in list(self._entries)
            if (method is None or entry.method == method.upper())
            and (path is None or path in entry.path)
            and (status is None or entry.status == status)
            and (since is None or entry.time >= since)
            and (not params or params.items() <= _first_values(entry.params).items())
        ]

    def count(
        self, method: str | None = None, path: str | None = None, status: int | None = None, **params: str
    ) -> int:
        """Return the number of requests that :meth:`find` returns."""
        return len(self.find(method, path, status, None, **params))

    def clear(self) -> None:
        self._entries.clear()


def _first_values(params: dict[str, str | list[str]]) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in params.items()}
