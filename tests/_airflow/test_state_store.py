"""Tests of the state store of a task: values without expiry, where Airflow supports that."""

from __future__ import annotations

from typing import Any

import airflow.sdk
import pytest

from airflow_provider_twilio._airflow.state_store import permanent_store_for_task

NEVER_EXPIRE = getattr(airflow.sdk, "NEVER_EXPIRE", None)


class RetentionStore:
    """A task state store of Airflow 3.3. It remembers the retention of each value."""

    def __init__(self) -> None:
        self.retentions: dict[str, Any] = {}

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.retentions[key] = retention


class PlainStore:
    """A store whose values have no retention."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.mark.skipif(NEVER_EXPIRE is None, reason="this Airflow has no task state store")
def test_permanent_store_for_task_stores_values_without_expiry():
    store = RetentionStore()
    permanent_store_for_task({"task_state_store": store}).set("key", 1)
    assert store.retentions == {"key": NEVER_EXPIRE}


def test_permanent_store_for_task_accepts_store_without_retention():
    store = PlainStore()
    permanent_store_for_task({"task_state_store": store}).set("key", 1)
    assert store.values == {"key": 1}


def test_permanent_store_for_task_without_store_stores_nothing():
    state = permanent_store_for_task({})
    assert not state.durable
    state.set("key", 1)
    assert state.get("key") is None
