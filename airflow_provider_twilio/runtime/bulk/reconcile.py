"""Search for many messages that may have been sent, in one pass over the newest pages of Twilio's message list."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.errors import OutcomeUnresolved, TwilioError
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.runtime.bulk.checkpoints import ClaimedSids, Unresolved
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    Match,
    OnUnresolved,
    default_on_unresolved,
    fingerprint,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import CLOCK_SKEW, Window
from airflow_provider_twilio.runtime.polling.budget import ListingBudget

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

MAX_OLD_PAGES = 2
"""Number of consecutive pages without a relevant record after which the rest of the list is taken to be irrelevant."""
MAX_CLOCK_ERROR = timedelta(hours=1)
"""Maximum error of the clock of an earlier process whose offset from Twilio's clock is not known."""
CONCURRENCY = 20
"""Number of recipients or messages that are fetched concurrently."""

log = logging.getLogger(__name__)

MessageStatus = tuple[str, int | None, str | None, str | None]
"""Status, error code, price and currency of a message."""


@dataclass(slots=True, eq=False)
class CandidateGroup:
    """Items to one recipient that Twilio's list cannot distinguish, and the records that may be theirs.

    :param degree: How well the records match the items.
    :param items: The items.
    :param candidates: The records, by SID.
    :param mistimed: Records that match in everything but their creation time, where the clock may have been wrong.
    """

    degree: Match
    items: list[WorkItem] = field(default_factory=list)
    candidates: dict[str, Message] = field(default_factory=dict)
    mistimed: dict[str, Message] = field(default_factory=dict)

    @property
    def is_incomplete(self) -> bool:
        """Whether there are fewer records than items."""
        return len(self.candidates) < len(self.items)

    def remove(self, sids: Collection[str]) -> None:
        """Remove records that belong to other items."""
        self.candidates = {sid: record for sid, record in self.candidates.items() if sid not in sids}
        self.mistimed = {sid: record for sid, record in self.mistimed.items() if sid not in sids}


def make_disjoint(groups: Sequence[CandidateGroup]) -> list[CandidateGroup]:
    """Return groups no two of which share a record.

    A record that matches one group exactly is removed from groups that it matches partially, if the exact group has as
    many records as items. Groups that still share a record are merged.
    """
    for exact in groups:
        if exact.degree == Match.EXACT and len(exact.candidates) == len(exact.items):
            for other in groups:
                if other.degree < Match.EXACT:
                    other.remove(exact.candidates)
    disjoint: list[CandidateGroup] = []
    for group in groups:
        overlapping = [other for other in disjoint if other.candidates.keys() & group.candidates.keys()]
        disjoint = [other for other in disjoint if other not in overlapping]
        merged = CandidateGroup(group.degree)
        for part in (*overlapping, group):
            merged.items += part.items
            merged.candidates |= part.candidates
            merged.mistimed |= part.mistimed
        disjoint.append(merged)
    return disjoint


