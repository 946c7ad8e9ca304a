"""DAGs for the test of the harness: a value, a wait in the triggerer, and mapped tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, task


class Rest(BaseOperator):
    """A wait in the triggerer."""

    def __init__(self, *, seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context: Any) -> None:
        """Defer to the triggerer."""
        self.log.info("resting")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=self.seconds)), method_name="rested")

    def rested(self, context: Any, event: Any = None) -> str:
        """Return after the wait."""
        return "rested"


with DAG("harness", schedule=None):

    @task
    def answer(**context: Any) -> dict[str, Any]:
        """Return a value, which goes to XCom."""
        return {"conf": context["dag_run"].conf, "answer": 42}

    @task
    def double(number: int) -> int:
        """Return twice a number."""
        return number * 2

    answer() >> Rest(task_id="rest", seconds=1) >> double.expand(number=[1, 2])


with DAG("harness_long", schedule=None):
    Rest(task_id="rest", seconds=3600)
