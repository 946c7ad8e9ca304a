"""What the kill matrix runs: a message, a call and a purchase, as mapped tasks that are killed on their first try.

The DAG run's conf says where each mapped task is to be killed. It dies of kill -9, at a step of its task state store
that Airflow's own `pre_execute` hook puts in front of the real one, or from outside, by the process id it writes down.
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


class Mortal:
    """Stand in front of a task's state store, and kill the process before or after it stores something."""

    def __init__(self, store: Any, point: str, note: Path) -> None:
        self.store, self.point, self.note = store, point, note

    def get(self, key: str) -> Any:
        return self.store.get(key)

    def set(self, key: str, value: Any) -> None:
        what = "the SID" if "sid" in value else "the intent"
        self.die_if(f"before {what} is stored")
        self.store.set(key, value)
        self.die_if(f"after {what} is stored")

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def die_if(self, point: str) -> None:
        if point == self.point:
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def arm(context: Any) -> None:
    """Write down who runs this try and, if none was killed yet, let it be killed where the run's conf says."""
    ti, conf = context["ti"], context["dag_run"].conf
    note = Path(conf["folder"]) / f"{ti.dag_id}-{ti.run_id}-{ti.map_index}.killed"
    note.with_suffix(".pids").write_text(f"{os.getpid()} {os.getppid()}")
    if note.exists():
        return
    mortal = Mortal(context["task_state_store"], conf["cells"][ti.map_index]["point"], note)
    context["task_state_store"] = mortal
    if ti._ti_context_from_server.next_method:
        mortal.die_if("at resumption")


for kind, operator in OPERATORS.items():
    with DAG(f"crash_{kind}", schedule=None, max_active_tasks=64):

        @task(retries=3, retry_delay=timedelta(seconds=1))
        def plan(**context: Any) -> list[dict[str, Any]]:
            """Give each mapped task its arguments."""
            return [cell["arguments"] for cell in context["dag_run"].conf["cells"]]

        operator.partial(
            task_id="send",
            retries=3,
            retry_delay=timedelta(seconds=1),
            pre_execute=arm,
            on_unresolved="resend",
            reconcile_timeout=3,
            **({} if kind == "number" else {"from_": "+15005550006", "poll_interval": 1, "deferrable": True}),
        ).expand_kwargs(plan())
