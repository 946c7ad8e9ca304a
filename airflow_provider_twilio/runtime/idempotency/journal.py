"""The journal of a send: the intent before the request is sent, and the SID afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_twilio.runtime.idempotency.clock import TimeSource
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingRegistry
from airflow_provider_twilio.runtime.state_store import StateStore

MAX_STORE_DELAY = 5.0
"""Maximum time that storing the intent may take, in seconds. After more, it is stored again with a new time."""

MAX_STORE_ATTEMPTS = 3
"""Maximum number of times that the intent is stored before one attempt, if the state store is slow."""


class SendJournal:
    """The durable state of one send, and its announcement to the siblings.

    Siblings are informed first: whatever is stored has been published, even if the process is killed in between.

    :param store: The state store.
    :param key: Key of the send in the state store.
    :param clock: The clock that the intent's times are read from.
    :param registry: The entries of the siblings.
    """

    def __init__(self, store: StateStore, key: str, clock: TimeSource, registry: SiblingRegistry) -> None:
        self._store, self._key, self._clock, self._registry = store, key, clock, registry
        self.intent: Intent | None = None

    @property
    def durable(self) -> bool:
        """Whether the state survives the end of the process."""
        return self._store.durable

    def load(self) -> Mapping[str, Any] | None:
        """Return what an earlier try has stored: an intent, or a SID with the time of the send; None if nothing."""
        state: Mapping[str, Any] | None = self._store.get(self._key)
        return state

    def publish(self, sid: str | None = None) -> None:
        """Publish the intent and, if known, the SID to the siblings, without storing anything."""
        self._registry.publish(self.intent, sid)

    def store_intent(self, fingerprint: Mapping[str, Any], digest: str, timeout: float, attempts: int) -> None:
        """Store the intent of a request that is about to be sent.

        Its time is the time at which the request is sent, so the intent is stored again if the state store was slow.
        """
        for _ in range(MAX_STORE_ATTEMPTS):
            now = self._clock.now()
            first_sent_at = self.intent.first_sent_at if self.intent else now
            self._replace_intent(Intent(fingerprint, digest, first_sent_at, now, timeout, attempts))
            if (self._clock.now() - now).total_seconds() <= MAX_STORE_DELAY:
                return

    def extend_intent(self) -> Intent:
        """Store the time that the last attempt really took, if it exceeded the timeout; return the intent.

        A request may exceed its timeout if, for example, the client tried several addresses.
        """
        if self.intent is None:
            raise RuntimeError("no intent was stored before the request was sent")
        elapsed = (self._clock.now() - self.intent.sent_at).total_seconds()
        if elapsed > self.intent.timeout:
            self._replace_intent(replace(self.intent, timeout=elapsed))
        return self.intent

    def _replace_intent(self, intent: Intent) -> None:
        self.intent = intent
        self.publish()
        self._store.set(self._key, intent.as_json())

    def store_sid(self, sid: str) -> None:
        """Store the SID of the record, in place of the intent. It is stored even if publishing it fails."""
        try:
            self.publish(sid)
        finally:
            self._store.set(self._key, {"sid": sid, "sent_at": self._clock.now().isoformat()})

    def discard_intent(self) -> None:
        """Delete the intent of a request that had no effect, unless an earlier attempt may have had one.

        The next try then sends the request without reconciling.
        """
        intent = self.intent
        if intent is not None and intent.attempts == 1 and self._store.get(self._key) == intent.as_json():
            self._store.delete(self._key)
            self._registry.withdraw(intent)


def sent_at(state: Mapping[str, Any]) -> datetime:
    """Return the time of the send that is stored with a SID."""
    return datetime.fromisoformat(state["sent_at"])
