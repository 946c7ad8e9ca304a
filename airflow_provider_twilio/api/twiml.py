"""TwiML, the XML that controls calls: https://www.twilio.com/docs/voice/twiml."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED

MAX_LENGTH = 4000

# Characters that XML 1.0 cannot represent: control characters, lone surrogates and two noncharacters.
# Compiled on first use, since that takes longer than importing this package.
_INVALID_CHARACTERS = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_REMEDY = "pass one <Response> element of TwiML, with &, < and > in text escaped, or use say="


def say(text: str, voice: str | None = None, language: str | None = None) -> str:
    """Return TwiML that speaks a text. The text is escaped.

    :param text: Text to speak.
    :param voice: Name of a Twilio voice, such as ``Polly.Joanna``.
    :param language: Language tag, such as ``en-GB``.
    :raises BadParameter: When an argument contains characters that XML cannot represent, or the TwiML is too long.

    https://www.twilio.com/docs/voice/twiml/say
    """
    from xml.sax.saxutils import escape, quoteattr

    attributes = ""
    for name, value in (("voice", voice), ("language", language)):
        if value is not None:
            attributes += f" {name}={quoteattr(_check_characters(name, value))}"
    twiml = f"<Response><Say{attributes}>{escape(_check_characters('say', text))}</Say></Response>"
    checks.max_length("say", twiml, MAX_LENGTH, "characters as TwiML")
    return twiml


def check(name: str, value: Any) -> None:
    """Check that TwiML, if set, is well-formed and has at most 4,000 characters.

    A document type is rejected: TwiML has none, and its entities could expand without limit.

    :raises BadParameter: When the TwiML is invalid.
    """
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", _REMEDY)
    checks.max_length(name, value, MAX_LENGTH)
    _check_characters(name, value)
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
        raise BadParameter(name, "contains a document type", "remove the <!DOCTYPE …>")

    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(value.encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise BadParameter(
            name, f"is not well-formed XML ({reason}, line {error.lineno}, column {error.offset + 1})", _REMEDY
        ) from None
    if roots != ["Response"]:
        raise BadParameter(name, f"has the root element <{roots[0]:.20}>", _REMEDY)


def _check_characters(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", "pass a string")
    if match := re.search(_INVALID_CHARACTERS, value):
        raise BadParameter(
            name,
            f"contains a character that XML cannot represent (U+{ord(match[0]):04X} at {match.start()})",
            "remove it",
        )
    return value
