"""Read TwiML as far as a call's course depends on it: https://www.twilio.com/docs/voice/twiml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

WORDS_A_SECOND = 2.5
PLAYED, DIALED, LISTENED = 5.0, 10.0, 5.0
ENTITIES = ("<!DOCTYPE", "<!ENTITY")


@dataclass(frozen=True, slots=True)
class Course:
    """Say what a document does: how long it takes, what is heard, what it records."""

    seconds: float
    transcript: tuple[str, ...] = ()
    records: tuple[tuple[float, float], ...] = ()
    """The start and the length of each recording."""
    rejects: str | None = None
    """Busy or no-answer, where an incoming call is rejected."""


BROKEN = Course(2.0, ("An application error has occurred. Goodbye.",))


def read(document: str) -> Course:
    """Follow a document from its first verb to a hang-up or its end; one that can't be read ends the call."""
    if any(entity in document for entity in ENTITIES):
        return BROKEN
    try:
        root = ET.fromstring(document.strip())  # noqa: S314 (no entities are left in it)
    except ET.ParseError:
        return BROKEN
    if root.tag != "Response":
        return BROKEN
    return _follow(root)


def _follow(verbs: Iterable[ET.Element]) -> Course:
    seconds, heard, records = 0.0, [], []
    for verb in verbs:
        said = " ".join("".join(verb.itertext()).split())
        if verb.tag == "Say":
            seconds += max(1.0, len(said.split()) / WORDS_A_SECOND) * _times(verb)
            heard.append(said)
        elif verb.tag == "Play":
            seconds += PLAYED * _times(verb)
            heard.append(f"♪ {said}")
        elif verb.tag == "Pause":
            seconds += _length(verb, "length", 1.0)
        elif verb.tag == "Gather":
            inner = _follow(verb)
            seconds += inner.seconds + _length(verb, "timeout", LISTENED)
            heard.extend(inner.transcript)
        elif verb.tag == "Record":
            length = min(_length(verb, "maxLength", LISTENED), LISTENED)
            records.append((seconds, length))
            seconds += length
        elif verb.tag in ("Dial", "Connect", "Enqueue"):
            seconds += min(DIALED, _length(verb, "timeLimit", DIALED))
            heard.append(f"☎ {said}")
        elif verb.tag == "Reject":
            return Course(0.0, rejects="busy" if verb.get("reason") == "busy" else "no-answer")
        elif verb.tag == "Hangup":
            break
    return Course(seconds, tuple(heard), tuple(records))


def _times(verb: ET.Element) -> float:
    return max(_length(verb, "loop", 1.0), 1.0)


def _length(verb: ET.Element, name: str, default: float) -> float:
    given = verb.get(name, "")
    return float(given[:4]) if given.isascii() and given.isdigit() else default
