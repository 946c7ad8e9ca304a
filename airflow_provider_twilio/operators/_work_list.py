"""The work list of the retention operators: which records to redact or delete, and the outcome of each."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.items import Outcome

REPORT_COLUMNS = ("sid", "date_created", "outcome", "code", "reason", "run_id")


class WorkList:
    """The records that a task redacts or deletes, with their outcomes. It is stored on disk, not in memory.

    :param done_outcome: Outcome of a processed record: ``redacted`` or ``deleted``.
    :param run_id: Run ID of the task's DAG run, which each row of the report contains.
    :param applies: Whether the task redacts or deletes the records, rather than only reporting them.
    """

    def __init__(self, done_outcome: str, run_id: str, applies: bool) -> None:
        self._done_outcome, self._run_id = done_outcome, run_id
        self._pending_outcome = f"to be {done_outcome}" if applies else f"would be {done_outcome}"
        self._folder = tempfile.TemporaryDirectory(prefix="twilio-")
        # The engine reads from another thread.
        self._database = sqlite3.connect(
            Path(self._folder.name) / "records.sqlite", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE records (sid TEXT PRIMARY KEY, date_created TEXT, media INTEGER, outcome TEXT, code INTEGER,"
            " reason TEXT) WITHOUT ROWID"
        )
        self._pending_file = Path(self._folder.name) / "pending.txt"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def load_report(self, rows: Iterable[Mapping[str, Any]], since: datetime | None, until: datetime) -> None:
        """Add the records that an earlier try was about to process.

        A record in the current range counts as done, unless :meth:`add_pending` finds it again. A record outside the
        range is ``unknown``, unless the report says that it was done. Records that an earlier try only reported,
        without ``apply``, are ignored.
        """

        def entries() -> Iterator[tuple[Any, ...]]:
            for row in rows:
                created, outcome = datetime.fromisoformat(row["date_created"]), row["outcome"]
                if outcome.startswith("would be "):
                    continue
                in_range = created < until and (since is None or created >= since)
                is_done = in_range or outcome == self._done_outcome
                yield row["sid"], row["date_created"], 0, self._done_outcome if is_done else "unknown"

        self._insert(
            "INSERT OR REPLACE INTO records (sid, date_created, media, outcome) VALUES (?, ?, ?, ?)", entries()
        )

    def add_pending(self, found: Iterable[tuple[str, str, int]]) -> None:
        """Add the records to process.

        :param found: SID, creation time and number of media of each record.
        """
        entries = ((sid, created, media, "due", None, None) for sid, created, media in found)
        self._insert("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)", entries)
        with self._pending_file.open("w") as file:
            for sid, media in self._database.execute("SELECT sid, media FROM records WHERE outcome = 'due'"):
                file.write(f"{sid} {media}\n")

    def _insert(self, statement: str, entries: Iterable[tuple[Any, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(statement, entries)
        self._database.execute("COMMIT")

    def pending(self) -> Iterator[tuple[str, int]]:
        """Yield SID and number of media of the records that were pending when they were added."""
        with self._pending_file.open() as file:
            for line in file:
                sid, media = line.split()
                yield sid, int(media)

    def record(self, outcome: Outcome) -> None:
        """Store the outcome of a request for a record. A failure is final, even if a later request succeeds."""
        stored = {"done": self._done_outcome, "later": "later"}.get(outcome.kind, "failed")
        self._database.execute(
            "UPDATE records SET outcome = ?, code = ?, reason = ? WHERE sid = ? AND outcome IN ('due', ?)",
            (stored, outcome.code, outcome.reason or None, outcome.item.key, "later" if stored == "failed" else "due"),
        )

    @property
    def record_count(self) -> int:
        """Number of all records."""
        (count,) = self._database.execute("SELECT count(*) FROM records").fetchone()
        return int(count)

    @property
    def pending_count(self) -> int:
        """Number of records without an outcome."""
        (count,) = self._database.execute("SELECT count(*) FROM records WHERE outcome = 'due'").fetchone()
        return int(count)

    def summary(self, done_earlier: int) -> dict[str, int]:
        """Return the numbers of records by outcome. ``records`` is the sum of the others.

        :param done_earlier: Number of records that earlier tries processed and that are not in the list.
        """
        counts = dict(self._database.execute("SELECT outcome, count(*) FROM records GROUP BY outcome").fetchall())
        return {
            "records": self.record_count + done_earlier,
            self._done_outcome: int(counts.get(self._done_outcome, 0)) + done_earlier,
            "left": int(counts.get("due", 0)) + int(counts.get("unknown", 0)),
            "later": int(counts.get("later", 0)),
            "failed": int(counts.get("failed", 0)),
        }

    def report_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the report, oldest record first."""
        for sid, created, outcome, code, reason in self._database.execute(
            "SELECT sid, date_created, outcome, code, reason FROM records ORDER BY date_created, sid"
        ):
            reported = self._pending_outcome if outcome == "due" else outcome
            values = (sid, created, reported, code, reason, self._run_id)
            yield dict(zip(REPORT_COLUMNS, values, strict=True))
