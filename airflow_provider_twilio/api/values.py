"""Parameter values: wire names, and how values are written on the wire."""

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


# Where Twilio's spelling is not the parameter's own in PascalCase.
WIRE_NAMES = {
    "ring_timeout": "Timeout",
    "start": "StartDate",
    "end": "EndDate",
    "transfer_to_account_sid": "AccountSid",
}


class _Unresolved:
    """Stand for a value that is not known yet."""

    def __repr__(self) -> str:
        return "LATER"


UNRESOLVED: Final[Any] = _Unresolved()
"""Given to an operation's checks for what is only known when the task runs: it passes them all."""


def wire_name(name: str) -> str:
    """Give the wire name of a parameter: ``media_url`` is ``MediaUrl``, ``date_sent_after`` is ``DateSent>``."""
    if name in WIRE_NAMES:
        return WIRE_NAMES[name]
    for ending, sign in (("_after", ">"), ("_before", "<")):
        if name.endswith(ending):
            return wire_name(name.removesuffix(ending)) + sign
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def wire_value(name: str, value: Any) -> str:
    """Write one value as Twilio reads it: ``true``, UTC times, plain decimals, JSON for mappings."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BadParameter(
                    name, f"has half a character at {error.start} (a lone surrogate)", "cut texts between characters"
                ) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise BadParameter(
                name,
                "is a datetime without a time zone",
                "give it one, as in pendulum.datetime(2026, 1, 1, tz='UTC') or dag_run.logical_date",
            )
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except OverflowError:
            raise BadParameter(
                name, "is out of the calendar's range", "give a time between the years 1 and 9999"
            ) from None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal | float):
        number = Decimal(str(value))
        if not number.is_finite():
            raise BadParameter(name, f"is {value}", "give a finite number")
        return format(number, "f")
    if isinstance(value, Mapping):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise BadParameter(name, "holds what JSON can't", "give strings, numbers, booleans, None") from None
        return wire_value(name, text)
    raise BadParameter(name, f"is of type {type(value).__name__}", "give a string, number, date, or list of strings")


def utc_text(name: str, text: str) -> str:
    """Write a time given as text, as templates render it, the way Twilio reads it. A day stays a day."""
    try:
        return text if re.fullmatch(ISO_DAY, text) else wire_value(name, datetime.fromisoformat(text))
    except ValueError as error:
        if isinstance(error, BadParameter):
            raise
        return text


def address_text(text: str) -> str:
    """Write a number or channel address as Twilio lists it: the channel in lower case."""
    channel, colon, rest = text.partition(":")
    return f"{channel.lower()}:{rest}" if colon else text


def wire_values(name: str, value: Any) -> list[str]:
    """Write a value as the one or many strings it takes on the wire. None is none."""
    if value is None:
        return []
    if isinstance(value, str):
        return [wire_value(name, value)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [wire_value(name, item) for item in value]
    return [wire_value(name, value)]


def parse_int(name: str, value: Any, minimum: int, maximum: int | None = None) -> int | None:
    """Read a whole number, also from the text that a template renders to."""
    if value is None or value is UNRESOLVED:
        return None
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < minimum or (maximum and number > maximum):
        limits = f"a whole number from {minimum}" + (f" to {maximum}" if maximum else "")
        raise BadParameter(name, f"is {value!r}"[:40], f"give {limits}, or None")
    return number
