"""The shared poll for inbound messages.

All listeners with the same credentials for one account in a process share its requests.

Twilio does not promise how soon a message shows in its list, nor in which order. So each poll reads the most recent
messages again, as far back as an overlap, and a :class:`Cursor` determines by SID which of them are new. A message that
shows late, out of order or repeatedly is reported once, and deleting a message hides no other.

Nothing here imports Airflow: the listener stores its cursor where it lasts.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, TwilioError
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import INBOUND, Message, Messages
from airflow_provider_twilio.api.values import UNRESOLVED, address_text
from airflow_provider_twilio.defaults import OVERLAP
from airflow_provider_twilio.runtime.polling.shared import Connect, SharedPoll, Source, Subscriber

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

INBOUND_MESSAGES = Source("inbound messages", Messages.list, Messages.fetch)

MAX_SEEN = 1500
"""Maximum number of SIDs in a stored cursor: Airflow's state store takes 64 KB."""


class Snapshot(NamedTuple):
    """The result of one poll.

    :ivar messages: The inbound messages, oldest first, at least those since the listener's cursor.
    :ivar newest: The time up to which messages were listed, in seconds since the epoch by Twilio's clock.
    :ivar last: Whether the listener's deadline had passed before the poll.
    :ivar error: Why the last poll failed; None if it did not.
    """

    messages: Sequence[Message]
    newest: float
    last: bool = False
    error: str | None = None


def timestamp(message: Message) -> float:
    """Return when a message was received or sent, in seconds since the epoch; 0 if unknown."""
    moment = message.date_sent or message.date_created
    return 0.0 if moment is None else moment.timestamp()


def is_inbound(message: Message) -> bool:
    """Return whether a message is inbound and has been received."""
    return message.direction == "inbound" and message.status in INBOUND


def earliest_first(listed: Sequence[Message]) -> list[Message]:
    """Return the messages of a list from oldest to newest.

    Twilio lists the newest first. Times are whole seconds, so the list's order decides within a second.
    """
    ordered = list(listed)[::-1]
    ordered.sort(key=timestamp)
    return ordered


def messages_since(after: float, *, to: str | None = None, from_: str | None = None) -> Listing[Message]:
    """Return the list of the messages sent or received since a time.

    :param after: Time, in seconds since the epoch.
    """
    return Messages.list(to=to, from_=from_, date_sent_after=datetime.fromtimestamp(max(after, 0.0), UTC))


@dataclass(frozen=True, slots=True)
class Filter:
    """A selection of inbound messages.

    :param to: Only messages to this number or address of the account; to any by default.
    :param from_: Only messages from this phone; from any by default.
    :param pattern: Only messages whose body contains a match of this regular expression, case-insensitive.
    :raises BadParameter: An address or the regular expression is invalid.
    """

    to: str | None = None
    from_: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        checks.sender("to", self.to)
        checks.sender("from_", self.from_)
        if self.pattern is None or self.pattern is UNRESOLVED:
            return
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise BadParameter(
                "pattern", f"is not a valid regular expression ({error})", "correct it, or leave it out"
            ) from None

    def matches(self, message: Message) -> bool:
        """Return whether a message is inbound and selected."""
        return (
            is_inbound(message)
            and (not self.to or message.to == address_text(self.to))
            and (not self.from_ or message.from_ == address_text(self.from_))
            and (not self.pattern or re.search(self.pattern, message.body or "", re.IGNORECASE) is not None)
        )


class StoredCursor(TypedDict):
    """A cursor as it is stored. Its keys never change."""

    after: float
    seen: dict[str, float]


@dataclass(slots=True)
class Cursor:
    """A position in the stream of inbound messages.

    Times are in seconds since the epoch, by Twilio's clock.

    :param after: Messages received before this time have been handled.
    :param overlap: Seconds by which a message may show late in Twilio's list.
    :param seen: Messages since then that have been reported: when each was received, by SID.
    """

    after: float
    overlap: float = OVERLAP
    seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.after = math.floor(self.after)  # Twilio's times are whole seconds

    def advance(self, snapshot: Snapshot, selected: Filter) -> list[Message]:
        """Return the selected messages that are new, oldest first, and advance the position."""
        new = {
            str(message.sid): message
            for message in snapshot.messages
            if message.sid not in self.seen and timestamp(message) >= self.after and selected.matches(message)
        }
        self.seen |= {sid: timestamp(message) for sid, message in new.items()}
        # A date in the future must not hide the messages until then.
        self.after = max(self.after, min(snapshot.newest, time.time()) - self.overlap)
        self.seen = {sid: received for sid, received in self.seen.items() if received >= self.after}
        return list(new.values())

    def as_json(self) -> StoredCursor:
        """Return the cursor for the store, with no more SIDs than fit."""
        return {"after": self.after, "seen": dict(list(self.seen.items())[-MAX_SEEN:])}

    def resume(self, stored: Iterable[Any]) -> bool:
        """Continue from stored cursors; return False if there is none.

        Of several cursors the position of the last one counts: messages that only some of them have reported are
        reported again.
        """
        cursors = [entry for entry in stored if isinstance(entry, Mapping) and {"after", "seen"} <= entry.keys()]
        if not cursors:
            return False
        self.after = min(float(entry["after"]) for entry in cursors)
        seen_by_all = set.intersection(*(set(entry["seen"]) for entry in cursors))
        self.seen = {sid: float(received) for sid, received in cursors[0]["seen"].items() if sid in seen_by_all}
        return True


