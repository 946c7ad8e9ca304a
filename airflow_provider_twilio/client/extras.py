"""The extras of an Airflow connection: their names, and how each is parsed.

An extra is a JSON value. In a connection written as a URI, it is always a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.recipients import split_recipients

MAX_SECONDS = 86_400
"""Maximum of an extra that is a duration, in seconds: one day."""


class BadConnection(BadParameter):
    """An invalid connection. The message names the connection, the field or extra, and the remedy."""


def _parse_string(value: Any) -> str | None:
    if not isinstance(value, str):
        raise ValueError("a string")
    return value.strip() or None


def _parse_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "false", "0", "no"):
        return value.strip().lower() in ("true", "1", "yes")
    raise ValueError("true or false")


def _parse_number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number") from None
    if not isfinite(number):
        raise ValueError("a number")
    return number


def _parse_seconds(value: Any) -> float:
    if 0 < (number := _parse_number(value)) <= MAX_SECONDS:
        return number
    raise ValueError("a number of seconds above 0, and no more than a day")


def _parse_count(value: Any) -> int:
    number = _parse_number(value)
    if number < 0 or number != int(number):
        raise ValueError("a whole number, 0 or more")
    return int(number)


def _parse_verify(value: Any) -> bool | str:
    try:
        return _parse_boolean(value)
    except ValueError:
        if isinstance(value, str) and Path(value).exists():
            return value
        raise ValueError("true, false or the path of a CA bundle that is on this machine") from None


def _parse_cert(value: Any) -> tuple[str, ...]:
    paths = _parse_list(value)
    if len(paths) > 2 or not all(Path(path).exists() for path in paths):
        raise ValueError("the path of a certificate, or of a certificate and its key, on this machine")
    return paths


def _parse_proxy(value: Any) -> str | None:
    text = _parse_string(value)
    if text is None:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and parts.port != 0:
            return parts.geturl()
    except ValueError:
        pass
    raise ValueError("an address such as http://user:password@host:3128")


def _parse_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of strings, or one string with commas")
    return tuple(item.strip() for item in value if item.strip())


def _parse_sender(value: Any) -> str | None:
    _check_plus(value)
    return _parse_string(value)


def _check_plus(value: Any) -> None:
    """Check that no number has lost its ``+``, which a connection URI turns into a blank unless it is encoded.

    Airflow 3.1 reads such a number as an integer.
    """
    if type(value) is int or (isinstance(value, str) and re.match(r"(\w+:)?\s+[0-9]|\s+$", value)):
        raise ValueError("a number with a leading +; in a connection URI, write + as %2B")


def _recipient_fault(entry: str) -> str | None:
    """Return why an entry of ``allowed_recipients`` can match no recipient, or None."""
    channel, colon, number = entry.rpartition(":")
    if colon and not number:
        return "names a channel only: give an address or a pattern such as whatsapp:*"
    literal = re.sub(r"\[[^\]]+\]", "?", number)
    is_pattern = any(character in literal for character in "*?")
    if number.startswith("+"):
        digits = literal[1:]
        if not re.fullmatch(r"[0-9*?]*", digits):
            return "has characters other than + and digits: give a prefix such as +1415, or a pattern such as +1415*"
        if digits.startswith("0"):
            return "starts with +0: give a country code after the +"
        if sum(character != "*" for character in digits) > 15:
            return "has more than 15 digits: give a number in E.164"
        if colon and not is_pattern and len(digits) < 7:
            return f"is a prefix with a channel: leave out the channel, or give {channel}:{number}*"
        return None
    if re.fullmatch(r"[\d\s().*?/-]*\d[\d\s().*?/-]*", number) and channel.lower() in ("", "whatsapp", "tel", "rcs"):
        return "has no leading +: give the number in E.164; in a connection URI, write + as %2B"
    return None


def _parse_recipients(value: Any) -> tuple[str, ...]:
    recipients = tuple(split_recipients(_parse_list(value)))
    if value and not recipients:  # an empty list would allow every recipient
        raise ValueError("at least one prefix or pattern, or remove the extra")
    for position, entry in enumerate(recipients, start=1):
        if fault := _recipient_fault(entry):
            raise ValueError(f"entries that can match a recipient: entry {position} {fault}")
    return recipients


def _choice_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return str(value)

    return parse


EXTRAS: Mapping[str, Callable[[Any], Any]] = {
    "account_sid": _parse_string,
    "auth_type": _choice_of("basic", "oauth"),
    "region": _parse_string,
    "edge": _parse_string,
    "timeout": _parse_seconds,
    "retries": _parse_count,
    "retry_max_wait": _parse_seconds,
    "proxy": _parse_proxy,
    "verify": _parse_verify,
    "cert": _parse_cert,
    "validate": _parse_boolean,
    "from_": _parse_sender,
    "messaging_service_sid": _parse_string,
    "allowed_recipients": _parse_recipients,
    "dry_run": _parse_boolean,
    "allow_insecure": _parse_boolean,
}


FIXED_EXTRAS: Mapping[str, Callable[[Any], Any]] = {"http_version": _choice_of("1.1")}
"""Extras with only one valid value. The connection form does not show them."""

SUGGESTIONS: Mapping[str, str] = {
    "sender": "from_",
    "phone_number": "from_",
    "sid": "account_sid",
    "auth_token": "the connection's password",
    "token": "the connection's password",
}
"""Names that users may expect for an extra or field, and the name that it has."""


def parse_extras(conn_id: str, extra: str | None) -> dict[str, Any]:
    """Parse the extras of a connection, given as a JSON object. Empty extras are left out.

    Airflow treats an extra that is not JSON as an empty one. Here it is an error: without it, the connection would
    lose ``allowed_recipients`` and ``dry_run``.

    :raises BadConnection: If the extra is not a JSON object, a name is unknown, or a value is invalid.
    """
    try:
        raw = json.loads(extra) if extra and extra.strip() else {}
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise BadConnection(f"connection {conn_id}, extra", "is not a JSON object", 'give one such as {"timeout": 30}')
    parsed = {}
    for name, value in raw.items():
        parse = EXTRAS.get(name) or FIXED_EXTRAS.get(name)
        if parse is None:
            raise BadConnection(f"connection {conn_id}, extra {name}", "is unknown", _hint(name))
        if value is None or value == "":
            continue
        try:
            parsed[name] = parse(value)
        except ValueError as error:
            raise BadConnection(
                f"connection {conn_id}, extra {name}", f"is invalid ({checks.describe(value)})", f"give {error}"
            ) from None
    return {name: value for name, value in parsed.items() if value is not None and name in EXTRAS}


def _hint(name: str) -> str:
    import difflib

    suggestion = SUGGESTIONS.get(name.lower())
    similar = difflib.get_close_matches(name.lower(), [*EXTRAS, *FIXED_EXTRAS], n=1, cutoff=0.6)
    if suggestion or similar:
        return f"did you mean {suggestion or similar[0]}?"
    return f"the extras are {', '.join(EXTRAS)}"
