"""Operators that write message and call logs to files, one file for each day, and that update earlier days."""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow_provider_twilio._airflow import storage
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
from airflow_provider_twilio.transfers._stage import Stage, StagedRow

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_twilio._airflow.parameters import OperatorParameters

RETENTION_DAYS = 400
"""Time for which Twilio keeps records, in days."""
MAX_SEND_DELAY = timedelta(days=36)
"""Longest time between the creation of a message and its sending: 35 days by ``send_at``, and the queue."""


class LogsToStorageOperator(CompositeOperator):
    """The base of operators that write the records of a data interval, one file for each day (UTC).

    A record belongs to the day of its ``date_created``, which never changes, so that each SID is in one file, once.
    The ``look_back`` days before the interval are updated as well. For each day, the operator reads the existing file,
    replaces its rows by Twilio's records by SID, and rewrites the file as a whole if anything changed. Records that
    Twilio no longer has remain in the file.
    """

    _record_type: ClassVar[type[Record]]

    @staticmethod
    @abstractmethod
    def _list_all() -> Listing[Any]:
        """Return the listing of all records: those that were never sent cannot be filtered by date."""

    @staticmethod
    @abstractmethod
    def _list_sent(after: date, before: date) -> Listing[Any]:
        """Return the listing of the records that were sent, or started, between two days, both included."""

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        return UNRESOLVED if name in ("start", "end") and value is not None else super()._literal_of(name, value)

    @classmethod
    def _check(cls, given: Mapping[str, Any]) -> None:
        """Check the path, the format, and that ``start`` and ``end`` are given together or not at all."""
        checks.required(path=given["path"])
        storage.check_path("path", given["path"])
        checks.required(file_format=given["file_format"])
        checks.choice("file_format", given["file_format"], tables.FILE_FORMATS)
        parse_int("look_back", given["look_back"], 0, RETENTION_DAYS)
        if (given["start"] is None) != (given["end"] is None):
            one, other = ("start", "end") if given["end"] is None else ("end", "start")
            raise BadParameter(one, f"is given without {other}", "pass both, or neither for the run's data interval")

    def _perform(
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
        """Collect the records of the days, and write the files of those days that changed."""
        tables.check_format_installed(file_format)
        columns = tables.columns_of(self._record_type, () if include_body else ("body",))
        interval = _days(*_interval(context, start, end))
        days = _with_look_back(interval, int(look_back))
        folder = storage.resolve_path("path", path)
        written: dict[str, int] = {}
        with Stage(retained_column=list(columns).index("body") if include_body else None) as stage:
            existing = set()
            for day in days:
                target = folder / f"{day}.{file_format}"
                if target.exists():
                    existing.add(day)
                    stage.add(_read_existing(target, day, columns), is_new=False)
            # In this order, so that the second listing includes messages that are sent in the meantime.
            if include_unsent:
                stage.add(self._fetch(self._list_all(), days, columns, file_format), is_new=True)
            tomorrow = datetime.now(UTC).date() + timedelta(days=1)
            last = min(date.fromisoformat(days[-1]) + MAX_SEND_DELAY, tomorrow)
            listing = self._list_sent(date.fromisoformat(days[0]), last)
            stage.add(self._fetch(listing, days, columns, file_format), is_new=True)
            for day in days:
                changes = stage.count_changes(day)
                if not changes and day in existing:
                    continue
                target = folder / f"{day}.{file_format}"
                with storage.atomic_write("path", target, self.hook) as local:
                    tables.write(local, stage.rows(day), columns)
                written[str(target)] = changes
                self.log.info("Wrote %s: %d records, %d new or changed", target, stage.count_rows(day), changes)
            count = sum(map(stage.count_rows, interval))
        return {"path": str(folder), "days": days, "records": count, "written": written}

    def _fetch(
        self, listing: Listing[Any], days: list[str], columns: tables.Columns, file_format: str
    ) -> Iterator[StagedRow]:
        """Yield the listed records that were created on the days.

        A value that its column cannot hold is left out, and so is a record whose date of creation is invalid. Both are
        logged with the record's SID.
        """
        date_created = list(columns).index("date_created")
        for record in self.hook.client.iter_records(listing):

            def log_invalid(fault: str, record: Mapping[str, Any] = record) -> None:
                self.log.warning("Leaving a value empty in record %s: %s", record.get("sid"), fault)

            try:
                is_created_within = _is_created_within(record, days)
            except ValueError as error:
                self.log.warning("Leaving out record %s: %s", record.get("sid"), error)
                continue
            if is_created_within:
                row = tables.to_row(record, columns, log_invalid)
                if file_format == "parquet":
                    row = tables.drop_unfit(row, columns, log_invalid)
                created = row[date_created] or ""
                yield StagedRow(record.sid, created[:10], created, row)


def _is_created_within(record: Any, days: list[str]) -> bool:
    """Return whether a record was created on one of the days, which are consecutive.

    :raises ValueError: If its date of creation is invalid.
    """
    created = record.date_created
    return created is not None and days[0] <= f"{created:%Y-%m-%d}" <= days[-1]


def _read_existing(target: ObjectStoragePath, day: str, columns: tables.Columns) -> Iterator[StagedRow]:
    """Yield the rows of a file that an earlier run has written.

    :raises BadParameter: When the file cannot be read, or has a row of another day.
    """
    names = list(columns)
    sid, date_created = names.index("sid"), names.index("date_created")
    with tempfile.TemporaryDirectory(prefix="twilio-") as folder:
        local = Path(folder) / target.name
        with target.fs.open(target.path, "rb") as source, local.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        try:
            for row in tables.read(local, columns):
                if not row[sid] or (row[date_created] or "")[:10] != day:
                    raise ValueError(f"it has a row that is not of {day}")
                yield StagedRow(str(row[sid]), day, str(row[date_created]), row)
        except (ValueError, OSError) as error:
            raise BadParameter(
                "path",
                f"contains a file that this operator has not written ({target}): {error}",
                "move the file to another folder. No file was changed",
            ) from None


def _interval(context: Any, start: Any, end: Any) -> tuple[datetime, datetime]:
    """Return ``start`` and ``end`` if given, else the run's data interval, else the day before the run."""
    if start is None:
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None or start == end:  # the default timetables of Airflow 3 set no interval
            run_after = getattr(context.get("dag_run"), "run_after", None) or datetime.now(UTC)
            end = run_after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            start = end - timedelta(days=1)
    first, last = _parse_time("start", start), _parse_time("end", end)
    if first >= last:
        raise BadParameter("start and end", "span no time", "pass a start before the end; the end is excluded")
    now = datetime.now(UTC)
    if first > now:
        raise BadParameter("start", "is in the future", "pass a start in the past")
    if first < now - timedelta(days=RETENTION_DAYS):
        raise BadParameter(
            "start",
            f"is {(now - first).days} days ago",
            f"pass a later start: Twilio keeps records for {RETENTION_DAYS} days",
        )
    return first, min(last, now)


def _parse_time(name: str, value: Any) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str) and len(value.strip()) == 10:
        value = f"{value.strip()}T00:00:00+00:00"
    when = checks.parse_timestamp(name, value)
    if when is None:
        raise BadParameter(name, "is empty", "pass a day, or a time with a time zone")
    return when.astimezone(UTC)


