"""Send a message to each of many recipients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow.sdk.log import mask_secret

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.compat import AirflowFailException, conf
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, RateLimited, TwilioError
from airflow_provider_twilio.api.messages import MAX_SCHEDULE_AHEAD, MAX_VALIDITY_PERIOD, MIN_SCHEDULE_AHEAD
from airflow_provider_twilio.defaults import DRY_RUN, RECONCILE_TIMEOUT
from airflow_provider_twilio.operators import _bulk_checks
from airflow_provider_twilio.operators._base.operation import COLORS, TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.bulk.items import Tally, WorkItem
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.bulk.rows import Row
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

    Planned = Callable[[], Iterator[PlannedMessage]]

# Modules of `runtime` and `triggers` are imported where they are used: parsing a DAG must not pay for them.

CREATE = _bulk_checks.CREATE
OPTIONS = tuple(name for name in CREATE.names if name not in ("to", "max_price", "force_delivery"))
"""The parameters of :meth:`Messages.create` that all rows share."""


class SendMessagesOperator(TwilioOperator):
    """Send a message to each of many recipients, in one task. A summary goes to XCom.

    Each gets exactly one, whatever is retried, killed or lost: the next try goes on where this one was. A recipient who
    can't be sent to is counted, and the rest go on. Numbers and texts of all rows are checked before the first message.
    What a row says under ``from_``, ``messaging_service_sid``, ``body``, ``media_url``, ``content_sid`` or
    ``content_variables`` takes the place of what is given here.

    :param recipients: numbers or addresses, mappings with one each, or the path of a ``.csv``, ``.jsonl`` or
        ``.ndjson`` file, local or in any object store. (templated)
    :param from_: Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required
        without ``messaging_service_sid``, unless the connection has a default sender. (templated)
    :param messaging_service_sid: Messaging service that selects the sender. With ``from_``, the service sends from that
        sender. (templated)
    :param body: Message text, up to 1,600 characters. (templated)
    :param media_url: URL of a media file to attach, or a list of up to 10. (templated)
    :param content_sid: Content template to send instead of ``body``. (templated)
    :param content_variables: Values for the variables of the content template, as a mapping or JSON. Requires
        ``content_sid``. (templated)
    :param status_callback: URL to which Twilio reports each status of the message. (templated)
    :param application_sid: TwiML app whose status callback URL Twilio uses. (templated)
    :param provide_feedback: Whether you will report the message's delivery with the feedback resource. False by
        default. (templated)
    :param attempt: Number of attempts made to send this message, this one included. (templated)
    :param validity_period: Seconds the message may stay in Twilio's queue, 1 to 36,000 (default). Twilio does not send
        it later. (templated)
    :param content_retention: ``discard`` to have Twilio delete the body after sending, ``retain`` to keep it.
        (templated)
    :param address_retention: ``obfuscate`` to have Twilio mask the recipient in its records, ``retain`` to keep it.
        (templated)
    :param smart_encoded: Whether Twilio replaces characters outside GSM-7 with similar ones inside it. (templated)
    :param persistent_action: Rich actions for channels other than SMS and MMS, such as a location. (templated)
    :param traffic_type: Twilio's traffic class for the message, such as ``free``. (templated)
    :param shorten_urls: Whether Twilio shortens links in the body. Works with messaging services that have link
        shortening only. False by default. (templated)
    :param schedule_type: ``fixed``, together with ``send_at``. (templated)
    :param send_at: Time at which Twilio sends the message, 300 seconds to 35 days ahead: an aware datetime or ISO 8601.
        Requires ``schedule_type="fixed"`` and a messaging service. (templated)
    :param send_as_mms: Whether to send a single MMS even without media. (templated)
    :param message_intent: Purpose of the message, which Twilio evaluates for compliance. (templated)
    :param risk_check: ``disable`` to exempt this message from SMS pumping protection. ``enable`` by default.
        (templated)
    :param fallback_from: Sender of the SMS that Twilio sends if the recipient cannot be reached over RCS. (templated)
    :param max_segments: Maximum number of segments of the body. A longer body is rejected before anything is sent.
        (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param recipient_column: where a row has its number or address.
    :param one_per_recipient: send only the first message to each number; the same message to the same number is sent
        once in any case.
    :param concurrency: how many requests are on their way at the most; fewer while Twilio refuses for pace.
    :param rate: segments a second, for each sender by itself; None for as fast as it goes.
    :param max_failures: end the task when more have failed, or a share such as ``0.05``; None for any number.
    :param min_balance: refuse to begin with less on the account.
    :param checkpoint_path: a folder, local or in any object store, that remembers what has been done, each task
        instance in a folder of its own: needed for more than 20,000 messages, and before Airflow 3.3. (templated)
    :param results: a ``.csv``, ``.jsonl`` or ``.ndjson`` file to write what became of each row to. (templated)
    :param wait_for_delivery: wait until all have been delivered or have failed, and count both.
    :param accept_sent: take ``sent`` (the carrier has it) for delivered.
    :param sent_grace: take ``sent`` for delivered when it has lasted so many seconds.
    :param poll_interval: seconds between two looks.
    :param wait_timeout: seconds from the last send, or from ``send_at``, after which no more is waited for.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param on_clear: what to do when a user clears a task that had sent all: ``resend``, or ``skip``. One that had not
        goes on in any case.
    :param on_unresolved: ``resend`` or ``fail`` where the outcome of a request can't be known.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never sent.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    """

    _extra_template_fields: ClassVar[tuple[str, ...]] = (*OPTIONS, "recipients", "checkpoint_path", "results")
    template_fields = (*_extra_template_fields, "twilio_conn_id", "account_sid")
    template_fields_renderers = {"content_variables": "json"}
    ui_color = COLORS["Messages"]

    recipients: Any
    recipient_column: str
    one_per_recipient: bool
    concurrency: int
    rate: float | None
    max_failures: float | None
    min_balance: float | None
    checkpoint_path: str | None
    results: str | None
    wait_for_delivery: bool
    accept_sent: bool
    sent_grace: float | None
    poll_interval: float
    wait_timeout: float
    deferrable: bool
    on_clear: OnClear
    on_unresolved: OnUnresolved | None
    reconcile_timeout: float

    def __init__(
        self,
        *,
        recipients: Any,
        from_: str | None = None,
        messaging_service_sid: str | None = None,
        body: str | None = None,
        media_url: Sequence[str] | str | None = None,
        content_sid: str | None = None,
        content_variables: Mapping[str, Any] | str | None = None,
        status_callback: str | None = None,
        application_sid: str | None = None,
        provide_feedback: bool | str | None = None,
        attempt: int | str | None = None,
        validity_period: int | str | None = None,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
        smart_encoded: bool | str | None = None,
        persistent_action: Sequence[str] | str | None = None,
        traffic_type: str | None = None,
        shorten_urls: bool | str | None = None,
        schedule_type: Literal["fixed"] | None = None,
        send_at: datetime | str | None = None,
        send_as_mms: bool | str | None = None,
        message_intent: str | None = None,
        risk_check: Literal["enable", "disable"] | None = None,
        fallback_from: str | None = None,
        max_segments: int | str | None = None,
        extra_params: Mapping[str, Any] | str | None = None,
        recipient_column: str = "to",
        one_per_recipient: bool = False,
        concurrency: int = 50,
        rate: float | None = None,
        max_failures: float | None = None,
        min_balance: float | None = None,
        checkpoint_path: str | None = None,
        results: str | None = None,
        wait_for_delivery: bool = False,
        accept_sent: bool = False,
        sent_grace: float | None = None,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        _bulk_checks.check_limits(values)
        options = {name: values[name] for name in OPTIONS}
        _bulk_checks.check_message(options, values["recipients"], values["recipient_column"])

    # ------------------------------------------------------------ the task

    def execute(self, context: Context) -> Any:
        """Send to every recipient that has not been sent to, and wait if requested."""
        with fail_on_permanent_errors():
            return self._execute(context)

    def _execute(self, context: Context) -> Any:
        from airflow_provider_twilio.operators._bulk_run import BulkRun, store_for
        from airflow_provider_twilio.runtime.bulk.plan import preflight, raise_for_preflight

        _bulk_checks.check_limits({name: getattr(self, name) for name in self._parameter_names})
        settings = self.hook.client.settings
        plan, read_rows = self._plan(settings), self._rows()
        started = time.monotonic()
        checked = preflight(plan(read_rows()))

        def planned() -> Iterator[PlannedMessage]:
            return plan(read_rows(), checked.verdicts)

        max_failures = self._failure_limit(checked.rows)
        raise_for_preflight(checked, max_failures)
        self._log_preflight(checked, time.monotonic() - started)
        if settings.dry_run:
            return self._dry_run(planned, checked)
        run = BulkRun.load_or_start(
            store_for(context, self.checkpoint_path, checked.messages),
            getattr(context.get("ti"), "max_tries", 0),
            resend_on_clear=self.on_clear != "skip",
            before_start=self._check_send_at,
        )
        if run.summary is not None:
            self.log.info("Sending nothing: an earlier try has sent all messages")
            return self._enforce_max_failures(run.summary)
        if next(run.outcomes(), None) is None:  # messages of an earlier try have reduced the balance
            self._check_balance()
        started = time.monotonic()
        try:
            items = plan.items(read_rows(), checked.verdicts)
            tally, sent_now = self._run_in_background(self._send_all(settings, items, checked, run, max_failures))
        except TwilioError:
            self._write_results(planned, run.outcomes(), {}, "unsent")
            raise
        summary = build_summary(checked, tally, time.monotonic() - started, sent_now)
        self.log.info("Sent: %s", summary)
        run.record_sent(summary, sent_now=sent_now)
        if not (self.wait_for_delivery and tally.done):
            return self._finish(run, planned, summary)
        return self._wait(context, settings, run, planned)

    def _plan(self, settings: Settings) -> MessagePlan:
        from airflow_provider_twilio.runtime.bulk.plan import MessagePlan

        options = {name: self._rendered_option(name) for name in OPTIONS}
        return MessagePlan(options, settings, column=self.recipient_column, one_per_recipient=self.one_per_recipient)

    def _rows(self) -> Callable[[], Iterator[Row]]:
        """Return a function that reads the rows, the same ones each time."""
        from airflow_provider_twilio.runtime.bulk.rows import rows

        return partial(rows, self._rendered_recipients(), self.recipient_column)

    def _rendered_option(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, str) and not value.strip():
            return None
        return parse_rendered(name, value, str(CREATE.parameters[name].annotation))

    def _rendered_recipients(self) -> Any:
        from airflow_provider_twilio.operators._bulk_run import object_path

        recipients = parse_rendered("recipients", self.recipients, "Sequence")
        if isinstance(recipients, str):
            if not recipients.strip():
                raise BadParameter("recipients", "is empty", "give a list, or the path of a file")
            return object_path(recipients)
        if hasattr(recipients, "open") or isinstance(recipients, list | tuple | Mapping | bytes):
            return recipients
        return list(recipients)  # the XComs of mapped tasks: a sequence that fetches each item at each access

    def _failure_limit(self, rows: int) -> int | None:
        limit = self.max_failures
        if limit is None or isinstance(limit, int):
            return limit
        return int(limit) if limit > 1 else int(limit * rows)

    def _log_preflight(self, checked: Preflight, seconds: float) -> None:
        """Log what is about to be sent, and warn about messages that would expire in the queue."""
        self.log.info(
            "Checked %d rows in %.1f s: %d messages of %d segments, %d duplicates, %d invalid rows",
            checked.rows, seconds, checked.messages, checked.segments, checked.duplicates, checked.invalid,
        )  # fmt: skip
        for fault in checked.faults:
            self.log.warning("Not sending %s", fault)
        if self.rate is not None and checked.of_sender:
            duration = max(checked.of_sender.values()) / self.rate
            validity = float(self._rendered_option("validity_period") or MAX_VALIDITY_PERIOD)
            if duration > validity:
                self.log.warning(
                    "Sending at %g segments a second takes %.0f s, but a message is valid for %.0f s only",
                    self.rate, duration, validity,
                )  # fmt: skip

    def _dry_run(self, planned: Planned, checked: Preflight) -> dict[str, Any]:
        from airflow_provider_twilio.runtime.bulk.items import Tally

        self.log.info("Dry run: sending nothing")
        self._write_results(planned, (), {}, DRY_RUN)
        return {**build_summary(checked, Tally(), 0.0, 0), "segments": checked.segments, "status": DRY_RUN}

    def _check_send_at(self) -> None:
        checks.within_future("send_at", self._rendered_option("send_at"), MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD)

    def _check_balance(self) -> None:
        if self.min_balance is None:
            return
        balance = self.hook.fetch_balance().remaining
        if balance < self.min_balance:
            raise BadParameter(
                "min_balance",
                f"is {self.min_balance}, and the balance is {balance}",
                "top up the account, or lower min_balance. No message was sent",
            )

    async def _send_all(
        self,
        settings: Settings,
        items: AsyncIterator[WorkItem],
        checked: Preflight,
        run: BulkRun,
        max_failures: int | None,
    ) -> tuple[Tally, int]:
        """Send what has not been sent; return the tally of all rows, and the number of messages sent by this try."""
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.bulk.checkpoints import run_resumable
        from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally
        from airflow_provider_twilio.runtime.bulk.progress import progress
        from airflow_provider_twilio.runtime.bulk.reconcile import CONCURRENCY, Reconciler

        sent_now = 0

        def count_sent(outcome: Outcome) -> None:
            nonlocal sent_now
            sent_now += outcome.kind == "done"

        tally = Tally()
        async with (
            AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=self.concurrency) as client,
            AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as reconciling_client,
            progress(tally, "messages", checked.messages),
        ):
            await run_resumable(
                client,
                items,
                count_sent,
                store=run.store,
                key=run.key,
                reconcile=Reconciler(reconciling_client, self.on_unresolved),
                reconcile_delay=settings.timeout + self.reconcile_timeout,
                concurrency=self.concurrency,
                rate=self.rate,
                max_failures=None if max_failures is None else max_failures - checked.invalid,
                tally=tally,
            )
        return tally, sent_now

    # ------------------------------------------------------------ the wait

    def _wait(self, context: Context, settings: Settings, run: BulkRun, planned: Planned) -> Any:
        send_at = checks.parse_timestamp("send_at", self._rendered_option("send_at"))
        scheduled_for = 0.0 if send_at is None else send_at.timestamp()
        created = max(run.started_at, scheduled_for)
        deadline = max(run.sent_at, scheduled_for) + self.wait_timeout
        if self.deferrable:
            trigger = self._build_trigger(context, run, created=created, deadline=deadline)
            self.defer(trigger=trigger, method_name="execute_complete")
        from airflow_provider_twilio.api.verdicts import Delivery
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.polling.many import wait_for_all
        from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY

        def connect() -> AsyncClient:
            return AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=FETCH_CONCURRENCY)

        counts = self._run_in_background(
            wait_for_all(
                chain.from_iterable(run.sids()),
                Delivery(self.accept_sent, self.sent_grace),
                interval=self.poll_interval,
                deadline=deadline,
                created=created,
                name=(self.twilio_conn_id, self.account_sid),
                connect=connect,
            )
        )
        return self._finish(run, planned, {**run.sent, **counts})

    def _build_trigger(self, context: Context, run: BulkRun, *, created: float, deadline: float) -> BulkDeliveryTrigger:
        """Build the trigger, which reads the SIDs from the checkpoint folder, or from XComs that this pushes."""
        from airflow_provider_twilio.runtime.state_store import FolderStore
        from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

        ti: Any = context.get("ti")
        xcom_count = 0
        if not isinstance(run.store, FolderStore):
            for xcom_count, sids in enumerate(run.sids(), 1):
                ti.xcom_push(key=f"{run.key}.{xcom_count - 1}", value=sids)
        return BulkDeliveryTrigger(
            run.key,
            checkpoint_path=str(run.store.path) if isinstance(run.store, FolderStore) else None,
            xcom_count=xcom_count,
            dag_id=ti.dag_id if xcom_count else "",
            run_id=ti.run_id if xcom_count else "",
            task_id=ti.task_id if xcom_count else "",
            map_index=ti.map_index if xcom_count else -1,
            message_count=run.sent["sent"],
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poll_interval,
            deadline=deadline,
            created=created,
            accept_sent=self.accept_sent,
            sent_grace=self.sent_grace,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Finish with the counts of the trigger's event."""
        from airflow_provider_twilio.operators._bulk_run import BulkRun, store_for

        with fail_on_permanent_errors():
            if "delivered" not in event:
                raise AirflowFailException(f"The trigger's event is not understood: its keys are {sorted(event)}")
            plan, read_rows = self._plan(self.hook.client.settings), self._rows()
            run = BulkRun.load(store_for(context, self.checkpoint_path, 0))
            return self._finish(run, lambda: plan(read_rows()), {**run.sent, **event})

    # ------------------------------------------------------------ the end

    def _finish(self, run: BulkRun, planned: Planned, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the results, delete the checkpoints, and return what goes to XCom."""
        with_states = self.results and "delivered" in summary
        states = self._run_in_background(self._fetch_states(run)) if with_states else {}
        self._write_results(planned, run.outcomes(), states, "unsent")
        if not summary["later"]:
            run.finish(summary)
        self._enforce_max_failures(summary)
        if summary["later"]:
            raise RateLimited(
                f"{summary['later']} messages are left for the next try: the queues of their senders are full. {summary}"
            )
        return summary

    def _enforce_max_failures(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the summary, unless there are more failures than allowed.

        An earlier try may have been killed after it had stored the summary, so this runs for a stored one as well.
        """
        limit = self._failure_limit(summary["rows"])
        failed = sum(summary["failed"].values())
        undelivered = sum(summary.get("undelivered", {}).values()) + summary.get("waiting", 0)
        if limit is not None and failed + undelivered > limit:
            raise AirflowFailException(
                f"{failed} messages failed and {undelivered} were not delivered; max_failures allows {limit}. {summary}"
            )
        return summary

    async def _fetch_states(self, run: BulkRun) -> dict[str, Any]:
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.bulk.reconcile import CONCURRENCY, fetch_statuses

        sids = set(chain.from_iterable(run.sids()))
        async with AsyncClient(self.hook.client.settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as client:
            return await fetch_statuses(client, sids)

    def _write_results(self, planned: Planned, outcomes: Any, states: Mapping[str, Any], outcome_without: str) -> None:
        """Write the table of results, if one is requested.

        :param outcomes: The stored outcomes, checkpoint by checkpoint.
        :param outcome_without: The outcome of rows that have none.
        """
        if not self.results:
            return
        from airflow_provider_twilio.runtime.bulk.results import check, table, write

        check(self.results)
        target = storage.resolve_path("results", self.results.strip())
        with storage.atomic_write("results", target, self.hook) as local:
            write(local, table(planned(), chain.from_iterable(outcomes), states, outcome_without))
        self.log.info("Wrote the outcome of each row to %s", self.results)


def build_summary(checked: Preflight, tally: Tally, seconds: float, sent_now: int) -> dict[str, Any]:
    """Return the numbers that go to XCom. ``rows`` is the sum of sent, skipped, failed, later and duplicates.

    :param sent_now: Number of messages sent within ``seconds``.
    """
    failed = {str(code or "without a code"): number for code, number in sorted(tally.failed.items())}
    if checked.invalid:
        failed["invalid"] = checked.invalid
    return {
        "rows": checked.rows,
        "sent": tally.done,
        "skipped": tally.skipped.total(),
        "failed": failed,
        "later": tally.later,
        "duplicates": checked.duplicates,
        "segments": checked.segments,
        "seconds": round(seconds, 3),
        "rate": round(sent_now / seconds, 1) if seconds else 0.0,
        "ended": datetime.now(UTC).isoformat(),
    }
