"""Forgetting what is old: found first, then reported, and only then redacted or deleted, many at once."""

from __future__ import annotations

import sqlite3
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from airflow_provider_twilio._airflow import storage as files
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import MediaItems, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.recordings import Recordings
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.runtime.bulk.items import Outcome
    from airflow_provider_twilio.runtime.state_store import StateStore

COLUMNS = ("sid", "date_created", "outcome", "code", "reason", "run_id")
PLANNED = "twilio_retention"
"""The key in the task state store of what the last try has meant, and how many records the first of the same found."""
MEDIA = definition(MediaItems.list)


class _RetentionOperator(CompositeOperator):
    """Find records that are older than so many days, report them and, with ``apply``, redact or delete them.

    What is old counts from the run, so that each try means the same records. The report is written before anything is
    touched, with what would become of each, or with ``apply`` what is to, and again at the end, with what has. A later
    try finds what is left, and knows the rest of what was to be done from the report for done.
    """

    done: ClassVar[str]
    """What has become of a record: ``redacted`` or ``deleted``."""

    @abstractmethod
    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """List what may be old enough."""

    @abstractmethod
    def _request_for(self, sid: str) -> Request[Any]:
        """Give the request that redacts or deletes one."""

    async def _before_run(self, client: Any, ledger: WorkList, concurrency: int) -> None:
        """Do what comes before that."""

    def _is_due(self, record: Any) -> bool:
        """Tell whether anything is left to do about a record that is old enough."""
        return True

    def _media_of(self, record: Any) -> int:
        """Count the media of a message that are to be deleted with it."""
        return 0

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        return UNRESOLVED if name in ("start", "end") and value is not None else super()._literal_of(name, value)

    @classmethod
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Require an age, and a range that has both ends, if there is one."""
        checks.required(days=given["days"])
        parse_int("days", given["days"], 1)
        if (given["start"] is None) != (given["end"] is None):
            one, other = ("start", "end") if given["end"] is None else ("end", "start")
            raise BadParameter(one, f"is given without {other}", "give both, or none for all that is old enough")
        files.check_path("report", given["report"], files.TABLE_FORMATS)
        parse_int("concurrency", given["concurrency"], 1, 500)

    def _perform(
        self,
        context: Context,
        *,
        days: Any,
        start: Any,
        end: Any,
        report: str | None,
        apply: bool,
        concurrency: Any,
        include_unsent: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        """Find, report and, if asked to, do it."""
        from airflow_provider_twilio.runtime.state_store import store_for_task

        since, until = _range(context, int(days), start, end)
        settings = self.hook.client.settings
        applies = apply and not settings.dry_run
        memory = store_for_task(context)
        run_id = str(context.get("run_id") or "")
        meant = str([days, start, end, include_unsent, others])
        with WorkList(self.done, run_id, applies) as ledger:
            if report is not None:
                ledger.load_report(_earlier(report, run_id), since, until)
            listed = self.hook.client.iter_records(self._list_candidates(since, until, unsent=include_unsent))
            ledger.plan(
                (str(r.sid), f"{r.date_created:%Y-%m-%dT%H:%M:%SZ}", self._media_of(r))
                for r in listed
                if r.date_created is not None
                and r.date_created < until
                and (since is None or r.date_created >= since)
                and self._is_due(r)
            )
            before = self._before(memory, ledger, meant) if applies and report is None else 0
            self._report(report, ledger)
            if applies:
                self.log.info("%d records are to be %s", ledger.due, self.done)
                try:
                    self._run_in_background(self._do(ledger, int(concurrency)))
                finally:
                    self._report(report, ledger)
            elif ledger.due:
                self.log.info("Nothing was %s: set apply=True for %d records", self.done, ledger.due)
            told = ledger.summary(before)
        self.log.info("%s", told)
        if told["failed"]:
            where = f"; {report} names them" if report else "; a report would name them"
            raise AirflowFailException(f"{told['failed']} of {told['records']} records were not {self.done}{where}")
        return {**told, "until": until.isoformat(), "report": report, "applied": applies}

    def _before(self, memory: StateStore, ledger: WorkList, meant: str) -> int:
        """Tell how many records earlier tries that meant the same have done, where no report tells of them."""
        earlier, planned = memory.get(PLANNED) or ("", 0)
        planned = max(planned if earlier == meant else 0, ledger.records)
        memory.set(PLANNED, [meant, planned])
        return int(planned) - ledger.records

    def _report(self, report: str | None, ledger: WorkList) -> None:
        if report is not None:
            files.write_table("report", report, COLUMNS, ledger.rows(), self.hook)

    async def _do(self, ledger: WorkList, concurrency: int) -> None:
        from airflow_provider_twilio.runtime.bulk.engine import run
        from airflow_provider_twilio.runtime.bulk.items import Tally, WorkItem
        from airflow_provider_twilio.runtime.bulk.progress import progress

        async with self.hook.aclient(concurrency=concurrency, retries=0) as client:  # the engine repeats by itself
            await self._before_run(client, ledger, concurrency)
            tally = Tally()
            items = (WorkItem(self._request_for(sid), key=sid) for sid, _ in ledger.left())
            async with progress(tally, "records", ledger.due):
                await run(client, items, ledger.record, concurrency=concurrency, tally=tally)


class WorkList:
    """Hold what is to be done about which record, and what came of it: on disk, however many they are."""

    def __init__(self, done: str, run_id: str, applies: bool) -> None:
        self._done, self._run_id = done, run_id
        self._pending = f"to be {done}" if applies else f"would be {done}"
        self._folder = tempfile.TemporaryDirectory(prefix="twilio-")
        # The engine reads in a thread of its own.
        self._database = sqlite3.connect(
            Path(self._folder.name) / "ledger.sqlite", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE records"
            " (sid TEXT PRIMARY KEY, made TEXT, media INTEGER, outcome TEXT, code INTEGER, reason TEXT) WITHOUT ROWID"
        )
        self._left = Path(self._folder.name) / "left.txt"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def load_report(self, rows: Iterable[Mapping[str, Any]], since: datetime | None, until: datetime) -> None:
        """Take in what an earlier try was about to do: what is looked for now and not found again, it has done.

        What it only would have done is not taken in. What is not looked for now is unknown, unless it had been done.
        """

        def entries() -> Iterator[tuple[Any, ...]]:
            for row in rows:
                made, outcome = datetime.fromisoformat(row["date_created"]), row["outcome"]
                if outcome.startswith("would be "):
                    continue
                sought = made < until and (since is None or made >= since)
                yield row["sid"], row["date_created"], 0, self._done if sought or outcome == self._done else "unknown"

        self._all("INSERT OR REPLACE INTO records (sid, made, media, outcome) VALUES (?, ?, ?, ?)", entries())

    def plan(self, found: Iterable[tuple[str, str, int]]) -> None:
        """Take in what was found: SID, time and number of media."""
        entries = ((sid, made, media, "due", None, None) for sid, made, media in found)
        self._all("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)", entries)
        with self._left.open("w") as file:
            for sid, media in self._database.execute("SELECT sid, media FROM records WHERE outcome = 'due'"):
                file.write(f"{sid} {media}\n")

    def _all(self, statement: str, entries: Iterable[tuple[Any, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(statement, entries)
        self._database.execute("COMMIT")

    def left(self) -> Iterator[tuple[str, int]]:
        """Give what was to be done when it was planned: SID and number of media."""
        with self._left.open() as file:
            for line in file:
                sid, media = line.split()
                yield sid, int(media)

    def record(self, outcome: Outcome) -> None:
        """Take down what came of one. What failed before stays failed, whatever else goes well."""
        kind = {"done": self._done, "later": "later"}.get(outcome.kind, "failed")
        self._database.execute(
            "UPDATE records SET outcome = ?, code = ?, reason = ? WHERE sid = ? AND outcome IN ('due', ?)",
            (kind, outcome.code, outcome.reason or None, outcome.item.key, "later" if kind == "failed" else "due"),
        )

    @property
    def records(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM records").fetchone()
        return int(count)

    @property
    def due(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM records WHERE outcome = 'due'").fetchone()
        return int(count)

    def summary(self, before: int) -> dict[str, int]:
        """Count what became of the records; it adds up to all of them."""
        counts = dict(self._database.execute("SELECT outcome, count(*) FROM records GROUP BY outcome").fetchall())
        return {
            "records": self.records + before,
            self._done: int(counts.get(self._done, 0)) + before,
            "left": int(counts.get("due", 0)) + int(counts.get("unknown", 0)),
            "later": int(counts.get("later", 0)),
            "failed": int(counts.get("failed", 0)),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give the report's rows, the oldest first."""
        columns = "sid, made, outcome, code, reason"
        for sid, made, outcome, code, reason in self._database.execute(
            f"SELECT {columns} FROM records ORDER BY made, sid"  # noqa: S608 (they are ours)
        ):
            said = self._pending if outcome == "due" else outcome
            values = (sid, made, said, code, reason, self._run_id)
            yield dict(zip(COLUMNS, values, strict=True))


