"""The requests of a bulk send: sending, fetching statuses, canceling scheduled messages; and the summary of a send."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.runtime.bulk.cancel import cancel_scheduled
from airflow_provider_twilio.runtime.bulk.checkpoints import run_resumable
from airflow_provider_twilio.runtime.bulk.progress import progress
from airflow_provider_twilio.runtime.bulk.reconcile import CONCURRENCY, Reconciler, fetch_statuses
from airflow_provider_twilio.runtime.bulk.stored import decode_outcome

if TYPE_CHECKING:
    from airflow_provider_twilio.client.settings import Settings
    from airflow_provider_twilio.operators._bulk_run import BulkRun
    from airflow_provider_twilio.runtime.bulk.items import Outcome, Tally, WorkItem
    from airflow_provider_twilio.runtime.bulk.plan import PlannedMessage, Preflight
    from airflow_provider_twilio.runtime.bulk.reconcile import MessageStatus
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved


async def send_all(
    settings: Settings,
    items: AsyncIterator[WorkItem],
    checked: Preflight,
    run: BulkRun,
    tally: Tally,
    *,
    concurrency: int,
    rate: float | None,
    max_failures: int | None,
    on_unresolved: OnUnresolved | None,
    reconcile_timeout: float,
) -> int:
    """Send the remaining messages. Return the number of messages sent by this try.

    :param tally: Counts of the outcomes of all rows, which are updated.
    """
    sent_now = 0

    def count_sent(outcome: Outcome) -> None:
        nonlocal sent_now
        sent_now += outcome.kind == "done"

    async with (
        AsyncClient(replace(settings, retries=0), mask_secret=mask_secret, concurrency=concurrency) as client,
        AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as reconciling_client,
        progress(tally, "messages", checked.messages),
    ):
        reconciling_client.twilio_clock = client.twilio_clock
        await run_resumable(
            client,
            items,
            count_sent,
            store=run.store,
            key=run.key,
            reconcile=Reconciler(reconciling_client, on_unresolved),
            reconcile_delay=settings.timeout + reconcile_timeout,
            concurrency=concurrency,
            rate=rate,
            max_failures=None if max_failures is None else max_failures - checked.invalid,
            lane_count=len(checked.segments_by_sender),
            tally=tally,
        )
    return sent_now


async def fetch_run_statuses(settings: Settings, run: BulkRun) -> dict[str, MessageStatus]:
    """Return the current statuses of a run's messages by SID."""
    sids = set(chain.from_iterable(run.sids()))
    async with AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as client:
        return await fetch_statuses(client, sids)


async def cancel_in_client(settings: Settings, sids: Collection[str]) -> Counter[str]:
    """Open a client, and cancel those of the messages that are still scheduled: see :func:`cancel_scheduled`."""
    async with AsyncClient(settings, mask_secret=mask_secret, concurrency=CONCURRENCY) as client:
        return await cancel_scheduled(client, sids)


def count_stored(tally: Tally, planned: Iterable[PlannedMessage], stored: Iterable[Any]) -> None:
    """Count the stored outcomes of the messages that an earlier try has sent, or may have sent."""
    outcomes = iter(stored)
    for message in planned:
        if message.request is not None and (outcome := next(outcomes, None)) is not None:
            tally.count(*decode_outcome(outcome)[:2])
