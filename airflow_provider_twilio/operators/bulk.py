"""The operator that sends a message to each of many recipients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow.sdk.log import mask_secret

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.compat import AirflowFailException, conf
from airflow_provider_twilio._airflow.deferral import ResumesAtDeadline
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, RateLimited, TwilioError
from airflow_provider_twilio.api.messages import MAX_SCHEDULE_AHEAD, MAX_VALIDITY_PERIOD, MIN_SCHEDULE_AHEAD
from airflow_provider_twilio.defaults import DRY_RUN, RECONCILE_TIMEOUT
from airflow_provider_twilio.operators import _bulk_checks
from airflow_provider_twilio.operators._base.operation import COLORS, TwilioOperator
from airflow_provider_twilio.operators._bulk_summary import (
    build_summary,
    enforce_max_failures,
    failure_limit,
    has_too_many_failures,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_folder import FolderMarker
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.bulk.placeholders import OnMissing
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.bulk.rows import Row
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.runtime.polling.events import DeliveryCounts
    from airflow_provider_twilio.runtime.state_store import StateStore
    from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

    Planned = Callable[[], Iterator[PlannedMessage]]

# Modules of `runtime` and `triggers` are imported in functions, so that parsing a DAG file does not import them.

CREATE = _bulk_checks.CREATE
OPTIONS = tuple(name for name in CREATE.names if name not in ("to", "max_price", "force_delivery"))
"""Parameters of :meth:`Messages.create` that apply to all rows."""
BulkOnClear = Literal["resend", "resend_all", "skip"]
"""What to do when a user clears the task."""


class SendMessagesOperator(ResumesAtDeadline, TwilioOperator):
    """Send a message to each of many recipients in one task.

    Returns a summary to XCom, with the numbers of rows by outcome: ``sent``, ``skipped``, ``failed`` (by error code),
    ``later`` and ``duplicates``.

    .. code-block:: python

        SendMessagesOperator(
            task_id="remind",
            recipients="s3://aws_default@lists/due-{{ ds }}.csv",
            body="Dear {name}, {amount} is due on Friday.",
            results="s3://aws_default@lists/due-{{ ds }}-results.csv",
            max_failures=0.05,
            retries=3,
        )

    All rows are checked before the first message is sent. Each recipient receives exactly one message, even if the
    task is killed or a response is lost: the next try resumes where the earlier one stopped. A recipient that cannot
    receive the message is counted as failed, and the rest of the messages are still sent.

    The task fails without retry if more than ``max_failures`` messages fail, if the recipients differ from those of an
    earlier try, or on an error that affects every request, such as rejected credentials. It is retried if a sender's
    queue at Twilio stays full.

    A row's own ``from_``, ``messaging_service_sid``, ``body``, ``media_url``, ``content_sid`` or ``content_variables``
    takes precedence over the operator's parameter.

    :param recipients: Numbers or addresses, mappings that contain one each, or the path of a ``.csv``, ``.jsonl`` or
        ``.ndjson`` file, local or in an object store. (templated)
    :param from_: Sender: a number, short code, alphanumeric sender ID or channel address of the account. Required
        without ``messaging_service_sid``, unless the connection's extra ``from_`` is the sender, or the rows name one.
        (templated)
    :param messaging_service_sid: Messaging service that selects the sender. With ``from_``, the service sends from that
        sender. (templated)
    :param body: Message text, up to 1,600 characters. ``{name}`` stands for the value in a row's column ``name``; write
        ``{{`` and ``}}`` for braces. (templated)
    :param media_url: URL of a media file to attach, or a list of up to 10. Accepts ``{name}`` as ``body`` does.
        (templated)
    :param content_sid: Content template to send instead of ``body``. (templated)
    :param content_variables: Values for the variables of the content template, as a mapping or JSON. Accepts ``{name}``
        as ``body`` does. Requires ``content_sid``. (templated)
    :param status_callback: URL to which Twilio reports each status of the message. (templated)
    :param application_sid: TwiML app whose status callback URL Twilio uses. (templated)
    :param provide_feedback: Whether you will report the message's delivery with the feedback resource. False by
        default. (templated)
    :param attempt: Number of attempts made to send this message, this one included. (templated)
    :param validity_period: Seconds the message may stay in Twilio's queue, 1 to 36,000 (default). Twilio does not send
        it later. (templated)
    :param content_retention: ``discard`` to have Twilio delete the body after sending, ``retain`` to keep it. Requires
        Message Redaction, which Twilio enables for an account on request; without it, the message fails with code
        30029. (templated)
    :param address_retention: ``obfuscate`` to have Twilio mask the recipient in its records, ``retain`` to keep it.
        Requires Message Redaction, as ``content_retention`` does. (templated)
    :param smart_encoded: Whether Twilio replaces characters outside GSM-7 with similar ones inside it. (templated)
    :param persistent_action: Rich actions for channels other than SMS and MMS, such as a location. (templated)
    :param traffic_type: Twilio's traffic class for the message, such as ``free``. (templated)
    :param shorten_urls: Whether Twilio shortens links in the body. Works with messaging services that have link
        shortening only. False by default. (templated)
    :param schedule_type: ``fixed``, together with ``send_at``. (templated)
    :param send_at: Time at which Twilio sends the message, 330 seconds to 35 days ahead: an aware datetime or ISO 8601.
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
    :param recipient_column: Column of the number or address in a row.
    :param on_missing: Whether a row without a value for a placeholder is ``invalid``, or the placeholder ``empty``. A
        value is missing if it is absent, None, blank or NaN.
    :param one_per_recipient: Whether to send only the first message to each number. Identical messages to one number
        are always sent once.
    :param concurrency: Maximum number of concurrent requests. It is reduced while Twilio rejects requests with 429.
    :param rate: Maximum number of segments per second, for each sender. By default, there is no limit.
    :param max_failures: Number of failures above which the task fails, or a share of the rows such as ``0.05``. By
        default, failed messages do not fail the task.
    :param min_balance: Minimum balance of the account, in its currency. With less, no message is sent.
    :param checkpoint_path: Folder for checkpoints, local or in an object store. Each task instance has a subfolder of
        its own. Required for more than 20,000 messages, and on Airflow versions before 3.3. (templated)
    :param results: ``.csv``, ``.jsonl`` or ``.ndjson`` file to which the outcome of each row is written. (templated)
    :param wait_for_delivery: Whether to wait until each message is delivered or has failed, and add both to the
        summary.
    :param accept_sent: Whether ``sent`` (the carrier has accepted the message) counts as delivered.
    :param sent_grace: Seconds after which ``sent`` counts as delivered. By default, it never does.
    :param poll_interval: Seconds between two polls.
    :param wait_timeout: Seconds after the last message is sent, or after ``send_at``, at which the wait ends. Messages
        without a final status are then counted as ``waiting``.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param on_clear: What to do when a user clears the task. ``resend`` (default): a task that succeeded sends all
        messages again; a task that failed sends those not sent yet, and those that failed for a temporary reason.
        ``resend_all``: the task sends all messages again in either case. ``skip``: a task that has sent all messages
        returns its summary.
    :param on_unresolved: Whether to ``resend`` or ``fail`` a message if the outcome of its request is unknown and
        Twilio lists no matching record. By default ``resend``, and ``fail`` with ``address_retention="obfuscate"``.
    :param reconcile_timeout: Seconds after the connection timeout after which a message that Twilio does not list is
        considered not sent.
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
    on_missing: OnMissing
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
    on_clear: BulkOnClear
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
        on_missing: OnMissing = "invalid",
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
        on_clear: BulkOnClear = "resend",
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

    def execute(self, context: Context) -> Any:
        """Send the messages that no earlier try has sent, and wait if requested."""
        with fail_on_permanent_errors():
            return self._execute(context)

    def _execute(self, context: Context) -> Any:
        from airflow_provider_twilio.operators._bulk_run import BulkRun, Interrupted
        from airflow_provider_twilio.operators._bulk_send import send_all
        from airflow_provider_twilio.runtime.bulk.items import Tally
        from airflow_provider_twilio.runtime.bulk.plan import preflight, raise_for_preflight

        _bulk_checks.check_limits({name: getattr(self, name) for name in self._parameter_names})
        settings = self.hook.client.settings
        plan, read_rows = self._plan(settings), self._rows()
        started = time.monotonic()
        checked = preflight(plan(read_rows()))

        def planned() -> Iterator[PlannedMessage]:
            return plan(read_rows(), checked.verdicts)

        max_failures = failure_limit(self.max_failures, checked.rows)
        raise_for_preflight(checked, max_failures)
        self._log_preflight(checked, time.monotonic() - started)
        store = self._store(context, checked.messages, settings)
        stored = None if store is None else BulkRun.load(store)
        marker = self._marker(context, store)
        on_clear: dict[str, bool] = {
            "resend_on_clear": self.on_clear != "skip",
            "start_over": self.on_clear == "resend_all",
        }
        if stored is None and marker is not None:
            marker.check(**on_clear)
        max_tries = getattr(context.get("ti"), "max_tries", 0)
        if store is None or settings.dry_run:
            is_resumed = stored is not None and stored.is_resumed(max_tries, **on_clear)
            return self._dry_run(planned, checked, stored if is_resumed else None)
        run = BulkRun.load_or_start(store, max_tries, before_start=self._check_send_at, **on_clear)
        if marker is not None:
            marker.write(succeeded=run.has_succeeded)
        if run.is_cleared(max_tries) and self.on_clear != "skip" and not run.has_succeeded:
            self._repair(settings, run, max_tries)
        if run.summary is not None:
            self.log.info("Sending nothing: an earlier try has sent all messages")
            return enforce_max_failures(run.summary, self.max_failures)
        if next(run.outcomes(), None) is None:  # later, sent messages have reduced the balance
            self._check_balance()
        started, tally = time.monotonic(), Tally()
        try:
            items = plan.items(read_rows(), checked.verdicts)
            sent_now = self._run_in_background(
                send_all(
                    settings,
                    items,
                    checked,
                    run,
                    tally,
                    concurrency=self.concurrency,
                    rate=self.rate,
                    max_failures=max_failures,
                    on_unresolved=self.on_unresolved,
                    reconcile_timeout=self.reconcile_timeout,
                )
            )
        except TwilioError:
            self._write_results(planned, run.outcomes(), {}, "unsent")
            raise
        except asyncio.CancelledError as error:
            self._cancel_if_killed(context, settings, run)
            raise Interrupted(
                f"Stopped while sending: {tally.total} of {checked.messages} messages have an outcome, and {tally.done}"
                " of them were sent. The next try, or clearing the task, sends the rest"
            ) from error
        summary = build_summary(checked, tally, time.monotonic() - started, sent_now)
        self.log.info("Sent: %s", summary)
        run.record_sent(summary, sent_now=sent_now)
        if not (self.wait_for_delivery and tally.done):
            return self._finish(context, run, planned, summary)
        return self._wait(context, settings, run, planned)

    def _store(self, context: Context, messages: int, settings: Settings) -> StateStore | None:
        """Return the store for the checkpoints; None for a dry run without one."""
        from airflow_provider_twilio.operators._bulk_folder import check_local_path, object_path
        from airflow_provider_twilio.operators._bulk_run import store_for

        consequence = {
            "checkpoint_path": "a next try on another machine cannot resume, and fails",
            "results": "the table stays on this machine, and is lost with it",
        }
        for name, effect in consequence.items():
            path = (getattr(self, name) or "").strip()
            if path and (warning := check_local_path(name, object_path(path), effect)):
                self.log.warning(warning)
        try:
            return store_for(context, self.checkpoint_path, messages)
        except BadParameter:
            if not settings.dry_run:
                raise
            return None

    def _marker(self, context: Context, store: StateStore | None) -> FolderMarker | None:
        from airflow_provider_twilio.operators._bulk_folder import FolderMarker
        from airflow_provider_twilio.runtime.state_store import FolderStore

        return FolderMarker(context, store) if isinstance(store, FolderStore) else None

    def _repair(self, settings: Settings, run: BulkRun, max_tries: int) -> None:
        """Reopen a run that failed, and log how many messages it sends again."""
        from airflow_provider_twilio.operators._bulk_send import fetch_run_statuses

        has_undelivered = bool((run.summary or {}).get("undelivered"))
        statuses = self._run_in_background(fetch_run_statuses(settings, run)) if has_undelivered else {}
        count = run.repair(max_tries, statuses)
        self.log.info(
            "Resuming the failed send: sending %d messages again that can be delivered now, and those not sent yet."
            ' To send all messages again, clear the task with on_clear="resend_all"',
            count,
        )

    def _cancel_if_killed(self, context: Context, settings: Settings, run: BulkRun) -> None:
        """Cancel the messages that are still scheduled, if a user has marked the task as failed."""
        from airflow_provider_twilio._airflow.compat import get_task_state
        from airflow_provider_twilio.operators._bulk_send import cancel_in_client

        if not self._is_scheduled or get_task_state(context.get("ti")) != "failed":
            return
        sids = list(chain.from_iterable(run.sids()))
        self.log.info("Canceling %d scheduled messages, since the task was marked as failed", len(sids))
        counts = self._run_in_background(cancel_in_client(settings, sids))
        self.log.info("Canceled scheduled messages: %s", dict(counts))

    @property
    def _is_scheduled(self) -> bool:
        """Whether Twilio sends the messages later."""
        return self._rendered_option("send_at") is not None

    def _plan(self, settings: Settings) -> MessagePlan:
        from airflow_provider_twilio.runtime.bulk.plan import MessagePlan

        options = {name: self._rendered_option(name) for name in OPTIONS}
        return MessagePlan(
            options,
            settings,
            column=self.recipient_column,
            one_per_recipient=self.one_per_recipient,
            on_missing=self.on_missing,
        )

    def _rows(self) -> Callable[[], Iterator[Row]]:
        """Return a function that reads the rows. Each call reads them from the start."""
        from airflow_provider_twilio.runtime.bulk.rows import rows

        return partial(rows, self._rendered_recipients(), self.recipient_column)

    def _rendered_option(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, str) and not value.strip():
            return None
        return parse_rendered(name, value, str(CREATE.parameters[name].annotation))

    def _rendered_recipients(self) -> Any:
        from airflow_provider_twilio.operators._bulk_folder import check_local_path, object_path
        from airflow_provider_twilio.runtime.bulk.rows import check_path, check_type

        recipients = parse_rendered("recipients", self.recipients, "Sequence")
        if isinstance(recipients, str):
            check_path(recipients)
            recipients = object_path(recipients)
        check_type(recipients)
        if hasattr(recipients, "open"):
            if warning := check_local_path("recipients", recipients, "a task on another machine cannot read the file"):
                self.log.warning(warning)
            return recipients
        if isinstance(recipients, list | tuple):
            return recipients
        return list(recipients)  # XComs of mapped tasks are a lazy sequence, which fetches an item on each access

    def _log_preflight(self, checked: Preflight, seconds: float) -> None:
        """Log the numbers of messages and invalid rows, and warn if messages would expire in the queue."""
        self.log.info(
            "Checked %d rows in %.1f s: %d messages of %d segments, %d duplicates, %d invalid rows",
            checked.rows, seconds, checked.messages, checked.segments, checked.duplicates, checked.invalid,
        )  # fmt: skip
        for fault in checked.faults:
            self.log.warning("Not sending %s", fault)
        if self.rate is not None and checked.segments_by_sender:
            duration = max(checked.segments_by_sender.values()) / self.rate
            validity = float(self._rendered_option("validity_period") or MAX_VALIDITY_PERIOD)
            if duration > validity:
                self.log.warning(
                    "Sending at %g segments per second takes %.0f s, but messages expire after %.0f s",
                    self.rate, duration, validity,
                )  # fmt: skip

    def _dry_run(self, planned: Planned, checked: Preflight, run: BulkRun | None) -> dict[str, Any]:
        """Return the summary of a try that sends nothing.

        :param run: The run that earlier tries without ``dry_run`` have begun; None if there is none.
        """
        from airflow_provider_twilio.operators._bulk_send import count_stored
        from airflow_provider_twilio.runtime.bulk.items import Tally

        if run is not None and run.summary is not None:
            self.log.info("Dry run: sending nothing. An earlier try has sent all messages")
            return enforce_max_failures(run.summary, self.max_failures)
        tally = Tally()
        if run is None:
            self.log.info("Dry run: sending nothing")
        else:
            count_stored(tally, planned(), chain.from_iterable(run.outcomes()))
            self.log.warning(
                "Dry run: sending nothing more. Before dry_run was set, an earlier try sent %d messages, and may have"
                " sent %d others",
                tally.done,
                tally.unknown,
            )
        self._write_results(planned, () if run is None else run.outcomes(), {}, DRY_RUN)
        unknown = {"unknown": tally.unknown} if tally.unknown else {}
        return {**build_summary(checked, tally, 0.0, 0), **unknown, "status": DRY_RUN}

    def _check_send_at(self) -> None:
        checks.within_future("send_at", self._rendered_option("send_at"), MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD)

    def _check_balance(self) -> None:
        if self.min_balance is None:
            return
        balance = self.hook.fetch_balance().remaining
        if balance < self.min_balance:
            raise BadParameter(
                "min_balance",
                f"is {self.min_balance}, but the balance is {balance}",
                "top up the account, or lower min_balance. No message was sent",
            )

    def _wait(self, context: Context, settings: Settings, run: BulkRun, planned: Planned) -> Any:
        send_at = checks.parse_timestamp("send_at", self._rendered_option("send_at"))
        scheduled_for = 0.0 if send_at is None else send_at.timestamp()
        created = max(run.started_at, scheduled_for)
        deadline = max(run.sent_at, scheduled_for) + self.wait_timeout
        if self.deferrable:
            trigger = self._build_trigger(context, run, created=created, deadline=deadline)
            self._defer_until(deadline, trigger)
        counts = self._count_deliveries(context, settings, run, created=created, deadline=deadline)
        return self._finish(context, run, planned, {**run.sent, **counts})

    def _count_deliveries(
        self, context: Context, settings: Settings, run: BulkRun, *, created: float, deadline: float
    ) -> DeliveryCounts:
        """Wait on this worker until every message has its final status, or until the deadline."""
        from airflow_provider_twilio.api.verdicts import Delivery
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.operators._bulk_run import Interrupted
        from airflow_provider_twilio.runtime.polling.many import wait_for_all
        from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY

        def connect() -> AsyncClient:
            return AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=FETCH_CONCURRENCY)

        waiting = wait_for_all(
            chain.from_iterable(run.sids()),
            Delivery(self.accept_sent, self.sent_grace),
            interval=self.poll_interval,
            deadline=deadline,
            created=created,
            name=(self.twilio_conn_id, self.account_sid),
            connect=connect,
        )
        try:
            return self._run_in_background(waiting)
        except asyncio.CancelledError as error:
            self._cancel_if_killed(context, settings, run)
            raise Interrupted(
                f"Stopped while waiting for delivery: all {run.sent['sent']} messages were sent. The next try, or"
                " clearing the task, continues the wait"
            ) from error

    def _build_trigger(self, context: Context, run: BulkRun, *, created: float, deadline: float) -> BulkDeliveryTrigger:
        """Build the trigger. It reads the SIDs from the checkpoint folder, or from XComs that this method pushes."""
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
            cancel_on_kill=self._is_scheduled,
        )

    def execute_complete(self, context: Context, event: DeliveryCounts) -> Any:
        """Finish the task with the counts in the trigger's event."""
        with fail_on_permanent_errors():
            if error := dict(event).get("error"):
                raise AirflowFailException(error)
            if "delivered" not in event:
                raise AirflowFailException(f"The trigger sent an unknown event, with the keys {sorted(event)}")
            plan, read_rows = self._plan(self.hook.client.settings), self._rows()
            run = self._load_run(context)
            return self._finish(context, run, lambda: plan(read_rows()), {**run.sent, **event})

    def _execute_at_deadline(self, context: Context) -> Any:
        with fail_on_permanent_errors():
            settings = self.hook.client.settings
            plan, read_rows = self._plan(settings), self._rows()
            run = self._load_run(context)
            counts = self._count_deliveries(context, settings, run, created=run.started_at, deadline=time.time())
            return self._finish(context, run, lambda: plan(read_rows()), {**run.sent, **counts})

    def _load_run(self, context: Context) -> BulkRun:
        """Return the run that the task has stored before it deferred.

        :raises AirflowFailException: The stored state is gone.
        """
        from airflow_provider_twilio.operators._bulk_folder import missing_checkpoints
        from airflow_provider_twilio.operators._bulk_run import BulkRun, store_for
        from airflow_provider_twilio.runtime.state_store import FolderStore

        store = store_for(context, self.checkpoint_path, 0)
        run = BulkRun.load(store)
        if run is None:
            if isinstance(store, FolderStore):
                raise missing_checkpoints(store)
            raise AirflowFailException("The task state store no longer has the state of this send. Start a new run")
        return run

    def _finish(self, context: Context, run: BulkRun, planned: Planned, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the results, delete the checkpoints unless the send has failed, and return the summary."""
        from airflow_provider_twilio.operators._bulk_send import fetch_run_statuses

        with_statuses = self.results and "delivered" in summary
        settings = self.hook.client.settings
        statuses = self._run_in_background(fetch_run_statuses(settings, run)) if with_statuses else {}
        self._write_results(planned, run.outcomes(), statuses, "unsent")
        if not summary["later"]:
            failed = has_too_many_failures(summary, self.max_failures)
            marker = self._marker(context, run.store)
            run.finish(summary, failed=failed, keep=marker is not None and self._is_scheduled)
            if marker is not None:
                marker.write(succeeded=not failed)
        enforce_max_failures(summary, self.max_failures)
        if summary["later"]:
            raise RateLimited(
                f"{summary['later']} messages are left for the next try, as their senders' queues are full. {summary}"
            )
        return summary

    def _write_results(
        self, planned: Planned, outcomes: Any, statuses: Mapping[str, Any], default_outcome: str
    ) -> None:
        """Write the results table, if one is requested.

        :param outcomes: Stored outcomes, one list per checkpoint.
        :param default_outcome: Outcome of a message without a stored one.
        """
        if not self.results:
            return
        from airflow_provider_twilio.runtime.bulk.results import check, table, write

        check(self.results)
        target = storage.resolve_path("results", self.results.strip())
        with storage.atomic_write("results", target, self.hook) as local:
            write(local, table(planned(), chain.from_iterable(outcomes), statuses, default_outcome))
        from airflow_provider_twilio.operators._bulk_folder import check_local_path

        if check_local_path("results", target, ""):
            self.log.warning("The outcome of each row is only on the disk of this machine: %s", self.results)
        else:
            self.log.info("Wrote the outcome of each row to %s", self.results)
