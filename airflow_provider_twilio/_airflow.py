"""What differs between Airflow 3.1, 3.2 and 3.3: the only feature detection."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferred,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined,unused-ignore]
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferred,
    )

try:
    from airflow.sdk import conf
except ImportError:  # before 3.2
    from airflow.configuration import conf  # type: ignore[assignment,no-redef,attr-defined,unused-ignore]

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "TaskDeferred",
    "conf",
    "was_killed",
]

UNHARMED = frozenset({"deferred", "success", "skipped"})
"""The states in which a task that was deferred has not been killed: still deferred, or marked a success."""


async def was_killed(task_instance: Any) -> bool:
    """Tell whether a user has ended this deferred try; False where that can't be told."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    if task_instance is None:
        return False
    try:
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=task_instance.dag_id,
            task_ids=[task_instance.task_id],
            run_ids=[task_instance.run_id],
            map_index=task_instance.map_index,
        )
    except Exception:  # whatever it is, it does not tell that a user acted
        return False
    of_run = states.get(task_instance.run_id)
    if not of_run:
        return False
    return next(iter(of_run.values())) not in UNHARMED
