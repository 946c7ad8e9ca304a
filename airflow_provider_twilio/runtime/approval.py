"""Questions by text message, and the matching of replies to open questions. Pure: no I/O.

The state of a question is derived from Twilio's message list alone. All processes, DAGs and Airflow installations that
send questions to the same phone therefore agree on it. For that purpose, the message body of a question states its code
and for how long it stays open.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.runtime.polling.inbound import is_inbound, messages_since, timestamp

MAX_QUESTION_SECONDS = 7 * 86_400.0
"""Maximum time a question may stay open, in seconds. Twilio's list is read back by the same time."""

STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
"""Twilio's default opt-out keywords: https://help.twilio.com/articles/223134027"""

UNITS = {"h": 3600, "min": 60, "s": 1}
"""Units in which a question states its duration, in seconds, longest first."""

CODE_LENGTH = 8
"""Length of the codes that the operator derives, in digits. Callers of the trigger may also pass four digits."""

FREE_WRONG_CODES = 5
"""Number of wrong codes after which replies from a phone are ignored for a while."""
FIRST_PAUSE = 60.0
"""Time for which replies are ignored then, in seconds. Each further wrong code doubles it."""
MAX_PAUSE = 300.0
"""Maximum time for which replies are ignored, in seconds. The phone's owner can reply afterwards."""

_INSTRUCTIONS = re.compile(r"Reply YES(?: ([0-9]{4}|[0-9]{8}) or NO \1| or NO) within ([0-9]+) (h|min|s)\s*\Z")
_CODE = r"(\d{4}(?:[ -]?\d{4})?)"
_REPLY = re.compile(rf"\W*(?:(yes|no|y|n)\W*{_CODE}?|{_CODE}\W*(yes|no|y|n))\W*", re.IGNORECASE)


class Reply(NamedTuple):
    """A reply by text message: the answer, and the code of the question if the reply names one."""

    answer: Literal["yes", "no", "stop"]
    code: str | None = None

    @classmethod
    def parse(cls, body: str | None) -> Reply | None:
        """Parse a message body; return None if it has more than an answer and a code, or no answer."""
        text = (body or "").strip().lower()
        if text.strip(" .!") in STOP_WORDS:
            return cls("stop")
        found = _REPLY.fullmatch(text)
        if found is None:
            return None
        word, code = found[1] or found[4], found[2] or found[3]
        return cls("yes" if word.startswith("y") else "no", code and re.sub("[ -]", "", code))


@dataclass(frozen=True, slots=True)
class Question:
    """A question by text message, without its wording.

    :param code: Four or eight digits that a reply must name; None if a reply needs no code.
    :param asked_at: Time at which the question was sent, in seconds since the epoch.
    :param duration: Time during which the question stays open, in seconds.
    """

    code: str | None
    asked_at: float
    duration: float

    def format(self, question: str) -> str:
        """Return the message body: the question and its reply instructions, which :meth:`parse` reads back."""
        seconds = max(1, math.floor(self.duration))
        unit = next(name for name, size in UNITS.items() if seconds % size == 0)
        choice = f"YES {self.code} or NO {self.code}" if self.code else "YES or NO"
        return f"{question.rstrip()} Reply {choice} within {seconds // UNITS[unit]} {unit}"

    @classmethod
    def parse(cls, message: Message) -> Question | None:
        """Parse a sent message; return None if its body does not end with reply instructions."""
        found = _INSTRUCTIONS.search(message.body or "")
        if found is None:
            return None
        # The process that asked also counts the duration from the creation of the message.
        created = message.date_created
        asked_at = created.timestamp() if created else timestamp(message)
        return cls(found[1], asked_at, int(found[2]) * UNITS[found[3]])

    def is_open(self, moment: float) -> bool:
        """Return whether the question's time has not yet run out at a moment, in seconds since the epoch."""
        return moment <= self.asked_at + self.duration


