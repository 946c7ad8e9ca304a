"""What the connection forbids, held against every request, by whichever door it came."""

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
    """Refuse a request that names a recipient outside ``allowed_recipients``.

    An entry is a prefix of E.164 (``+1415``) or a pattern with ``*`` (``client:test-*``); the channel of an address
    (``whatsapp:``) need not be written.
    """
    if not allowed:
        return
    for address in _recipients(request):
        if not any(_matches(address, entry) for entry in allowed):
            raise BadParameter(
                "to", f"({mask(address)}) is not among the connection's allowed_recipients", "nothing was sent"
            )


def check_segments(request: Request[Any]) -> None:
    """Refuse a body of more segments than the request allows, naming what makes it long."""
    if request.max_segments is None or not (body := request.get("Body")):
        return
    from airflow_provider_twilio.api import segments

    counted = segments.count(body, request.get("SmartEncoded") == "true")
    if counted.segments > request.max_segments:
        offending = "".join(dict.fromkeys(counted.offending))[:20]
        why = f", since {offending!r} is not in GSM-7" if offending else ""
        raise BadParameter(
            "body",
            f"has {counted.segments} segments in {counted.encoding}{why}",
            f"shorten it to max_segments={request.max_segments}; nothing was sent",
        )


def _recipients(request: Request[Any]) -> Iterator[str]:
    for name, value in request.data:
        if name.lower() in ("to", "messagingbinding.address") or _verifies(request, name):
            yield value
        elif name.lower() == "tobinding":  # of Notify: JSON
            yield from _addresses(_json(value), wanted=True)
        elif name.lower() == "twiml":
            yield from _dialled(value)
    yield from _addresses(request.json, wanted=False)


def _verifies(request: Request[Any], name: str) -> bool:
    """Tell whether a parameter names the phone that Twilio will call to verify a caller id."""
    return name.lower() == "phonenumber" and "OutgoingCallerIds" in request.path


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _dialled(twiml: str) -> Iterator[str]:
    """Find whom inline TwiML would dial or write to. What stands behind a URL can't be seen from here."""
    import xml.etree.ElementTree as ET  # of the caller's own making; expat refuses to blow up entities

    try:
        root = ET.fromstring(twiml)  # noqa: S314
    except ET.ParseError:
        return  # refused by Twilio, and before that by the operation
    for verb in root.iter():
        if verb.tag in ("Dial", "Number", "Client", "Sip") and verb.text and verb.text.strip():
            yield {"Client": "client:"}.get(verb.tag, "") + verb.text.strip()
        elif verb.tag in ("Message", "Sms", "Refer") and verb.get("to"):
            yield verb.attrib["to"]


def _addresses(value: Any, *, wanted: bool) -> Iterator[str]:
    """Find every string under a key ``to`` in a JSON body; of an object there, its ``address`` if it has one."""
    if isinstance(value, dict):
        if wanted and isinstance(value.get("address"), str):
            yield value["address"]
            return
        for key, item in value.items():
            yield from _addresses(item, wanted=wanted or str(key).lower() == "to")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _addresses(item, wanted=wanted)
    elif wanted and isinstance(value, str):
        yield value


def _matches(address: str, entry: str) -> bool:
    address, entry = address_text(address), address_text(entry)
    number = address.split(":", 1)[-1]
    if re.fullmatch(r"\+[0-9]*", entry):
        return re.fullmatch(r"\+[0-9]+", number) is not None and number.startswith(entry)
    return fnmatchcase(address, entry) or fnmatchcase(number, entry)
