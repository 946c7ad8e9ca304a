"""State stores keep values durably, or report that they do not."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_twilio.runtime.state_store import FolderStore, NullStore, StateStore, TaskStateStore


class Store:
    """A stand-in for Airflow's accessor: JSON values; None is rejected; a missing key is no error."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def test_task_state_store_returns_stored_values():
    store = Store()
    state: StateStore = TaskStateStore(store)
    assert state.durable
    assert state.get("a") is None
    state.set("a", {"sid": "SM1"})
    state.set("b", 1)
    assert state.get("a") == {"sid": "SM1"}
    assert TaskStateStore(store).get("a") == {"sid": "SM1"}
    state.delete("a")
    state.delete("a")
    assert (state.get("a"), state.get("b")) == (None, 1)


class OneRequestStore(Store):
    """A task state store that handles one request at a time, like that of ``dag.test()`` on Airflow 3.3."""

    def __init__(self) -> None:
        super().__init__()
        self.is_busy = threading.Lock()

    def _handle(self) -> None:
        assert self.is_busy.acquire(blocking=False), "two requests at a time"
        time.sleep(0.001)
        self.is_busy.release()

    def get(self, key: str, default: Any = None) -> Any:
        self._handle()
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._handle()
        super().set(key, value, retention=retention)

    def delete(self, key: str) -> None:
        self._handle()
        super().delete(key)


@pytest.mark.parametrize("options", [{}, {"retention": None}])
def test_task_state_store_calls_of_threads_take_turns(options: dict[str, Any]):
    store = OneRequestStore()

    def use(index: int) -> Any:
        state = TaskStateStore(store, **options)  # as tasks use several, for one task state store
        state.set(f"key_{index}", index)
        value = state.get(f"key_{index}")
        state.delete(f"key_{index}")
        return value

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(40))) == list(range(40))


@pytest.mark.parametrize("value", [1, {"sid": "SM1"}])
def test_null_store_stores_nothing(value: Any):
    state: StateStore = NullStore()
    assert not state.durable
    state.set("a", value)
    assert state.get("a") is None
    state.delete("a")


def memory_path(path: str) -> ObjectStoragePath:
    """Return a path on a storage other than the local disk."""
    attach("memory", fs=fsspec.filesystem("memory"))
    return ObjectStoragePath(f"memory://{path}")


class TestFolderStore:
    @pytest.fixture(params=["pathlib", "ObjectStoragePath", "object store"])
    def folder(self, request, tmp_path) -> FolderStore:
        if request.param == "pathlib":
            return FolderStore(tmp_path / "state" / "run")
        if request.param == "ObjectStoragePath":
            return FolderStore(ObjectStoragePath(f"file://{tmp_path}/state/run"))
        return FolderStore(memory_path(f"{tmp_path.name}/state/run"))

    def test_folder_store_returns_stored_values(self, folder: FolderStore):
        assert folder.get("a.0") is None
        folder.set("a.0", {"rows": [None, "SM1"]})
        folder.set("a.0", {"rows": ["é", "SM1"]})
        assert folder.get("a.0") == {"rows": ["é", "SM1"]}
        folder.delete("a.0")
        folder.delete("a.0")
        assert folder.get("a.0") is None

    def test_folder_store_writes_to_object_store(self, tmp_path):
        FolderStore(memory_path(f"{tmp_path.name}/state")).set("a", 1)
        assert fsspec.filesystem("memory").cat_file(f"/{tmp_path.name}/state/a.json") == b"1"

    def test_folder_store_delete_leaves_no_files(self, tmp_path):
        folder = FolderStore(tmp_path)
        folder.set("a", 1)
        folder.delete("a")
        assert list(tmp_path.iterdir()) == []

    def test_folder_store_replaces_files_atomically(self, tmp_path):
        folder = FolderStore(tmp_path)
        folder.set("a", "before")
        (tmp_path / "a.json.part").write_text('"half', encoding="utf-8")  # what a crash leaves
        assert folder.get("a") == "before"
        folder.set("a", "after")
        assert folder.get("a") == "after"
