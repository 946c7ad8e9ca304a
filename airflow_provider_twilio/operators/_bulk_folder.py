"""The checkpoint folder of a bulk send, and the marker that shows a later try that there must be one."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio._airflow.state_store import permanent_store
from airflow_provider_twilio._airflow.storage import object_path
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.state_store import FolderStore

STORE_KEY = "twilio_bulk"
"""Key of the run's record. Keys of checkpoints, and of XComs with SIDs, begin with it."""
MARKER_KEY = f"{STORE_KEY}.folder"
"""Key of the marker in the task state store, or prefix of its XCom key."""
IN_STATE_STORE = "Airflow's task state store"
LOCAL_EXECUTORS = frozenset({"LocalExecutor", "SequentialExecutor"})
"""Executors that run all tasks on the machine of the scheduler."""
MAX_NAME = 80
"""Maximum length of the readable part of a folder name, in characters."""

_PLAIN_NAME = re.compile(r"[a-z0-9_+][a-z0-9_.+:-]*(?<!\.)")


def folder_name(value: str) -> str:
    """Return a folder name for an ID. Different IDs have different names, even in a store that ignores case.

    An ID that is no plain name, in lower case, gets a hash of its own. Plain names never contain the separator ``~``.
    """
    if len(value) <= MAX_NAME and _PLAIN_NAME.fullmatch(value):
        return value
    readable = re.sub(r"[^A-Za-z0-9_.+:-]", "_", value)[:MAX_NAME]
    return f"{readable}~{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def folder_for(context: Mapping[str, Any], checkpoint_path: str) -> FolderStore:
    """Return the checkpoint folder of a task instance."""
    ti = context.get("ti")
    map_index = getattr(ti, "map_index", -1)
    parts = [str(getattr(ti, name, None) or name) for name in ("dag_id", "run_id", "task_id")]
    folder: Any = object_path(checkpoint_path.strip())
    for part in [*parts, *([str(map_index)] if map_index >= 0 else [])]:
        folder = folder / folder_name(part)
    return FolderStore(folder)


class FolderMarker:
    """The marker of a checkpoint folder, which is stored elsewhere before the first message is sent.

    A try that finds the marker, but no checkpoints, must not send: it would send every message again. The marker is in
    the task state store. Airflow versions without one have it as an XCom. Airflow deletes the XComs of a task when its
    next try starts, but tells that try their keys.

    :param context: The context of the task.
    :param folder: The checkpoint folder; None if this try has its checkpoints in the task state store.
    """

    def __init__(self, context: Mapping[str, Any], folder: FolderStore | None) -> None:
        self._ti, store = context.get("ti"), context.get("task_state_store")
        self._store = None if store is None else permanent_store(store)
        self._folder = folder
        self._max_tries = int(getattr(self._ti, "max_tries", 0))

    def write(self, *, succeeded: bool = False) -> None:
        """Store the marker, if there is a folder.

        :param succeeded: Whether the task has sent all messages, without more failures than allowed.
        """
        if self._folder is None:
            return
        value = {"path": str(self._folder.path), "max_tries": self._max_tries, "succeeded": succeeded}
        if self._store is not None:
            self._store.set(MARKER_KEY, value)
        elif self._ti is not None:
            self._push(f"{MARKER_KEY}.{self._max_tries}{'.succeeded' if succeeded else ''}")

    def check(self, *, resend_on_clear: bool, start_over: bool) -> None:
        """Check that no earlier try has sent messages. Call it if this try finds no checkpoints.

        :param resend_on_clear: Whether clearing a task that succeeded sends all messages again.
        :param start_over: Whether clearing a task sends all messages again in any case.
        :raises BadParameter: If an earlier try may have sent messages.
        """
        marker = self._read()
        if marker is None:
            return
        cleared = marker["max_tries"] != self._max_tries
        if cleared and (start_over or (resend_on_clear and marker["succeeded"])):
            return
        raise missing_checkpoints(self._folder, marker["path"])

    def _read(self) -> dict[str, Any] | None:
        if self._store is not None:
            found = [self._store.get(MARKER_KEY)]
            record = self._store.get(STORE_KEY)
            if record is not None:  # an earlier try had no checkpoint_path
                succeeded = record["summary"] is not None and not record.get("failed")
                found.append({"path": IN_STATE_STORE, "max_tries": record["max_tries"], "succeeded": succeeded})
            return max(
                (marker for marker in found if marker is not None),
                key=lambda marker: (marker["max_tries"], not marker["succeeded"]),
                default=None,
            )
        server_context = getattr(self._ti, "_ti_context_from_server", None)
        keys = [
            key for key in getattr(server_context, "xcom_keys_to_clear", None) or () if key.startswith(MARKER_KEY + ".")
        ]
        if not keys:
            return None
        for key in keys:  # Airflow has deleted them
            self._push(key)
        numbers = {key: int(key.removeprefix(MARKER_KEY + ".").removesuffix(".succeeded")) for key in keys}
        latest = max(numbers.values())
        succeeded = f"{MARKER_KEY}.{latest}.succeeded" in keys
        return {"path": "", "max_tries": latest, "succeeded": succeeded}

    def _push(self, key: str) -> None:
        self._ti.xcom_push(key=key, value=True)  # type: ignore[union-attr]


