"""Where a task remembers what it has done, over retries and crashes: one protocol, and what stands behind it.

Imports no Airflow: what Airflow offers is handed in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class StateStore(Protocol):
    """Remember JSON values by key. What :meth:`set` has returned from survives the process being killed."""

    durable: bool
    """Whether it remembers at all."""

    def get(self, key: str) -> Any:
        """Give the value; None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value, which is not None, in place of any there is."""

    def delete(self, key: str) -> None:
        """Forget a value, if there is one."""


class TaskStateStore:
    """Remember in Airflow's task state store, which outlives retries, deferrals and Clear. Airflow 3.3 and later.

    Each task instance of each run has its own. A call is a round trip to Airflow's API server, and lasts once it is
    back.

    :param store: ``context["task_state_store"]``, or anything with its get, set and delete.
    """

    durable = True

    def __init__(self, store: Any) -> None:
        self.store = store

    def get(self, key: str) -> Any:
        return self.store.get(key)

    def set(self, key: str, value: Any) -> None:
        self.store.set(key, value)

    def delete(self, key: str) -> None:
        self.store.delete(key)


class FolderStore:
    """Remember in a folder, one small file or object a key: local, S3, GCS, wherever a path leads.

    It outlives retries and whole runs. Nobody else may write there.

    :param path: the folder; made when the first value is kept.
    """

    durable = True

    def __init__(self, path: Any) -> None:
        # An object store takes a value whole or not at all; a local file could be left half written.
        # Only the protocol tells: on Airflow 3.1 its paths are pathlib's own, wherever they lead.
        self._local = getattr(path, "protocol", "") in ("", "file", "local")
        self.path: Any = Path(getattr(path, "path", None) or path) if self._local else path

    def get(self, key: str) -> Any:
        try:
            text = (self.path / f"{key}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return json.loads(text)

    def set(self, key: str, value: Any) -> None:
        text, target = json.dumps(value), self.path / f"{key}.json"
        if not self._local:
            target.write_text(text, encoding="utf-8")
            return
        self.path.mkdir(parents=True, exist_ok=True)
        beside = self.path / f"{key}.json.part"
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, target)

    def delete(self, key: str) -> None:
        (self.path / f"{key}.json").unlink(missing_ok=True)


class NullStore:
    """Remember nothing: all there is before Airflow 3.3."""

    durable = False

    def get(self, key: str) -> Any:
        return None

    def set(self, key: str, value: Any) -> None:
        pass

    def delete(self, key: str) -> None:
        pass


def store_for_task(context: Mapping[str, Any]) -> StateStore:
    """Give what Airflow lets a task remember: nothing before Airflow 3.3."""
    store = context.get("task_state_store")
    return NullStore() if store is None else TaskStateStore(store)
