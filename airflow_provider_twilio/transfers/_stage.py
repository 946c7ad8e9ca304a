"""Where records gather before they are written: on disk, each SID once, what came last in its place."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

from airflow_provider_twilio.transfers._tables import BATCH, Row

Entry = tuple[str, str, str, Row]
"""A record's SID, the day its file is of, the time it was made, and its row."""


class Stage:
    """Gather rows by SID, in a file of its own that goes when it is closed; memory stays as it is.

    :param lasting: the column, if any, whose value stays where what comes later has none.
    """

    def __init__(self, lasting: int | None = None) -> None:
        self._lasting = lasting
        self._folder = tempfile.TemporaryDirectory(prefix="twilio-")
        self._database = sqlite3.connect(Path(self._folder.name) / "stage.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.create_function("laid", 2, self._laid, deterministic=True)
        self._database.execute(
            "CREATE TABLE staged (sid TEXT PRIMARY KEY, day TEXT, made TEXT, line TEXT, fresh INTEGER) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, entries: Iterable[Entry], *, fresh: bool) -> None:
        """Take entries in; one that says something else than what there was takes its place.

        :param fresh: whether they are new, and their day's file has to be written for them.
        """
        rows = ((sid, day, made, _line(row), fresh) for sid, day, made, row in entries)
        while batch := list(islice(rows, BATCH)):
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO staged VALUES (?, ?, ?, ?, ?) ON CONFLICT (sid) DO UPDATE"
                " SET line = laid(excluded.line, line), fresh = excluded.fresh WHERE line <> laid(excluded.line, line)",
                batch,
            )
            self._database.execute("COMMIT")

    def _laid(self, line: str, over: str) -> str:
        """Give the line that is laid over another, with what of that one stays."""
        if self._lasting is None or (row := json.loads(line))[self._lasting]:
            return line
        row[self._lasting] = json.loads(over)[self._lasting]
        return _line(row)

    def changes(self, day: str) -> int:
        """Count a day's rows that are new, or say something new."""
        (count,) = self._database.execute("SELECT count(*) FROM staged WHERE day = ? AND fresh", (day,)).fetchone()
        return int(count)

    def count(self, day: str) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM staged WHERE day = ?", (day,)).fetchone()
        return int(count)

    def rows(self, day: str) -> Iterator[Row]:
        """Give a day's rows by the time they were made, and then by SID."""
        for (line,) in self._database.execute("SELECT line FROM staged WHERE day = ? ORDER BY made, sid", (day,)):
            yield json.loads(line)


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)