class Reconciler:
    """A function that finds out which of many messages were sent.

    It reads Twilio's message list from the newest message on, until the list ends or its pages have become too old.
    Twilio does not promise that unsent messages are among the newest. If the end of the list was not reached, the
    recipients of the messages that were not found are therefore queried one by one.

    :param client: An asynchronous client with the connection's own retries.
    :param on_unresolved: Whether to ``resend`` or ``fail`` a message that Twilio does not list. By default it is sent
        again, unless it sets ``address_retention="obfuscate"``: Twilio may then list it under another recipient.
    """

    def __init__(self, client: AsyncClient, on_unresolved: OnUnresolved | None = None) -> None:
        self.client, self.on_unresolved = client, on_unresolved
        self.keyed_hash = KeyedHash.from_settings(client.settings)

    async def __call__(
        self, unresolved: Sequence[Unresolved], claimed_sids: ClaimedSids
    ) -> Mapping[int, Record | TwilioError]:
        """Return, by item number, the record of each message that was sent, and an error for each unresolved outcome.

        A message that was not sent, and is to be sent, is absent.

        :param unresolved: The items that may have been sent.
        :param claimed_sids: Returns those of the given SIDs that belong to other items.
        """
        by_recipient: dict[str, list[Unresolved]] = {}
        for item, windows in unresolved:
            by_recipient.setdefault(item.request.get("To") or "", []).append((item, windows))
        oldest = min(map(_earliest, {window for _, windows in unresolved for window in windows}))
        found: dict[str, list[Message]] = {}
        is_complete = await self._read_newest(by_recipient, found, oldest, _common_sender(unresolved))
        groups = await self._groups(by_recipient, found, claimed_sids)
        if not is_complete:
            incomplete = [to for to in by_recipient if any(group.is_incomplete for group in groups[to])]
            if incomplete:
                await self._fetch_recipients(incomplete, found)
                groups |= await self._groups({to: by_recipient[to] for to in incomplete}, found, claimed_sids)
        results: dict[int, Record | TwilioError] = {}
        for group in chain.from_iterable(groups.values()):
            results |= self._assign(group)
        return results

    async def _read_newest(
        self, recipients: Collection[str], found: dict[str, list[Message]], oldest: datetime, sender: str | None
    ) -> bool:
        """Add the newest messages to these recipients to ``found``. Return whether the list was read to its end."""
        old_pages = 0
        async for page in self.client.iter_pages(Messages.list(from_=sender)):
            is_old = True
            for record in page.records:
                created_at = record.date_created
                if created_at is not None and created_at < oldest:
                    continue
                is_old = False
                to = record.to or ""
                if to in recipients:
                    found.setdefault(to, []).append(record)
            old_pages = old_pages + 1 if is_old else 0
            if old_pages >= MAX_OLD_PAGES and page.next is not None:
                return False
        return True

    async def _fetch_recipients(self, recipients: Iterable[str], found: dict[str, list[Message]]) -> None:
        """Put all messages to each of these recipients into ``found``."""
        queue = iter(recipients)

        async def work() -> None:
            for to in queue:
                found[to] = [record async for record in self.client.iter_records(Messages.list(to=to))]

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    async def _groups(
        self,
        by_recipient: Mapping[str, Sequence[Unresolved]],
        found: Mapping[str, Sequence[Message]],
        claimed_sids: ClaimedSids,
    ) -> dict[str, list[CandidateGroup]]:
        """Return, by recipient, the groups of indistinguishable items with their unclaimed candidates."""
        groups = {to: self._group(items, found.get(to, ())) for to, items in by_recipient.items()}
        sids = {
            sid for group in chain.from_iterable(groups.values()) for sid in chain(group.candidates, group.mistimed)
        }
        claimed = await claimed_sids(sids) if sids else ()
        for group in chain.from_iterable(groups.values()):
            group.remove(claimed)
        return {to: make_disjoint(of_recipient) for to, of_recipient in groups.items()}

    def _group(self, items: Sequence[Unresolved], records: Sequence[Message]) -> list[CandidateGroup]:
        """Group items by fingerprint. The candidates are the records that match best."""
        groups: dict[str, CandidateGroup] = {}
        offset = self.client.twilio_clock.offset(datetime.now(UTC))
        for item, windows in items:
            expected, matcher = fingerprint(item.request, self.keyed_hash), matcher_for(item.request)
            matches = [(matcher.match(record, expected, self.keyed_hash), record) for record in records]
            timed = [
                (degree, record)
                for degree, record in matches
                if degree and any(window.covers(record.date_created, offset) for window in windows)
            ]
            best = max((degree for degree, _ in timed), default=Match.NONE)
            group = groups.setdefault(self.keyed_hash.json(expected), CandidateGroup(best))
            group.items.append(item)
            group.candidates |= {str(record["sid"]): record for degree, record in timed if degree == best}
            if any(window.clock_offset is None for window in windows):
                within = [record for degree, record in matches if degree and _may_be_mistimed(record, windows)]
                group.mistimed |= {str(record["sid"]): record for record in within}
        return list(groups.values())

    def _assign(self, group: CandidateGroup) -> dict[int, Record | TwilioError]:
        """Return the results of a group's items: a record each, an error each, or nothing if none was sent."""
        candidates = group.candidates
        if len(candidates) == len(group.items):  # the items are interchangeable
            return {item.number: record for item, record in zip(group.items, candidates.values(), strict=True)}
        mistimed = {sid: record for sid, record in group.mistimed.items() if sid not in candidates}
        if not candidates and not mistimed and not any(self._fails_unlisted(item.request) for item in group.items):
            return {}
        if candidates:
            reason = f"these messages may belong to it or to a similar row: {', '.join(candidates)}"
        elif mistimed:
            candidates = mistimed
            reason = f"these messages match it, except that the clock of this machine differs: {', '.join(candidates)}"
        else:
            reason = "Twilio lists no matching message"
        return {
            item.number: OutcomeUnresolved(
                f"{item.request}: the response was lost, and {reason}. The message was not sent again", list(candidates)
            )
            for item in group.items
        }

    def _fails_unlisted(self, request: Request[Any]) -> bool:
        """Return whether a message that Twilio does not list fails, instead of being sent again."""
        return (self.on_unresolved or default_on_unresolved(request)) == "fail"


def _earliest(window: Window) -> datetime:
    """Return the earliest time at which a record may have been created in a window, by Twilio's clock."""
    if window.clock_offset is None:
        return window.start - MAX_CLOCK_ERROR
    return window.start + timedelta(seconds=window.clock_offset - CLOCK_SKEW)


def _may_be_mistimed(record: Message, windows: Sequence[Window]) -> bool:
    """Return whether a record may be from a window of a clock whose error is not known."""
    moment = record.date_created
    return moment is None or any(
        window.clock_offset is None and window.start - MAX_CLOCK_ERROR <= moment <= window.end + MAX_CLOCK_ERROR
        for window in windows
    )


def _common_sender(unresolved: Sequence[Unresolved]) -> str | None:
    """Return the number that sends all messages; None if there are several, or Twilio chooses it."""
    senders = {None if item.request.get("MessagingServiceSid") else item.request.get("From") for item, _ in unresolved}
    sender = senders.pop() if len(senders) == 1 else None
    return sender if sender and sender.startswith("+") else None


async def fetch_statuses(client: AsyncClient, sids: Collection[str]) -> dict[str, MessageStatus]:
    """Return the status of messages by SID, from pages of the list while that is cheaper, and then one by one."""
    statuses: dict[str, MessageStatus] = {}
    wanted, budget = set(sids), ListingBudget()

    def record_status(record: Message) -> None:
        sid = record["sid"]
        if sid not in wanted:
            return
        try:
            error_code = record.error_code
        except ValueError as error:  # one invalid value must not prevent the results
            log.warning("Leaving the error code of %s empty: %s", sid, error)
            error_code = None
        statuses[sid] = (str(record.status), error_code, record.get("price"), record.get("price_unit"))

    async for page in client.iter_pages(Messages.list()):
        before = len(statuses)
        for record in page.records:
            record_status(record)
        remaining = len(wanted) - len(statuses)
        if not remaining or not budget.allows_next(found=len(statuses) - before, remaining=remaining):
            break
    queue = iter(wanted - statuses.keys())

    async def work() -> None:
        for sid in queue:
            try:
                record_status(await client.send(Messages.fetch(sid)))
            except TwilioError as error:
                log.warning("Cannot fetch the status of %s: %s", sid, error)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return statuses
