"""The checks that operations share: each names the parameter, the shape of what was given, and the remedy.

A value that isn't known yet, such as a template when the DAG is parsed, is given as :data:`LATER` and passes.
"""

from __future__ import annotations

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
    return value is not None and value != "" and value != []


def one_of(**values: Any) -> None:
    """Require at least one of these parameters."""
    if not any(is_set(value) for value in values.values()):
        names = list(values)
        raise BadParameter(" or ".join(names), "is missing", f"give {', '.join(names[:-1])} or {names[-1]}")


def only_one_of(**values: Any) -> None:
    """Allow at most one of these parameters."""
    names = [name for name, value in values.items() if is_set(value) and value is not UNRESOLVED]
    if len(names) > 1:
        raise BadParameter(" and ".join(names), "are given together", "give one of them: Twilio would ignore the rest")


def required(**values: Any) -> None:
    """Require each of these parameters."""
    for name, value in values.items():
        if not is_set(value):
            raise BadParameter(name, "is missing", f"give {name}")


def sid(name: str, value: Any, *kinds: str) -> str:
    """Require a SID of one of these kinds, and give it."""
    if value is UNRESOLVED:
        return "LATER"
    wanted = f"expected {SID_TYPES[kinds[0]]} SID, {' or '.join(kind + '…' for kind in kinds)}"
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", wanted)
    if is_sid(value, kinds):
        return value
    if is_sid(value):
        raise BadParameter(
            name, "is a SID of the wrong kind", f"{wanted}, got {SID_TYPES.get(value[:2], 'another')} SID"
        )
    if value[:2] in kinds:
        raise BadParameter(
            name, f"starts like a SID but has {len(value)} characters", f"{wanted} and 32 hexadecimal digits"
        )
    raise BadParameter(name, f"is not a SID ({describe(value)})", wanted)


def sids(**values: tuple[Any, str]) -> None:
    """Require SIDs of a kind where they are given: ``sids(content_sid=(content_sid, "HX"))``."""
    for name, (value, kind) in values.items():
        if is_set(value):
            sid(name, value, kind)


def describe(value: object) -> str:
    """Describe a value without telling it."""
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    if not value:
        return "an empty string"
    kinds = [
        name
        for name, found in (
            ("letters", any(c.isalpha() for c in value)),
            ("digits", any(c.isdigit() for c in value)),
            ("spaces", any(c.isspace() for c in value)),
        )
        if found
    ]
    return f"{len(value)} characters{', with ' + ' and '.join(kinds) if kinds else ''}"


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
        return "has a 0 where the country code belongs"
    return f"has {len(digits)} digits, and E.164 has 7 to 15"


def _address(name: str, value: Any, channels: Sequence[str]) -> str | None:
    """Give what is wrong with a value as a number or a channel address; None if nothing is."""
    if not isinstance(value, str):
        raise BadParameter(name, f"is of type {type(value).__name__}", E164_REMEDY)
    channel = re.fullmatch(_CHANNEL, value)
    if channel is None:
        return _e164_fault(value)
    kind, rest = channel[1].lower(), channel[2]
    if kind not in channels:
        others = f" or an address that starts with {', '.join(c + ':' for c in channels)}" if channels else ""
        raise BadParameter(name, f"is a {kind}: address", f"this takes a number in E.164{others}")
    if kind == "whatsapp" and (fault := _e164_fault(rest)):
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
    """Require, where one is given, a number, short code, alphanumeric sender or channel address."""
    if value is UNRESOLVED or not is_set(value):
        return
    if is_sid(value, ("MG",)):
        raise BadParameter(name, "is a messaging service's SID", "give it as messaging_service_sid")
    fault = _address(name, value, channels)
    if fault and not (re.fullmatch(_SHORT_CODE, value) or re.fullmatch(_ALPHANUMERIC, value)):
        raise BadParameter(
            name, fault, E164_REMEDY + ", or give a short code, or an alphanumeric sender of up to 11 characters"
        )


def caller(name: str, value: Any) -> None:
    """Require, where one is given, a number or address that a call may come from."""
    if value is UNRESOLVED or not is_set(value):
        return
    if fault := _address(name, value, CALL_CHANNELS):
        raise BadParameter(name, fault, E164_REMEDY)


def phone_number(name: str, value: Any) -> None:
    """Require a number in E.164, where one is given."""
    if is_set(value):
        recipient(name, value, channels=())


def max_length(name: str, value: Any, maximum: int, what: str = "characters") -> None:
    """Require a text of at most so many characters."""
    _at_most(name, value, (str,), maximum, what)


def max_items(name: str, value: Any, maximum: int) -> None:
    """Require a list of at most so many items, or a text, which is one."""
    _at_most(name, [value] if isinstance(value, str) else value, (list, tuple), maximum, "items")


def _at_most(name: str, value: Any, kinds: tuple[type[Sized], ...], most: int, what: str) -> None:
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, kinds):
        kind = "text" if str in kinds else "a list"
        raise BadParameter(name, f"is of type {type(value).__name__}", f"give {kind} of at most {most} {what}")
    if len(value) > most:
        raise BadParameter(name, f"has {len(value)} {what}", f"Twilio takes at most {most}")


def between(name: str, value: Any, minimum: float, maximum: float, unit: str = "") -> None:
    """Require a number in a range, where one is given."""
    if value is None or value is UNRESOLVED:
        return
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadParameter(name, f"is not a number ({describe(value)})", f"give {minimum} to {maximum}{unit}") from None
    if isinstance(value, bool) or not minimum <= number <= maximum:
        raise BadParameter(name, f"is {value!s:.40}", f"give {minimum} to {maximum}{unit}")


def choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Require one of these values, where one is given."""
    if value is None or value is UNRESOLVED or value in choices:
        return
    raise BadParameter(name, f"is none of its values ({describe(value)})", f"give one of {', '.join(choices)}")


def within_future(name: str, value: Any, minimum: timedelta, maximum: timedelta) -> None:
    """Require a time this far in the future, where one is given."""
    when = parse_timestamp(name, value)
    if when is None:
        return
    away = when - datetime.now(UTC)
    if not minimum <= away <= maximum:
        where = "in the past" if away < timedelta(0) else f"{away.total_seconds():.0f} s ahead"
        raise BadParameter(
            name, f"is {where}", f"Twilio takes {minimum.total_seconds():.0f} s to {maximum.days} days ahead of now"
        )


def parse_timestamp(name: str, value: Any) -> datetime | None:
    """Read an aware datetime, or a string of one, as templates give it; None where it is not given or not known yet."""
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
        raise BadParameter(name, f"is of type {type(value).__name__}", "give an aware datetime")
    if value.utcoffset() is None:
        raise BadParameter(name, "is a datetime without a time zone", "give it one, such as 2026-01-31T08:00:00Z")
    return value


def amount(name: str, value: Any) -> Decimal | None:
    """Read an amount of money, where one is given."""
    if value is None or value is UNRESOLVED:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise BadParameter(name, f"is not an amount of money ({describe(value)})", "give a number such as 25")
    return number
