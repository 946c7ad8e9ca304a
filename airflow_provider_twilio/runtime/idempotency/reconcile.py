"""Reconciliation: find the record of an earlier request whose outcome is unknown.

Twilio's list is polled until it contains the record, or until the request can no longer be in flight and the list has
had time to show its record. Records that belong to siblings are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_twilio.api.errors import AmbiguousOutcome, NotFound, OutcomeUnresolved
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.runtime.idempotency.clock import Deadline, SendClock
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    Match,
    OnUnresolved,
    cannot_exclude,
    created_at,
    default_on_unresolved,
    fingerprint,
    is_created_within,
    match_content,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import CLOCK_SKEW, Intent, Window
from airflow_provider_twilio.runtime.idempotency.journal import Overtaken, SendJournal, sent_at
from airflow_provider_twilio.runtime.idempotency.siblings import SiblingEntry, SiblingRegistry, window

if TYPE_CHECKING:
    from airflow_provider_twilio.client.blocking import Client

MAX_RECORDS = 20_000
"""Maximum number of records to search in a list."""

POLL_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Delays between polls, in seconds. The last one repeats."""

UNMEASURED_CLOCK_ERROR = timedelta(hours=12)
"""Maximum error of the clock of a process that never measured it."""

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
    :param journal: The stored state of the send.
    :param clock: The source of the current time and of delays.
    :param reconcile_timeout: Time after the end of the request during which its record may still be missing from
        Twilio's list, in seconds.
    :param on_unresolved: Whether to allow another attempt (``resend``) or to ``fail`` if Twilio lists no record. By
        default, it depends on the type of the record.
    :param claimed_sids: Returns further SIDs that belong to other sends. It is called only if records match.
    :param not_before: Time before which no try can have sent the request, if known.
    """

    def __init__(
        self,
        client: Client,
        keyed_hash: KeyedHash,
        registry: SiblingRegistry,
        journal: SendJournal,
        clock: SendClock,
        *,
        reconcile_timeout: float,
        on_unresolved: OnUnresolved | None,
        claimed_sids: Callable[[], Collection[str]] | None = None,
        not_before: datetime | None = None,
    ) -> None:
        self._client, self._keyed_hash, self._registry = client, keyed_hash, registry
        self._journal, self._clock = journal, clock
        self._reconcile_timeout = timedelta(seconds=reconcile_timeout)
        self._on_unresolved = on_unresolved
        self._claimed_sids = claimed_sids
        self._not_before = not_before

    def find_record(self, request: Request[Any], is_probably_unsent: bool = False) -> Record | None:
        """Return the record that the request created, or None if it created no record and may be sent again.

        :param is_probably_unsent: Whether to read the list only once, instead of polling it until the record appears.
        :raises OutcomeUnresolved: When Twilio lists no matching record and the request must not be sent again, when
            the recipient has changed, or when the list is too long to search.
        :raises AmbiguousOutcome: When several records match, the only match may belong to a sibling, or a record
            that does not match cannot be ruled out.
        :raises TakenOver: When a later process of the task has taken over.
        """
        deadline = Deadline(self._clock)
        for poll, delay in enumerate(poll_delays()):
            try:
                self._journal.check_owner()
            except Overtaken as overtaken:
                if sid := overtaken.state.get("sid"):
                    log.info("Found the record of the earlier request: another process of this task stored %s", sid)
                    return fetch_record(self._client, request, overtaken.state, self._clock)
                is_probably_unsent = False
            self._check_recipient(request, self._intent)
            # The siblings are read before the list. So if their requests had ended, and the list had time to show the
            # records, a record that is not in the list does not exist.
            siblings = self._registry.unresolved(self._intent)
            candidates, uncertain = self._candidates(request, siblings)
            self._journal.store_clock_offset()
            seconds_left = self._seconds_left(siblings, deadline)
            matching = [record for record in candidates if self._is_own_window(record)]
            if is_probably_unsent and not matching:
                seconds_left = min(seconds_left, 0.0)
            own = self._pick_own(candidates, matching, siblings)
            if own is not None and self._registry.claim(self._intent, own["sid"]):
                log.info("Found the record of the earlier request: %s", own)
                return own
            if seconds_left <= 0 and own is None:
                if matching:
                    raise self._ambiguous_outcome(request, matching, siblings)
                if uncertain:
                    raise _uncertain_outcome(request, uncertain)
                break
            if poll == 0 and seconds_left > 0:
                log.info(
                    "Cannot yet determine whether the request was sent: polling Twilio for up to %.0f s", seconds_left
                )
            self._clock.sleep(min(delay, seconds_left) if seconds_left > 0 else delay)
        default = "resend" if is_probably_unsent else default_on_unresolved(request)
        if (self._on_unresolved or default) == "fail":
            raise OutcomeUnresolved(
                f"{request}: the outcome of an earlier attempt is unknown, and Twilio lists no matching record."
                f" {_not_sent_again(request)}"
            )
        return None

    @property
    def _intent(self) -> Intent:
        """The stored intent. It changes if an earlier process of the task is still sending."""
        if self._journal.intent is None:
            raise RuntimeError("no intent was stored before the request was sent")
        return self._journal.intent

    def _is_own_window(self, record: Record) -> bool:
        return is_created_within(record, self._intent, self._clock.offset)

    def _seconds_left(self, siblings: Sequence[SiblingEntry], deadline: Deadline) -> float:
        """Return the seconds after which a record that is still missing from the list does not exist."""
        intent, offset = self._intent, self._clock.offset
        windows = [intent.window, *map(window, siblings)]
        end = max(end for one in windows for _, end in one.at_twilio(offset)) + self._reconcile_timeout
        seconds_left = (end - self._clock.now()).total_seconds() - (offset or 0.0)
        longest = max(intent.timeout, self._client.settings.timeout) + self._reconcile_timeout.total_seconds()
        return deadline.limit(seconds_left, longest + CLOCK_SKEW, (intent, siblings))

    def _check_recipient(self, request: Request[Any], intent: Intent) -> None:
        """Raise an error if the recipient has changed: the list of the new one would omit the earlier record."""
        current = fingerprint(request, self._keyed_hash)
        if intent.fingerprint["key_id"] == current["key_id"] and intent.fingerprint.get("to") != current.get("to"):
            raise OutcomeUnresolved(
                f"{request}: an earlier attempt may have sent this request to another recipient."
                f" {_not_sent_again(request)}"
            )

    def _candidates(self, request: Request[Any], siblings: Sequence[SiblingEntry]) -> tuple[list[Record], list[Record]]:
        """Return the unclaimed records that match this task or a sibling: best matches only, oldest first.

        The second list contains the unclaimed records that do not match but cannot be ruled out.
        """
        intent = self._intent
        listing = matcher_for(request).listing(request, intent.fingerprint).replace(limit=MAX_RECORDS)
        records = iter(self._client.iter_records(listing))
        first = next(records, None)
        self._clock.measure()
        offset, since = self._clock.offset, self._earliest_start()
        times = [times for one in (intent.window, *map(window, siblings)) for times in one.at_twilio(offset)]
        widened = Window(min(start for start, _ in times), max(end for _, end in times), 0.0)
        found: dict[Match, list[Record]] = {Match.PARTIAL: [], Match.EXACT: []}
        uncertain: list[Record] = []
        searched = 0
        for record in chain([first] if first is not None else [], records):
            searched += 1
            is_in_time = intent.fingerprint.get("number") or widened.covers(created_at(record))
            if is_in_time and (degree := match_content(request, record, intent, self._keyed_hash)):
                found[degree].append(record)
            elif cannot_exclude(request, record, intent, self._keyed_hash, since=since, clock_offset=offset):
                uncertain.append(record)
        if searched >= MAX_RECORDS and not any(found.values()):
            raise OutcomeUnresolved(
                f"{request}: the outcome of an earlier attempt is unknown, and Twilio's list is too long to search:"
                f" at least {MAX_RECORDS} records. {_not_sent_again(request)}"
            )
        if not uncertain and not any(found.values()):
            return [], []
        claimed = self._sids_of_others()
        unclaimed = [
            sorted(
                (record for record in records if record["sid"] not in claimed),
                key=lambda record: (created_at(record) or widened.start, record["sid"]),
            )
            for records in (found[Match.EXACT], found[Match.PARTIAL], uncertain)
        ]
        return unclaimed[0] or unclaimed[1], unclaimed[2]

    def _earliest_start(self) -> datetime:
        """Return the time before which the request cannot have been sent, by Twilio's clock."""
        offset = timedelta(seconds=self._clock.offset or 0.0)
        earliest = min(self._intent.first_sent_at, self._clock.now() + offset) - UNMEASURED_CLOCK_ERROR
        if self._not_before is None:
            return earliest
        return max(earliest, min(self._not_before, self._not_before + offset) - timedelta(seconds=CLOCK_SKEW))

    def _sids_of_others(self) -> set[str | None]:
        """Return the SIDs of records that belong to siblings or to other sends of this task."""
        further = self._claimed_sids() if self._claimed_sids else ()
        return {entry["sid"] for entry in self._registry.others()} | set(further)

    def _pick_own(
        self, candidates: Sequence[Record], matching: Sequence[Record], siblings: Sequence[SiblingEntry]
    ) -> Record | None:
        """Return the record that this task created, or None if it cannot be determined."""
        if len(matching) == 1 and not any(self._may_have_created(entry, matching[0]) for entry in siblings):
            return matching[0]
        # If there are as many candidates as task instances that sent the same request, each takes one of them. Which
        # one makes no difference, provided that all of them assign the records alike, that none of them still waits
        # for a response, and that each record was created during the requests of the task instance that takes it.
        if len(candidates) != len(siblings) + 1:
            return None
        if any(entry["digest"] != self._intent.digest or self._is_in_flight(entry) for entry in siblings):
            return None
        own_entry = self._registry.entry(self._intent)
        entries = sorted([own_entry, *siblings], key=lambda entry: (_start_at_twilio(entry), entry["owner"]))
        assigned = list(zip(entries, candidates, strict=True))
        if all(self._may_have_created(entry, record) for entry, record in assigned):
            return next(record for entry, record in assigned if entry is own_entry)
        return None

    def _may_have_created(self, entry: SiblingEntry, record: Record) -> bool:
        """Return whether a record was created while the requests of a task instance were in flight."""
        return window(entry).covers(created_at(record), self._clock.offset)

    def _is_in_flight(self, entry: SiblingEntry) -> bool:
        """Return whether the last request of a task instance may not have ended yet."""
        now = self._clock.now() + timedelta(seconds=self._clock.offset or 0.0)
        return any(end > now for _, end in window(entry).at_twilio(self._clock.offset))

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


