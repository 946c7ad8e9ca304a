"""What sends to many in one task: the rows read and checked, sent, waited for, and told of."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.log import mask_secret

from airflow_provider_twilio._airflow import storage as files
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio._airflow.templates import is_mapped_at_runtime, parse_rendered, resolve_literal
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, RateLimited, TwilioError
from airflow_provider_twilio.api.messages import MAX_SCHEDULE_AHEAD, MAX_VALIDITY_PERIOD, MIN_SCHEDULE_AHEAD, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import DRY_RUN
from airflow_provider_twilio.operators._base.operation import COLORS, TwilioOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.runtime.bulk.engine import Tally, WorkItem
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.bulk.rows import Row
    from airflow_provider_twilio.runtime.state_store import StateStore
    from airflow_provider_twilio.triggers.messages import MessagesDeliveryTrigger

# What is of `bulk` and `triggers` is imported where it is used: a DAG file that only names the operator pays nothing.

CREATE = definition(Messages.create)
OPTIONS = tuple(name for name in CREATE.names if name != "to")
STORE_KEY = "twilio_bulk"
"""The key in the memory, and of the XComs with SIDs, with what it is for behind it."""
MAX_IN_STORE = 20_000
"""So many messages may be remembered in Airflow's state store; beyond, a ledger is needed."""


