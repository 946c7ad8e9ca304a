"""Base class of the bulk send: the wait for the delivery of its messages, and its end."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.deferral import ResumesAtDeadline
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import RateLimited
from airflow_provider_twilio.operators._bulk_base import BulkOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_base import Planned
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.polling.events import DeliveryCounts
    from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger

# Modules of `runtime` and `triggers` are imported in functions, so that parsing a DAG file does not import them.


class BulkDeliveryOperator(ResumesAtDeadline, BulkOperator):
    """Base class of the bulk send: the wait for the delivery of its messages, and its end."""

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
        from airflow_provider_twilio.operators._bulk_run import Interrupted
        from airflow_provider_twilio.runtime.polling.many import wait_for_all
        from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY

        waiting = wait_for_all(
            chain.from_iterable(run.sids()),
            Delivery(self.accept_sent, self.sent_grace),
            interval=self.poll_interval,
            deadline=deadline,
            created=created,
            name=(self.twilio_conn_id, self.account_sid),
            connect=partial(self.hook.aclient, concurrency=FETCH_CONCURRENCY, retries=0),
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
        from airflow_provider_twilio.operators._bulk_summary import enforce_max_failures, has_too_many_failures

        with_statuses = self.results and "delivered" in summary
        settings = self.hook.client.settings
        statuses = self._run_in_background(fetch_run_statuses(settings, run)) if with_statuses else {}
        self._write_results(planned, run.outcomes(), statuses, "unsent")
        if not summary["later"]:
            failed = has_too_many_failures(summary, self.max_failures)
            marker = self._marker(context, run.store)
            run.finish(summary, failed=failed, keep=bool(self.checkpoint_path) and self._is_scheduled)
            marker.write(succeeded=not failed)
        enforce_max_failures(summary, self.max_failures)
        if summary["later"]:
            raise RateLimited(
                f"{summary['later']} messages are left for the next try, as their senders' queues are full. {summary}"
            )
        return summary
