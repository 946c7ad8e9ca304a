"""The journal of a send: the intent before the request is sent, and the SID afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_twilio.api.errors import OutcomeUnknown
from airflow_provider_twilio.runtime.idempotency.clock import SendClock
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingRegistry
from airflow_provider_twilio.runtime.state_store import StateStore

MAX_STORE_DELAY = 5.0
"""Maximum time that storing the intent may take, in seconds. After more, it is stored again with a new time."""

MAX_STORE_ATTEMPTS = 3
"""Maximum number of times that the intent is stored before one attempt, if the state store is slow."""

MAX_STATE_AGE = 0.25
"""Time after which the loaded state is read again before the first request, in seconds."""

NOT_SENT = {"not_sent": True}
"""The state of a request that was certainly not sent: see ``keep_unsent``."""


class Overtaken(Exception):
    """Another process of the same task has stored its own state of the send.

    :ivar state: The stored state.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__()
        self.state = state


class TakenOver(OutcomeUnknown):
    """A later process of the same task owns the send: this one must not send the request."""


class SendJournal:
    """The durable state of one send, and its announcement to the siblings.

    Siblings are informed first: whatever is stored has been published, even if the process is killed in between.

    An earlier process of the task may still be alive, for example if its supervisor was killed. Each process therefore
    takes over the intent that it finds, and checks that its own is still stored before each request.

    :param store: The state store.
    :param key: Key of the send in the state store.
    :param clock: The clock that the intent's times are read from.
    :param registry: The entries of the siblings.
    :param keep_unsent: Whether to store that a request was not sent, instead of deleting its intent. A missing state
        then shows that the state was lost.
    """

    def __init__(
        self, store: StateStore, key: str, clock: SendClock, registry: SiblingRegistry, *, keep_unsent: bool = False
    ) -> None:
        self._store, self._key, self._clock, self._registry = store, key, clock, registry
        self._keep_unsent = keep_unsent
        self._owner, self._generation = secrets.token_hex(8), 1
        self._state: Mapping[str, Any] | None = None
        """The state as this process has last read or stored it."""
        self._loaded_at = clock.now(), clock.elapsed
        self._is_untouched = True
        """Whether this process has neither stored nor checked the state since it has loaded it."""
        self._has_own_times = False
        """Whether the times of the intent are those of this process alone."""
        self.intent: Intent | None = None

    @property
    def durable(self) -> bool:
        """Whether the state survives the end of the process."""
        return self._store.durable

    def load(self) -> Mapping[str, Any] | None:
        """Return what an earlier try has stored, or None.

        It is an intent, a SID with the time of the send, or :data:`NOT_SENT`.
        """
        self._state = self._store.get(self._key)
        self._loaded_at = self._clock.now(), self._clock.elapsed
        return self._state

    def _is_fresh(self) -> bool:
        """Return whether the state was loaded a moment ago. A suspended machine may stop its monotonic clock."""
        now, elapsed = self._loaded_at
        return abs((self._clock.now() - now).total_seconds()) + self._clock.elapsed - elapsed < MAX_STATE_AGE

    def publish(self, sid: str | None = None) -> None:
        """Publish the intent and, if known, the SID to the siblings, without storing anything."""
        self._registry.publish(self.intent, sid)

    def adopt(self, intent: Intent) -> None:
        """Continue from the intent of an earlier process, without storing it."""
        self._generation = max(self._generation, (intent.generation or 1) + 1)
        self._has_own_times = False
        self.intent = intent

    def take_over(self, intent: Intent) -> None:
        """Become the owner of an intent that an earlier process has stored."""
        self.adopt(intent)
        self._replace_intent(intent)

    def check_owner(self) -> None:
        """Check that no other process has changed the stored state.

        :raises Overtaken: When an earlier process has stored a SID, or its own intent, which this process takes over.
        :raises TakenOver: When a later process has taken over.
        """
        self._is_untouched = False
        if not self.durable:
            return
        state = self._store.get(self._key)
        if state is None or state == self._state:
            return
        if state.get("sid"):
            raise Overtaken(state)
        earlier = Intent.from_json(state) if "sent_at" in state else None
        if earlier is None or (earlier.generation or 0) >= self._generation:
            raise TakenOver(
                "another process of this task has taken over the request. This process did not send it again"
            )
        self.take_over(self._merge(earlier))
        raise Overtaken(state)

    def _merge(self, other: Intent) -> Intent:
        """Return an intent that covers the requests of this process and of another one."""
        own = self.intent
        if own is None:
            return other
        ends_at = max(own.ends_at, other.ends_at)
        return replace(
            other,
            first_sent_at=min(own.first_sent_at, other.first_sent_at),
            sent_at=ends_at - timedelta(seconds=other.timeout),
            attempts=max(own.attempts, other.attempts),
            clock_offset=own.clock_offset if own.clock_offset == other.clock_offset else None,
        )

    def store_intent(self, fingerprint: Mapping[str, Any], digest: str, timeout: float, attempts: int) -> None:
        """Store the intent of a request that is about to be sent.

        Its time is the time at which the request is sent, so the intent is stored again if the state store was slow.

        :raises Overtaken: As in :meth:`check_owner`.
        :raises TakenOver: As in :meth:`check_owner`.
        """
        for _ in range(MAX_STORE_ATTEMPTS):
            if not (self._is_untouched and self._is_fresh()):
                self.check_owner()
            now, offset = self._clock.now(), self._clock.offset
            first_sent_at = min(self._first_sent_at() or now, now)
            self._has_own_times = self._has_own_times or self.intent is None
            self._replace_intent(Intent(fingerprint, digest, first_sent_at, now, timeout, attempts, offset))
            if (self._clock.now() - now).total_seconds() <= MAX_STORE_DELAY:
                return

    def _first_sent_at(self) -> datetime | None:
        """Return when the request was first sent, by this process's clock; None if it was not. It may be too early."""
        if self.intent is None:
            return None
        starts = [start for start, _ in self.intent.window.at_twilio(self._clock.offset)]
        return min(starts) - timedelta(seconds=self._clock.offset or 0.0)

    def extend_intent(self, elapsed: float) -> None:
        """Store the time that the last attempt really took, if it exceeded the timeout.

        A request may exceed its timeout if, for example, the client tried several addresses.

        :param elapsed: Duration of the attempt, in seconds.
        :raises Overtaken: As in :meth:`check_owner`.
        :raises TakenOver: As in :meth:`check_owner`.
        """
        self.check_owner()
        if self.intent is None:
            raise RuntimeError("no intent was stored before the request was sent")
        if elapsed > self.intent.timeout:
            self._replace_intent(replace(self.intent, timeout=elapsed))

    def store_clock_offset(self) -> None:
        """Store the offset of this process's clock with the intent, if no other process may have sent the request."""
        intent, offset = self.intent, self._clock.offset
        if self._has_own_times and offset is not None and intent is not None and intent.clock_offset is None:
            self._replace_intent(replace(intent, clock_offset=offset))

    def _replace_intent(self, intent: Intent) -> None:
        self.intent = replace(intent, owner=self._owner, generation=self._generation)
        self.publish()
        self._set(self.intent.as_json())

    def _set(self, state: Mapping[str, Any]) -> None:
        self._store.set(self._key, state)
        self._is_untouched = False
        self._state = state

    def store_sid(self, sid: str) -> None:
        """Store the SID of the record, in place of the intent. It is stored even if publishing it fails."""
        try:
            self.publish(sid)
        finally:
            self._set({"sid": sid, "sent_at": self._clock.now().isoformat()})

    def discard_intent(self) -> None:
        """Delete the intent of a request that had no effect, unless an earlier attempt may have had one.

        The next try then sends the request without reconciling.
        """
        intent = self.intent
        if intent is not None and intent.attempts == 1 and self._store.get(self._key) == intent.as_json():
            if self._keep_unsent:
                self._set(NOT_SENT)
            else:
                self._store.delete(self._key)
            self._registry.withdraw(intent)

    def store_unsent(self) -> None:
        """Store that this try has failed before its request, unless an earlier attempt may have had an effect."""
        if self._keep_unsent and self.durable and self.intent is None and self._store.get(self._key) is None:
            self._set(NOT_SENT)


def sent_at(state: Mapping[str, Any]) -> datetime:
    """Return the time of the send that is stored with a SID."""
    return datetime.fromisoformat(state["sent_at"])
