"""Reconciling: find the record of an earlier request whose outcome is unknown.

Twilio's list is polled until it contains the record, or until the request can no longer be in flight and the list has
had time to show its record. Records that belong to siblings are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.errors import AmbiguousOutcome, OutcomeUnresolved
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.runtime.idempotency.clock import TimeSource
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    Match,
    OnUnresolved,
    created_at,
    fingerprint,
    match,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import Intent, is_within
from airflow_provider_twilio.runtime.idempotency.siblings import (
    SiblingEntry,
    SiblingRegistry,
    ends_at,
    first_sent_at,
)

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client

MAX_RECORDS = 20_000
"""Maximum number of records of a list that are searched."""

POLL_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Delays between polls, in seconds. The last one repeats."""

log = logging.getLogger(__name__)


def poll_delays() -> Iterator[float]:
    """Yield the delays between polls, in seconds, without end."""
    yield from POLL_DELAYS
    while True:
        yield POLL_DELAYS[-1]


class SendReconciler:
    """The search for the record of one send.

    :param client: The client that lists Twilio's records.
    :param keyed_hash: Hashes the fingerprints.
    :param registry: The entries of the siblings.
    :param clock: The clock to wait by.
    :param reconcile_timeout: Time after the end of the request during which its record may still be missing from
        Twilio's list, in seconds.
    :param on_unresolved: Whether to allow another attempt (``resend``) or to ``fail`` if Twilio lists no record.
    :param claimed_sids: Returns further SIDs that belong to other sends. It is called only if records match.
    """

    def __init__(
        self,
        client: Client,
        keyed_hash: KeyedHash,
        registry: SiblingRegistry,
        clock: TimeSource,
        *,
        reconcile_timeout: float,
        on_unresolved: OnUnresolved,
        claimed_sids: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._client, self._keyed_hash, self._registry, self._clock = client, keyed_hash, registry, clock
        self._reconcile_timeout = timedelta(seconds=reconcile_timeout)
        self._on_unresolved = on_unresolved
        self._claimed_sids = claimed_sids

    def find_record(self, request: Request[Any], intent: Intent) -> Record | None:
        """Return the record that the request has created; None if it created none and may be sent again.

        :raises OutcomeUnresolved: When Twilio lists no matching record and the request must not be sent again, when
            the recipient has changed, or when the list is too long to search.
        :raises AmbiguousOutcome: When several records match, or one that may belong to a sibling.
        """
        self._check_recipient(request, intent)
        for poll, delay in enumerate(poll_delays()):
            # Read before the list: a record that is not in the list after the end of all requests does not exist.
            siblings = self._registry.unresolved(intent)
            end = max([intent.ends_at, *map(ends_at, siblings)]) + self._reconcile_timeout
            seconds_left = (end - self._clock.now()).total_seconds()
            candidates = self._candidates(request, intent, siblings)
            matching = [record for record in candidates if self._match(request, record, intent)]
            own = self._pick_own(intent, candidates, matching, siblings)
            if own is not None and self._registry.claim(intent, own["sid"]):
                log.info("Found the record of the earlier request: %s", own)
                return own
            if seconds_left <= 0 and own is None:
                if matching:
                    raise self._ambiguous_outcome(request, matching, siblings)
                break
            if poll == 0 and seconds_left > 0:
                log.info(
                    "Cannot yet determine whether the request was sent: polling Twilio for up to %.0f s", seconds_left
                )
            self._clock.sleep(min(delay, seconds_left) if seconds_left > 0 else delay)
        if self._on_unresolved == "fail":
            raise OutcomeUnresolved(
                f"{request}: the outcome of an earlier attempt is unknown, and Twilio lists no matching record."
                f" {_not_sent_again(request)}"
            )
        return None

    def _match(self, request: Request[Any], record: Record, intent: Intent) -> Match:
        return match(request, record, intent, self._keyed_hash)

    def _check_recipient(self, request: Request[Any], intent: Intent) -> None:
        """Raise an error if the recipient has changed: the list of the new one does not show the earlier record."""
        current = fingerprint(request, self._keyed_hash)
        if intent.fingerprint["key_id"] == current["key_id"] and intent.fingerprint.get("to") != current.get("to"):
            raise OutcomeUnresolved(
                f"{request}: an earlier attempt may have sent this request to another recipient."
                f" {_not_sent_again(request)}"
            )

    def _candidates(self, request: Request[Any], intent: Intent, siblings: Sequence[SiblingEntry]) -> list[Record]:
        """Return the unclaimed records that match this task or a sibling: best matches only, oldest first."""
        start = min([intent.first_sent_at, *map(first_sent_at, siblings)])
        end = max([intent.ends_at, *map(ends_at, siblings)])
        widened = replace(intent, first_sent_at=start, sent_at=end, timeout=0.0)
        listing = matcher_for(request).listing(request, widened.fingerprint).replace(limit=MAX_RECORDS)
        found: dict[Match, list[Record]] = {Match.PARTIAL: [], Match.EXACT: []}
        searched = 0
        for record in self._client.iter_records(listing):
            searched += 1
            if degree := self._match(request, record, widened):
                found[degree].append(record)
        if any(found.values()):
            claimed = self._sids_of_others()
            for degree in (Match.EXACT, Match.PARTIAL):
                if unclaimed := [record for record in found[degree] if record["sid"] not in claimed]:
                    return sorted(unclaimed, key=lambda record: (created_at(record) or start, record["sid"]))
        elif searched >= MAX_RECORDS:
            raise OutcomeUnresolved(
                f"{request}: the outcome of an earlier attempt is unknown, and Twilio's list is too long to search:"
                f" at least {MAX_RECORDS} records. {_not_sent_again(request)}"
            )
        return []

    def _sids_of_others(self) -> set[str | None]:
        """Return the SIDs of records that belong to siblings or to other sends of this task."""
        further = self._claimed_sids() if self._claimed_sids else ()
        return {entry["sid"] for entry in self._registry.others()} | set(further)

    def _pick_own(
        self,
        intent: Intent,
        candidates: Sequence[Record],
        matching: Sequence[Record],
        siblings: Sequence[SiblingEntry],
    ) -> Record | None:
        """Return the record that this task created, or None if it cannot be determined."""
        if len(matching) == 1 and not any(_may_have_created(entry, matching[0]) for entry in siblings):
            return matching[0]
        # If there are as many candidates as task instances that sent the same request, each takes one of them. Which
        # one makes no difference, provided that all of them assign the records alike, that none of them still waits
        # for a response, and that each record was created during the requests of the task instance that takes it.
        now = self._clock.now()
        if len(candidates) != len(siblings) + 1:
            return None
        if any(entry["digest"] != intent.digest or ends_at(entry) > now for entry in siblings):
            return None
        own_entry = self._registry.entry(intent)
        entries = sorted([own_entry, *siblings], key=lambda entry: (first_sent_at(entry), entry["owner"]))
        assigned = list(zip(entries, candidates, strict=True))
        if all(_may_have_created(entry, record) for entry, record in assigned):
            return next(record for entry, record in assigned if entry is own_entry)
        return None

    def _ambiguous_outcome(
        self, request: Request[Any], matching: Sequence[Record], siblings: Sequence[SiblingEntry]
    ) -> AmbiguousOutcome:
        sids = [record["sid"] for record in matching]
        others = (
            f", and {len(siblings)} other task instances of this run may have sent the same request" if siblings else ""
        )
        return AmbiguousOutcome(
            f"{request}: cannot determine which record belongs to this task. Candidates: {', '.join(sids)}{others}."
            f" {_not_sent_again(request)}",
            sids,
        )


def _may_have_created(entry: SiblingEntry, record: Record) -> bool:
    """Return whether a record was created while the requests of a task instance were in flight."""
    return is_within(first_sent_at(entry), created_at(record), ends_at(entry))


def _not_sent_again(request: Request[Any]) -> str:
    """Return the end of an error message: what happened to the request, and the remedy."""
    return (
        f"The request was not sent again. Check Twilio's {matcher_for(request).record_type} list, then clear the task"
        " to send again, or mark it as success"
    )