@dataclass(slots=True)
class WrongCodes:
    """The wrong codes in the replies of a phone to an open question. After a few, its replies are ignored for a while.

    The sender of a message can be forged, so codes could be guessed from the phone's number without a limit otherwise.
    The question stays open, so that a forger cannot close it.

    :ivar count: Number of wrong codes that were not ignored.
    :ivar paused_until: Time until which replies are ignored, in seconds since the epoch.
    """

    count: int = 0
    paused_until: float = 0.0

    def add(self, moment: float) -> None:
        """Add a wrong code that was received at a moment, in seconds since the epoch."""
        self.count += 1
        if self.count >= FREE_WRONG_CODES:
            pause = FIRST_PAUSE * 2.0 ** min(self.count - FREE_WRONG_CODES, 10)
            self.paused_until = moment + min(pause, MAX_PAUSE)


class _Event(NamedTuple):
    """A question or a reply in the conversation; events sort by their first three fields."""

    time: float
    order: int
    """0 for a question, 1 for a reply: within the same second, questions sort first."""
    sid: str
    content: Question | Reply
    message: Message | None


def find_reply(
    question: Question, sid: str, messages: Sequence[Message], wrong_codes: WrongCodes | None = None
) -> tuple[Reply, Message] | None:
    """Return the reply to a question and the message that carries it; None if there is no reply yet.

    A reply with a code belongs to the open question of that code. A reply without a code belongs to the only open
    question. A reply that may belong to more than one open question is ignored, and so is one with a code in the pause
    after wrong codes.

    :param sid: SID of the question's message.
    :param messages: Messages between the phone and the sender of the question, in any order. They must go back far
        enough to include every question that may have been open at the same time.
    :param wrong_codes: Object to which the wrong codes are added, empty before. By default a new one.
    """
    wrong_codes = wrong_codes or WrongCodes()
    # If a question and a reply have the same second, the question sorts first. At worst, a reply is then ignored as
    # ambiguous; it is never attributed to the wrong question.
    events = [_Event(question.asked_at, 0, sid, question, None)]
    for message in messages:
        content = Reply.parse(message.body) if is_inbound(message) else Question.parse(message)
        if content is not None and message.sid != sid:
            order = int(isinstance(content, Reply))
            events.append(_Event(timestamp(message), order, str(message.sid), content, message))
    known_codes = {event.content.code for event in events if isinstance(event.content, Question)}
    unanswered: dict[str, Question] = {}
    for event in sorted(events, key=lambda event: event[:3]):
        if isinstance(event.content, Question):
            unanswered[event.sid] = event.content
            continue
        if question.code and event.content.code and question.asked_at <= event.time:
            if event.time < wrong_codes.paused_until:
                continue
            if event.content.code not in known_codes:
                wrong_codes.add(event.time)
                continue
        open_questions = {of: other for of, other in unanswered.items() if other.is_open(event.time)}
        answered = _answered_question(event.content, open_questions, sid)
        if answered == sid and event.message is not None:
            return event.content, event.message
        unanswered.pop(answered or "", None)
    return None


def _answered_question(reply: Reply, open_questions: dict[str, Question], sid: str) -> str | None:
    """Return the SID of the open question that a reply belongs to; None if it is ambiguous or there is none.

    STOP ends every open question, so it always belongs to the question ``sid``.
    """
    if reply.answer == "stop":
        return sid if sid in open_questions else None
    matching = [of for of, other in open_questions.items() if reply.code is None or other.code == reply.code]
    if len(matching) == 1 and open_questions[matching[0]].code == reply.code:
        return matching[0]
    return None


def conversation(question: Question, phone: str, number: str) -> tuple[Listing[Message], Listing[Message]]:
    """Return the two lists of messages between a phone and a Twilio number, one for each direction."""
    begin = question.asked_at - MAX_QUESTION_SECONDS
    return messages_since(begin, to=phone, from_=number), messages_since(begin, to=number, from_=phone)
