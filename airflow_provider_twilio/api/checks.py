"""Argument checks that operations share.

Each error names the parameter, describes its value without quoting it, and states the remedy. A value that is not known
yet, such as a template while a DAG is parsed, is :data:`UNRESOLVED` and passes every check.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Sized
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import is_sid
from airflow_provider_twilio.api.values import UNRESOLVED

SID_TYPES: Mapping[str, str] = {
    "AC": "an account",
    "SM": "a message",
    "MM": "a message",
    "CA": "a call",
    "PN": "a phone number",
    "MG": "a messaging service",
    "RE": "a recording",
    "ME": "a media item",
    "SK": "an API key",
    "HX": "a content template",
    "AP": "an application",
    "BU": "a bundle",
    "AD": "an address",
    "VA": "a Verify service",
    "TK": "a trunk",
    "RI": "an identity",
    "BY": "a BYOC trunk",
    "CF": "a conference",
}

E164 = r"\+[1-9][0-9]{6,14}"
_SHORT_CODE = r"[0-9]{3,8}"
_ALPHANUMERIC = r"(?=.*[A-Za-z])[A-Za-z0-9 +\-_&.]{1,11}"
_CHANNEL = r"(?is)(whatsapp|messenger|rcs|sip|sips|client|channel|tel):(.+)"
E164_REMEDY = "write it in E.164: +, country code and number, digits only, such as +14155550100"


def is_set(value: object) -> bool:
    """Return whether a value is neither None nor an empty string or list."""
    return value is not None and value != "" and value != []


def one_of(**values: Any) -> None:
    """Require at least one of these parameters."""
    if not any(is_set(value) for value in values.values()):
        names = list(values)
        raise BadParameter(" or ".join(names), "is missing", f"pass {', '.join(names[:-1])} or {names[-1]}")


def only_one_of(**values: Any) -> None:
    """Allow at most one of these parameters."""
    names = [name for name, value in values.items() if is_set(value) and value is not UNRESOLVED]
    if len(names) > 1:
        raise BadParameter(
            " and ".join(names), "are mutually exclusive", "pass one of them; Twilio would ignore the others"
        )


def required(**values: Any) -> None:
    """Require each of these parameters."""
    for name, value in values.items():
        if not is_set(value):
            raise BadParameter(name, "is missing", f"pass {name}")


def sid(name: str, value: Any, *prefixes: str) -> str:
    """Return a SID after checking its format and prefix.

    :param prefixes: Allowed prefixes, such as ``SM``.
    :raises BadParameter: When the value is not a SID, or is one of another type.
    """
    if value is UNRESOLVED:
        return "UNRESOLVED"
    expected = f"expected {SID_TYPES[prefixes[0]]} SID, {' or '.join(prefix + '…' for prefix in prefixes)}"
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", expected)
    if is_sid(value, prefixes):
        return value
    if is_sid(value):
        raise BadParameter(
            name, "is a SID of the wrong type", f"{expected}, got {SID_TYPES.get(value[:2], 'another')} SID"
        )
    if value[:2] in prefixes:
        raise BadParameter(
            name, f"starts like a SID but has {len(value)} characters", f"{expected} and 32 hexadecimal digits"
        )
    raise BadParameter(name, f"is not a SID ({describe(value)})", expected)


def sids(**values: tuple[Any, str]) -> None:
    """Check the SIDs that are set: ``sids(content_sid=(content_sid, "HX"))``."""
    for name, (value, prefix) in values.items():
        if is_set(value):
            sid(name, value, prefix)


def describe(value: object) -> str:
    """Describe a value without quoting it."""
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    if not value:
        return "an empty string"
    contents = [
        name
        for name, contained in (
            ("letters", any(c.isalpha() for c in value)),
            ("digits", any(c.isdigit() for c in value)),
            ("spaces", any(c.isspace() for c in value)),
        )
        if contained
    ]
    return f"{len(value)} characters{', with ' + ' and '.join(contents) if contents else ''}"


def _e164_fault(value: str) -> str | None:
    if re.fullmatch(E164, value):
        return None
    if any(c.isspace() for c in value):
        return f"contains spaces ({describe(value)})"
    if any(c.isalpha() for c in value):
        return f"contains letters ({describe(value)})"
    digits = value.removeprefix("+")
    if digits and not (digits.isdigit() and digits.isascii()):
        return f"contains characters other than + and digits ({describe(value)})"
    if not value.startswith("+"):
        return f"has no leading + ({describe(value)})"
    if digits.startswith("0"):
        return "starts with 0 instead of a country code"
    return f"has {len(digits)} digits instead of 7 to 15"


def _address(name: str, value: Any, channels: Sequence[str]) -> str | None:
    """Return what is wrong with a phone number or channel address, or None if it is valid."""
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", E164_REMEDY)
    match = re.fullmatch(_CHANNEL, value)
    if match is None:
        return _e164_fault(value)
    channel, rest = match[1].lower(), match[2]
    if channel not in channels:
        others = f" or an address that starts with {', '.join(c + ':' for c in channels)}" if channels else ""
        raise BadParameter(name, f"is a {channel}: address", f"use a number in E.164{others}")
    if channel == "whatsapp" and (fault := _e164_fault(rest)):
        raise BadParameter(name, f"is a whatsapp: address whose number {fault}", E164_REMEDY)
    return None


MESSAGE_CHANNELS = ("whatsapp", "messenger", "rcs", "channel")
CALL_CHANNELS = ("client", "sip", "sips", "whatsapp")


def recipient(name: str, value: Any, channels: Sequence[str] = MESSAGE_CHANNELS) -> None:
    """Require a number in E.164, or an address on one of these channels."""
    if value is UNRESOLVED:
        return
    required(**{name: value})
    if fault := _address(name, value, channels):
        raise BadParameter(name, fault, E164_REMEDY)


def sender(name: str, value: Any, channels: Sequence[str] = MESSAGE_CHANNELS) -> None:
    """Check a sender, if set: a number, short code, alphanumeric sender ID or channel address."""
    if value is UNRESOLVED or not is_set(value):
        return
    if is_sid(value, ("MG",)):
        raise BadParameter(name, "is the SID of a messaging service", "pass it as messaging_service_sid")
    fault = _address(name, value, channels)
    if fault and not (re.fullmatch(_SHORT_CODE, value) or re.fullmatch(_ALPHANUMERIC, value)):
        raise BadParameter(
            name, fault, E164_REMEDY + ", or use a short code or an alphanumeric sender ID of up to 11 characters"
        )


def caller(name: str, value: Any) -> None:
    """Check the number or address that a call comes from, if set."""
    if value is UNRESOLVED or not is_set(value):
        return
    if fault := _address(name, value, CALL_CHANNELS):
        raise BadParameter(name, fault, E164_REMEDY)


def phone_number(name: str, value: Any) -> None:
    """Require a number in E.164, if set."""
    if is_set(value):
        recipient(name, value, channels=())


def max_length(name: str, value: Any, maximum: int, unit: str = "characters") -> None:
    """Check the length of a string, if set."""
    _check_size(name, value, (str,), maximum, unit)


def max_items(name: str, value: Any, maximum: int) -> None:
    """Check the length of a list, if set. A string counts as one item."""
    _check_size(name, [value] if isinstance(value, str) else value, (list, tuple), maximum, "items")


def _check_size(name: str, value: Any, types: tuple[type[Sized], ...], maximum: int, unit: str) -> None:
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, types):
        wanted = "a string" if str in types else "a list"
        raise BadParameter(name, f"is of type {type(value).__name__}", f"pass {wanted} of at most {maximum} {unit}")
    if len(value) > maximum:
        raise BadParameter(name, f"has {len(value)} {unit}", f"Twilio accepts at most {maximum}")


def between(name: str, value: Any, minimum: float, maximum: float, unit: str = "") -> None:
    """Check that a number is within a range, if set."""
    if value is None or value is UNRESOLVED:
        return
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadParameter(name, f"is not a number ({describe(value)})", f"use {minimum} to {maximum}{unit}") from None
    if isinstance(value, bool) or not minimum <= number <= maximum:
        raise BadParameter(name, f"is {value!s:.40}", f"use {minimum} to {maximum}{unit}")


def seconds(name: str, value: Any) -> None:
    """Check that a value is a finite number of seconds, 0 or more, if set.

    :raises BadParameter: When the value is anything else, such as a number as text.
    """
    if value is None or value is UNRESOLVED:
        return
    if not _is_finite(value) or value < 0:
        raise BadParameter(name, f"is {_describe_number(value)}", "give a number of seconds, 0 or more")


def positive_seconds(name: str, value: Any) -> None:
    """Require a finite number of seconds above 0.

    :raises BadParameter: When the value is anything else, such as None or a number as text.
    """
    if value is UNRESOLVED:
        return
    if not _is_finite(value) or value <= 0:
        raise BadParameter(name, f"is {_describe_number(value)}", "give a number of seconds above 0")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _describe_number(value: Any) -> str:
    """Return a number or None as text, and describe any other value without quoting it."""
    return f"{value!s:.40}" if value is None or isinstance(value, int | float) else describe(value)


def choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Check that a value is one of these choices, if set."""
    if value is None or value is UNRESOLVED or value in choices:
        return
    raise BadParameter(name, f"is not an allowed value ({describe(value)})", f"use one of {', '.join(choices)}")


