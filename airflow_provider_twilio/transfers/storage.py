"""Write Twilio's logs to files: a file for each day, which later runs bring up to date."""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_twilio._airflow import storage as files
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.values import UNRESOLVED, parse_int
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import COLORS
from airflow_provider_twilio.transfers import _tables as tables
from airflow_provider_twilio.transfers._stage import Entry, Stage

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

KEPT = 400
"""Days that Twilio keeps records."""
LONGEST_WAY = timedelta(days=36)
"""The most that may pass between a message being made and being sent: 35 days by ``send_at``, and the queue."""


class LogsToStorageOperator(CompositeOperator):
    """Write the records that were made in a data interval, a file for each day (UTC) of ``date_created``.

    What a record's file is never changes with its status: each SID is in one file, once. The days before the interval
    that ``look_back`` names are brought up to date as well. A day's file is read, what Twilio has is laid over it by
    SID, and if that makes a difference it is written anew, whole. What Twilio no longer has stays in the file, be it a
    text.
    """

    kind: ClassVar[type[Record]]

    @staticmethod
    @abstractmethod
    def all() -> Listing[Any]:
        """List all there are: what was never sent can't be asked for by a date."""

    @staticmethod
    @abstractmethod
    def dated(after: date, before: date) -> Listing[Any]:
        """List those that were sent, or started, on these days."""

    def _literal_of(self, name: str, value: Any) -> Any:
        return UNRESOLVED if name in ("start", "end") and value is not None else super()._literal_of(name, value)

    def _check(self, given: Mapping[str, Any]) -> None:
        """Require a place, a format, and both ends of a range, if it isn't the data interval."""
        checks.required(path=given["path"])
        files.check_path("path", given["path"])
        checks.required(file_format=given["file_format"])
        checks.choice("file_format", given["file_format"], tables.FORMATS)
        parse_int("look_back", given["look_back"], 0, KEPT)
        if (given["start"] is None) != (given["end"] is None):
            one, other = ("start", "end") if given["end"] is None else ("end", "start")
            raise BadParameter(one, f"is given without {other}", "give both, or none for the run's data interval")

    def perform(
        self,
        context: Context,
        *,
        path: str,
        file_format: str,
        start: Any,
        end: Any,
        look_back: Any,
        include_unsent: bool,
        include_body: bool = False,
    ) -> dict[str, Any]:
        """Gather the days' records, and write the files that they change."""
        tables.require(file_format)
        columns = tables.columns_of(self.kind, () if include_body else ("body",))
        interval = _days(*_interval(context, start, end))
        days = _with_look_back(interval, int(look_back))
        folder = files.resolve_path("path", path)
        written: dict[str, int] = {}
        with Stage(lasting=list(columns).index("body") if include_body else None) as stage:
            known = set()
            for day in days:
                target = folder / f"{day}.{file_format}"
                if target.exists():
                    known.add(day)
                    stage.add(_old(target, day, columns), fresh=False)
            # In this order: what is sent in the meantime is seen by the second walk at the latest.
            if include_unsent:
                stage.add(self._entries(self.all(), days, columns), fresh=True)
            last = min(date.fromisoformat(days[-1]) + LONGEST_WAY, datetime.now(UTC).date() + timedelta(days=1))
            stage.add(self._entries(self.dated(date.fromisoformat(days[0]), last), days, columns), fresh=True)
            for day in days:
                changes = stage.changes(day)
                if not changes and day in known:
                    continue
                target = folder / f"{day}.{file_format}"
                with files.atomic_write("path", target, self.hook) as local:
                    tables.write(local, stage.rows(day), columns)
                written[str(target)] = changes
                self.log.info("%s: %d records, %d of them new or changed", target, stage.count(day), changes)
            count = sum(map(stage.count, interval))
        return {"path": str(folder), "days": days, "records": count, "written": written}

    def _entries(self, listing: Listing[Any], days: list[str], columns: tables.Columns) -> Iterator[Entry]:
        place = list(columns).index("date_created")
        for record in self.hook.client.iter_records(listing):
            row = tables.row_of(record, columns) if _made(record, days) else None
            if row is not None:
                made = row[place] or ""
                yield record.sid, made[:10], made, row


def _made(record: Any, days: list[str]) -> bool:
    """Tell whether a record was made on one of the days, which follow one another."""
    made = record.date_created
    return made is not None and days[0] <= f"{made:%Y-%m-%d}" <= days[-1]


def _old(target: ObjectStoragePath, day: str, columns: tables.Columns) -> Iterator[Entry]:
    """Read what an earlier run has written."""
    names = list(columns)
    sid, made = names.index("sid"), names.index("date_created")
    with tempfile.TemporaryDirectory(prefix="twilio-") as folder:
        local = Path(folder) / target.name
        with target.fs.open(target.path, "rb") as source, local.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        try:
            for row in tables.read(local, columns):
                if not row[sid] or (row[made] or "")[:10] != day:
                    raise ValueError(f"it has a row that is not of {day}")
                yield str(row[sid]), day, str(row[made]), row
        except (ValueError, ArithmeticError, TypeError, AttributeError, KeyError, OSError) as error:
            raise BadParameter(
                "path", f"has a file that this operator has not written ({target}): {error}", "move it away"
            ) from error


