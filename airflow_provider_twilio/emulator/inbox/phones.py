"""Index of the emulator's messages and calls by phone number, for the page's list and conversations.

A phone is one number, whether it is reached by SMS, WhatsApp or a call. This module produces no HTML.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter
from secrets import token_hex
from typing import TypeAlias

from airflow_provider_twilio.emulator.magic_numbers import (
    CALL_BEHAVIORS,
    CALL_REJECTIONS,
    MESSAGE_BEHAVIORS,
    MESSAGE_REJECTIONS,
)
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.call import Call
from airflow_provider_twilio.emulator.models.message import Message
from airflow_provider_twilio.emulator.state import State

Item: TypeAlias = Message | Call
"""An entry of a conversation."""

FAILED = frozenset({"failed", "undelivered", "busy", "no-answer", "canceled"})
RECENT_ITEMS = 20
"""Number of latest items whose failures are counted in the list of phones."""
MAX_ROUTE_ITEMS = 200
"""Number of latest items that are searched for addresses to reply to."""
PHONE_CHANNELS = ("whatsapp:", "rcs:")
"""Channel prefixes that are followed by a phone number."""
_SEQ: Callable[[Item], int] = attrgetter("seq")


def strip_channel(address: str) -> str:
    """Return an address without its channel prefix if the rest is a phone number."""
    channel, _, rest = address.rpartition(":")
    return rest if f"{channel}:" in PHONE_CHANNELS else address


def phone_number(item: Item) -> str:
    """Return the number of the phone, without a channel."""
    return strip_channel(phone_address(item))


def phone_address(item: Item) -> str:
    """Return the address of the phone, with its channel."""
    if item.direction != "inbound":
        return item.to
    return (item.sender or "") if isinstance(item, Message) else item.caller


def account_address(item: Item) -> str:
    """Return the address of the account's end, with its channel."""
    if item.direction == "inbound":
        return item.to
    return (item.sender or "") if isinstance(item, Message) else item.caller


def has_failed(item: Item, now: float) -> bool:
    """Return whether a message or call has failed; a message canceled in time has not."""
    status = item.status(now)
    return status in FAILED and not (status == "canceled" and isinstance(item, Message))


@dataclass(slots=True)
class Phone:
    """A phone number with its messages and calls, oldest first."""

    number: str
    items: list[Item] = field(default_factory=list)

    @property
    def latest(self) -> Item:
        return self.items[-1]

    def failures(self, now: float) -> int:
        """Count the failures among the latest items."""
        return sum(has_failed(item, now) for item in self.items[-RECENT_ITEMS:])

    def index_of(self, seq: int) -> int:
        """Return the index of the first item with at least this sequence number."""
        return bisect_left(self.items, seq, key=_SEQ)

    def index_after(self, seq: int) -> int:
        """Return the index behind the last item with at most this sequence number."""
        return bisect_right(self.items, seq, key=_SEQ)


@dataclass(frozen=True, slots=True)
class ReplyRoute:
    """A pair of addresses over which a phone can write to the account."""

    to: str
    """Address of the account's number, with its channel."""
    sender: str
    """Address of the phone, with its channel."""

    @property
    def channel(self) -> str:
        return self.to.rpartition(":")[0] or "sms"


