"""TwiML, the XML that tells Twilio what to do on a call: https://www.twilio.com/docs/voice/twiml."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED

MAX_LENGTH = 4000

# What XML 1.0 can't hold, escaped or not: control characters, lone surrogates and two non-characters.
# Compiled when it is first used: that takes longer than importing all of this package.
_UNPRINTABLE = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_REMEDY = "give one <Response> element of TwiML, with &, < and > in texts escaped; say= does it for you"


def say(text: str, voice: str | None = None, language: str | None = None) -> str:
    """Give the TwiML that speaks a text, escaped.

    :param text: what to speak.
    :param voice: one of Twilio's voices, such as ``Polly.Joanna``.
    :param language: a language tag, such as ``en-GB``.

    https://www.twilio.com/docs/voice/twiml/say
    """
    from xml.sax.saxutils import escape, quoteattr

    attributes = ""
    for name, value in (("voice", voice), ("language", language)):
        if value is not None:
            attributes += f" {name}={quoteattr(_printable(name, value))}"
    twiml = f"<Response><Say{attributes}>{escape(_printable('say', text))}</Say></Response>"
    checks.max_length("say", twiml, MAX_LENGTH, "characters as TwiML")
    return twiml


def check(name: str, value: Any) -> None:
    """Require well-formed TwiML of at most 4000 characters, where any is given.

    A document type is refused: TwiML has none, and its entities can be made to unfold without end.
    """
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", _REMEDY)
    checks.max_length(name, value, MAX_LENGTH)
    _printable(name, value)
    from xml.parsers import expat

    roots: list[str] = []
    open_elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal open_elements
        if not open_elements:
            roots.append(tag)
        open_elements += 1

    def end(tag: str) -> None:
        nonlocal open_elements
        open_elements -= 1

    def doctype(*_: object) -> None:
        raise BadParameter(name, "has a document type", "leave the <!DOCTYPE …> out")

    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(value.encode(), True)
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        raise BadParameter(
            name, f"is not well-formed XML ({what}, line {error.lineno}, column {error.offset + 1})", _REMEDY
        ) from None
    if roots != ["Response"]:
        raise BadParameter(name, f"has the root element <{roots[0]:.20}>", _REMEDY)


def _printable(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", "give a string")
    if found := re.search(_UNPRINTABLE, value):
        raise BadParameter(
            name, f"has a character that XML can't hold (U+{ord(found[0]):04X} at {found.start()})", "take it out"
        )
    return value
