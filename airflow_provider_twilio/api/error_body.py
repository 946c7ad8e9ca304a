"""Error bodies: the code and message in a response that rejects a request."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow_provider_twilio.api.response import Response

_CODE_KEYS = ("code", "error_code", "errorCode", "twilio_error_code")
_MESSAGE_KEYS = ("message", "error_message", "errorMessage", "detail", "error_description", "title", "description")
_WRAPPERS = ("error", "errors", "fault")
MAX_DEPTH = 4
"""Maximum number of nested objects and lists to search for the code."""


class ErrorBody(NamedTuple):
    """The description of an error in a response.

    :param code: Twilio's error code, if any.
    :param message: Twilio's message, unmasked. Empty if there is none.
    :param is_page: Whether the body is a page or text for people, as proxies send it, rather than data.
    """

    code: int | None
    message: str
    is_page: bool


def parse_error_body(response: Response) -> ErrorBody:
    """Return the code and message of an error, from each of the forms that Twilio's APIs use.

    These are an object with ``code`` and ``message``, an object in ``error``, a list in ``errors``, OAuth's ``error``
    and ``error_description``, and XML.
    """
    body = response.json()
    if isinstance(body, dict | list):
        return ErrorBody(*_from_json(body, 0), False)
    content_type = response.headers.get("content-type", "").lower()
    if response.is_html() or (response.body.strip() and content_type.startswith("text/plain")):
        return ErrorBody(None, "", True)
    if response.body.lstrip()[:1] == b"<":
        return _from_xml(response.body)
    return ErrorBody(None, "", False)


def _from_json(value: Any, depth: int) -> tuple[int | None, str]:
    if isinstance(value, list):
        found = [_from_json(item, depth + 1) for item in value[:10]] if depth < MAX_DEPTH else []
        return next((pair for pair in found if pair[0] is not None), found[0] if found else (None, ""))
    if not isinstance(value, dict):
        return None, value if isinstance(value, str) else ""
    code = next((parsed for key in _CODE_KEYS if (parsed := _parse_code(value.get(key))) is not None), None)
    message = next((text for key in _MESSAGE_KEYS if isinstance(text := value.get(key), str) and text.strip()), "")
    for wrapper in _WRAPPERS if depth < MAX_DEPTH else ():
        if (code is None or not message) and value.get(wrapper):
            inner_code, inner_message = _from_json(value[wrapper], depth + 1)
            code, message = inner_code if code is None else code, message or inner_message
    return code, message


def _parse_code(value: Any) -> int | None:
    """Return an error code, also from text. HTTP statuses and names such as ``invalid_client`` are not codes."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{4,6}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _from_xml(body: bytes) -> ErrorBody:
    """Return the error in the XML of the 2010 API: ``<TwilioResponse><RestException><Code>…``.

    Found by patterns, since a parser would reject XML that a proxy has truncated.
    """
    text = body[:100_000].decode("utf-8", "replace")
    if "<RestException" not in text and "<TwilioResponse" not in text:
        return ErrorBody(None, "", True)
    return ErrorBody(_parse_code(_element(text, "Code")), _element(text, "Message") or _element(text, "Detail"), False)


def _element(xml: str, tag: str) -> str:
    from html import unescape

    match = re.search(rf"<{tag}>([^<]*)</{tag}>", xml)
    return unescape(match[1]).strip() if match else ""
