"""A question by message, and which question an answer was meant for. Pure: no I/O.

What has been asked and answered is read from Twilio's own log, so that all who ask one phone agree, in whatever
process, DAG or Airflow they are: a question says its code and how long it is open.
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

MAX_QUESTION_LENGTH = 7 * 86_400.0
"""Seconds for which a question may be open, and for which the log is read back."""
STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
"""https://help.twilio.com/articles/223134027"""
UNITS = {"h": 3600, "min": 60, "s": 1}

_ASKED = re.compile(r"Reply YES(?: ([0-9]{4}) or NO \1| or NO) within ([0-9]+) (h|min|s)\s*\Z")
_REPLY = re.compile(r"\W*(?:(yes|no|y|n)\W*(\d{4})?|(\d{4})\W*(yes|no|y|n))\W*", re.IGNORECASE)


class Reply(NamedTuple):
    """What a phone has written: ``stop``, or an answer, and the code that it names."""

    says: Literal["yes", "no", "stop"]
    code: str | None = None

    @classmethod
    def read(cls, body: str | None) -> Reply | None:
        """Read a message: an answer and a code, and nothing else; None for any other."""
        text = (body or "").strip().lower()
        if text.strip(" .!") in STOP_WORDS:
            return cls("stop")
        found = _REPLY.fullmatch(text)
        if found is None:
            return None
        word = found[1] or found[4]
        return cls("yes" if word.startswith("y") else "no", found[2] or found[3])


@dataclass(frozen=True, slots=True)
class Question:
    """Hold what tells a question from others.

    :param code: what an answer must name; None if it need not.
    :param asked: when it was asked, in seconds since the epoch.
    :param lasts: for how many seconds it is open.
    """

    code: str | None
    asked: float
    lasts: float

    def text(self, question: str) -> str:
        """Say how to answer, and for how long: in words that :meth:`read` knows again."""
        seconds = max(1, math.floor(self.lasts))
        unit = next(name for name, size in UNITS.items() if seconds % size == 0)
        choice = f"YES {self.code} or NO {self.code}" if self.code else "YES or NO"
        return f"{question.rstrip()} Reply {choice} within {seconds // UNITS[unit]} {unit}"

    @classmethod
    def read(cls, message: Message) -> Question | None:
        """Read a message that was sent; None if it asks nothing."""
        found = _ASKED.search(message.body or "")
        if found is None:
            return None
        made = message.date_created  # from which on the one who asked counts, too
        return cls(found[1], made.timestamp() if made else timestamp(message), int(found[2]) * UNITS[found[3]])


def find_reply(question: Question, sid: str, log: Sequence[Message]) -> tuple[Reply, Message] | None:
    """Tell what was answered to a question, and by which message; None if nothing was.

    A reply with a code is meant for the open question of that code, a bare one for the only question that is open. What
    could be meant for several is taken for none.

    :param sid: the question's own message.
    :param log: what its phone and its sender have written to each other, in any order, for as long as any question
        that was open beside it.
    """
    # At the same second a question stands before a reply: that errs on the side of taking it for none.
    story: list[tuple[float, int, str, Question | Reply, Message | None]] = [(question.asked, 0, sid, question, None)]
    for entry in log:
        said = Reply.read(entry.body) if is_inbound(entry) else Question.read(entry)
        if said is not None and entry.sid != sid:
            story.append((timestamp(entry), int(isinstance(said, Reply)), str(entry.sid), said, entry))
    open_: dict[str, Question] = {}
    for at, _, of, told, message in sorted(story, key=lambda event: event[:3]):
        if isinstance(told, Question):
            open_[of] = told
            continue
        live = {name: one for name, one in open_.items() if at <= one.asked + one.lasts}
        if told.says == "stop":
            meant = sid if sid in live else None
        else:
            fits = [name for name, one in live.items() if told.code is None or one.code == told.code]
            meant = fits[0] if len(fits) == 1 and live[fits[0]].code == told.code else None
        if meant == sid and message is not None:
            return told, message
        open_.pop(meant or "", None)
    return None


def conversation(question: Question, phone: str, number: str) -> tuple[Listing[Message], Listing[Message]]:
    """Give the lists that hold what a phone and a number have written to each other."""
    begin = question.asked - MAX_QUESTION_LENGTH
    return messages_since(begin, to=phone, from_=number), messages_since(begin, to=number, from_=phone)
