"""The stored state of a bulk send: its store, and the run of the task to which its checkpoints belong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.checkpoints import delete_checkpoints, stored_outcomes, stored_sids
from airflow_provider_twilio.runtime.state_store import FolderStore, StateStore, TaskStateStore

STORE_KEY = "twilio_bulk"
"""Key of the run's record. Keys of checkpoints, and of XComs with SIDs, begin with it."""
MAX_IN_STORE = 20_000
"""Maximum number of messages whose checkpoints fit into Airflow's task state store."""


def object_path(path: str) -> Any:
    """Return a path in any of Airflow's object stores."""
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(path.strip())


def store_for(context: Mapping[str, Any], checkpoint_path: str | None, messages: int) -> StateStore:
    """Return the store for the checkpoints: a folder of the task instance, or Airflow's task state store.

    :param messages: Number of messages to send.
    :raises BadParameter: If a folder is required but ``checkpoint_path`` is not set.
    """
    if checkpoint_path:
        ti = context.get("ti")
        map_index = getattr(ti, "map_index", -1)
        parts = [getattr(ti, name, None) or name for name in ("dag_id", "run_id", "task_id")]
        folder = object_path(checkpoint_path)
        for part in [*parts, *([str(map_index)] if map_index >= 0 else [])]:
            folder = folder / re.sub(r"[^\w.+:-]", "_", part)
        return FolderStore(folder)
    store = context.get("task_state_store")
    remedy = "pass a folder, such as s3://bucket/checkpoints"
    if store is None:
        raise BadParameter("checkpoint_path", "is missing", f"{remedy}; this Airflow version has no task state store")
    if messages > MAX_IN_STORE:
        raise BadParameter(
            "checkpoint_path",
            f"is missing for {messages} messages",
            f"{remedy}; Airflow's task state store holds at most {MAX_IN_STORE}",
        )
    return TaskStateStore(store)


class BulkRun:
    """One pass through all recipients, which all tries of a task share. Clearing a finished task starts another one.

    :param store: Store of the run's record and checkpoints.
    :param record: The stored record.
    """

    def __init__(self, store: StateStore, record: dict[str, Any]) -> None:
        self.store = store
        self._record = record

    @classmethod
    def load(cls, store: StateStore) -> BulkRun:
        """Return the run that an earlier step of the same task stored."""
        return cls(store, store.get(STORE_KEY))

    @classmethod
    def load_or_start(
        cls, store: StateStore, max_tries: int, *, resend_on_clear: bool, before_start: Callable[[], None]
    ) -> BulkRun:
        """Return the stored run if it can be resumed, or start and store another one.

        :param max_tries: ``max_tries`` of the task instance, which Airflow increases when a user clears the task.
        :param resend_on_clear: Whether clearing a finished task sends all messages again.
        :param before_start: Function with checks that only apply when a run starts.
        """
        record: dict[str, Any] | None = store.get(STORE_KEY)
        if record is None:
            generation = 0
        elif record["summary"] is None or record["max_tries"] == max_tries or not resend_on_clear:
            return cls(store, record)
        else:
            generation = record["generation"] + 1
        before_start()
        run = cls(
            store,
            {
                "generation": generation,
                "max_tries": max_tries,
                "started_at": time.time(),
                "sent_at": None,
                "sent": None,
                "summary": None,
            },
        )
        run._save()
        return run

    @property
    def key(self) -> str:
        """Prefix of the keys of this run's checkpoints."""
        return f"{STORE_KEY}.{self._record['generation']}"

    @property
    def summary(self) -> dict[str, Any] | None:
        """Final summary, or None if the run has not finished."""
        summary: dict[str, Any] | None = self._record["summary"]
        return summary

    @property
    def sent(self) -> dict[str, Any]:
        """Summary after sending, before any wait for delivery."""
        summary: dict[str, Any] = self._record["sent"]
        return summary

    @property
    def started_at(self) -> float:
        """Time at which the run started, in seconds since the epoch."""
        return float(self._record["started_at"])

    @property
    def sent_at(self) -> float:
        """Time at which the last message was sent, in seconds since the epoch."""
        return float(self._record["sent_at"])

    def record_sent(self, summary: dict[str, Any], *, sent_now: int) -> None:
        """Store the summary after sending.

        :param sent_now: Number of messages sent by this try.
        """
        if sent_now or self._record["sent_at"] is None:
            self._record["sent_at"] = time.time()
        self._record["sent"] = summary
        self._save()

    def finish(self, summary: dict[str, Any]) -> None:
        """Store the final summary, and delete the checkpoints."""
        self._record["summary"] = summary
        self._save()
        delete_checkpoints(self.store, self.key, summary["rows"])

    def outcomes(self) -> Iterator[list[Any]]:
        """Yield the stored outcomes, one list per checkpoint."""
        return stored_outcomes(self.store, self.key)

    def sids(self) -> Iterator[list[str]]:
        """Yield the SIDs of the sent messages, one list per checkpoint."""
        return stored_sids(self.store, self.key)

    def _save(self) -> None:
        self.store.set(STORE_KEY, self._record)