def _start_at_twilio(entry: SiblingEntry) -> datetime:
    """Return the start of a task instance's requests, by Twilio's clock. All siblings compute the same time."""
    return min(start for start, _ in window(entry).at_twilio(None))


def _uncertain_outcome(request: Request[Any], records: Sequence[Record]) -> AmbiguousOutcome:
    sids = [record["sid"] for record in records]
    return AmbiguousOutcome(
        f"{request}: cannot rule out that an earlier attempt created one of these records, whose creation time or"
        f" body differs from the expected one: {', '.join(sids)}. The clock of the worker that ran the earlier attempt"
        f" may be wrong, or the connection's secret has changed. {_not_sent_again(request)}",
        sids,
    )


def _not_sent_again(request: Request[Any]) -> str:
    """Return the end of an error message: what happened to the request, and the remedy."""
    return (
        f"The request was not sent again. Check Twilio's {matcher_for(request).record_type} list, then clear the task"
        " to send again, or mark it as success"
    )


def fetch_record(client: Client, request: Request[Any], state: Mapping[str, Any], clock: SendClock) -> Record:
    """Return the record whose SID is stored. Twilio may not find a new one for a moment."""
    sid, matcher = state["sid"], matcher_for(request)
    seconds_left = RECONCILE_TIMEOUT - max((clock.now() - sent_at(state)).total_seconds(), 0.0)
    for delay in poll_delays():
        try:
            return cast("Record", client.send(matcher.fetch(sid)))
        except NotFound:
            if seconds_left <= 0:
                break
            seconds_left -= delay
            clock.sleep(delay)
    log.warning("Returning a record with the SID only: Twilio no longer has %s", sid)
    return cast("Callable[[Any], Record]", request.parser)({"sid": sid})
