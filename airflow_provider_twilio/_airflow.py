"""What differs between Airflow 3.1, 3.2 and 3.3: the only feature detection."""

from __future__ import annotations

import logging
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

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # before 3.3

    class RetryPolicy:  # type: ignore[no-redef]
        """Stand in for what this Airflow hasn't got."""

        def __init__(self) -> None:
            raise RuntimeError(
                "A retry policy needs Airflow 3.3 or later: leave out retry_policy, and set retries and retry_delay"
            )

    RetryDecision = Any  # type: ignore[assignment,misc]

log = logging.getLogger(__name__)

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferred",
    "conf",
    "own_xcom",
    "was_killed",
]

UNHARMED = frozenset({"deferred", "success", "skipped"})
"""The states in which a task that was deferred has not been killed: still deferred, or marked as well done."""


async def was_killed(task_instance: Any) -> bool:
    """Tell whether a user has ended this deferred try, by Clear or as failed; False where that can't be told."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    try:
        name, index = task_instance.task_id, task_instance.map_index
        # Of the two ways to ask, blocking and awaited, only the blocking one is Airflow's own word; so in a thread.
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=task_instance.dag_id,
            task_ids=[name],
            run_ids=[task_instance.run_id],
            map_index=index,
        )
        state = states[task_instance.run_id][name if index < 0 else f"{name}_{index}"]
    except Exception:  # whatever it is, it does not tell that a user acted
        log.warning("It can't be told whether the task was killed: nothing is stopped", exc_info=True)
        return False
    return state not in UNHARMED


async def own_xcom(task_instance: Any, key: str) -> Any:
    """Read an XCom of a trigger's own task; None where there is none, or it can't be read."""
    from airflow.sdk.execution_time.xcom import XCom
    from asgiref.sync import sync_to_async

    try:
        index = task_instance.map_index
        return await sync_to_async(XCom.get_one)(
            key=key,
            dag_id=task_instance.dag_id,
            task_id=task_instance.task_id,
            run_id=task_instance.run_id,
            map_index=None if index < 0 else index,
        )
    except Exception:
        log.warning("The task's XCom can't be read", exc_info=True)
        return None
