"""The operator that sends a message to each of many recipients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.defaults import DRY_RUN, RECONCILE_TIMEOUT
from airflow_provider_twilio.operators import _bulk_checks
from airflow_provider_twilio.operators._base.operation import COLORS
from airflow_provider_twilio.operators._bulk_base import OPTIONS, BulkOnClear
from airflow_provider_twilio.operators._bulk_delivery import BulkDeliveryOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_base import Planned
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.bulk.placeholders import OnMissing
    from airflow_provider_twilio.runtime.bulk.plan import PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved

# Modules of `runtime` and `triggers` are imported in functions, so that parsing a DAG file does not import them.


class SendMessagesOperator(BulkDeliveryOperator):
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
        from airflow_provider_twilio.operators._bulk_summary import build_summary, enforce_max_failures, failure_limit
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
        if stored is None:
            marker.check(**on_clear)
        max_tries = getattr(context.get("ti"), "max_tries", 0)
        if store is None or settings.dry_run:
            is_resumed = stored is not None and stored.is_resumed(max_tries, **on_clear)
            return self._dry_run(planned, checked, stored if is_resumed else None)
        run = BulkRun.load_or_start(store, max_tries, before_start=self._check_send_at, **on_clear)
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

    def _dry_run(self, planned: Planned, checked: Preflight, run: BulkRun | None) -> dict[str, Any]:
        """Return the summary of a try that sends nothing.

        :param run: The run that earlier tries without ``dry_run`` have begun; None if there is none.
        """
        from airflow_provider_twilio.operators._bulk_send import count_stored
        from airflow_provider_twilio.operators._bulk_summary import build_summary, enforce_max_failures
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
