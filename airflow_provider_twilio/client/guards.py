"""Guards: limits of the connection and of a request that are checked before the request is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import address_text
from airflow_provider_twilio.privacy import mask


def check_recipients(request: Request[Any], allowed: Sequence[str]) -> None:
    """Check that each recipient of a request is allowed.

    :param allowed: Prefixes in E.164 (``+1415``), or patterns with ``*`` (``client:test-*``). The channel of an address
        (``whatsapp:``) may be left out. Empty to allow all recipients.
    :raises BadParameter: If the request names another recipient.
    """
    if not allowed:
        return
    for address in _recipients(request):
        if not any(_matches(address, entry) for entry in allowed):
            raise BadParameter(
                "to",
                f"({mask(address)}) is not among the connection's allowed_recipients",
                "add it there, or use another connection; no request was sent",
            )


def check_segments(request: Request[Any]) -> None:
    """Check that the body has no more segments than the request allows.

    :raises BadParameter: If it has more. The message names the characters that require UCS-2.
    """
    if request.max_segments is None or not (body := request.get("Body")):
        return
    from airflow_provider_twilio.api import segments

    counted = segments.count(body, request.get("SmartEncoded") == "true")
    if counted.segments > request.max_segments:
        offending = "".join(dict.fromkeys(counted.offending))[:20]
        reason = f", since {offending!r} is not in GSM-7" if offending else ""
        raise BadParameter(
            "body",
            f"has {counted.segments} segments in {counted.encoding}{reason}",
            f"shorten it to max_segments={request.max_segments}; no message was sent",
        )


def _recipients(request: Request[Any]) -> Iterator[str]:
    for name, value in request.data:
        if name.lower() in ("to", "messagingbinding.address") or _is_verified_number(request, name):
            yield value
        elif name.lower() == "tobinding":  # Twilio Notify's bindings are JSON.
            yield from _addresses(_parse_json(value), is_recipient=True)
        elif name.lower() == "twiml":
            yield from _twiml_recipients(value)
    yield from _addresses(request.json, is_recipient=False)


def _is_verified_number(request: Request[Any], name: str) -> bool:
    """Return whether a parameter is the phone number that Twilio calls to verify a caller ID."""
    return name.lower() == "phonenumber" and "OutgoingCallerIds" in request.path


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _twiml_recipients(twiml: str) -> Iterator[str]:
    """Yield the recipients that inline TwiML dials or sends messages to. TwiML at a URL is not checked."""
    import xml.etree.ElementTree as ET  # The caller's own TwiML. expat rejects entity expansion attacks.

    try:
        root = ET.fromstring(twiml)  # noqa: S314
    except ET.ParseError:
        return  # The operation has rejected it, and Twilio would.
    for verb in root.iter():
        if verb.tag in ("Dial", "Number", "Client", "Sip") and verb.text and verb.text.strip():
            yield {"Client": "client:"}.get(verb.tag, "") + verb.text.strip()
        elif verb.tag in ("Message", "Sms", "Refer") and verb.get("to"):
            yield verb.attrib["to"]


def _addresses(value: Any, *, is_recipient: bool) -> Iterator[str]:
    """Yield each string under a key ``to`` in a JSON body, or the ``address`` of an object there.

    :param is_recipient: Whether the value is under such a key.
    """
    if isinstance(value, dict):
        if is_recipient and isinstance(value.get("address"), str):
            yield value["address"]
            return
        for key, item in value.items():
            yield from _addresses(item, is_recipient=is_recipient or str(key).lower() == "to")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _addresses(item, is_recipient=is_recipient)
    elif is_recipient and isinstance(value, str):
        yield value


def _matches(address: str, entry: str) -> bool:
    address, entry = address_text(address), address_text(entry)
    number = address.split(":", 1)[-1]
    if re.fullmatch(r"\+[0-9]*", entry):
        return re.fullmatch(r"\+[0-9]+", number) is not None and number.startswith(entry)
    return fnmatchcase(address, entry) or fnmatchcase(number, entry)
