"""The DAGs of the kill matrix: a message, a call and a purchase, as mapped tasks that are killed in their first try.

The DAG run's conf names the point at which each mapped task is killed with kill -9. Either the task kills itself when
it uses its state store, which the `pre_execute` hook wraps, or the test kills it by the process ID that it writes.
"""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.operators.phone_numbers import PurchaseNumberOperator

OPERATORS: dict[str, Any] = {
    "message": SendMessageOperator,
    "call": CreateCallOperator,
    "number": PurchaseNumberOperator,
}


class KillingStore:
    """A task's state store that kills the process before or after a value is stored."""

    def __init__(self, store: Any, point: str, marker: Path) -> None:
        self.store, self.point, self.marker = store, point, marker

    def get(self, key: str) -> Any:
        return self.store.get(key)

    def set(self, key: str, value: Any) -> None:
        stored = "the SID" if "sid" in value else "the intent"
        self.kill_at(f"before {stored} is stored")
        self.store.set(key, value)
        self.kill_at(f"after {stored} is stored")

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def kill_at(self, point: str) -> None:
        if point == self.point:
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def wrap_store(context: Any) -> None:
    """Write the process IDs of this try; in the first one, wrap the state store to kill the process."""
    ti, conf = context["ti"], context["dag_run"].conf
    marker = Path(conf["folder"]) / f"{ti.dag_id}-{ti.run_id}-{ti.map_index}.killed"
    marker.with_suffix(".pids").write_text(f"{os.getpid()} {os.getppid()}")
    if marker.exists():
        return
    killing_store = KillingStore(context["task_state_store"], conf["cells"][ti.map_index]["point"], marker)
    context["task_state_store"] = killing_store
    if ti._ti_context_from_server.next_method:
        killing_store.kill_at("at resumption")


for request_type, operator in OPERATORS.items():
    with DAG(f"crash_{request_type}", schedule=None, max_active_tasks=64):

        @task(retries=3, retry_delay=timedelta(seconds=1))
        def plan(**context: Any) -> list[dict[str, Any]]:
            """Return the arguments of each mapped task."""
            return [cell["arguments"] for cell in context["dag_run"].conf["cells"]]

        operator.partial(
            task_id="send",
            retries=3,
            retry_delay=timedelta(seconds=1),
            pre_execute=wrap_store,
            on_unresolved="resend",
            reconcile_timeout=3,
            **({} if request_type == "number" else {"from_": "+15005550006", "poll_interval": 1, "deferrable": True}),
        ).expand_kwargs(plan())
