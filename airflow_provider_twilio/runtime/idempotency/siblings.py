"""Siblings: other task instances of a DAG run that may send the same request, such as mapped tasks.

Twilio's records do not say which task created them. Each task instance therefore publishes an entry with the hash of
its request, the time of its attempts and, once it is known, the SID of its record. From the entries, a task that
reconciles learns which records belong to siblings, and which siblings do not know the outcome of their own request.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, NotRequired, Protocol, TypedDict

from airflow_provider_twilio.runtime.idempotency.clock import TimeSource
from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash
from airflow_provider_twilio.runtime.idempotency.intent import Intent, Window

CLAIM_DELAY = 1.0
"""Time between claiming a record and checking whether a sibling has claimed it, too, in seconds."""


class SiblingEntry(TypedDict):
    """The published entry of a task instance, as JSON."""

    owner: list[Any]
    """The task instance: see :attr:`Siblings.owner`."""
    sid: str | None
    """SID of its record; None if it does not know the SID."""
    fingerprint: str | None
    """Keyed hash of the fingerprint of its request; None if it has no request of unknown outcome."""
    digest: NotRequired[str]
    """Keyed hash of its whole request."""
    first_sent_at: NotRequired[str]
    """Time at which it first sent the request, in ISO 8601."""
    ends_at: NotRequired[str]
    """Time at which its last attempt has ended, in ISO 8601."""
    clock_offset: NotRequired[float]
    """Seconds by which Twilio's clock was ahead of its clock; absent if it does not know."""


class Siblings(Protocol):
    """Anything that can publish the entry of this task instance, and read the entries of all."""

    owner: list[Any]
    """JSON that identifies this task instance within the DAG run."""

    def publish(self, entry: SiblingEntry, /) -> None:
        """Publish the entry of this task instance, in place of any earlier one."""

    def entries(self) -> list[SiblingEntry]:
        """Return the entries of all task instances, in any order. It may include the own entry."""


class NoSiblings:
    """The siblings of a request that no other task instance sends."""

    def __init__(self) -> None:
        self.owner: list[Any] = []

    def publish(self, entry: SiblingEntry, /) -> None:
        pass

    def entries(self) -> list[SiblingEntry]:
        return []


class SiblingRegistry:
    """The entry of this task instance, and those of its siblings.

    :param siblings: Publishes and reads the entries; None if there are no siblings.
    :param keyed_hash: Hashes the fingerprint. All siblings use the same secret.
    :param clock: The clock to wait by.
    """

    def __init__(self, siblings: Siblings | None, keyed_hash: KeyedHash, clock: TimeSource) -> None:
        self._siblings = siblings or NoSiblings()
        self._alone = siblings is None
        self._keyed_hash = keyed_hash
        self._clock = clock

    def entry(self, intent: Intent | None, sid: str | None = None) -> SiblingEntry:
        """Return the entry of this task instance."""
        owner = self._siblings.owner
        if intent is None:
            return {"owner": owner, "fingerprint": None, "sid": sid}
        entry: SiblingEntry = {
            "owner": owner,
            "fingerprint": self._keyed_hash.json(dict(intent.fingerprint)),
            "digest": intent.digest,
            "first_sent_at": intent.first_sent_at.isoformat(),
            "ends_at": intent.ends_at.isoformat(),
            "sid": sid,
        }
        if intent.clock_offset is not None:
            entry["clock_offset"] = intent.clock_offset
        return entry

    def publish(self, intent: Intent | None, sid: str | None = None) -> None:
        """Publish what this task instance has sent and, if known, the SID of its record."""
        self._siblings.publish(self.entry(intent, sid))

    def withdraw(self, intent: Intent) -> None:
        """Publish that the request of this task instance had no effect."""
        self._siblings.publish({**self.entry(intent), "fingerprint": None})

    def others(self) -> list[SiblingEntry]:
        """Return the entries of the siblings."""
        return [entry for entry in self._siblings.entries() if entry["owner"] != self._siblings.owner]

    def unresolved(self, intent: Intent) -> list[SiblingEntry]:
        """Return the entries of siblings that do not know the outcome of a request with the same fingerprint."""
        fingerprint = self.entry(intent)["fingerprint"]
        return [entry for entry in self.others() if entry["fingerprint"] == fingerprint and not entry["sid"]]

    def claim(self, intent: Intent, sid: str) -> bool:
        """Claim a record for this task instance; return False if a sibling claims it at the same time."""
        if self._alone:
            return True
        self.publish(intent, sid)
        self._clock.sleep(CLAIM_DELAY)
        if any(entry["sid"] == sid for entry in self.others()):
            # Either both task instances withdraw their claim, or only this one does. A random delay keeps them from
            # claiming the record at the same time again.
            self.publish(intent)
            self._clock.sleep(CLAIM_DELAY * random.uniform(1, 5))  # noqa: S311 (not used for security)
            return False
        return True


def window(entry: SiblingEntry) -> Window:
    """Return the time during which the requests of a task instance were in flight."""
    start, end = (datetime.fromisoformat(time) for time in (entry["first_sent_at"], entry["ends_at"]))
    return Window(start, end, entry.get("clock_offset"))