class SendingManyOperator(TwilioOperator):
    """Send a message to each of many recipients, once, and count what became of them.

    What has been done is remembered in chunks: see ``bulk.chunks``. A record beside them says which run of the task
    they are of, so that a retry goes on, and a Clear of what had come to its end begins anew.
    """

    _extra_template_fields: ClassVar[tuple[str, ...]] = (*OPTIONS, "recipients", "checkpoint_path", "results")
    extra_params: Mapping[str, Any] | None = None
    template_fields = (*_extra_template_fields, "twilio_conn_id", "account_sid")
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
    on_clear: str
    on_unresolved: Any
    reconcile_timeout: float

    def _set_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Keep all arguments, unchanged, and check what of them is known already."""
        for name, value in arguments.items():
            if name not in ("self", "kwargs", "__class__"):
                setattr(self, name, value)
        if not is_mapped_at_runtime(self):
            self._check()
            self._check_options({name: resolve_literal(getattr(self, name)) for name in OPTIONS})
            self._check_recipients(resolve_literal(self.recipients))

    def _check(self) -> None:
        for name in ("concurrency", "rate", "poll_interval", "wait_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadParameter(name, f"is {value}", "give a number above 0")
        checks.choice("on_clear", self.on_clear, ("resend", "skip"))
        checks.choice("on_unresolved", self.on_unresolved, ("resend", "fail"))
        failures = self.max_failures
        if failures is not None and (isinstance(failures, bool) or failures < 0 or (failures > 1 and failures % 1)):
            raise BadParameter("max_failures", f"is {failures}", "give a number, or a share such as 0.05")
        results = resolve_literal(self.results)
        if isinstance(results, str):
            from airflow_provider_twilio.runtime.bulk.results import check

            check(results)

    def _check_options(self, options: dict[str, Any]) -> None:
        """Check what all messages share. What rows say of their own, and what they fill in, isn't known here."""
        from airflow_provider_twilio.runtime.bulk.plan import FORMATTED_FIELDS, ROW_OVERRIDES, placeholders

        filled = {name for name in FORMATTED_FIELDS if options[name] is not UNRESOLVED and placeholders(options[name])}
        if not any(checks.is_set(options[name]) for name in ("body", "media_url", "content_sid")):
            options = {**options, "body": UNRESOLVED}
        if options["content_variables"] is not None and options["content_sid"] is None:
            options = {**options, "content_sid": UNRESOLVED}
        times = {name: UNRESOLVED for name in CREATE.times if options[name] is not None}
        CREATE.check({**options, **dict.fromkeys(filled, UNRESOLVED), **times, "to": UNRESOLVED})
        if isinstance(self.recipients, Mapping):
            return
        values = resolve_literal(self.recipients)
        if filled and isinstance(values, list | tuple) and values and all(isinstance(one, str) for one in values):
            names = {name for field in filled for name in placeholders(options[field])} - {
                self.recipient_column,
                *ROW_OVERRIDES,
            }
            if names:
                raise BadParameter(
                    "body", f"names {{{min(names)}}}, which the recipients have not", "give mappings, or mend the name"
                )

    def _check_recipients(self, recipients: Any) -> None:
        if recipients is not UNRESOLVED and not isinstance(recipients, str) and not recipients:
            raise BadParameter("recipients", "is empty", "give at least one")

    # ------------------------------------------------------------ the task

    def execute(self, context: Context) -> Any:
        """Send to all who have not been sent to yet, and wait if asked to. What would befall all fails the task."""
        with fail_on_permanent_errors():
            return self._execute(context)

    def _execute(self, context: Context) -> Any:
        from airflow_provider_twilio.runtime.bulk.checkpoints import stored_outcomes
        from airflow_provider_twilio.runtime.bulk.plan import preflight, raise_for_preflight

        self._check()
        settings = self.hook.client.settings
        plan, read = self._plan(settings), self._rows()
        began = time.monotonic()
        found = preflight(plan(read()))

        def planned() -> Iterator[PlannedMessage]:
            return plan(read(), found.verdicts)

        most = self._failure_limit(found.rows)
        raise_for_preflight(found, most)
        self._log_preflight(found, time.monotonic() - began)
        if settings.dry_run:
            return self._dry_run(planned, found)
        memory = self._state_store(context, found.messages)
        run = self._load_or_start_run(context, memory)
        if run["summary"] is not None:
            self.log.info("All of it was sent before: not sending again")
            return self._enforce_max_failures(run["summary"])
        key = f"{STORE_KEY}.{run['generation']}"
        if next(iter(stored_outcomes(memory, key)), None) is None:  # what was sent since then has cost something
            self._check_balance()
        began = time.monotonic()
        try:
            items = plan.items(read(), found.verdicts)
            tally, sent = self._run_in_background(self._send(settings, items, found, memory, key, most))
        except TwilioError:
            self._write(planned, memory, key, {}, "unsent")
            raise
        seconds = time.monotonic() - began
        summary = build_summary(found, tally, seconds, sent)
        self.log.info("Sent: %s", summary)
        over = time.time() if sent or run.get("over") is None else run["over"]
        run = {**run, "sent": summary, "over": over}
        memory.set(STORE_KEY, run)
        if not (self.wait_for_delivery and tally.done):
            return self._finish(context, memory, planned, summary)
        return self._wait(context, settings, memory, planned, summary, run)

    def _plan(self, settings: Settings) -> MessagePlan:
        from airflow_provider_twilio.runtime.bulk.plan import MessagePlan

        options = {name: self._rendered_option(name) for name in OPTIONS}
        return MessagePlan(options, settings, column=self.recipient_column, one_per_recipient=self.one_per_recipient)

    def _rows(self) -> Callable[[], Iterator[Row]]:
        """Give a way to go through the rows, the same each time."""
        from airflow_provider_twilio.runtime.bulk.rows import rows

        return partial(rows, self._recipients(), self.recipient_column)

    def _rendered_option(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, str) and not value.strip():
            return None
        return parse_rendered(name, value, str(CREATE.parameters[name].annotation))

    def _recipients(self) -> Any:
        recipients = parse_rendered("recipients", self.recipients, "Sequence")
        if isinstance(recipients, str):
            if not recipients.strip():
                raise BadParameter("recipients", "is empty", "give a list, or the path of a file")
            return self._path(recipients)
        if hasattr(recipients, "open") or isinstance(recipients, list | tuple | Mapping | bytes):
            return recipients
        return list(recipients)  # of mapped tasks: a sequence that asks for each item, each time

    @staticmethod
    def _path(path: str) -> Any:
        from airflow.sdk import ObjectStoragePath

        return ObjectStoragePath(path.strip())

    def _failure_limit(self, rows: int) -> int | None:
        most = self.max_failures
        if most is None or isinstance(most, int):
            return most
        return int(most) if most > 1 else int(most * rows)

    def _log_preflight(self, found: Preflight, seconds: float) -> None:
        """Say what is about to be sent, and warn of what would wait too long."""
        self.log.info(
            "%d rows: %d messages of %d segments, %d duplicates, %d that can't be sent; checked in %.1f s",
            found.rows, found.messages, found.segments, found.duplicates, found.invalid, seconds,
        )  # fmt: skip
        for fault in found.faults:
            self.log.warning("Not sent: %s", fault)
        if self.rate is not None and found.of_sender:
            lasts = max(found.of_sender.values()) / self.rate
            valid = float(self._rendered_option("validity_period") or MAX_VALIDITY_PERIOD)
            if lasts > valid:
                self.log.warning(
                    "At %g segments a second the last one goes out after %.0f s, and a message is valid for %.0f s",
                    self.rate, lasts, valid,
                )  # fmt: skip

    def _dry_run(self, planned: Callable[[], Iterator[PlannedMessage]], found: Preflight) -> dict[str, Any]:
        from airflow_provider_twilio.runtime.bulk.engine import Tally

        self.log.info("Dry run: nothing is sent")
        self._write_table(planned, (), {}, DRY_RUN)
        return {**build_summary(found, Tally(), 0.0, 0), "segments": found.segments, "status": DRY_RUN}

    def _check_balance(self) -> None:
        if self.min_balance is None:
            return
        balance = self.hook.fetch_balance().remaining
        if balance < self.min_balance:
            raise BadParameter("min_balance", f"is {self.min_balance}, and the balance {balance}", "nothing was sent")

    # ------------------------------------------------------------ what is remembered

    def _state_store(self, context: Context, messages: int) -> StateStore:
        """Give the ledger, a folder of this very task instance, or Airflow's state store."""
        from airflow_provider_twilio.runtime.state_store import FolderStore, TaskStateStore

        if self.checkpoint_path:
            ti = context.get("ti")
            index = getattr(ti, "map_index", -1)
            parts = [getattr(ti, name, None) or name for name in ("dag_id", "run_id", "task_id")]
            folder = self._path(self.checkpoint_path)
            for part in [*parts, *([str(index)] if index >= 0 else [])]:
                folder = folder / re.sub(r"[^\w.+:-]", "_", part)
            return FolderStore(folder)
        store = context.get("task_state_store")
        if store is None:
            raise BadParameter(
                "checkpoint_path",
                "is missing",
                "give a folder, such as s3://bucket/ledger: this Airflow has no task state store",
            )
        if messages > MAX_IN_STORE:
            raise BadParameter(
                "checkpoint_path",
                f"is missing for {messages} messages",
                f"give a folder, such as s3://bucket/ledger: beyond {MAX_IN_STORE} the task state store is too small",
            )
        return TaskStateStore(store)

    def _load_or_start_run(self, context: Context, memory: StateStore) -> dict[str, Any]:
        """Give the record of the run to go on with; a new one where there is none, or a user cleared what had ended."""
        clears = getattr(context.get("ti"), "max_tries", 0)
        run: dict[str, Any] | None = memory.get(STORE_KEY)
        if run is None:
            generation = 0
        elif run["summary"] is None or run["clears"] == clears or self.on_clear == "skip":
            return run
        else:
            generation = run["generation"] + 1
        checks.within_future("send_at", self._rendered_option("send_at"), MIN_SCHEDULE_AHEAD, MAX_SCHEDULE_AHEAD)
        run = {"generation": generation, "clears": clears, "begun": time.time(), "sent": None, "summary": None}
        memory.set(STORE_KEY, run)
        return run

    # ------------------------------------------------------------ sending

    async def _send(
        self,
        settings: Settings,
        items: AsyncIterator[WorkItem],
        found: Preflight,
        memory: StateStore,
        key: str,
        most: int | None,
    ) -> tuple[Tally, int]:
        """Send what was not sent yet; give what came of all, and how many were sent now."""
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.bulk.checkpoints import run_resumable
        from airflow_provider_twilio.runtime.bulk.engine import Outcome, Tally
        from airflow_provider_twilio.runtime.bulk.progress import progress
        from airflow_provider_twilio.runtime.bulk.reconcile import CONCURRENCY, Reconciler

        sent, failures = 0, 0 if most is None else found.invalid

        def tell(outcome: Outcome) -> None:
            nonlocal sent
            sent += outcome.kind == "done"

        tally = Tally()
        async with (
            AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=self.concurrency) as client,
            AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as asker,
            progress(tally, "messages", found.messages),
        ):
            await run_resumable(
                client,
                items,
                tell,
                store=memory,
                key=key,
                reconcile=Reconciler(asker, self.on_unresolved),
                patience=settings.timeout + self.reconcile_timeout,
                concurrency=self.concurrency,
                rate=self.rate,
                max_failures=None if most is None else most - failures,
                tally=tally,
            )
        return tally, sent

    # ------------------------------------------------------------ waiting

    def _wait(
        self,
        context: Context,
        settings: Settings,
        memory: StateStore,
        planned: Callable[[], Iterator[PlannedMessage]],
        summary: dict[str, Any],
        run: dict[str, Any],
    ) -> Any:
        scheduled = checks.parse_timestamp("send_at", self._rendered_option("send_at"))
        due = 0.0 if scheduled is None else scheduled.timestamp()
        begun, over = max(run["begun"], due), max(run["over"], due)
        trigger = self._trigger(context, memory, run, begun, over + self.wait_timeout, summary["sent"])
        if self.deferrable:
            self.defer(trigger=trigger, method_name="execute_complete")
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY

        def connect() -> AsyncClient:
            return AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=FETCH_CONCURRENCY)

        sids = self._sids(memory, run)
        counted = self._run_in_background(trigger.wait_for(chain.from_iterable(sids), connect))
        return self._finish(context, memory, planned, {**summary, **counted})

    def _trigger(
        self, context: Context, memory: StateStore, run: dict[str, Any], begun: float, deadline: float, sent: int
    ) -> MessagesDeliveryTrigger:
        """Give the trigger that waits, which reads the SIDs where they are: in the ledger, or in XComs."""
        from airflow_provider_twilio.runtime.state_store import FolderStore
        from airflow_provider_twilio.triggers.messages import MessagesDeliveryTrigger

        key, pushed = f"{STORE_KEY}.{run['generation']}", 0
        ti: Any = context.get("ti")
        if self.deferrable and not isinstance(memory, FolderStore):
            for pushed, sids in enumerate(self._sids(memory, run), 1):
                ti.xcom_push(key=f"{key}.{pushed - 1}", value=sids)
        return MessagesDeliveryTrigger(
            key,
            checkpoint_path=str(memory.path) if isinstance(memory, FolderStore) else None,
            xcoms=pushed,
            of_task=[ti.dag_id, ti.run_id, ti.task_id, ti.map_index] if pushed else ["", "", "", -1],
            messages=sent,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poll_interval,
            deadline=deadline,
            begun=begun,
            accept_sent=self.accept_sent,
            sent_grace=self.sent_grace,
        )

    def _sids(self, memory: StateStore, run: dict[str, Any]) -> Iterator[list[str]]:
        from airflow_provider_twilio.runtime.bulk.checkpoints import stored_sids

        return stored_sids(memory, f"{STORE_KEY}.{run['generation']}")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """End as the trigger's event says."""
        with fail_on_permanent_errors():
            if "delivered" not in event:
                raise AirflowFailException(f"The trigger told nothing that can be understood: {sorted(event)}")
            plan, read = self._plan(self.hook.client.settings), self._rows()
            memory = self._state_store(context, 0)
            return self._finish(context, memory, lambda: plan(read()), {**memory.get(STORE_KEY)["sent"], **event})

    # ------------------------------------------------------------ the end

    def _finish(
        self,
        context: Context,
        memory: StateStore,
        planned: Callable[[], Iterator[PlannedMessage]],
        summary: dict[str, Any],
    ) -> dict[str, Any]:
        """Write the table, forget what was remembered, and give what goes to XCom."""
        from airflow_provider_twilio.runtime.bulk.checkpoints import delete_checkpoints

        run = memory.get(STORE_KEY)
        key = f"{STORE_KEY}.{run['generation']}"
        states = self._run_in_background(self._states(memory, run)) if self.results and "delivered" in summary else {}
        self._write(planned, memory, key, states, "unsent")
        if not summary["later"]:
            memory.set(STORE_KEY, {**run, "summary": summary})
            delete_checkpoints(memory, key, summary["rows"])
        told = self._enforce_max_failures(summary)
        if summary["later"]:
            raise RateLimited(
                f"{summary['later']} are left for the next try, since their senders' queues are full: {told}"
            )
        return told

    def _enforce_max_failures(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Give a summary, if no more have failed than may: also where an earlier try has stored it, and was killed."""
        most = self._failure_limit(summary["rows"])
        failed = sum(summary["failed"].values())
        undelivered = sum(summary.get("undelivered", {}).values()) + summary.get("waiting", 0)
        if most is not None and failed + undelivered > most:
            raise AirflowFailException(f"{failed} have failed and {undelivered} were not delivered: {summary}")
        return summary

    async def _states(self, memory: StateStore, run: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_twilio.client.asynchronous import AsyncClient
        from airflow_provider_twilio.runtime.bulk.reconcile import CONCURRENCY, fetch_statuses

        sids = set(chain.from_iterable(self._sids(memory, run)))
        async with AsyncClient(self.hook.client.settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as client:
            return await fetch_statuses(client, sids)

    def _write(
        self,
        planned: Callable[[], Iterator[PlannedMessage]],
        memory: StateStore,
        key: str,
        states: Mapping[str, Any],
        unsent: str,
    ) -> None:
        from airflow_provider_twilio.runtime.bulk.checkpoints import stored_outcomes

        self._write_table(planned, chain.from_iterable(stored_outcomes(memory, key)), states, unsent)

    def _write_table(
        self, planned: Callable[[], Iterator[PlannedMessage]], remembered: Any, states: Mapping[str, Any], unsent: str
    ) -> None:
        if not self.results:
            return
        from airflow_provider_twilio.runtime.bulk.results import check, table, write

        check(self.results)
        with files.atomic_write("results", files.resolve_path("results", self.results.strip()), self.hook) as local:
            write(local, table(planned(), remembered, states, unsent))
        self.log.info("What became of each row is in %s", self.results)


def build_summary(found: Preflight, tally: Tally, seconds: float, sent: int) -> dict[str, Any]:
    """Give the numbers that go to XCom. ``rows`` is the sum of sent, skipped, failed, later and duplicates.

    :param sent: how many were sent in so many ``seconds``.
    """
    failed = {str(code or "without a code"): number for code, number in sorted(tally.failed.items())}
    if found.invalid:
        failed["invalid"] = found.invalid
    return {
        "rows": found.rows,
        "sent": tally.done,
        "skipped": tally.skipped.total(),
        "failed": failed,
        "later": tally.later,
        "duplicates": found.duplicates,
        "segments": found.segments,
        "seconds": round(seconds, 3),
        "rate": round(sent / seconds, 1) if seconds else 0.0,
        "ended": datetime.now(UTC).isoformat(),
    }