def _days(start: datetime, end: datetime) -> list[str]:
    """Return the days (UTC) from ``start`` to ``end``, excluding ``end`` itself."""
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    return [str(first + timedelta(days=offset)) for offset in range((last - first).days + 1)]


def _with_look_back(days: list[str], look_back: int) -> list[str]:
    """Return the days, preceded by those of the look-back for which Twilio still keeps every record."""
    first = date.fromisoformat(days[0])
    oldest = datetime.now(UTC).date() - timedelta(days=RETENTION_DAYS - 1)
    before = [first - timedelta(days=offset) for offset in range(look_back, 0, -1)]
    return [str(day) for day in before if day >= oldest] + days


class MessagesToStorageOperator(LogsToStorageOperator, color=COLORS["Messages"]):
    """Write the messages of a data interval to files, one file for each day (UTC), and update earlier days.

    .. code-block:: python

        MessagesToStorageOperator(task_id="messages_to_s3", path="s3://aws_default@bucket/messages")

    Prices and statuses arrive late, so the operator also updates the ``look_back`` days before the interval. Each
    record is in one file, once: the file of the day on which it was created. Prices are exact: decimals in Parquet,
    strings in the other formats.

    The operator pushes to XCom the folder, the days, the number of records in the interval, and the files it wrote,
    each with the number of its new or changed records.

    :param path: Folder on any of Airflow's object stores, such as ``s3://aws_default@bucket/messages``. The files are
        named ``2026-01-31.parquet``. (templated)
    :param file_format: ``jsonl``, ``csv`` or ``parquet``, which needs the extra ``[parquet]``. (templated)
    :param start: First time or day (UTC). By default the run's data interval or, if it has none, the day before the
        run. (templated)
    :param end: Time or day (UTC) at which the interval ends, itself excluded. (templated)
    :param look_back: Number of days before the interval that are updated, by default 3. (templated)
    :param include_unsent: Whether to include messages that were never sent, such as failed ones. Twilio cannot filter
        these by date, so the operator lists all messages: one request for each 1,000. (templated)
    :param include_body: Whether to include the message bodies. The files then keep a body after it was redacted at
        Twilio. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
    """

    _record_type = Message

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
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @staticmethod
    def _list_all() -> Listing[Any]:
        """Return the listing of all messages."""
        listing: Listing[Any] = Messages.list()
        return listing

    @staticmethod
    def _list_sent(after: date, before: date) -> Listing[Any]:
        """Return the listing of the messages that were sent between two days, both included."""
        listing: Listing[Any] = Messages.list(date_sent_after=after, date_sent_before=before)
        return listing


