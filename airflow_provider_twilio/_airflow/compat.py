"""Differences between Airflow 3.1, 3.2 and 3.3. All feature detection is here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        DownstreamTasksSkipped,
        TaskDeferred,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined,unused-ignore]
        AirflowException,
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        DownstreamTasksSkipped,
        TaskDeferred,
    )

try:
    from airflow.sdk import conf
except ImportError:  # before 3.2
    from airflow.configuration import conf  # type: ignore[assignment,no-redef,attr-defined,unused-ignore]

log = logging.getLogger(__name__)

__all__ = [
    "STATE_UNKNOWN",
    "AirflowException",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "DownstreamTasksSkipped",
    "TaskDeferred",
    "asset_stores",
    "conf",
    "failed_tasks",
    "get_own_xcom",
    "get_task_state",
    "lineage",
    "redact",
    "skip_all_except",
    "template_accessors",
]

STATE_UNKNOWN = "unknown"
"""The state of a task whose state could not be read."""


def get_task_state(task_instance: Any) -> str | None:
    """Return the state of a task, or :data:`STATE_UNKNOWN` if it could not be read."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        name, index = task_instance.task_id, task_instance.map_index
        states = RuntimeTaskInstance.get_task_states(
            dag_id=task_instance.dag_id,
            task_ids=[name],
            run_ids=[task_instance.run_id],
            map_index=index,
        )
        state: str | None = states[task_instance.run_id][name if index < 0 else f"{name}_{index}"]
    except Exception:  # No error may be mistaken for a user's action.
        log.warning("Could not read the state of the task", exc_info=True)
        return STATE_UNKNOWN
    return state


async def get_own_xcom(task_instance: Any, key: str) -> Any:
    """Return an XCom of a trigger's own task; None if there is none, or it could not be read."""
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
        log.warning("Could not read the XCom %s of the task", key, exc_info=True)
        return None


def failed_tasks(dag_id: str, run_ids: list[str]) -> int | None:
    """Return the number of failed tasks in runs of a DAG, or None if it could not be read."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return RuntimeTaskInstance.get_ti_count(dag_id=dag_id, run_ids=run_ids, states=["failed"])
    except Exception as error:  # The callback may run without access to Airflow's API.
        log.info("Could not count the failed tasks: %s", type(error).__name__)
        return None


def template_accessors() -> dict[str, Any]:
    """Return the template variables ``var`` and ``conn``, which the contexts of some callbacks lack."""
    from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor

    values, decoded = VariableAccessor(deserialize_json=False), VariableAccessor(deserialize_json=True)
    return {"var": {"value": values, "json": decoded}, "conn": ConnectionAccessor()}


def lineage() -> Any:
    """Return the collector of a task's lineage."""
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector
    except ImportError:  # before 3.2
        from airflow.lineage.hook import (  # type: ignore[no-redef,import-not-found,unused-ignore]
            get_hook_lineage_collector,
        )
    return get_hook_lineage_collector()  # type: ignore[no-untyped-call,unused-ignore]


def skip_all_except(context: Any, tasks: list[str] | None) -> None:
    """Skip all direct downstream tasks except these.

    :param tasks: IDs of the tasks to run. None to skip all.
    """
    try:
        from airflow.sdk.bases.branch import BranchMixIn
    except ImportError:  # before 3.2
        from airflow.providers.standard.operators.branch import (  # type: ignore[no-redef,assignment,unused-ignore]
            BranchMixIn,
        )
    BranchMixIn().do_branch(context, tasks)  # type: ignore[no-untyped-call,unused-ignore]


def redact(text: str) -> str:
    """Return a text with the secrets masked that Airflow knows."""
    from airflow.sdk import log as sdk_log

    return str(sdk_log.redact(text))  # type: ignore[attr-defined,unused-ignore]


class AssetStore:
    """The state store of an asset, for asyncio. Airflow 3.3 and later.

    :param store: Airflow's accessor of the store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    async def get(self, key: str) -> Any:
        return await self._call("get", key)

    async def set(self, key: str, value: Any) -> None:
        await self._call("set", key, value)

    async def _call(self, name: str, *arguments: Any) -> Any:
        coroutine_function = getattr(self._store, f"a{name}", None)  # from 3.3.2 on
        if coroutine_function is not None:
            return await coroutine_function(*arguments)
        return await asyncio.to_thread(getattr(self._store, name), *arguments)


def asset_stores(trigger: Any) -> list[AssetStore]:
    """Return the state stores of the assets that a trigger watches; empty before Airflow 3.3."""
    stores = getattr(trigger, "asset_state_store", None)
    if stores is None:
        return []
    # Triggers have no public list of their assets. Without a name, only the store of a single asset is accessible.
    named = [*getattr(stores, "_by_name", {}).values(), *getattr(stores, "_by_uri", {}).values()]
    return [AssetStore(store) for store in named or [stores]]
