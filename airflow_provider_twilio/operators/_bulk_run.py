"""What a bulk send stores between tries: where, and which run of the task its checkpoints belong to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.checkpoints import delete_checkpoints, stored_outcomes, stored_sids
from airflow_provider_twilio.runtime.state_store import FolderStore, StateStore, TaskStateStore

STORE_KEY = "twilio_bulk"
"""The key of the run's record, and the prefix of the keys of checkpoints and of XComs with SIDs."""
MAX_IN_STORE = 20_000
"""Maximum number of messages whose checkpoints fit into Airflow's task state store."""


def object_path(path: str) -> Any:
    """Return a path on any store that Airflow knows."""
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(path.strip())


def store_for(context: Mapping[str, Any], checkpoint_path: str | None, messages: int) -> StateStore:
    """Return the store for the checkpoints: the task instance's own folder, or Airflow's task state store.

    :raises BadParameter: A folder is needed, and none is given.
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
    remedy = "give a folder, such as s3://bucket/checkpoints"
    if store is None:
        raise BadParameter("checkpoint_path", "is missing", f"{remedy}: this Airflow has no task state store")
    if messages > MAX_IN_STORE:
        raise BadParameter(
            "checkpoint_path",
            f"is missing for {messages} messages",
            f"{remedy}: Airflow's task state store holds {MAX_IN_STORE} at most",
        )
    return TaskStateStore(store)


class BulkRun:
    """One run through all recipients. Its tries share it; clearing a finished task starts another one.

    :param store: Where the record of the run and its checkpoints are.
    :param record: The stored record of the run.
    """

    def __init__(self, store: StateStore, record: dict[str, Any]) -> None:
        self.store = store
        self._record = record

    @classmethod
    def load(cls, store: StateStore) -> BulkRun:
        """Return the run that an earlier step of the same task has stored."""
        return cls(store, store.get(STORE_KEY))

    @classmethod
    def load_or_start(
        cls, store: StateStore, max_tries: int, *, resend_on_clear: bool, before_start: Callable[[], None]
    ) -> BulkRun:
        """Return the run to resume, or start one.

        :param max_tries: The task instance's, which Airflow raises when a user clears the task.
        :param resend_on_clear: Whether clearing a finished task sends again.
        :param before_start: Checks what must hold when a run starts.
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
        """The prefix of the keys of this run's checkpoints."""
        return f"{STORE_KEY}.{self._record['generation']}"

    @property
    def summary(self) -> dict[str, Any] | None:
        """The final summary; None until the run has finished."""
        summary: dict[str, Any] | None = self._record["summary"]
        return summary

    @property
    def sent(self) -> dict[str, Any]:
        """The summary of the sending, before any wait."""
        summary: dict[str, Any] = self._record["sent"]
        return summary

    @property
    def started_at(self) -> float:
        """When the run started, in seconds since the epoch."""
        return float(self._record["started_at"])

    @property
    def sent_at(self) -> float:
        """When its last message was sent, in seconds since the epoch."""
        return float(self._record["sent_at"])

    def record_sent(self, summary: dict[str, Any], *, sent_now: int) -> None:
        """Store the summary of the sending.

        :param sent_now: Number of messages that this try has sent.
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
        """Yield the stored outcomes, checkpoint by checkpoint."""
        return stored_outcomes(self.store, self.key)

    def sids(self) -> Iterator[list[str]]:
        """Yield the SIDs of the messages sent, checkpoint by checkpoint."""
        return stored_sids(self.store, self.key)

    def _save(self) -> None:
        self.store.set(STORE_KEY, self._record)
