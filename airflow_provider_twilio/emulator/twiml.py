"""TwiML, as far as the course of a call depends on it.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree as ET

from airflow_provider_twilio.emulator.magic_numbers import CALL_BEHAVIORS, CallBehavior, Steps, call_steps

WORDS_PER_SECOND = 2.5
PLAY_TIME, DIAL_TIME, LISTEN_TIME = 5.0, 10.0, 5.0
"""Length of a Play, a Dial without a phone, and a Gather or Record without a timeout, in seconds."""
DIAL_TIMEOUT = 30.0  # seconds
ENTITIES = ("<!DOCTYPE", "<!ENTITY")
MAX_GATHERS = 50
"""Number of Gather verbs after which a document is cut off."""
DIGITS = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class RecordVerb:
    """A Record verb: when it starts, how long it lasts, and where its recording is reported."""

    at: float
    length: float
    callback: str | None = None
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)


@dataclass(frozen=True, slots=True)
class DialVerb:
    """A Dial verb: when it starts, whom it calls, and the statuses of that call."""

    at: float
    to: str
    caller: str | None
    steps: Steps


@dataclass(frozen=True, slots=True)
class NextDocument:
    """The request for the document that follows the current one."""

    at: float
    url: str
    method: str = "POST"
    params: dict[str, str] = field(default_factory=dict)
    reports_child: bool = False
    """Whether the request reports the outcome of the child call."""


@dataclass(frozen=True, slots=True)
class Gather:
    """A Gather verb: when it accepts keys, how many, and how the call continues."""

    start: float
    end: float
    timeout: float
    max_digits: int | None
    finish_on_key: str
    action: str | None
    method: str
    continuation: CallFlow
    """The rest of the document, with times relative to its own start."""


@dataclass(frozen=True, slots=True)
class CallFlow:
    """The course of a call that follows a document.

    Times are in seconds from the start of the flow.
    """

    seconds: float
    heard: tuple[tuple[float, str], ...] = ()
    recordings: tuple[RecordVerb, ...] = ()
    gathers: tuple[Gather, ...] = ()
    dials: tuple[DialVerb, ...] = ()
    next_document: NextDocument | None = None
    reject_status: str | None = None
    """``busy`` or ``no-answer`` if the document rejects the call."""

    @property
    def transcript(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.heard)

    def delayed(self, by: float) -> CallFlow:
        """Return a copy that starts this many seconds later."""
        return CallFlow(
            self.seconds + by,
            tuple((at + by, text) for at, text in self.heard),
            tuple(replace(verb, at=verb.at + by) for verb in self.recordings),
            tuple(replace(verb, start=verb.start + by, end=verb.end + by) for verb in self.gathers),
            tuple(replace(verb, at=verb.at + by) for verb in self.dials),
            None if self.next_document is None else replace(self.next_document, at=self.next_document.at + by),
            self.reject_status,
        )


EMPTY_FLOW = CallFlow(0.0)
ERROR_FLOW = CallFlow(2.0, ((0.0, "An application error has occurred. Goodbye."),))
"""The flow of a call whose document is unavailable or invalid."""


def parse_response(document: str) -> ET.Element | None:
    """Return the root of a TwiML document; None if it is not TwiML."""
    if any(entity in document for entity in ENTITIES):
        return None
    try:
        root = ET.fromstring(document.strip())  # noqa: S314 (documents with entities were rejected above)
    except ET.ParseError:
        return None
    return root if root.tag == "Response" else None


def parse_flow(document: str) -> CallFlow | None:
    """Return the flow of a document; None if it is not TwiML.

    A flow ends at a Hangup or at the end of the document.
    """
    root = parse_response(document)
    return None if root is None else _follow(list(root), MAX_GATHERS)


def flow_after_keys(
    flow: CallFlow, gather: Gather, at: float, keys: str, is_complete: bool, document_url: str | None
) -> CallFlow:
    """Return the flow of a call in which keys were pressed.

    :param gather: The Gather that accepted the keys.
    :param at: The time of the last key.
    :param keys: All keys that this Gather has accepted so far.
    :param is_complete: Whether the Gather accepts no more keys.
    :param document_url: The URL of the current document, which a Gather without an action requests again.
    """
    end = at if is_complete else at + gather.timeout
    heard = [(when, text) for when, text in flow.heard if when <= at and not (when >= gather.start and text[0] == "⌨")]
    heard.append((at, f"⌨ {keys}"))
    gathers = () if is_complete else (replace(gather, end=end),)
    action = gather.action or document_url
    if action is not None:
        params = {"Digits": keys, "msg": "Gather End", "FinishedOnKey": ""}
        return CallFlow(end, tuple(heard), (), gathers, (), NextDocument(end, action, gather.method, params))
    rest = gather.continuation.delayed(end)
    return replace(rest, heard=(*heard, *rest.heard), gathers=(*gathers, *rest.gathers))


def _follow(verbs: Sequence[ET.Element], max_gathers: int) -> CallFlow:
    seconds = 0.0
    heard, recordings, dials = list[tuple[float, str]](), list[RecordVerb](), list[DialVerb]()

    def flow_so_far(next_document: NextDocument | None = None) -> CallFlow:
        return CallFlow(seconds, tuple(heard), tuple(recordings), (), tuple(dials), next_document)

    for index, verb in enumerate(verbs):
        text = " ".join("".join(verb.itertext()).split())
        action, method = verb.get("action"), "GET" if verb.get("method", "").upper() == "GET" else "POST"
        if verb.tag in ("Say", "Play", "Pause"):
            length, sound = _sound(verb, text)
            if sound:
                heard.append((seconds, sound))
            seconds += length
        elif verb.tag == "Gather":
            start = seconds
            for inner in verb:
                length, sound = _sound(inner, " ".join("".join(inner.itertext()).split()))
                if sound:
                    heard.append((seconds, sound))
                seconds += length
            timeout = _number(verb, "timeout", LISTEN_TIME)
            rest = _follow(verbs[index + 1 :], max_gathers - 1) if max_gathers else EMPTY_FLOW
            finish_on_key = verb.get("finishOnKey", "#")
            max_digits = int(_number(verb, "numDigits", 0)) or None
            gather = Gather(start, seconds + timeout, timeout, max_digits, finish_on_key, action, method, rest)
            before, after = flow_so_far(), rest.delayed(gather.end)
            return CallFlow(
                after.seconds,
                before.heard + after.heard,
                before.recordings + after.recordings,
                (gather, *after.gathers),
                before.dials + after.dials,
                after.next_document,
            )
        elif verb.tag == "Record":
            length = min(_number(verb, "maxLength", LISTEN_TIME), LISTEN_TIME)
            callback_method = "GET" if verb.get("recordingStatusCallbackMethod", "").upper() == "GET" else "POST"
            events = tuple(verb.get("recordingStatusCallbackEvent", "completed").split())
            callback = verb.get("recordingStatusCallback")
            recordings.append(RecordVerb(seconds, length, callback, callback_method, events))
            seconds += length
            if action:
                return flow_so_far(NextDocument(seconds, action, method))
        elif verb.tag == "Dial":
            heard.append((seconds, f"☎ {text}"))
            dial = _dial(verb, seconds)
            if dial is None:
                seconds += min(DIAL_TIME, _number(verb, "timeLimit", DIAL_TIME))
            else:
                dials.append(dial)
                seconds += dial.steps[-1][0]
            if action:
                return flow_so_far(NextDocument(seconds, action, method, reports_child=True))
        elif verb.tag in ("Connect", "Enqueue"):
            heard.append((seconds, f"☎ {text}"))
            seconds += DIAL_TIME
        elif verb.tag == "Redirect" and text:
            return flow_so_far(NextDocument(seconds, text, method))
        elif verb.tag == "Reject":
            return CallFlow(0.0, reject_status="busy" if verb.get("reason") == "busy" else "no-answer")
        elif verb.tag == "Hangup":
            break
    return flow_so_far()


def _sound(verb: ET.Element, text: str) -> tuple[float, str]:
    """Return the length of a Say, Play or Pause, and the sound or text that is heard."""
    if verb.tag == "Say":
        return max(1.0, len(text.split()) / WORDS_PER_SECOND) * _repetitions(verb), text
    if verb.tag == "Play":
        return PLAY_TIME * _repetitions(verb), f"♪ {text}"
    return (_number(verb, "length", 1.0) if verb.tag == "Pause" else 0.0), ""


def _dial(verb: ET.Element, at: float) -> DialVerb | None:
    """Return the call of a Dial; None for a queue or a conference.

    The call is to the first noun, or to the text of the verb.
    """
    noun = next(iter(verb), None)
    text = ((verb.text if noun is None else noun.text) or "").strip()
    if not text or (noun is not None and noun.tag not in ("Number", "Client", "Sip")):
        return None
    to = f"client:{text}" if noun is not None and noun.tag == "Client" else text[:200]
    behavior = CALL_BEHAVIORS.get(to, CallBehavior())
    talk_seconds = DIAL_TIME if behavior.talk_seconds is None else behavior.talk_seconds
    timeout = _number(verb, "timeout", DIAL_TIMEOUT)
    steps = call_steps(behavior, talk_seconds, timeout, _number(verb, "timeLimit", 0.0))
    return DialVerb(at, to, verb.get("callerId"), steps)


def _repetitions(verb: ET.Element) -> float:
    return max(_number(verb, "loop", 1.0), 1.0)


def _number(verb: ET.Element, name: str, default: float) -> float:
    value = verb.get(name, "")
    return float(value[:4]) if value.isascii() and value.isdigit() else default