def within_future(name: str, value: Any, minimum: timedelta, maximum: timedelta) -> None:
    """Check that a time is this far in the future, if set."""
    time = parse_timestamp(name, value)
    if time is None:
        return
    ahead = time - datetime.now(UTC)
    if not minimum <= ahead <= maximum:
        fault = "is in the past" if ahead < timedelta(0) else f"is {ahead.total_seconds():.0f} s ahead"
        raise BadParameter(name, fault, f"pass a time {minimum.total_seconds():.0f} s to {maximum.days} days ahead")


def parse_timestamp(name: str, value: Any) -> datetime | None:
    """Return an aware datetime, also from the ISO 8601 string that a template renders.

    Return None for None, an empty string and UNRESOLVED.

    :raises BadParameter: When the value is not a time with a time zone.
    """
    if value is None or value is UNRESOLVED or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadParameter(
                name, f"is not an ISO 8601 time ({describe(value)})", "write it as 2026-01-31T08:00:00Z"
            ) from None
    if not isinstance(value, datetime):
        raise BadParameter(name, f"is of type {type(value).__name__}", "pass an aware datetime")
    if value.utcoffset() is None:
        raise BadParameter(name, "is a datetime without a time zone", "add one, such as 2026-01-31T08:00:00Z")
    return value


def amount(name: str, value: Any) -> Decimal | None:
    """Return an amount of money as a Decimal, or None for None and UNRESOLVED.

    :raises BadParameter: When the value is not a finite number.
    """
    if value is None or value is UNRESOLVED:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise BadParameter(name, f"is not an amount of money ({describe(value)})", "pass a number such as 25")
    return number
