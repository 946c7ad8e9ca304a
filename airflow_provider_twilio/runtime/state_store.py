"""State stores: durable key-value storage for a task across retries and crashes.

Imports no Airflow. The caller passes in what Airflow provides.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Protocol


class StateStore(Protocol):
    """Anything that can store JSON values by key. A value is durable once :meth:`set` has returned."""

    durable: bool
    """Whether values are stored at all. If so, they survive the end of the process."""

    def get(self, key: str) -> Any:
        """Return the value of a key; None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Store a value, which must not be None, in place of any earlier value of the key."""

    def delete(self, key: str) -> None:
        """Delete the value of a key, if there is one."""


class TaskStateStore:
    """A state store backed by Airflow's task state store. Airflow 3.3 and later.

    Each task instance of each DAG run has its own. Its values survive retries, deferrals and Clear. Each call is a
    round trip to Airflow's API server. Calls from several threads take turns, as ``dag.test()`` handles only one
    request of a task at a time.

    :param store: ``context["task_state_store"]``, or any object with its ``get``, ``set`` and ``delete``.
    :param options: Further arguments of the store's ``set``, such as ``retention``.
    """

    durable = True
    _turn = threading.Lock()

    def __init__(self, store: Any, **options: Any) -> None:
        self.store = store
        self._options = options

    def get(self, key: str) -> Any:
        with self._turn:
            return self.store.get(key)

    def set(self, key: str, value: Any) -> None:
        with self._turn:
            self.store.set(key, value, **self._options)

    def delete(self, key: str) -> None:
        with self._turn:
            self.store.delete(key)


class FolderStore:
    """A state store in a folder: one small file or object per key, on any storage that a path can name.

    Its values survive retries, and the DAG run itself. No other process may write to the folder.

    :param path: The folder, on a local disk or in an object store such as S3 or GCS. It is created with the first
        value.
    """

    durable = True

    def __init__(self, path: Any) -> None:
        # An object store writes an object as a whole or not at all, but a crash can leave a local file incomplete.
        # Only the protocol distinguishes them: on Airflow 3.1, paths in an object store are pathlib's own, too.
        self.is_local = getattr(path, "protocol", "") in ("", "file", "local")
        """Whether the folder is in a file system of this machine."""
        self.path: Any = Path(getattr(path, "path", None) or path).absolute() if self.is_local else path

    def get(self, key: str) -> Any:
        try:
            text = (self.path / f"{key}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return json.loads(text)

    def set(self, key: str, value: Any) -> None:
        text, target = json.dumps(value), self.path / f"{key}.json"
        if not self.is_local:
            target.write_text(text, encoding="utf-8")
            return
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f"{key}.json.part"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, target)

    def delete(self, key: str) -> None:
        (self.path / f"{key}.json").unlink(missing_ok=True)


class NullStore:
    """A state store that stores nothing, for tasks on Airflow before 3.3."""

    durable = False

    def get(self, key: str) -> Any:
        return None

    def set(self, key: str, value: Any) -> None:
        pass

    def delete(self, key: str) -> None:
        pass
