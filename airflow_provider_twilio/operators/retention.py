"""Operators that redact or delete old records. They report the records before they change any of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from airflow_provider_twilio._airflow import storage
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
    from airflow_provider_twilio.operators._work_list import WorkList
    from airflow_provider_twilio.runtime.bulk.items import Outcome
    from airflow_provider_twilio.runtime.state_store import StateStore

STORE_KEY = "twilio_retention"
"""Key in the task state store of the number of records that the first try found, and of the parameters it used."""
LIST_MEDIA = definition(MediaItems.list)


class _RetentionOperator(CompositeOperator):
    """Base class of operators that report old records and, with ``apply``, redact or delete them.

    The age of a record is relative to the DAG run, so that each try selects the same records. The report is written
    before any record is changed, with the planned outcomes, and again at the end, with the actual ones. A later try
    finds the records that are left. Other records in the report of an earlier try count as done.
    """

    done_outcome: ClassVar[str]
    """Outcome of a processed record: ``redacted`` or ``deleted``."""

    @abstractmethod
    def _list_candidates(self, since: datetime | None, until: datetime, *, unsent: bool) -> Listing[Any]:
        """Return the listing of records among which old ones are selected."""

    @abstractmethod
    def _request_for(self, sid: str) -> Request[Any]:
        """Return the request that redacts or deletes a record."""

    async def _before_run(self, client: Any, work_list: WorkList, concurrency: int) -> None:
        """Make further requests before the records are redacted or deleted."""

    def _is_due(self, record: Any) -> bool:
        """Return whether an old record still has to be processed."""
        return True

    def _media_of(self, record: Any) -> int:
        """Return the number of media to delete with a message."""
        return 0

    @classmethod
    def _literal_of(cls, name: str, value: Any) -> Any:
        return UNRESOLVED if name in ("start", "end") and value is not None else super()._literal_of(name, value)

    @classmethod
    def _check(cls, values: Mapping[str, Any]) -> None:
        """Check the age, the range, the report's path and the concurrency."""
        checks.required(days=values["days"])
        parse_int("days", values["days"], 1)
        if (values["start"] is None) != (values["end"] is None):
            name, missing = ("start", "end") if values["end"] is None else ("end", "start")
            raise BadParameter(name, f"is set without {missing}", "pass both, or neither to select all old records")
        storage.check_path("report", values["report"], storage.TABLE_FORMATS)
        parse_int("concurrency", values["concurrency"], 1, 500)

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
        """Find and report the old records and, with ``apply``, redact or delete them."""
        from airflow_provider_twilio._airflow.state_store import permanent_store_for_task
        from airflow_provider_twilio.operators._work_list import WorkList

        since, until = _selected_range(context, int(days), start, end)
        applies = apply and not self.hook.client.settings.dry_run
        run_id = str(context.get("run_id") or "")
        with WorkList(self.done_outcome, run_id, applies) as work_list:
            if report is not None:
                work_list.load_report(_rows_of_earlier_try(report, run_id), since, until)
            candidates = self.hook.client.iter_records(self._list_candidates(since, until, unsent=include_unsent))
            work_list.add_pending(
                (str(record.sid), f"{record.date_created:%Y-%m-%dT%H:%M:%SZ}", self._media_of(record))
                for record in candidates
                if record.date_created is not None
                and record.date_created < until
                and (since is None or record.date_created >= since)
                and self._is_due(record)
            )
            done_earlier = 0
            if applies and report is None:
                selection = str([days, start, end, include_unsent, others])
                done_earlier = self._count_done_earlier(permanent_store_for_task(context), work_list, selection)
            self._write_report(report, work_list)
            if applies:
                self.log.info("Processing %d records, which will be %s", work_list.pending_count, self.done_outcome)
                try:
                    self._run_in_background(self._process(work_list, int(concurrency)))
                finally:
                    self._write_report(report, work_list)
            elif work_list.pending_count:
                self.log.info(
                    "Changing nothing: with apply=True, %d records would be %s",
                    work_list.pending_count, self.done_outcome,
                )  # fmt: skip
            summary = work_list.summary(done_earlier)
        self.log.info("Finished: %s", summary)
        if summary["failed"]:
            advice = f"See {report}" if report else "Set report to list them"
            raise AirflowFailException(
                f"{summary['failed']} of {summary['records']} records were not {self.done_outcome}. {advice}"
            )
        return {**summary, "until": until.isoformat(), "report": report, "applied": applies}

    def _count_done_earlier(self, store: StateStore, work_list: WorkList, selection: str) -> int:
        """Return the number of records that earlier tries with the same parameters processed, without a report."""
        stored = store.get(STORE_KEY) or {"selection": "", "records": 0}
        found_first = stored["records"] if stored["selection"] == selection else 0
        records = max(found_first, work_list.record_count)
        store.set(STORE_KEY, {"selection": selection, "records": records})
        return int(records) - work_list.record_count

    def _write_report(self, report: str | None, work_list: WorkList) -> None:
        from airflow_provider_twilio.operators._work_list import REPORT_COLUMNS

        if report is not None:
            storage.write_table("report", report, REPORT_COLUMNS, work_list.report_rows(), self.hook)

    async def _process(self, work_list: WorkList, concurrency: int) -> None:
        from airflow_provider_twilio.runtime.bulk.engine import run
        from airflow_provider_twilio.runtime.bulk.items import Tally, WorkItem
        from airflow_provider_twilio.runtime.bulk.progress import progress

        async with self.hook.aclient(concurrency=concurrency, retries=0) as client:  # the engine retries
            await self._before_run(client, work_list, concurrency)
            tally = Tally()
            items = (WorkItem(self._request_for(sid), key=sid) for sid, _ in work_list.pending())
            async with progress(tally, "records", work_list.pending_count):
                await run(client, items, work_list.record, concurrency=concurrency, tally=tally)