class CallsToStorageOperator(LogsToStorageOperator, color=COLORS["Calls"]):
    """Write the calls of a data interval to files, one file for each day (UTC), and update earlier days.

    .. code-block:: python

        CallsToStorageOperator(task_id="calls_to_s3", path="s3://aws_default@bucket/calls")

    Prices arrive late, so the operator also updates the ``look_back`` days before the interval. Each record is in one
    file, once: the file of the day on which it was created. Prices are exact: decimals in Parquet, strings in the other
    formats.

    The operator pushes to XCom the folder, the days, the number of records in the interval, and the files it wrote,
    each with the number of its new or changed records.

    :param path: Folder on any of Airflow's object stores, such as ``s3://aws_default@bucket/calls``. The files are
        named ``2026-01-31.parquet``. (templated)
    :param file_format: ``jsonl``, ``csv`` or ``parquet``, which needs the extra ``[parquet]``. (templated)
    :param start: First time or day (UTC). By default the run's data interval or, if it has none, the day before the
        run. (templated)
    :param end: Time or day (UTC) at which the interval ends, itself excluded. (templated)
    :param look_back: Number of days before the interval that are updated, by default 3. (templated)
    :param include_unsent: Whether to include calls that never started, such as canceled ones. Twilio cannot filter
        these by date, so the operator lists all calls: one request for each 1,000. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
    """

    _record_type = Call

    def __init__(
        self,
        *,
        path: str,
        file_format: Literal["jsonl", "csv", "parquet"] = "jsonl",
        start: date | datetime | str | None = None,
        end: date | datetime | str | None = None,
        look_back: int | str = 3,
        include_unsent: bool | str = True,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @staticmethod
    def _list_all() -> Listing[Any]:
        """Return the listing of all calls."""
        listing: Listing[Any] = Calls.list()
        return listing

    @staticmethod
    def _list_sent(after: date, before: date) -> Listing[Any]:
        """Return the listing of the calls that started between two days, both included."""
        listing: Listing[Any] = Calls.list(start_time_after=after, start_time_before=before)
        return listing
