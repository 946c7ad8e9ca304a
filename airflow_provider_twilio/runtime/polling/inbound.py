"""Many listeners, one poll: all who listen for one account's inbound messages in one process share its reads.

Twilio does not promise how soon a message shows in its list, nor in which order. So each look reads again what is
younger than an overlap, and a :class:`Cursor` tells by SID what is new in it: what comes late, out of turn or twice is
told once, and a message that is deleted takes nothing along.

No Airflow here, as in ``poll``: whoever listens keeps the cursor where it lasts.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

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
"""So many SIDs of the overlap are kept where a cursor is stored; a store takes 64 KB."""


class Snapshot(NamedTuple):
    """What one look has shown.

    :ivar messages: what has come in, the earliest first, at least from where the listener stands.
    :ivar newest: a time, in seconds since the epoch and of Twilio's clock, up to which was looked.
    :ivar last: whether the listener's deadline had passed before the look.
    :ivar trouble: why there was no last look.
    """

    messages: Sequence[Message]
    newest: float
    last: bool = False
    error: str | None = None


def timestamp(message: Message) -> float:
    """Give when a message came in, or was sent, in seconds since the epoch; 0 if that isn't known."""
    moment = message.date_sent or message.date_created
    return 0.0 if moment is None else moment.timestamp()


def is_inbound(message: Message) -> bool:
    """Tell whether a message has come in."""
    return message.direction == "inbound" and message.status in INBOUND


def earliest_first(listed: Sequence[Message]) -> list[Message]:
    """Put listed messages, the newest first, in order of their times, which are whole seconds."""
    ordered = list(listed)[::-1]
    ordered.sort(key=timestamp)
    return ordered


def messages_since(after: float, *, to: str | None = None, from_: str | None = None) -> Listing[Message]:
    """List what has been sent or come in from a time on, in seconds since the epoch."""
    return Messages.list(to=to, from_=from_, date_sent_after=datetime.fromtimestamp(max(after, 0.0), UTC))


@dataclass(frozen=True, slots=True)
class Filter:
    """Say which inbound messages are wanted.

    :param to: only to this number or address of the account.
    :param from_: only from this phone.
    :param pattern: only with a body in which this regular expression is found, whatever its case.
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
            raise BadParameter("pattern", f"is no regular expression ({error})", "mend it, or leave it out") from None

    def matches(self, message: Message) -> bool:
        """Tell whether a message has come in and is wanted."""
        return (
            is_inbound(message)
            and (not self.to or message.to == address_text(self.to))
            and (not self.from_ or message.from_ == address_text(self.from_))
            and (not self.pattern or re.search(self.pattern, message.body or "", re.IGNORECASE) is not None)
        )


@dataclass(slots=True)
class Cursor:
    """Stand at a point of what comes in. Times are in seconds since the epoch, of Twilio's clock.

    :param after: what came in before is done with.
    :param overlap: seconds by which a message may show late.
    :param seen: what came in since and was told, and when it came in.
    """

    after: float
    overlap: float = OVERLAP
    seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.after = math.floor(self.after)  # as Twilio's times are

    def advance(self, look: Snapshot, wanted: Filter) -> list[Message]:
        """Give what is wanted and new, the earliest first, and go on to where the look has led."""
        new = {
            str(message.sid): message
            for message in look.messages
            if message.sid not in self.seen and timestamp(message) >= self.after and wanted.matches(message)
        }
        self.seen |= {sid: timestamp(message) for sid, message in new.items()}
        # A stray date in the future must not hide what comes until then.
        self.after = max(self.after, min(look.newest, time.time()) - self.overlap)
        self.seen = {sid: moment for sid, moment in self.seen.items() if moment >= self.after}
        return list(new.values())

    def as_json(self) -> dict[str, Any]:
        return {"after": self.after, "seen": dict(list(self.seen.items())[-MAX_SEEN:])}

    def resume(self, stored: Iterable[Any]) -> bool:
        """Go on from what was stored: from all of it, where several have stored; False if there is nothing to go on.

        Who is behind is caught up with: what only some have told is told again.
        """
        cursors = [entry for entry in stored if isinstance(entry, Mapping) and {"after", "seen"} <= entry.keys()]
        if not cursors:
            return False
        self.after = min(float(entry["after"]) for entry in cursors)
        shared = set.intersection(*(set(entry["seen"]) for entry in cursors))
        self.seen = {sid: float(moment) for sid, moment in cursors[0]["seen"].items() if sid in shared}
        return True


class Listener(Subscriber):
    """Hold one who listens. Its times are given in seconds since the epoch.

    :param to: the number or address listened at; None for all of the account's.
    :param interval: seconds between two looks.
    :param cursor: where it stands: read at each look.
    :param deadline: the end; None for no end. A last look is taken there.
    """

    __slots__ = ("cursor",)

    def __init__(self, to: str | None, *, interval: float, cursor: Cursor, deadline: float | None = None) -> None:
        super().__init__(to, interval=interval, deadline=deadline)
        self.cursor = cursor

    async def next_snapshot(self) -> Snapshot:
        """Wait for the next look.

        :raises TwilioError: Twilio does not accept what is asked; it listens no more.
        :raises PollEnded: the poll can't go on; it listens no more.
        """
        shown: Snapshot = await self.future
        self.future = self.future.get_loop().create_future()
        return shown

    def on_snapshot(self, look: Snapshot) -> None:
        """Show what there was; who has not taken the last look yet is shown it the next time."""
        if not self.future.done():
            self.future.set_result(look)
        self.postpone()

    def on_error(self, error: Exception) -> None:
        if self.past:
            self.on_snapshot(Snapshot((), 0.0, last=True, error=str(error)))

    def on_rejected(self, error: TwilioError) -> None:
        self.end(error)


@asynccontextmanager
async def subscribe(listener: Listener, name: Hashable, connect: Connect) -> AsyncIterator[Listener]:
    """Listen, for as long as the context lasts.

    :param name: what names the connection and account; listeners of one name share a poll without asking further.
    :param connect: opens a client; called once by a poll, and again after an authentication error.
    """
    InboundPoll.get_or_create(INBOUND_MESSAGES, name, connect).join(listener)
    try:
        yield listener
    finally:
        if listener.poll is not None:
            listener.poll.leave(listener)


class InboundPoll(SharedPoll[Listener]):
    """Ask what has come in."""

    _pages = 1
    """How many the whole list has taken."""

    async def _tick(self, client: AsyncClient) -> None:
        now = time.monotonic()
        due = [listener for listener in self._all() if listener.due <= now]
        last = {listener for listener in due if listener.past}
        after = min(listener.cursor.after for listener in due)
        messages: dict[str, Message] = {}
        newest = after
        for to in self._numbers(due):
            pages = 0
            async for page in client.iter_pages(messages_since(after, to=to)):
                pages += 1
                # The list is sorted by the date they were sent. If it weren't, this would only err on the safe side.
                newest = max([newest, *map(timestamp, page.records[:1])])
                messages |= {str(message.sid): message for message in page.records if is_inbound(message)}
            self._pages = pages if to is None else self._pages
        ordered = earliest_first([*messages.values()])
        for listener in due:
            listener.on_snapshot(Snapshot(ordered, newest, last=listener in last))

    def _numbers(self, due: Sequence[Listener]) -> Sequence[str | None]:
        """Choose the cheaper way: one list of all that is sent and comes in, or one for each number listened at."""
        numbers = {listener.key for listener in due}
        return [None] if None in numbers or len(numbers) > self._pages else sorted(map(str, numbers))
