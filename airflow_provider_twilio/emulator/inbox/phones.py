"""Who wrote to whom: messages and calls sorted by the phone at the other end, kept up with the world as it goes on.

A phone is one number, whatever it is reached by: text, WhatsApp or call. Nothing here is HTML.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter
from secrets import token_hex
from typing import TypeAlias

from airflow_provider_twilio.emulator import magic
from airflow_provider_twilio.emulator.calls import CallRecord
from airflow_provider_twilio.emulator.messages import Message
from airflow_provider_twilio.emulator.world import Account, World

Item: TypeAlias = Message | CallRecord

FAILED = frozenset({"failed", "undelivered", "busy", "no-answer", "canceled"})
LATELY = 20
"""A phone is marked when one of so many latest items has failed."""
_NUMBERED = ("whatsapp:", "rcs:")
_SEQ: Callable[[Item], int] = attrgetter("seq")


def bare(address: str) -> str:
    """Take the channel off an address, where a phone number is left."""
    channel, _, rest = address.rpartition(":")
    return rest if f"{channel}:" in _NUMBERED else address


def phone_of(item: Item) -> str:
    """Give the number at the other end."""
    return bare(theirs(item))


def theirs(item: Item) -> str:
    """Give the address of the phone, with its channel."""
    if item.direction != "inbound":
        return item.to
    return (item.sender or "") if isinstance(item, Message) else item.caller


def ours(item: Item) -> str:
    """Give the address of the account's end, with its channel."""
    if item.direction == "inbound":
        return item.to
    return (item.sender or "") if isinstance(item, Message) else item.caller


def has_failed(item: Item, now: float) -> bool:
    """Tell whether it came to a bad end; what was called off in time is none."""
    status = item.status(now)
    return status in FAILED and not (status == "canceled" and isinstance(item, Message))


def is_moving(item: Item, now: float) -> bool:
    """Tell whether its status is still to change within a moment."""
    return item.position(now) < len(item.steps) - 1


@dataclass(slots=True)
class Phone:
    """Hold what went to and came from one number, the oldest first."""

    number: str
    items: list[Item] = field(default_factory=list)

    @property
    def latest(self) -> Item:
        return self.items[-1]

    def failures(self, now: float) -> int:
        """Count what has failed of the latest items."""
        return sum(has_failed(item, now) for item in self.items[-LATELY:])

    def index(self, seq: int) -> int:
        """Give the place of the first item that isn't older than this number."""
        return bisect_left(self.items, seq, key=_SEQ)

    def after(self, seq: int) -> int:
        """Give the place behind the last item that isn't newer than this number."""
        return bisect_right(self.items, seq, key=_SEQ)


@dataclass(frozen=True, slots=True)
class Way:
    """Say to which number of ours a phone can write, and by which channel."""

    to: str
    sender: str

    @property
    def channel(self) -> str:
        return self.to.rpartition(":")[0] or "sms"


class Phones:
    """Keep the phones of a world: what is new is added, and all is sorted anew only once something has gone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._begin()

    def _begin(self) -> None:
        self.epoch = token_hex(4)
        """Another one after each reset: record numbers begin anew then."""
        self._main = self.world.main
        self._clear()

    def _clear(self) -> None:
        self._by_number: dict[str, Phone] = {}
        self._by_sid: dict[str, Item] = {}
        self._held: dict[str, tuple[int, int]] = {}
        self._to_come: list[Item] = []
        """Calls that a call is to make: they are known before they begin."""

    def refresh(self) -> None:
        """Take in what has changed since the last time."""
        if self.world.main is not self._main:
            self._begin()
        added: list[Item] = []
        for account in self.world.accounts:
            known, latest = self._held.get(account.sid, (0, 0))
            new = list(_newer(account, latest))
            if known + len(new) != len(account.messages) + len(account.calls):  # something was deleted
                self._clear()
                added = [item for each in self.world.accounts for item in _newer(each, 0)]
                for each in self.world.accounts:
                    self._note(each)
                break
            added += new
            self._note(account)
        now = self.world.clock.now()
        added += self._to_come
        self._to_come = [item for item in added if item.created > now]
        for item in sorted((item for item in added if item.created <= now), key=_SEQ):
            number = phone_of(item)
            # The phone with the newest item stands last.
            phone = self._by_number.pop(number, None) or Phone(number)
            self._by_number[number] = phone
            insort(phone.items, item, key=_SEQ)
            self._by_sid[item.sid] = item

    def _note(self, account: Account) -> None:
        self._held[account.sid] = (len(account.messages) + len(account.calls), self.world.latest)

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Phone]:
        """Give all, the one with the newest item first."""
        return reversed(self._by_number.values())

    def get(self, number: str) -> Phone | None:
        return self._by_number.get(number)

    def find(self, sid: str) -> Item | None:
        """Find a message or call."""
        return self._by_sid.get(sid)

    def ways(self, phone: Phone | None, number: str) -> list[Way]:
        """Give the numbers that a phone can write to: those it was written from, the latest first; else the first."""
        ways: dict[Way, None] = {}
        for item in reversed(phone.items[-200:]) if phone else ():
            way = Way(ours(item), theirs(item)) if isinstance(item, Message) else Way(bare(ours(item)), number)
            if way not in ways and way.channel in ("sms", "whatsapp") and self.world.owner_of(bare(way.to)):
                ways[way] = None
        if not ways and number.startswith("+"):
            for account in self.world.accounts:
                for owned in account.numbers:
                    if owned.capabilities.get("sms"):
                        return [Way(owned.phone_number, number)]
        return list(ways)

    def opted_out(self, number: str) -> list[str]:
        """Name the senders that this number wants nothing more of."""
        return [
            sender
            for account in self.world.accounts
            for sender, who in sorted(account.opted_out)
            if bare(who) == number and not sender.startswith("MG")
        ]


def _newer(account: Account, seq: int) -> Iterator[Item]:
    """Give what an account got since a record number, in no order."""
    yield from takewhile(lambda message: message.seq > seq, reversed(account.messages))
    yield from takewhile(lambda call: call.seq > seq, reversed(account.calls))


def habit(number: str) -> str | None:
    """Say what a number is known for, if it is one of those that behave in a known way."""
    said = []
    if (delivery := magic.DELIVERIES.get(number)) is not None:
        after, status = delivery.steps[-1]
        error = f" with {delivery.error}" if delivery.error else ""
        late = f" after {after:g} s" if after > 5 else ""
        for_ever = " for ever" if status in ("queued", "sent") else ""
        said.append(f"messages to it end {status}{error}{late}{for_ever}")
    if (refusal := magic.REFUSALS.get(number)) is not None:
        said.append(f"messages to it are refused with {refusal[0]}")
    if (ring := magic.RINGS.get(number)) is not None:
        said.append(f"calls to it end {ring.ends}, answered by {ring.answered_by.replace('_', ' ')}")
    if (refusal := magic.CALL_REFUSALS.get(number)) is not None:
        said.append(f"calls to it are refused with {refusal[0]}")
    return "; ".join(said).capitalize() or None
