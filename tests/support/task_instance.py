"""A stand-in for an Airflow task instance over its tries, with its XComs and its state store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_twilio.operators.messages import SendMessageOperator


class Store:
    """A stand-in for Airflow's accessor of the task state store."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values.get(key, "null")) or default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TaskInstance:
    """A task instance of a DAG run, over its tries.

    :param xcoms: The XComs of the run, shared by its task instances.
    """

    def __init__(self, xcoms: dict[Any, Any], map_index: int = -1, retries: int = 3, *, store: bool = True) -> None:
        self.xcoms, self.map_index, self.task_id = xcoms, map_index, "send"
        self.dag = SimpleNamespace(tasks=[SimpleNamespace(task_id="send", operator_class=SendMessageOperator)])
        self.task = SimpleNamespace(retries=retries, dag=self.dag)
        self.max_tries, self.try_number = retries, 0
        self.start_date = self.run_started = datetime.now(UTC)
        self.store = Store() if store else None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[self.task_id, self.map_index, key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: Any = None, *, key: str = "return_value") -> Any:
        return [
            value for (task_id, _, value_key), value in self.xcoms.items() if task_id in task_ids and value_key == key
        ]

    def clear(self) -> None:
        """Do what Airflow does when a user clears the task instance."""
        self.max_tries = self.try_number + self.task.retries

    def context(self) -> dict[str, Any]:
        """Start the next try; return its context."""
        self.try_number += 1
        self.start_date = datetime.now(UTC)
        for key in [key for key in self.xcoms if key[:2] == (self.task_id, self.map_index)]:
            del self.xcoms[key]
        context = {"ti": self, "dag_run": SimpleNamespace(start_date=self.run_started)}
        return {**context, "task_state_store": self.store} if self.store else context


def published(instance: TaskInstance) -> list[Any]:
    """Return the published entries of all task instances of the run."""
    return [value for (_, _, key), value in instance.xcoms.items() if key == "twilio_sid"]