def missing_checkpoints(folder: FolderStore | None, used: str = "") -> BadParameter:
    """Return the error of a try that cannot see the checkpoints of an earlier one.

    :param folder: The checkpoint folder; None if there is no ``checkpoint_path``.
    :param used: Where the earlier try stored its checkpoints; empty if not known.
    """
    path = IN_STATE_STORE if folder is None else str(folder.path)
    host = f" on {socket.gethostname()}" if folder is not None and folder.is_local else ""
    other = f", but an earlier try stored its checkpoints in {used}" if used not in ("", path) else ""
    return BadParameter(
        "checkpoint_path",
        f"has no checkpoints of an earlier try, which may have sent messages: {path}{host} has none{other}",
        "restore them, or run the task where they are, with the checkpoint_path of the earlier try, and clear the task."
        " Use a path that all workers and the triggerer share, such as s3://bucket/checkpoints. To send every message"
        ' again, clear the task with on_clear="resend_all". No message was sent by this try',
    )


def is_distributed() -> bool:
    """Return whether tasks, or their next tries, may run on several machines."""
    executors = re.split(r"[,;]", conf.get("core", "executor", fallback="LocalExecutor"))
    names = {re.split(r"[.=:]", executor.strip())[-1] for executor in executors}
    return not names <= LOCAL_EXECUTORS or "KUBERNETES_SERVICE_HOST" in os.environ


def check_local_path(name: str, path: Any, consequence: str) -> str | None:
    """Check a path that several machines may have to share. Return a warning if it is on a local disk.

    :param name: Name of the parameter.
    :param path: A string, or an object with the methods of ``pathlib.Path``.
    :param consequence: What happens on another machine, for the warning.
    :raises BadParameter: If the path is relative, so that it depends on the process.
    """
    location = object_path(path) if isinstance(path, str) else path
    if getattr(location, "protocol", "") not in ("", "file", "local") or not is_distributed():
        return None
    is_plain = isinstance(path, str) and "://" not in path
    local = path if is_plain else str(getattr(location, "path", None) or location)
    if not os.path.isabs(local):
        raise BadParameter(
            name,
            f"is a relative path ({local}), which differs from worker to worker",
            "pass an absolute path on storage that all workers and the triggerer share, such as s3://bucket/path."
            " No message was sent",
        )
    return (
        f"{name} is on the local disk of {socket.gethostname()} ({local}): {consequence}, unless all workers and the"
        " triggerer mount this path. An object store such as s3://bucket/path is safe"
    )
