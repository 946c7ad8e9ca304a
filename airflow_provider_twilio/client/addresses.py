"""Addresses that a request may contact, found in its parameters, its JSON and its TwiML, for any product.

Two rules find them. A parameter that names a recipient, such as ``To``, holds an address whatever its value is. Any
other parameter holds one if its value looks like an address, unless the parameter is a sender or a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.request import Request

_RECIPIENT_NAMES = frozenset(
    {
        *("to", "address", "tobinding", "identifier", "recipient", "recipients", "cc", "bcc", "callto", "dialto"),
        *("target", "participant", "participants", "phonenumber"),
    }
)
"""Parameters and JSON keys that name a recipient, in lower case without separators."""

_PHONE_NAMES = re.compile(r".*(phone|mobile|msisdn).*|number|to")
"""Names of JSON values and URL parameters that are phone numbers, even without a +."""

_NEUTRAL_NAMES = re.compile(
    "(from|sender|proxy|projected|caller|fallbackfrom|origin).*"
    "|body|text|content|contentvariables|variables|friendlyname|name|say|subject|title|uniquename|callreason|identity"
    "|businesscontactphone|businessregistrationphonenumber|contactphonenumber"
)
"""Parameters and JSON keys that name a sender, a text or a contact for forms: nothing is sent to their value."""

_NEUTRAL_PATHS = re.compile(
    r"/2010-04-01/Accounts/[^/]+/(IncomingPhoneNumbers|Addresses|Applications|Usage)(/.*|\.json)?"
    r"|https://(lookups|accounts|pricing|trusthub)\.([a-z0-9-]+\.)*twilio\.com/.*"
)
"""Resources that contact nobody, whose parameters may be phone numbers."""

_LOOKS_LIKE_ADDRESS = re.compile(
    r"(?is)\s*(?:[+\uff0b][\d\s().\-/\u2010-\u2015]{7,}|(?:whatsapp|messenger|rcs|sips?|client|tel|sms|channel|mailto):.+)"
)
_NOUNS_WITHOUT_ADDRESS = frozenset({"conference", "queue", "application", "parameter", "applicationsid", "customerid"})
MAX_DEPTH = 30
"""Maximum depth of nested JSON to search."""


class Address(NamedTuple):
    """An address that a request may contact.

    :param parameter: Name of the parameter that holds it.
    :param value: The address, such as ``+14155550100`` or ``client:eve``.
    """

    parameter: str
    value: str


def addresses(request: Request[Any]) -> Iterator[Address]:
    """Yield each address that a request may contact. TwiML and flows that Twilio loads itself are not searched.

    :raises BadParameter: If a value that may contain addresses cannot be parsed.
    """
    finder = _Finder(request)
    for name, value in request.data:
        yield from finder.in_value(name, name, value, 0)
    if request.json is not None:
        yield from finder.in_json("json", "", request.json, 0, is_recipient=False)


class _Finder:
    def __init__(self, request: Request[Any]) -> None:
        path = unquote(urlsplit(request.template).path) if "://" not in request.template else request.template
        self.is_neutral = _NEUTRAL_PATHS.fullmatch(path) is not None
        self.is_notify = "notify." in request.template

    def in_value(self, parameter: str, name: str, value: str, depth: int) -> Iterator[Address]:
        """Yield the addresses in a string: a form value, or a string inside JSON.

        :param parameter: The request's parameter, for errors.
        :param name: The name of the value: the parameter, or the innermost key in JSON.
        """
        key = _normalize(name)
        text = value.strip()
        if self._is_recipient(key):
            if text[:1] in ("{", "["):
                yield from self.in_json(parameter, name, _parse_json(parameter, text), depth + 1, is_recipient=True)
            elif key in ("participant", "participants", "tobinding") and text:
                raise _unparsable(parameter, "JSON")
            else:
                yield Address(parameter, value)
        elif key == "twiml" or (text[:1] == "<" and not _NEUTRAL_NAMES.fullmatch(key)):
            for address in _in_twiml(parameter, value):
                yield Address(parameter, address)
        elif _NEUTRAL_NAMES.fullmatch(key) or self.is_neutral:
            return
        elif text[:1] in ("{", "["):
            yield from self.in_json(parameter, name, _parse_json(parameter, text), depth + 1, is_recipient=False)
        elif key in ("url", "fallbackurl"):
            for query_name, query_value in parse_qsl(urlsplit(text).query):
                yield from self._in_url_parameter(parameter, query_name, query_value)
        elif _looks_like_address(key, text):
            yield Address(parameter, value)

    def _in_url_parameter(self, parameter: str, name: str, value: str) -> Iterator[Address]:
        """Yield the addresses in a parameter of the URL of TwiML, as services that echo or forward calls take them."""
        key = _normalize(name)
        if key == "twiml" or value.lstrip()[:1] == "<":
            for address in _in_twiml(parameter, value):
                yield Address(parameter, address)
        elif not _NEUTRAL_NAMES.fullmatch(key) and _looks_like_address(key, value.strip()):
            plus = "+" if value[:1] == " " else ""  # A + that is not percent-encoded is decoded to a blank.
            yield Address(parameter, plus + value.strip())

    def in_json(self, parameter: str, name: str, value: Any, depth: int, *, is_recipient: bool) -> Iterator[Address]:
        """Yield the addresses in parsed JSON.

        :param is_recipient: Whether a key that names a recipient contains the value.
        """
        if depth > MAX_DEPTH:
            raise _unparsable(parameter, "JSON")
        if isinstance(value, dict):
            value = list(value.items())
        if isinstance(value, _Pairs) or (isinstance(value, list) and value and isinstance(value[0], tuple)):
            yield from self._in_object(parameter, value, depth, is_recipient=is_recipient)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from self.in_json(parameter, name, item, depth + 1, is_recipient=is_recipient)
        elif isinstance(value, str):
            if is_recipient and value.strip()[:1] not in ("{", "["):
                yield Address(parameter, value)
            else:
                yield from self.in_value(parameter, name, value, depth + 1)
        elif is_recipient and isinstance(value, int | float) and not isinstance(value, bool):
            yield Address(parameter, str(value))

    def _in_object(
        self, parameter: str, pairs: list[tuple[Any, Any]], depth: int, *, is_recipient: bool
    ) -> Iterator[Address]:
        keys = {_normalize(str(key)) for key, _ in pairs}
        # An object that names its address, such as {"address": …, "channel": …}, holds nothing else to contact.
        names_address = bool(keys & (_RECIPIENT_NAMES | {"number", "phone", "messagingbinding", "identity"}))
        for key, item in pairs:
            normalized = _normalize(str(key))
            if self._is_recipient(normalized) or (is_recipient and normalized in ("number", "phone")):
                yield from self.in_json(parameter, str(key), item, depth + 1, is_recipient=True)
            elif _NEUTRAL_NAMES.fullmatch(normalized) and not (is_recipient and not names_address):
                continue
            else:
                if _LOOKS_LIKE_ADDRESS.fullmatch(str(key)) and not self.is_neutral:
                    yield Address(parameter, str(key))
                inherited = is_recipient and not names_address
                yield from self.in_json(parameter, str(key), item, depth + 1, is_recipient=inherited)

    def _is_recipient(self, key: str) -> bool:
        if key == "phonenumber":
            return not self.is_neutral
        return key in _RECIPIENT_NAMES or (self.is_notify and key in ("identity", "tag", "segment"))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every pair, since a repeated key would hide an address."""


