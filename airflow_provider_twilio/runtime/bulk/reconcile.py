"""Ask Twilio which of many messages were sent, by one walk through the newest of its list."""

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
from airflow_provider_twilio.runtime.bulk.checkpoints import ClaimedSids
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash, Match, OnUnresolved, fingerprint, match
from airflow_provider_twilio.runtime.idempotency.intent import CLOCK_SKEW, Intent

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

MAX_OLD_PAGES = 2
"""After so many pages in a row of what was made before, the rest of the list is taken to be older still."""
CONCURRENCY = 20

log = logging.getLogger(__name__)

Unresolved = tuple[WorkItem, datetime]


@dataclass(slots=True, eq=False)
class CandidateGroup:
    """Hold items to one recipient that Twilio's list can't tell apart, and the records that may be theirs, by SID."""

    degree: Match
    items: list[WorkItem] = field(default_factory=list)
    fitting: dict[str, Message] = field(default_factory=dict)

    @property
    def lacks(self) -> bool:
        return len(self.fitting) < len(self.items)

    def leave_out(self, sids: Collection[str]) -> None:
        self.fitting = {sid: record for sid, record in self.fitting.items() if sid not in sids}


def disjoint(groups: Sequence[CandidateGroup]) -> list[CandidateGroup]:
    """Give each record to one group: to the one that it fits exactly; else those that it fits become one."""
    for exact in groups:
        if exact.degree == Match.EXACT and len(exact.fitting) == len(exact.items):
            for other in groups:
                if other.degree < Match.EXACT:
                    other.leave_out(exact.fitting)
    apart: list[CandidateGroup] = []
    for group in groups:
        touching = [other for other in apart if other.fitting.keys() & group.fitting.keys()]
        apart = [other for other in apart if other not in touching]
        joined = CandidateGroup(group.degree)
        for one in (*touching, group):
            joined.items += one.items
            joined.fitting |= one.fitting
        apart.append(joined)
    return apart