class Phones:
    """Index of all phones. New items are added to it; a deletion or a reset rebuilds it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._reset()

    def _reset(self) -> None:
        self.epoch = token_hex(4)
        """A random ID that changes with each reset of the emulator, since sequence numbers start over then."""
        self._main = self.state.main
        self._clear()

    def _clear(self) -> None:
        self._by_number: dict[str, Phone] = {}
        self._by_sid: dict[str, Item] = {}
        self._indexed: dict[str, tuple[int, int]] = {}
        """Per account SID, the number of indexed items and the highest sequence number."""
        self._future: list[Item] = []
        """Calls that start later, such as the second leg of a Dial."""

    def refresh(self) -> None:
        """Update the index with the changes since the last call."""
        if self.state.main is not self._main:
            self._reset()
        added: list[Item] = []
        for account in self.state.accounts:
            known, latest = self._indexed.get(account.sid, (0, 0))
            new = list(_items_after(account, latest))
            if known + len(new) != len(account.messages) + len(account.calls):  # an item was deleted
                self._clear()
                added = [item for each in self.state.accounts for item in _items_after(each, 0)]
                for each in self.state.accounts:
                    self._mark_indexed(each)
                break
            added += new
            self._mark_indexed(account)
        now = self.state.clock.now()
        added += self._future
        self._future = [item for item in added if item.created > now]
        for item in sorted((item for item in added if item.created <= now), key=_SEQ):
            number = phone_number(item)
            # Reinserting the phone keeps the dictionary ordered by the newest item, which is last.
            phone = self._by_number.pop(number, None) or Phone(number)
            self._by_number[number] = phone
            insort(phone.items, item, key=_SEQ)
            self._by_sid[item.sid] = item

    def _mark_indexed(self, account: Account) -> None:
        self._indexed[account.sid] = (len(account.messages) + len(account.calls), self.state.last_seq)

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Phone]:
        """Yield all phones, the one with the newest item first."""
        return reversed(self._by_number.values())

    def get(self, number: str) -> Phone | None:
        return self._by_number.get(number)

    def find(self, sid: str) -> Item | None:
        """Return the message or call with this SID."""
        return self._by_sid.get(sid)

    def reply_routes(self, phone: Phone | None, number: str) -> list[ReplyRoute]:
        """Return the addresses that a phone can write to, most recently used first.

        A phone without a conversation can write to the first number of the account that supports SMS.
        """
        routes: dict[ReplyRoute, None] = {}
        for item in reversed(phone.items[-MAX_ROUTE_ITEMS:]) if phone else ():
            if isinstance(item, Message):
                route = ReplyRoute(account_address(item), phone_address(item))
            else:
                route = ReplyRoute(strip_channel(account_address(item)), number)
            supported = route.channel in ("sms", "whatsapp")
            if route not in routes and supported and self.state.owner_of(strip_channel(route.to)):
                routes[route] = None
        if not routes and number.startswith("+"):
            for account in self.state.accounts:
                for owned in account.numbers:
                    if owned.capabilities.get("sms"):
                        return [ReplyRoute(owned.phone_number, number)]
        return list(routes)

    def opted_out(self, number: str) -> list[str]:
        """Return the senders from which this number has opted out."""
        return [
            sender
            for account in self.state.accounts
            for sender, recipient in sorted(account.opted_out)
            if strip_channel(recipient) == number and not sender.startswith("MG")
        ]


def _items_after(account: Account, seq: int) -> Iterator[Item]:
    """Yield an account's items with a higher sequence number, in no particular order."""
    yield from takewhile(lambda message: message.seq > seq, reversed(account.messages))
    yield from takewhile(lambda call: call.seq > seq, reversed(account.calls))


def known_behavior(number: str) -> str | None:
    """Describe what a test number does with messages and calls; return None for any other number."""
    sentences = []
    if (message_behavior := MESSAGE_BEHAVIORS.get(number)) is not None:
        delay, status = message_behavior.steps[-1]
        error = f" with error {message_behavior.error_code}" if message_behavior.error_code else ""
        late = f" after {delay:g} s" if delay > 5 else ""
        final = "stay" if status in ("queued", "sent") else "become"
        sentences.append(f"Messages to this test number {final} {status}{error}{late}.")
    if (rejection := MESSAGE_REJECTIONS.get(number)) is not None:
        sentences.append(f"Messages to this test number are rejected with error {rejection[0]}.")
    if (call_behavior := CALL_BEHAVIORS.get(number)) is not None:
        status = call_behavior.final_status
        answered_by = f", answered by {call_behavior.answered_by.replace('_', ' ')}" if status == "completed" else ""
        sentences.append(f"Calls to this test number end as {status}{answered_by}.")
    if (rejection := CALL_REJECTIONS.get(number)) is not None:
        sentences.append(f"Calls to this test number are rejected with error {rejection[0]}.")
    return " ".join(sentences) or None