def _selected_range(context: Mapping[str, Any], days: int, start: Any, end: Any) -> tuple[datetime | None, datetime]:
    """Return the range of creation times of the records to select. It ends at least ``days`` before the DAG run."""
    now = getattr(context.get("dag_run"), "run_after", None) or datetime.now(UTC)
    until = now - timedelta(days=days)
    if start is None:
        return None, until
    first, last = (_parse_time(name, value) for name, value in (("start", start), ("end", end)))
    if first >= last:
        raise BadParameter("start and end", "are an empty range", "pass a start that is before the end")
    return first, min(until, last)


def _parse_time(name: str, value: Any) -> datetime:
    """Return a time in UTC from a day or a time."""
    text = str(value.isoformat() if hasattr(value, "isoformat") else value).strip()
    time = checks.parse_timestamp(name, f"{text}T00:00:00+00:00" if len(text) == 10 else text)
    if time is None:
        raise BadParameter(name, "is empty", "pass a day, or a time with a time zone")
    return time.astimezone(UTC)


def _rows_of_earlier_try(report: str, run_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the report, if an earlier try of the same run has written it."""
    for row in storage.read_table("report", report):
        if row.get("run_id") != run_id or not row.get("outcome"):
            return
        yield row


class RedactOldMessagesOperator(_RetentionOperator, color=COLORS["Messages"]):
    """Redact the bodies of old messages. Their records remain.

    Returns the numbers of ``records``, and of those ``redacted``, ``left``, ``later`` and ``failed``, to XCom. Without
    ``apply``, the task only reports which messages it would redact.

    .. code-block:: python

        RedactOldMessagesOperator(
            task_id="redact",
            days=90,
            media=True,
            report="s3://aws_default@bucket/redacted/{{ run_id }}.csv",
            apply=True,
        )

    Redaction cannot be undone. Messages that have not reached a final status are counted as ``later``. The report is
    written first: if that fails, no message is redacted. A task that is killed resumes in its next try. If Twilio
    rejects the redaction of a message, the others are still redacted, and the task fails without retry.

    :param days: Minimum age of the messages in days, 1 or more, since their creation. (templated)
    :param start: Only messages created at or after this time or day (UTC). Requires ``end``. (templated)
    :param end: Only messages created before this time or day (UTC). Requires ``start``. (templated)
    :param media: Whether to delete the media of the messages as well. (templated)
    :param include_unsent: Whether to include messages that were never sent, such as failed ones. Twilio cannot filter
        these by date, so the task reads the whole list, with a request per 1,000 messages. (templated)
    :param report: ``.csv`` or ``.jsonl`` file for a report with a row per message, local or in an object store. Use
        another file for each DAG run. (templated)
    :param apply: Whether to redact the messages. By default, they are only reported. (templated)
    :param concurrency: Maximum number of concurrent requests, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource
    """

    done_outcome = "redacted"
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
        """Return the listing of messages."""
        return _list_messages(since, until, unsent)

    def _request_for(self, sid: str) -> Request[Any]:
        """Return the request that redacts a message."""
        return Messages.update(sid, body="")

    def _is_due(self, record: Any) -> bool:
        """Return whether a message has a body, or media to delete."""
        return bool(record.body) or self._media_of(record) > 0

    def _media_of(self, record: Any) -> int:
        """Return the number of a message's media, or 0 if media are retained."""
        return (record.num_media or 0) if self._parse("media", self.media) else 0

    async def _before_run(self, client: Any, work_list: WorkList, concurrency: int) -> None:
        """Delete the media of the messages."""
        from airflow_provider_twilio.runtime.bulk.engine import run
        from airflow_provider_twilio.runtime.bulk.items import WorkItem

        def list_requests() -> Iterator[WorkItem]:
            for sid, media_count in work_list.pending():
                page = LIST_MEDIA.build(sid).first_page() if media_count else None
                if page is not None:
                    yield WorkItem(page, key=sid)

        found: list[tuple[str, str]] = []

        def on_listed(outcome: Outcome) -> None:
            if outcome.kind == "done" and outcome.result is not None:
                found.extend((outcome.item.key, media.sid) for media in outcome.result.records)
            elif outcome.kind != "done":
                work_list.record(outcome)

        def on_deleted(outcome: Outcome) -> None:
            if outcome.kind != "done":
                work_list.record(outcome)

        await run(client, list_requests(), on_listed, concurrency=concurrency)
        delete_requests = (WorkItem(MediaItems.delete(sid, media_sid), key=sid) for sid, media_sid in found)
        await run(client, delete_requests, on_deleted, concurrency=concurrency)


class DeleteOldMessagesOperator(_RetentionOperator, color=COLORS["Messages"]):
    """Delete old messages with their media.

    Returns the numbers of ``records``, and of those ``deleted``, ``left``, ``later`` and ``failed``, to XCom. Without
    ``apply``, the task only reports which messages it would delete.

    .. code-block:: python

        DeleteOldMessagesOperator(
            task_id="delete",
            days=400,
            report="s3://aws_default@bucket/deleted/{{ run_id }}.csv",
            apply=True,
        )

    Deleted messages cannot be restored. Messages that have not reached a final status are counted as ``later``. The
    report is written first: if that fails, no message is deleted. A task that is killed resumes in its next try. If
    Twilio rejects the deletion of a message, the others are still deleted, and the task fails without retry.

    :param days: Minimum age of the messages in days, 1 or more, since their creation. (templated)
    :param start: Only messages created at or after this time or day (UTC). Requires ``end``. (templated)
    :param end: Only messages created before this time or day (UTC). Requires ``start``. (templated)
    :param include_unsent: Whether to include messages that were never sent, such as failed ones. Twilio cannot filter
        these by date, so the task reads the whole list, with a request per 1,000 messages. (templated)
    :param report: ``.csv`` or ``.jsonl`` file for a report with a row per message, local or in an object store. Use
        another file for each DAG run. (templated)
    :param apply: Whether to delete the messages. By default, they are only reported. (templated)
    :param concurrency: Maximum number of concurrent requests, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#delete-a-message-resource
    """

    done_outcome = "deleted"

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
        """Return the listing of messages."""
        return _list_messages(since, until, unsent)

    def _request_for(self, sid: str) -> Request[Any]:
        """Return the request that deletes a message."""
        return Messages.delete(sid)


class DeleteOldCallsOperator(_RetentionOperator, color=COLORS["Calls"]):
    """Delete the records of old calls. Their recordings remain.

    Returns the numbers of ``records``, and of those ``deleted``, ``left``, ``later`` and ``failed``, to XCom. Without
    ``apply``, the task only reports which calls it would delete.

    .. code-block:: python

        DeleteOldCallsOperator(
            task_id="delete",
            days=400,
            report="s3://aws_default@bucket/calls/{{ run_id }}.csv",
            apply=True,
        )

    Deleted records cannot be restored. Calls in progress are counted as ``later``. The report is written first: if that
    fails, no call is deleted. A task that is killed resumes in its next try. If Twilio rejects the deletion of a call,
    the others are still deleted, and the task fails without retry.

    :param days: Minimum age of the calls in days, 1 or more, since their creation. (templated)
    :param start: Only calls created at or after this time or day (UTC). Requires ``end``. (templated)
    :param end: Only calls created before this time or day (UTC). Requires ``start``. (templated)
    :param include_unsent: Whether to include calls that were never placed, such as calls canceled in the queue. Twilio
        cannot filter these by date, so the task reads the whole list, with a request per 1,000 calls. (templated)
    :param report: ``.csv`` or ``.jsonl`` file for a report with a row per call, local or in an object store. Use
        another file for each DAG run. (templated)
    :param apply: Whether to delete the calls. By default, they are only reported. (templated)
    :param concurrency: Maximum number of concurrent requests, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource
    """

    done_outcome = "deleted"

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
        """Return the listing of calls."""
        dated = {} if unsent else {"start_time_after": since, "start_time_before": until}
        listing: Listing[Any] = definition(Calls.list).build(**dated)
        return listing

    def _request_for(self, sid: str) -> Request[Any]:
        """Return the request that deletes a call."""
        return Calls.delete(sid)


class DeleteOldRecordingsOperator(_RetentionOperator, color=COLORS["Calls"]):
    """Delete old recordings of calls and conferences.

    Returns the numbers of ``records``, and of those ``deleted``, ``left``, ``later`` and ``failed``, to XCom. Without
    ``apply``, the task only reports which recordings it would delete.

    .. code-block:: python

        DeleteOldRecordingsOperator(
            task_id="delete",
            days=30,
            report="s3://aws_default@bucket/recordings/{{ run_id }}.csv",
            apply=True,
        )

    Deleted recordings cannot be restored. Recordings in progress are counted as ``later``. The report is written first:
    if that fails, no recording is deleted. A task that is killed resumes in its next try. If Twilio rejects the
    deletion of a recording, the others are still deleted, and the task fails without retry.

    :param days: Minimum age of the recordings in days, 1 or more, since their creation. (templated)
    :param start: Only recordings created at or after this time or day (UTC). Requires ``end``. (templated)
    :param end: Only recordings created before this time or day (UTC). Requires ``start``. (templated)
    :param report: ``.csv`` or ``.jsonl`` file for a report with a row per recording, local or in an object store. Use
        another file for each DAG run. (templated)
    :param apply: Whether to delete the recordings. By default, they are only reported. (templated)
    :param concurrency: Maximum number of concurrent requests, up to 500. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/recording#delete-a-recording-resource
    """

    done_outcome = "deleted"

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
        """Return the listing of recordings."""
        listing: Listing[Any] = definition(Recordings.list).build(date_created_after=since, date_created_before=until)
        return listing

    def _request_for(self, sid: str) -> Request[Any]:
        """Return the request that deletes a recording."""
        return Recordings.delete(sid)


def _list_messages(since: datetime | None, until: datetime, unsent: bool) -> Listing[Any]:
    """Return the listing of all messages, or of the messages sent in the range.

    The latter omits messages that were created in the range and sent after it. A later run finds them.
    """
    dated = {} if unsent else {"date_sent_after": since, "date_sent_before": until}
    listing: Listing[Any] = definition(Messages.list).build(**dated)
    return listing
