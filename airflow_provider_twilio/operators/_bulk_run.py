"""The stored state of a bulk send: its store, and the run of the task to which its checkpoints belong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.state_store import permanent_store
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.operators._bulk_folder import STORE_KEY, folder_for
from airflow_provider_twilio.runtime.bulk.checkpoints import delete_checkpoints, stored_outcomes, stored_sids
from airflow_provider_twilio.runtime.bulk.repair import is_repairable, reopen_checkpoints
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.reconcile import MessageStatus

MAX_IN_STORE = 20_000
"""Maximum number of messages whose checkpoints fit into Airflow's task state store."""


def store_for(context: Mapping[str, Any], checkpoint_path: str | None, messages: int) -> StateStore:
    """Return the store for the checkpoints: a folder of the task instance, or Airflow's task state store.

    :param messages: Number of messages to send.
    :raises BadParameter: If a folder is required but ``checkpoint_path`` is not set.
    """
    if checkpoint_path:
        return folder_for(context, checkpoint_path)
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
    return permanent_store(store)


class Interrupted(asyncio.CancelledError):
    """The task was stopped by Airflow: a user marked or cleared it, it timed out, or its worker is shut down."""


class BulkRun:
    """One pass through all recipients, which all tries of a task share.

    Clearing a task that failed resumes its run. Clearing one that succeeded starts another run.

    :param store: Store of the run's record and checkpoints.
    :param record: The stored record.
    """

    def __init__(self, store: StateStore, record: dict[str, Any]) -> None:
        self.store = store
        self._record = record

    @classmethod
    def load(cls, store: StateStore) -> BulkRun | None:
        """Return the run that an earlier step of the same task stored; None if there is none."""
        record = store.get(STORE_KEY)
        return None if record is None else cls(store, record)

    def is_resumed(self, max_tries: int, *, resend_on_clear: bool, start_over: bool = False) -> bool:
        """Return whether a try resumes this run. Otherwise it starts another one.

        :param max_tries: ``max_tries`` of the task instance, which Airflow increases when a user clears the task.
        :param resend_on_clear: Whether clearing a task that succeeded sends all messages again.
        :param start_over: Whether clearing a task sends all messages again in any case.
        """
        if not self.is_cleared(max_tries):
            return True
        return not start_over and (not self.has_succeeded or not resend_on_clear)

    @classmethod
    def load_or_start(
        cls,
        store: StateStore,
        max_tries: int,
        *,
        resend_on_clear: bool,
        before_start: Callable[[], None],
        start_over: bool = False,
    ) -> BulkRun:
        """Return the stored run if this try resumes it, or start and store another one.

        See :meth:`is_resumed` for the other parameters.

        :param before_start: Function with checks that only apply when a run starts.
        """
        stored = cls.load(store)
        if stored is not None and stored.is_resumed(max_tries, resend_on_clear=resend_on_clear, start_over=start_over):
            return stored
        before_start()
        run = cls(
            store,
            {
                "generation": 0 if stored is None else stored._record["generation"] + 1,
                "max_tries": max_tries,
                "started_at": time.time(),
                "sent_at": None,
                "sent": None,
                "summary": None,
            },
        )
        run._save()
        return run

    def is_cleared(self, max_tries: int) -> bool:
        """Return whether a user has cleared the task since this run started or was repaired."""
        return bool(self._record["max_tries"] != max_tries)

    @property
    def has_succeeded(self) -> bool:
        """Whether the run has finished, without more failures than allowed."""
        return self.summary is not None and not self._record.get("failed")

    def repair(self, max_tries: int, statuses: Mapping[str, MessageStatus]) -> int:
        """Reopen the run, so that it sends the messages again that can now be delivered. Return their number.

        :param statuses: Statuses of the sent messages by SID; empty if the task did not wait for delivery.
        """
        count = reopen_checkpoints(self.store, self.key, lambda stored: is_repairable(stored, statuses))
        self._record.update(max_tries=max_tries, summary=None, sent=None, sent_at=None)
        self._record.pop("failed", None)
        self._save()
        return count

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

    def finish(self, summary: dict[str, Any], *, failed: bool, keep: bool = False) -> None:
        """Store the final summary. Delete the checkpoints, unless they are needed to repair the run.

        :param failed: Whether more messages have failed than allowed.
        :param keep: Whether to keep the checkpoints in any case.
        """
        self._record["summary"] = summary
        if failed:
            self._record["failed"] = True
        self._save()
        if not failed and not keep:
            delete_checkpoints(self.store, self.key, summary["rows"])

    def outcomes(self) -> Iterator[list[Any]]:
        """Yield the stored outcomes, one list per checkpoint."""
        return stored_outcomes(self.store, self.key)

    def sids(self) -> Iterator[list[str]]:
        """Yield the SIDs of the sent messages, one list per checkpoint."""
        return stored_sids(self.store, self.key)

    def _save(self) -> None:
        self.store.set(STORE_KEY, self._record)