class Reconciler:
    """Find out what became of messages that may have been sent.

    The list is walked from its newest message on, until it ends, or has long become too old. Whether an unsent message
    stands among the newest, Twilio doesn't promise: what is not found before the list's end is asked for by its
    recipient.

    :param client: with the connection's own retries.
    :param on_unresolved: what to do with what is not listed: ``resend``, or ``fail``.
    """

    def __init__(self, client: AsyncClient, on_unresolved: OnUnresolved | None = None) -> None:
        self.client, self.on_unresolved = client, on_unresolved
        self.seal = KeyedHash.from_settings(client.settings)

    async def __call__(self, unsure: Sequence[Unresolved], taken: ClaimedSids) -> Mapping[int, Record | TwilioError]:
        """Give by item number the record of each that was sent, and the error of each of which that can't be told.

        :param taken: gives of SIDs those that are known to be of other items.
        """
        waiting: dict[str, list[Unresolved]] = {}
        for item, since in unsure:
            waiting.setdefault(item.request.get("To") or "", []).append((item, since))
        begun = min(since for _, since in unsure) - timedelta(seconds=CLOCK_SKEW)
        found: dict[str, list[Message]] = {}
        ended = await self._walk(waiting, found, begun, _common_sender(unsure))
        groups = await self._groups(waiting, found, taken)
        if not ended and (short := [to for to in waiting if any(group.lacks for group in groups[to])]):
            await self._fetch_each(short, found)
            groups |= await self._groups({to: waiting[to] for to in short}, found, taken)
        settled: dict[int, Record | TwilioError] = {}
        for group in chain.from_iterable(groups.values()):
            settled |= self._assign(group)
        return settled

    async def _walk(
        self, waiting: Mapping[str, Any], found: dict[str, list[Message]], begun: datetime, sender: str | None
    ) -> bool:
        """Collect the messages to those that are waited for; tell whether the list was seen to its end."""
        old = 0
        async for page in self.client.iter_pages(Messages.list(from_=sender)):
            fresh = False
            for record in page.records:
                made = record.date_created
                if made is not None and made < begun:
                    continue
                fresh = True
                to = record.to or ""
                if to in waiting:
                    found.setdefault(to, []).append(record)
            old = 0 if fresh else old + 1
            if old >= MAX_OLD_PAGES and page.next is not None:
                return False
        return True

    async def _fetch_each(self, numbers: Iterable[str], found: dict[str, list[Message]]) -> None:
        queue = iter(numbers)

        async def work() -> None:
            for to in queue:
                found[to] = [record async for record in self.client.iter_records(Messages.list(to=to))]

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    async def _groups(
        self, waiting: Mapping[str, Sequence[Unresolved]], found: Mapping[str, Sequence[Message]], taken: ClaimedSids
    ) -> dict[str, list[CandidateGroup]]:
        """Put together, by recipient, what can't be told apart, with the records that fit and are of nobody else."""
        groups = {to: self._group(items, found.get(to, ())) for to, items in waiting.items()}
        sids = {sid for group in chain.from_iterable(groups.values()) for sid in group.fitting}
        known = await taken(sids) if sids else ()
        for group in chain.from_iterable(groups.values()):
            group.leave_out(known)
        return {to: disjoint(alike) for to, alike in groups.items()}

    def _group(self, items: Sequence[Unresolved], records: Sequence[Message]) -> list[CandidateGroup]:
        alike: dict[str, CandidateGroup] = {}
        for item, since in items:
            intent = Intent(fingerprint(item.request, self.seal), "", since, datetime.now(UTC), 0.0)
            degrees = [(match(item.request, record, intent, self.seal), record) for record in records]
            best = max((degree for degree, _ in degrees), default=Match.NONE)
            group = alike.setdefault(self.seal.json(dict(intent.fingerprint)), CandidateGroup(best))
            group.items.append(item)
            group.fitting |= {str(record["sid"]): record for degree, record in degrees if degree == best and best}
        return list(alike.values())

    def _assign(self, group: CandidateGroup) -> dict[int, Record | TwilioError]:
        """Share the records that fit among the items of a group."""
        fitting = group.fitting
        if len(fitting) == len(group.items):  # whose is whose makes no difference
            return {item.number: record for item, record in zip(group.items, fitting.values(), strict=True)}
        if not fitting and not any(self._fails(item.request) for item in group.items):
            return {}
        why = f"it can't be told which is whose: {', '.join(fitting)}" if fitting else "Twilio lists nothing that fits"
        return {
            item.number: OutcomeUnresolved(
                f"{item.request}: its answer was lost, and {why}; it was not sent again", list(fitting)
            )
            for item in group.items
        }

    def _fails(self, request: Request[Any]) -> bool:
        """Tell whether what is not listed is not to be sent: Twilio may list it under another recipient."""
        obscure = request.get("AddressRetention") == "obfuscate"
        return (self.on_unresolved or ("fail" if obscure else "resend")) == "fail"


def _common_sender(unsure: Sequence[Unresolved]) -> str | None:
    """Give the number that all were sent from; None if there are several, or Twilio chose it."""
    senders = {None if item.request.get("MessagingServiceSid") else item.request.get("From") for item, _ in unsure}
    sender = senders.pop() if len(senders) == 1 else None
    return sender if sender and sender.startswith("+") else None


async def fetch_statuses(
    client: AsyncClient, sids: Collection[str]
) -> dict[str, tuple[str, int | None, str | None, str | None]]:
    """Give each message's status, error code, price and its unit: from the newest pages, then one by one."""
    found: dict[str, tuple[str, int | None, str | None, str | None]] = {}
    wanted, vain = set(sids), 0

    def note(record: Message) -> bool:
        if record["sid"] not in wanted:
            return False
        facts = (str(record.status), record.error_code, record.get("price"), record.get("price_unit"))
        found[record["sid"]] = facts
        return True

    async for page in client.iter_pages(Messages.list()):
        hits = [note(record) for record in page.records]
        vain = 0 if any(hits) else vain + 1
        if len(found) == len(wanted) or vain >= MAX_OLD_PAGES:
            break
    queue = iter(wanted - found.keys())

    async def work() -> None:
        for sid in queue:
            try:
                note(await client.send(Messages.fetch(sid)))
            except TwilioError as error:
                log.warning("The state of %s is not known: %s", sid, error)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return found