def _range(context: Mapping[str, Any], days: int, start: Any, end: Any) -> tuple[datetime | None, datetime]:
    """Give from when until when records were made that are meant: never younger than so many days."""
    now = getattr(context.get("dag_run"), "run_after", None) or datetime.now(UTC)
    until = now - timedelta(days=days)
    if start is None:
        return None, until
    first, last = (_time(name, value) for name, value in (("start", start), ("end", end)))
    if first >= last:
        raise BadParameter("start and end", "hold no time", "give the beginning, then the end, which is not in it")
    return first, min(until, last)


def _time(name: str, value: Any) -> datetime:
    text = str(value.isoformat() if hasattr(value, "isoformat") else value).strip()
    when = checks.parse_timestamp(name, f"{text}T00:00:00+00:00" if len(text) == 10 else text)
    if when is None:
        raise BadParameter(name, "is empty", "give a day, or a time with a time zone")
    return when.astimezone(UTC)


def _earlier(report: str, run_id: str) -> Iterator[Mapping[str, Any]]:
    """Read what an earlier try of the same run was about to do."""
    for row in files.read_table("report", report):
        if row.get("run_id") != run_id or not row.get("outcome"):
            return
        yield row


# ---------------------------------------------------------------- the operators


class RedactOldMessagesOperator(_RetentionOperator, color=COLORS["Messages"]):
    """Take old messages' texts away, with ``apply``; their records stay. What became of them goes to XCom, counted.

    Redaction empties only the text: ``media`` deletes what was sent with it, too. A message that is on its way yet is
    left for later. What is done already isn't done again, and a task that is killed goes on where it was.

    :param days: how old messages must be, 1 day or more, by the time they were made. (templated)
    :param start: only those made from this time or day (UTC) on. (templated)
    :param end: only those made before this time or day (UTC). (templated)
    :param media: also delete their media. (templated)
    :param include_unsent: also those that were never sent, such as failed ones. Twilio can't be asked for these, so the
        whole list is read, a request for each 1,000 messages it holds. (templated)
    :param report: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, with a row for each message; give each run
        one of its own. (templated)
    :param apply: do it; otherwise the report tells what would be done. (templated)
    :param concurrency: how many requests are on their way at once, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
    """

    done = "redacted"
    media: Any

    def __init__(
        self,
        *,
        days: int | str,
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        media: bool | str = False,
        include_unsent: bool | str = True,
        report: str | None = None,
        apply: bool | str = False,
        concurrency: int | str = 20,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """List messages."""
        return _messages(since, until, unsent)

    def _request_for(self, sid: str) -> Request[Any]:
        """Redact one."""
        return Messages.update(sid, body="")

    def _is_due(self, record: Any) -> bool:
        """Tell whether it has a text, or media that are to go."""
        return bool(record.body) or self._media_of(record) > 0

    def _media_of(self, record: Any) -> int:
        """Count its media, if they are to go."""
        return (record.num_media or 0) if self._parse("media", self.media) else 0

    async def _before_run(self, client: Any, ledger: WorkList, concurrency: int) -> None:
        """Delete the media."""
        from airflow_provider_twilio.runtime.bulk.engine import run
        from airflow_provider_twilio.runtime.bulk.items import WorkItem

        def asked() -> Iterator[WorkItem]:
            for sid, media in ledger.left():
                page = MEDIA.build(sid).first_page() if media else None
                if page is not None:
                    yield WorkItem(page, key=sid)

        found: list[tuple[str, str]] = []

        def listed(outcome: Outcome) -> None:
            if outcome.kind == "done" and outcome.result is not None:
                found.extend((outcome.item.key, media.sid) for media in outcome.result.records)
            elif outcome.kind != "done":
                ledger.record(outcome)

        def deleted(outcome: Outcome) -> None:
            if outcome.kind != "done":
                ledger.record(outcome)

        await run(client, asked(), listed, concurrency=concurrency)
        deletes = (WorkItem(MediaItems.delete(sid, media), key=sid) for sid, media in found)
        await run(client, deletes, deleted, concurrency=concurrency)


class DeleteOldMessagesOperator(_RetentionOperator, color=COLORS["Messages"]):
    """Delete old messages, with their media, with ``apply``. What became of them goes to XCom, counted.

    A message that is on its way yet is left for later. A task that is killed goes on where it was.

    :param days: how old messages must be, 1 day or more, by the time they were made. (templated)
    :param start: only those made from this time or day (UTC) on. (templated)
    :param end: only those made before this time or day (UTC). (templated)
    :param include_unsent: also those that were never sent, such as failed ones. Twilio can't be asked for these, so the
        whole list is read, a request for each 1,000 messages it holds. (templated)
    :param report: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, with a row for each message; give each run
        one of its own. (templated)
    :param apply: do it; otherwise the report tells what would be done. (templated)
    :param concurrency: how many requests are on their way at once, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#delete-a-message-resource
    """

    done = "deleted"

    def __init__(
        self,
        *,
        days: int | str,
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        include_unsent: bool | str = True,
        report: str | None = None,
        apply: bool | str = False,
        concurrency: int | str = 20,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """List messages."""
        return _messages(since, until, unsent)

    def _request_for(self, sid: str) -> Request[Any]:
        """Delete one."""
        return Messages.delete(sid)


class DeleteOldCallsOperator(_RetentionOperator, color=COLORS["Calls"]):
    """Delete the records of old calls, with ``apply``. What became of them goes to XCom, counted.

    A call that goes on is left for later. A task that is killed goes on where it was. Recordings stay.

    :param days: how old calls must be, 1 day or more, by the time they were made. (templated)
    :param start: only those made from this time or day (UTC) on. (templated)
    :param end: only those made before this time or day (UTC). (templated)
    :param include_unsent: also those that were never placed, such as calls canceled in the queue. Twilio can't be asked
        for these, so the whole list is read, a request for each 1,000 calls it holds. (templated)
    :param report: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, with a row for each call; give each run one
        of its own. (templated)
    :param apply: do it; otherwise the report tells what would be done. (templated)
    :param concurrency: how many requests are on their way at once, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource
    """

    done = "deleted"

    def __init__(
        self,
        *,
        days: int | str,
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        include_unsent: bool | str = True,
        report: str | None = None,
        apply: bool | str = False,
        concurrency: int | str = 20,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """List calls."""
        dated = {} if unsent else {"start_time_after": since, "start_time_before": until}
        listing: Listing[Any] = definition(Calls.list).build(**dated)
        return listing

    def _request_for(self, sid: str) -> Request[Any]:
        """Delete one."""
        return Calls.delete(sid)


class DeleteOldRecordingsOperator(_RetentionOperator, color=COLORS["Calls"]):
    """Delete old recordings of calls and conferences, with ``apply``. What became of them goes to XCom, counted.

    A recording that goes on is left for later. A task that is killed goes on where it was.

    :param days: how old recordings must be, 1 day or more. (templated)
    :param start: only those made from this time or day (UTC) on. (templated)
    :param end: only those made before this time or day (UTC). (templated)
    :param report: a ``.csv`` or ``.jsonl`` file on any store of Airflow's, with a row for each recording; give each run
        one of its own. (templated)
    :param apply: do it; otherwise the report tells what would be done. (templated)
    :param concurrency: how many requests are on their way at once, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/recording#delete-a-recording-resource
    """

    done = "deleted"

    def __init__(
        self,
        *,
        days: int | str,
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        report: str | None = None,
        apply: bool | str = False,
        concurrency: int | str = 20,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """List recordings."""
        listing: Listing[Any] = definition(Recordings.list).build(date_created_after=since, date_created_before=until)
        return listing

    def _request_for(self, sid: str) -> Request[Any]:
        """Delete one."""
        return Recordings.delete(sid)


def _messages(since: datetime | None, until: datetime, unsent: bool) -> Listing[Any]:
    """List all messages, or those that were sent in the range; one that was made in it and sent later is for later."""
    dated = {} if unsent else {"date_sent_after": since, "date_sent_before": until}
    listing: Listing[Any] = definition(Messages.list).build(**dated)
    return listing
