"""Read TwiML as far as a call's course depends on it: https://www.twilio.com/docs/voice/twiml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree as ET

from airflow_provider_twilio.emulator import magic

WORDS_A_SECOND = 2.5
PLAYED, DIALED, LISTENED = 5.0, 10.0, 5.0
DIAL_TIMEOUT, DIAL_LIMIT = 30.0, 14_400.0
ENTITIES = ("<!DOCTYPE", "<!ENTITY")
MOST_GATHERS = 50
"""A document that listens more often than this ends there."""
DIGITS = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Say what a Record verb takes: from when, how long, and whom to tell."""

    at: float
    length: float
    callback: str | None = None
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)


@dataclass(frozen=True, slots=True)
class Dialed:
    """Say whom a Dial verb calls, from when, and how that goes."""

    at: float
    to: str
    caller: str | None
    steps: magic.Steps


@dataclass(frozen=True, slots=True)
class Next:
    """Say where the next document comes from, once this one has come to its end."""

    at: float
    url: str
    method: str = "POST"
    params: dict[str, str] = field(default_factory=dict)
    child: bool = False
    """Whether the outcome of the child call is told."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Say when keys are heard, how many, and what happens then."""

    start: float
    end: float
    timeout: float
    most: int | None
    finish: str
    action: str | None
    method: str
    rest: Course
    """What follows, with its own beginning as zero."""


@dataclass(frozen=True, slots=True)
class Course:
    """Say what a document does, in seconds from its beginning."""

    seconds: float
    heard: tuple[tuple[float, str], ...] = ()
    records: tuple[Recorded, ...] = ()
    listens: tuple[Listen, ...] = ()
    dials: tuple[Dialed, ...] = ()
    then: Next | None = None
    rejects: str | None = None
    """Busy or no-answer, where an incoming call is rejected."""

    @property
    def transcript(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.heard)

    def after(self, by: float) -> Course:
        """Give the same, so much later."""
        return Course(
            self.seconds + by,
            tuple((at + by, text) for at, text in self.heard),
            tuple(replace(part, at=part.at + by) for part in self.records),
            tuple(replace(part, start=part.start + by, end=part.end + by) for part in self.listens),
            tuple(replace(part, at=part.at + by) for part in self.dials),
            None if self.then is None else replace(self.then, at=self.then.at + by),
            self.rejects,
        )


NOTHING = Course(0.0)
BROKEN = Course(2.0, ((0.0, "An application error has occurred. Goodbye."),))
"""What a call comes to whose document can't be had or read."""


def parse(document: str) -> ET.Element | None:
    """Read a document as XML; None if it isn't TwiML."""
    if any(entity in document for entity in ENTITIES):
        return None
    try:
        root = ET.fromstring(document.strip())  # noqa: S314 (no entities are left in it)
    except ET.ParseError:
        return None
    return root if root.tag == "Response" else None


def read(document: str) -> Course | None:
    """Follow a document from its first verb to a hang-up or its end; None if it can't be read."""
    root = parse(document)
    return None if root is None else _follow(list(root), MOST_GATHERS)


def pressed(course: Course, listen: Listen, at: float, keys: str, done: bool, document: str | None) -> Course:
    """Give the course that a call takes now that keys were pressed."""
    until = at if done else at + listen.timeout
    heard = [
        (when, text) for when, text in course.heard if when <= at and not (when >= listen.start and text[0] == "⌨")
    ]
    heard.append((at, f"⌨ {keys}"))
    listens = () if done else (replace(listen, end=until),)
    action = listen.action or document
    if action is not None:
        then = Next(until, action, listen.method, {"Digits": keys, "msg": "Gather End", "FinishedOnKey": ""})
        return Course(until, tuple(heard), (), listens, (), then)
    rest = listen.rest.after(until)
    return replace(rest, heard=(*heard, *rest.heard), listens=(*listens, *rest.listens))


