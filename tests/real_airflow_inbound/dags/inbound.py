"""DAGs that start when a message comes in, ten with watchers of their own, and one that asks for approval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator
from airflow_provider_twilio.operators.inbound import ReadInboundMessagesOperator
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger

OURS = "+15005550006"
LOOKBACK: dict[str, Any] = {"lookback": 600}


def asset(name: str, **filters: Any) -> Asset:
    """Return an asset that watches for messages to our number."""
    trigger = InboundMessageTrigger(to=OURS, poll_interval=2, **LOOKBACK, **filters)
    return Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])


with DAG("inbound_read", schedule=asset("inbound_replies"), catchup=False, max_active_runs=1):
    ReadInboundMessagesOperator(task_id="read", to=OURS, **LOOKBACK)


for number in range(10):
    with DAG(f"inbound_watch_{number}", schedule=asset(f"inbound_{number}", pattern=f"to {number}$"), catchup=False):

        @task
        def sids(triggering_asset_events: Any = None) -> list[str]:
            """Return the SIDs of the events that started the run."""
            found = [event for events in triggering_asset_events.values() for event in events]
            return [sid for event in found for sid in event.extra["payload"]["sids"]]

        sids()


with DAG("inbound_ask", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    for name in ("first", "second"):
        ask = ApproveBySmsOperator(
            task_id=f"ask_{name}",
            to="+14155550177",
            question=f"Run the {name}?",
            deferrable=True,
            poll_interval=2,
            wait_timeout=1800,
        )

        @task(task_id=f"run_{name}")
        def approved() -> str:
            """Run after the approval."""
            return "done"

        ask >> approved()
