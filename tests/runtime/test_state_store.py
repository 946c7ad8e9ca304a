"""What remembers, remembers; what doesn't, says so."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_twilio.runtime.state_store import FolderStore, NullStore, StateStore, TaskStateStore


class Store:
    """Airflow's accessor as far as it is used: JSON values, None refused, a key that isn't there is no error."""

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


def test_task_state_keeps_what_it_is_told():
    store = Store()
    memory: StateStore = TaskStateStore(store)
    assert memory.durable
    assert memory.get("a") is None
    memory.set("a", {"sid": "SM1"})
    memory.set("b", 1)
    assert memory.get("a") == {"sid": "SM1"}
    assert TaskStateStore(store).get("a") == {"sid": "SM1"}
    memory.delete("a")
    memory.delete("a")
    assert (memory.get("a"), memory.get("b")) == (None, 1)


@pytest.mark.parametrize("value", [1, {"sid": "SM1"}])
def test_nothing_keeps_nothing(value: Any):
    memory: StateStore = NullStore()
    assert not memory.durable
    memory.set("a", value)
    assert memory.get("a") is None
    memory.delete("a")


def in_memory(path: str) -> ObjectStoragePath:
    """Give a path on a store that is not the local disk."""
    attach("memory", fs=fsspec.filesystem("memory"))
    return ObjectStoragePath(f"memory://{path}")


class TestFolder:
    @pytest.fixture(params=["pathlib", "ObjectStoragePath", "another store"])
    def folder(self, request, tmp_path) -> FolderStore:
        if request.param == "pathlib":
            return FolderStore(tmp_path / "checkpoint_path" / "run")
        if request.param == "ObjectStoragePath":
            return FolderStore(ObjectStoragePath(f"file://{tmp_path}/ledger/run"))
        return FolderStore(in_memory(f"{tmp_path.name}/ledger/run"))

    def test_remembers(self, folder: FolderStore):
        assert folder.get("a.0") is None
        folder.set("a.0", {"rows": [None, "SM1"]})
        folder.set("a.0", {"rows": ["é", "SM1"]})
        assert folder.get("a.0") == {"rows": ["é", "SM1"]}
        folder.delete("a.0")
        folder.delete("a.0")
        assert folder.get("a.0") is None

    def test_what_is_on_a_store_is_kept_there(self, tmp_path):
        FolderStore(in_memory(f"{tmp_path.name}/ledger")).set("a", 1)
        assert fsspec.filesystem("memory").cat_file(f"/{tmp_path.name}/ledger/a.json") == b"1"

    def test_leaves_nothing_behind(self, tmp_path):
        folder = FolderStore(tmp_path)
        folder.set("a", 1)
        folder.delete("a")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_is_there_whole_or_not_at_all(self, tmp_path):
        folder = FolderStore(tmp_path)
        folder.set("a", "before")
        (tmp_path / "a.json.part").write_text('"half', encoding="utf-8")  # as a crash leaves it
        assert folder.get("a") == "before"
        folder.set("a", "after")
        assert folder.get("a") == "after"