def _follow(verbs: Sequence[ET.Element], gathers: int) -> Course:
    seconds, heard, records, dials = 0.0, list[tuple[float, str]](), list[Recorded](), list[Dialed]()

    def so_far(then: Next | None = None) -> Course:
        return Course(seconds, tuple(heard), tuple(records), (), tuple(dials), then)

    for index, verb in enumerate(verbs):
        said = " ".join("".join(verb.itertext()).split())
        action, method = verb.get("action"), "GET" if verb.get("method", "").upper() == "GET" else "POST"
        if verb.tag in ("Say", "Play", "Pause"):
            length, text = _sound(verb, said)
            if text:
                heard.append((seconds, text))
            seconds += length
        elif verb.tag == "Gather":
            start = seconds
            for inner in verb:
                length, text = _sound(inner, " ".join("".join(inner.itertext()).split()))
                if text:
                    heard.append((seconds, text))
                seconds += length
            timeout = _length(verb, "timeout", LISTENED)
            rest = _follow(verbs[index + 1 :], gathers - 1) if gathers else NOTHING
            finish = verb.get("finishOnKey", "#")
            most = int(_length(verb, "numDigits", 0)) or None
            listen = Listen(start, seconds + timeout, timeout, most, finish, action, method, rest)
            before, later = so_far(), rest.after(listen.end)
            return Course(
                later.seconds,
                before.heard + later.heard,
                before.records + later.records,
                (listen, *later.listens),
                before.dials + later.dials,
                later.then,
            )
        elif verb.tag == "Record":
            length = min(_length(verb, "maxLength", LISTENED), LISTENED)
            told = "GET" if verb.get("recordingStatusCallbackMethod", "").upper() == "GET" else "POST"
            events = tuple(verb.get("recordingStatusCallbackEvent", "completed").split())
            records.append(Recorded(seconds, length, verb.get("recordingStatusCallback"), told, events))
            seconds += length
            if action:
                return so_far(Next(seconds, action, method))
        elif verb.tag == "Dial":
            heard.append((seconds, f"☎ {said}"))
            dialed = _dial(verb, seconds)
            if dialed is None:
                seconds += min(DIALED, _length(verb, "timeLimit", DIALED))
            else:
                dials.append(dialed)
                seconds += dialed.steps[-1][0]
            if action:
                return so_far(Next(seconds, action, method, child=True))
        elif verb.tag in ("Connect", "Enqueue"):
            heard.append((seconds, f"☎ {said}"))
            seconds += DIALED
        elif verb.tag == "Redirect" and said:
            return so_far(Next(seconds, said, method))
        elif verb.tag == "Reject":
            return Course(0.0, rejects="busy" if verb.get("reason") == "busy" else "no-answer")
        elif verb.tag == "Hangup":
            break
    return so_far()


def _sound(verb: ET.Element, said: str) -> tuple[float, str]:
    """Give how long a verb takes that only sounds, and what is heard."""
    if verb.tag == "Say":
        return max(1.0, len(said.split()) / WORDS_A_SECOND) * _times(verb), said
    if verb.tag == "Play":
        return PLAYED * _times(verb), f"♪ {said}"
    return (_length(verb, "length", 1.0) if verb.tag == "Pause" else 0.0), ""


def _dial(verb: ET.Element, at: float) -> Dialed | None:
    """Read whom a Dial calls: the first of its nouns, or its text; queues and conferences are nobody."""
    noun = next(iter(verb), None)
    text = ((verb.text if noun is None else noun.text) or "").strip()
    if not text or (noun is not None and noun.tag not in ("Number", "Client", "Sip")):
        return None
    to = f"client:{text}" if noun is not None and noun.tag == "Client" else text[:200]
    ring = magic.RINGS.get(to, magic.Ring())
    talk = DIALED if ring.talks is None else ring.talks
    timeout = _length(verb, "timeout", DIAL_TIMEOUT)
    steps = magic.course_of(ring, talk, timeout, _length(verb, "timeLimit", DIAL_LIMIT) or DIAL_LIMIT)
    return Dialed(at, to, verb.get("callerId"), steps)


def _times(verb: ET.Element) -> float:
    return max(_length(verb, "loop", 1.0), 1.0)


def _length(verb: ET.Element, name: str, default: float) -> float:
    given = verb.get(name, "")
    return float(given[:4]) if given.isascii() and given.isdigit() else default