class Listener(Subscriber[Snapshot]):
    """A subscriber for inbound messages. Its times are in seconds since the epoch.

    :param to: Number or address to listen at; None for all of the account's.
    :param interval: Seconds between two polls.
    :param cursor: Position of the listener, which each poll reads.
    :param deadline: End of the wait, at which messages are polled once more; None for no end.
    """

    __slots__ = ("cursor",)

    def __init__(self, to: str | None, *, interval: float, cursor: Cursor, deadline: float | None = None) -> None:
        super().__init__(to, interval=interval, deadline=deadline)
        self.cursor = cursor

    @property
    def auth_patience(self) -> float:
        """Seconds for which rejected credentials are tried again; 0 for a watcher, which tries again by itself."""
        return 0.0 if math.isinf(self._deadline) else super().auth_patience

    async def next_snapshot(self) -> Snapshot:
        """Wait for the next poll and return its snapshot.

        :raises TwilioError: Twilio rejects the requests. The listener has left the poll.
        :raises PollFailed: The poll cannot continue. The listener has left the poll.
        """
        snapshot = await self.future
        self.future = self.future.get_loop().create_future()
        return snapshot

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Publish a snapshot, unless the previous one is still unread.

        The next poll repeats it.
        """
        if not self.future.done():
            self.future.set_result(snapshot)
        self.postpone()

    def on_error(self, error: Exception) -> None:
        """Handle a failed poll. It ends the wait only at the deadline."""
        if self.past_deadline:
            self.on_snapshot(Snapshot((), 0.0, last=True, error=str(error)))

    def on_rejected(self, error: TwilioError) -> None:
        """End the wait, since Twilio rejects the requests of the poll."""
        self.end(error)


@asynccontextmanager
async def subscribe(listener: Listener, name: Hashable, connect: Connect) -> AsyncIterator[Listener]:
    """Subscribe a listener to the poll of its account and credentials, until the context ends.

    :param name: Name of the connection and account: see
        :func:`airflow_provider_twilio.runtime.polling.status.wait_for`.
    :param connect: Function that opens a client. It is called when the listener joins, and again after an
        authentication error.
    """
    InboundPoll.get_or_create(INBOUND_MESSAGES, name, connect).join(listener)
    try:
        yield listener
    finally:
        if listener.poll is not None:
            listener.poll.leave(listener)


class InboundPoll(SharedPoll[Listener]):
    """A shared poll for inbound messages."""

    _pages = 1
    """Number of pages that the account's whole list has taken."""

    async def _poll_due(self, client: AsyncClient) -> None:
        now = time.monotonic()
        due = [listener for listener in self._all() if listener.due <= now]
        last = {listener for listener in due if listener.past_deadline}
        after = min(listener.cursor.after for listener in due)
        messages: dict[str, Message] = {}
        newest = after
        for to in self._numbers(due):
            pages = 0
            async for page in client.iter_pages(messages_since(after, to=to)):
                pages += 1
                # The list is sorted by the date sent. If it were not, the cursor would only advance more slowly.
                newest = max([newest, *map(timestamp, page.records[:1])])
                messages |= {str(message.sid): message for message in page.records if is_inbound(message)}
            self._pages = pages if to is None else self._pages
        ordered = earliest_first([*messages.values()])
        for listener in due:
            listener.on_snapshot(Snapshot(ordered, newest, last=listener in last))

    def _numbers(self, due: Sequence[Listener]) -> Sequence[str | None]:
        """Return the numbers whose messages to list, or None for the account's whole list.

        The cheaper of the two ways is chosen.
        """
        numbers = {listener.key for listener in due}
        return [None] if None in numbers or len(numbers) > self._pages else sorted(map(str, numbers))