def _looks_like_address(key: str, text: str) -> bool:
    if _LOOKS_LIKE_ADDRESS.fullmatch(text):
        return True
    return _PHONE_NAMES.fullmatch(key) is not None and re.fullmatch(r"[\d\s().-]{7,}", text) is not None


def _normalize(name: str) -> str:
    """Return the last part of a parameter's name: ``address`` for ``MessagingBinding.Address``."""
    last = re.split(r"[.\[\]]+", name.strip().rstrip("]0123456789[."))[-1]
    return re.sub(r"[\s_-]", "", last).lower()


def _parse_json(parameter: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise _unparsable(parameter, "JSON") from None


def _in_twiml(parameter: str, twiml: str) -> Iterator[str]:
    """Yield the recipients that TwiML dials or sends messages to."""
    import xml.etree.ElementTree as ET  # The caller's own TwiML. expat rejects entity expansion attacks.

    if "<!doctype" in twiml.lower():
        raise _unparsable(parameter, "TwiML")
    try:
        root = ET.fromstring(twiml.strip())  # noqa: S314
    except (ET.ParseError, ValueError):
        raise _unparsable(parameter, "TwiML") from None
    yield from _in_element(root, in_dial=False)


def _in_element(element: Any, *, in_dial: bool) -> Iterator[str]:
    """Yield the recipients in an element. Namespaces and case of its tag and attributes are ignored."""
    tag = str(element.tag).rpartition("}")[2].lower()
    if tag in _NOUNS_WITHOUT_ADDRESS:
        return
    for name, value in element.attrib.items():
        if name.rpartition("}")[2].lower() == "to":
            yield value
    children = list(element)
    in_dial = in_dial or tag in ("dial", "number", "client", "sip", "whatsapp")
    if in_dial:
        prefix = {"client": "client:", "identity": "client:", "sim": "sim:"}.get(tag, "")
        for text in (element.text, *(child.tail for child in children)):
            if text and text.strip():
                yield prefix + text.strip()
    for child in children:
        yield from _in_element(child, in_dial=in_dial)


def _unparsable(parameter: str, form: str) -> BadParameter:
    return BadParameter(
        parameter,
        f"cannot be parsed as {form}, so its recipients cannot be checked against the connection's allowed_recipients",
        f"pass valid {form}, or use a connection without allowed_recipients; no request was sent",
    )
