"""Base class of the bulk send: its parameters, rows, checkpoints and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import MAX_SCHEDULE_AHEAD, MAX_VALIDITY_PERIOD, MIN_SCHEDULE_AHEAD
from airflow_provider_twilio.operators import _bulk_checks
from airflow_provider_twilio.operators._base.operation import TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_folder import FolderMarker
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.bulk.placeholders import OnMissing
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.bulk.rows import Row
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.runtime.state_store import StateStore

    Planned = Callable[[], Iterator[PlannedMessage]]
    """A function that plans the message of each row, from the first one on."""

# Modules of `runtime` and `triggers` are imported in functions, so that parsing a DAG file does not import them.

CREATE = _bulk_checks.CREATE
OPTIONS = tuple(name for name in CREATE.names if name not in ("to", "max_price", "force_delivery"))
"""Parameters of :meth:`Messages.create` that apply to all rows."""
BulkOnClear = Literal["resend", "resend_all", "skip"]
"""What to do when a user clears the task."""


class BulkOperator(TwilioOperator):
    """Base class of the bulk send: its parameters, rows, checkpoints and results."""

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

    def _store(self, context: Context, messages: int, settings: Settings) -> StateStore | None:
        """Return the store for the checkpoints; None for a dry run without one."""
        from airflow_provider_twilio.operators._bulk_folder import check_local_path
        from airflow_provider_twilio.operators._bulk_run import store_for

        consequence = {
            "checkpoint_path": "a next try on another machine cannot resume, and fails",
            "results": "the table stays on this machine, and is lost with it",
        }
        for name, effect in consequence.items():
            path = (getattr(self, name) or "").strip()
            if path and (warning := check_local_path(name, path, effect)):
                self.log.warning(warning)
        try:
            return store_for(context, self.checkpoint_path, messages)
        except BadParameter:
            if not settings.dry_run:
                raise
            return None

    def _marker(self, context: Context, store: StateStore | None) -> FolderMarker:
        from airflow_provider_twilio.operators._bulk_folder import FolderMarker
        from airflow_provider_twilio.runtime.state_store import FolderStore

        return FolderMarker(context, store if isinstance(store, FolderStore) else None)

    def _cancel_if_killed(self, context: Context, settings: Settings, run: BulkRun) -> None:
        """Cancel the messages that are still scheduled, if a user has marked the task as failed."""
        from airflow_provider_twilio._airflow.compat import get_task_state
        from airflow_provider_twilio.operators._bulk_send import cancel_in_client
        from airflow_provider_twilio.runtime.bulk.cancel import describe_unknown
        from airflow_provider_twilio.runtime.bulk.stored import count_unknown, known_sids

        if not self._is_scheduled or get_task_state(context.get("ti")) != "failed":
            return
        outcomes = list(chain.from_iterable(run.outcomes()))
        if unknown := count_unknown(outcomes):
            self.log.warning(describe_unknown(unknown))
        sids = known_sids(outcomes)
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
        from airflow_provider_twilio.operators._bulk_folder import check_local_path
        from airflow_provider_twilio.runtime.bulk.rows import check_path, check_type

        recipients = given = parse_rendered("recipients", self.recipients, "Sequence")
        if isinstance(recipients, str):
            check_path(recipients)
            given = recipients.strip()
            recipients = storage.object_path(given)
        check_type(recipients)
        if hasattr(recipients, "open"):
            if warning := check_local_path("recipients", given, "a task on another machine cannot read the file"):
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
