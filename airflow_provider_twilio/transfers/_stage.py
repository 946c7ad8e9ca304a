"""A staging area on disk: the records of a run, one row for each SID, before they are written to files."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

from airflow_provider_twilio.transfers._tables import ROWS_PER_BATCH, Row


class StagedRow(NamedTuple):
    """A record to be staged.

    :ivar sid: The record's SID.
    :ivar day: The day whose file the record belongs to.
    :ivar created: When the record was created, as text; rows are sorted by it.
    :ivar row: The values of its columns.
    """

    sid: str
    day: str
    created: str
    row: Row


class Stage:
    """A temporary SQLite database of rows by SID, deleted on exit. Memory use does not grow with the rows.

    :param retained_column: Index of the column, if any, whose value is retained when a later row has none.
    """

    def __init__(self, retained_column: int | None = None) -> None:
        self._retained_column = retained_column
        self._folder = tempfile.TemporaryDirectory(prefix="twilio-")
        self._database = sqlite3.connect(Path(self._folder.name) / "stage.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.create_function("merged", 2, self._merge, deterministic=True)
        self._database.execute(
            "CREATE TABLE staged (sid TEXT PRIMARY KEY, day TEXT, created TEXT, line TEXT, is_new INTEGER)"
            " WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, rows: Iterable[StagedRow], *, is_new: bool) -> None:
        """Add rows. A row replaces the earlier row of its SID if it differs.

        :param is_new: Whether the rows come from Twilio, so that the file of their day has to be written.
        """
        values = ((staged.sid, staged.day, staged.created, _dump(staged.row), is_new) for staged in rows)
        while batch := list(islice(values, ROWS_PER_BATCH)):
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO staged VALUES (?, ?, ?, ?, ?) ON CONFLICT (sid) DO UPDATE"
                " SET line = merged(excluded.line, line), is_new = excluded.is_new"
                " WHERE line <> merged(excluded.line, line)",
                batch,
            )
            self._database.execute("COMMIT")

    def _merge(self, line: str, earlier: str) -> str:
        """Return a row with the retained column of an earlier row, if it has no value of its own."""
        if self._retained_column is None or (row := json.loads(line))[self._retained_column]:
            return line
        row[self._retained_column] = json.loads(earlier)[self._retained_column]
        return _dump(row)

    def count_changes(self, day: str) -> int:
        """Return the number of a day's rows that are new or changed."""
        (count,) = self._database.execute("SELECT count(*) FROM staged WHERE day = ? AND is_new", (day,)).fetchone()
        return int(count)

    def count_rows(self, day: str) -> int:
        """Return the number of a day's rows."""
        (count,) = self._database.execute("SELECT count(*) FROM staged WHERE day = ?", (day,)).fetchone()
        return int(count)

    def rows(self, day: str) -> Iterator[Row]:
        """Yield a day's rows by the time of their creation, then by SID."""
        for (line,) in self._database.execute("SELECT line FROM staged WHERE day = ? ORDER BY created, sid", (day,)):
            yield json.loads(line)


def _dump(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)
