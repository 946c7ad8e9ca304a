"""Parameter values: wire names, and the format of values on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import (
    Any,
    Final,
)

from airflow_provider_twilio.api.errors import BadParameter

ISO_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


# Twilio's names that are not the parameter's own name in PascalCase.
WIRE_NAMES = {
    "ring_timeout": "Timeout",
    "start": "StartDate",
    "end": "EndDate",
    "transfer_to_account_sid": "AccountSid",
}


class _Unresolved:
    """A value that is not known yet."""

    def __repr__(self) -> str:
        return "UNRESOLVED"


UNRESOLVED: Final[Any] = _Unresolved()
"""Stands for a value that is only known when the task runs, such as a template. It passes every check."""


def wire_name(name: str) -> str:
    """Return Twilio's name of a parameter: ``MediaUrl`` for ``media_url``, ``DateSent>`` for ``date_sent_after``."""
    if name in WIRE_NAMES:
        return WIRE_NAMES[name]
    for suffix, sign in (("_after", ">"), ("_before", "<")):
        if name.endswith(suffix):
            return wire_name(name.removesuffix(suffix)) + sign
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def wire_value(name: str, value: Any) -> str:
    """Format one value for Twilio: ``true``, UTC times, plain decimals, JSON for mappings.

    :param name: The parameter's name, for errors.
    :raises BadParameter: When Twilio has no format for the value.
    """
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BadParameter(
                    name,
                    f"contains a lone surrogate at index {error.start}",
                    "truncate text at character boundaries",
                ) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise BadParameter(
                name,
                "is a datetime without a time zone",
                "add one, as in pendulum.datetime(2026, 1, 1, tz='UTC') or dag_run.logical_date",
            )
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except OverflowError:
            raise BadParameter(name, "is out of range in UTC", "pass a time between the years 1 and 9999") from None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal | float):
        number = Decimal(str(value))
        if not number.is_finite():
            raise BadParameter(name, f"is {value}", "pass a finite number")
        return format(number, "f")
    if isinstance(value, Mapping):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise BadParameter(
                name,
                "contains a value that JSON cannot represent",
                "use strings, finite numbers, booleans, None, lists and mappings only",
            ) from None
        return wire_value(name, text)
    raise BadParameter(name, f"is of type {type(value).__name__}", "pass a string, number, date, or list of strings")


def utc_text(name: str, text: str) -> str:
    """Convert a time in a string, as templates render it, to Twilio's format in UTC.

    A date stays a date; text that is no time is returned unchanged.
    """
    try:
        return text if re.fullmatch(ISO_DAY, text) else wire_value(name, datetime.fromisoformat(text))
    except ValueError as error:
        if isinstance(error, BadParameter):
            raise
        return text


def address_text(text: str) -> str:
    """Return a number or channel address as Twilio lists it: with the channel in lower case."""
    channel, colon, rest = text.partition(":")
    return f"{channel.lower()}:{rest}" if colon else text


def wire_values(name: str, value: Any) -> list[str]:
    """Format a value as the strings that Twilio takes: none for None, one per item for a sequence."""
    if value is None:
        return []
    if isinstance(value, str):
        return [wire_value(name, value)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [wire_value(name, item) for item in value]
    return [wire_value(name, value)]


def parse_int(name: str, value: Any, minimum: int, maximum: int | None = None) -> int | None:
    """Return a whole number, also from a rendered string, or None for None and UNRESOLVED.

    :raises BadParameter: When the value is not a whole number within the limits.
    """
    if value is None or value is UNRESOLVED:
        return None
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < minimum or (maximum and number > maximum):
        limits = f"a whole number from {minimum}" + (f" to {maximum}" if maximum else "")
        raise BadParameter(name, f"is {value!r}"[:40], f"pass {limits}, or None")
    return number
