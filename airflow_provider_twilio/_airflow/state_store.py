"""Airflow's task state store, with values that do not expire."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from airflow_provider_twilio.runtime.state_store import NullStore, StateStore, TaskStateStore


def permanent_store(store: Any) -> TaskStateStore:
    """Return a state store in Airflow's task state store, without expiry if the store supports that.

    :param store: ``context["task_state_store"]``.
    """
    if "retention" in inspect.signature(store.set).parameters:
        try:
            from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined,unused-ignore]
        except ImportError:  # before Airflow 3.3, where only tests have a store
            return TaskStateStore(store)
        return TaskStateStore(store, retention=NEVER_EXPIRE)
    return TaskStateStore(store)


def permanent_store_for_task(context: Mapping[str, Any]) -> StateStore:
    """Return the state store of a running task, without expiry: a ``NullStore`` before Airflow 3.3."""
    store = context.get("task_state_store")
    return NullStore() if store is None else permanent_store(store)
