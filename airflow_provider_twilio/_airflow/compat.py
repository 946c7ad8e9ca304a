"""What differs between Airflow 3.1, 3.2 and 3.3: the only feature detection."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

try:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
        DownstreamTasksSkipped,
        TaskDeferred,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined,unused-ignore]
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

STATE_UNKNOWN = "untold"
"""In place of a state that can't be read."""


def get_task_state(task_instance: Any) -> str | None:
    """Ask Airflow for the state of a task."""
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
    except Exception:  # whatever it is, it does not tell that a user acted
        log.warning("The task's state can't be read", exc_info=True)
        return STATE_UNKNOWN
    return state


async def get_own_xcom(task_instance: Any, key: str) -> Any:
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


def failed_tasks(dag_id: str, run_ids: list[str]) -> int | None:
    """Count the failed tasks of a DAG's runs; None where Airflow can't be asked."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return RuntimeTaskInstance.get_ti_count(dag_id=dag_id, run_ids=run_ids, states=["failed"])
    except Exception as error:  # there may be no Airflow around it
        log.info("It can't be told how many tasks failed: %s", type(error).__name__)
        return None


def template_accessors() -> dict[str, Any]:
    """Give what templates read Variables and connections by: the contexts of some callbacks have neither."""
    from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor

    values, decoded = VariableAccessor(deserialize_json=False), VariableAccessor(deserialize_json=True)
    return {"var": {"value": values, "json": decoded}, "conn": ConnectionAccessor()}


def lineage() -> Any:
    """Give what collects the lineage of a task."""
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector
    except ImportError:  # not in 3.1
        from airflow.lineage.hook import (  # type: ignore[no-redef,import-not-found,unused-ignore]
            get_hook_lineage_collector,
        )
    return get_hook_lineage_collector()  # type: ignore[no-untyped-call,unused-ignore]


def skip_all_except(context: Any, tasks: list[str] | None) -> None:
    """Run of what follows only these tasks, and skip the others."""
    try:
        from airflow.sdk.bases.branch import BranchMixIn
    except ImportError:  # not in 3.1
        from airflow.providers.standard.operators.branch import (  # type: ignore[no-redef,assignment,unused-ignore]
            BranchMixIn,
        )
    BranchMixIn().do_branch(context, tasks)  # type: ignore[no-untyped-call,unused-ignore]


def redact(text: str) -> str:
    """Mask what Airflow knows for a secret."""
    from airflow.sdk import log as sdk_log

    return str(sdk_log.redact(text))  # type: ignore[attr-defined,unused-ignore]


class AssetStore:
    """Remember in an asset's state store, awaited. Airflow 3.3 and later.

    :param store: Airflow's accessor.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    async def get(self, key: str) -> Any:
        return await self._call("get", key)

    async def set(self, key: str, value: Any) -> None:
        await self._call("set", key, value)

    async def _call(self, name: str, *arguments: Any) -> Any:
        awaited = getattr(self._store, f"a{name}", None)  # from 3.3.2 on
        if awaited is not None:
            return await awaited(*arguments)
        return await asyncio.to_thread(getattr(self._store, name), *arguments)


def asset_stores(trigger: Any) -> list[AssetStore]:
    """Give the stores of the assets that a trigger watches for, which may share it; none before Airflow 3.3."""
    stores = getattr(trigger, "asset_state_store", None)
    if stores is None:
        return []
    # Nothing else names the assets to their trigger; and without a name only a single asset's store is to be had.
    named = [*getattr(stores, "_by_name", {}).values(), *getattr(stores, "_by_uri", {}).values()]
    return [AssetStore(store) for store in named or [stores]]