def _interval(context: Any, start: Any, end: Any) -> tuple[datetime, datetime]:
    """Give the times that were asked for, or the run's data interval, or the day before the run."""
    if start is None:
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None or start == end:  # as in Airflow 3, unless the timetable gives one
            run_after = getattr(context.get("dag_run"), "run_after", None) or datetime.now(UTC)
            end = run_after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            start = end - timedelta(days=1)
    times = [_time(name, value) for name, value in (("start", start), ("end", end))]
    if times[0] >= times[1]:
        raise BadParameter("start and end", "hold no time", "give the beginning, then the end, which is not in it")
    now = datetime.now(UTC)
    if times[0] > now:
        raise BadParameter("start", "is in the future", "there is nothing to write yet")
    if times[0] < now - timedelta(days=KEPT):
        raise BadParameter(
            "start", f"is {(now - times[0]).days} days ago", f"Twilio keeps records for {KEPT} days: begin later"
        )
    return times[0], min(times[1], now)


def _time(name: str, value: Any) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str) and len(value.strip()) == 10:
        value = f"{value.strip()}T00:00:00+00:00"
    when = checks.parse_timestamp(name, value)
    if when is None:
        raise BadParameter(name, "is empty", "give a day, or a time with a time zone")
    return when.astimezone(UTC)


def _days(start: datetime, end: datetime) -> list[str]:
    """Give the days that a time from ``start`` to before ``end`` touches."""
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    return [str(first + timedelta(days=number)) for number in range((last - first).days + 1)]


def _with_look_back(days: list[str], look_back: int) -> list[str]:
    """Give the days before them as well, as far as Twilio still has them whole."""
    first = date.fromisoformat(days[0])
    oldest = datetime.now(UTC).date() - timedelta(days=KEPT - 1)
    before = [first - timedelta(days=number) for number in range(look_back, 0, -1)]
    return [str(day) for day in before if day >= oldest] + days


class MessagesToStorageOperator(LogsToStorageOperator, color=COLORS["Messages"]):
    """Write the messages of a data interval to files, one for each day (UTC) they were made on, and keep them true.

    The days before it are looked at again, since prices and statuses come late: what has changed is written again, by
    SID. A record is in one file, once, whatever becomes of it. Prices are exact: decimals in Parquet, texts elsewhere.
    What goes to XCom names the files that were written, and how many records in each are new or changed.

    :param path: a folder on any store of Airflow's, such as ``s3://aws_default@bucket/messages``; it gets
        files such as ``2026-01-31.parquet``. (templated)
    :param file_format: ``jsonl``, ``csv``, or ``parquet``, which needs the extra ``[parquet]``. (templated)
    :param start: the first time or day (UTC); by default it is the run's data interval or, where it has none, the day
        before the run. (templated)
    :param end: the time or day (UTC) before which it ends. (templated)
    :param look_back: how many days before it are brought up to date, too. (templated)
    :param include_unsent: also what was never sent, such as failed messages. Twilio can't be asked for these, so
        the whole list is read, a request for each 1,000 messages it holds. (templated)
    :param include_body: also the texts, which then outlive their redaction at Twilio. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    kind = Message

    def __init__(
        self,
        *,
        path: str,
        file_format: Literal["jsonl", "csv", "parquet"] = "jsonl",
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        look_back: int | str = 3,
        include_unsent: bool | str = True,
        include_body: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    @staticmethod
    def all() -> Listing[Any]:
        """List all messages."""
        listing: Listing[Any] = Messages.list()
        return listing

    @staticmethod
    def dated(after: date, before: date) -> Listing[Any]:
        """List the messages that were sent on these days."""
        listing: Listing[Any] = Messages.list(date_sent_after=after, date_sent_before=before)
        return listing


class CallsToStorageOperator(LogsToStorageOperator, color=COLORS["Calls"]):
    """Write the calls of a data interval to files, one for each day (UTC) they were made on, and keep them true.

    The days before it are looked at again, since prices come late: what has changed is written again, by SID. A record
    is in one file, once, whatever becomes of it. Prices are exact: decimals in Parquet, texts elsewhere. What goes to
    XCom names the files that were written, and how many records in each are new or changed.

    :param path: a folder on any store of Airflow's, such as ``s3://aws_default@bucket/calls``; it gets files
        such as ``2026-01-31.parquet``. (templated)
    :param file_format: ``jsonl``, ``csv``, or ``parquet``, which needs the extra ``[parquet]``. (templated)
    :param start: the first time or day (UTC); by default it is the run's data interval or, where it has none, the day
        before the run. (templated)
    :param end: the time or day (UTC) before which it ends. (templated)
    :param look_back: how many days before it are brought up to date, too. (templated)
    :param include_unsent: also what was never placed, such as calls canceled in the queue. Twilio can't be asked
        for these, so the whole list is read, a request for each 1,000 calls it holds. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
    """

    kind = Call

    def __init__(
        self,
        *,
        path: str,
        file_format: Literal["jsonl", "csv", "parquet"] = "jsonl",
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        look_back: int | str = 3,
        include_unsent: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())

    @staticmethod
    def all() -> Listing[Any]:
        """List all calls."""
        listing: Listing[Any] = Calls.list()
        return listing

    @staticmethod
    def dated(after: date, before: date) -> Listing[Any]:
        """List the calls that were started on these days."""
        listing: Listing[Any] = Calls.list(start_time_after=after, start_time_before=before)
        return listing
