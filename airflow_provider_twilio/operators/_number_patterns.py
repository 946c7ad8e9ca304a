"""Selection of phone numbers by SID, number or pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter, NotFound
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber
from airflow_provider_twilio.api.records import is_sid
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.privacy import mask

SAMPLE_NUMBERS = (
    "+14155550100", "+442079460018", "+61255500100", "+493023125000", "+33199000000", "+815012345678",
)  # fmt: skip
"""Numbers of several countries. A pattern that matches all of them matches every number."""
SID_PATTERN = r"(?i)PN[0-9a-f]*[*?[]"
"""Regular expression of a pattern that could only match SIDs."""
EXACT_REMEDY = "pass SIDs (PN…) or numbers in E.164, each in full"


def as_list(value: Any) -> list[Any]:
    """Return the entries of a list, or of a string that may hold several."""
    from airflow_provider_twilio.api.recipients import split_recipients  # not needed to parse most DAG files

    return split_recipients(value)


def as_patterns(value: Any) -> list[Any]:
    """Return the patterns of a list, or of a string that may hold several, as they are and split at separators.

    A name may contain separators, so a pattern with some counts both as a whole and in parts: more is protected then.
    """
    whole = [value] if isinstance(value, str) else list(value)
    return [*whole, *(part for part in as_list(whole) if part not in whole)]


def is_pattern(text: str) -> bool:
    """Return whether a string contains a wildcard."""
    return any(sign in text for sign in "*?[")


def check_patterns(name: str, value: Any) -> None:
    """Check patterns of numbers and names.

    :raises BadParameter: If a pattern matches every number, or could only match SIDs, which match in full only.
    """
    if value is UNRESOLVED:
        return
    for entry in as_patterns(value):
        if not isinstance(entry, str) or not entry:
            raise BadParameter(name, f"has an entry that is {checks.describe(entry)}", "pass strings such as '+1415*'")
        if all(fnmatchcase(number, entry) for number in SAMPLE_NUMBERS):
            raise BadParameter(
                name, f"has the pattern {entry!r}, which matches every number", "narrow it, as in '+1415*'"
            )
        if re.match(SID_PATTERN, entry):
            raise BadParameter(name, f"has the pattern {entry!r} for SIDs, which are random", "pass SIDs in full")


def check_selection(name: str, value: Any, *, patterns: bool) -> None:
    """Check a selection of numbers.

    :param patterns: Whether patterns are allowed.
    :raises BadParameter: If the selection is empty, or has an entry that is not a SID, a number or an allowed pattern.
    """
    if value is UNRESOLVED:
        return
    entries = as_list(value)
    if not entries:
        raise BadParameter(name, "is empty", EXACT_REMEDY)
    for entry in entries:
        if not isinstance(entry, str):
            raise BadParameter(name, f"has an entry of type {type(entry).__name__}", EXACT_REMEDY)
        if is_pattern(entry):
            if not patterns:
                raise BadParameter(name, f"has the pattern {entry!r}", EXACT_REMEDY)
            check_patterns(name, [entry])
        elif entry[:2] == "PN" or is_sid(entry):
            checks.sid(name, entry, "PN")
        else:
            checks.required(**{name: entry})
            checks.phone_number(name, entry)


def matches_any(number: Mapping[str, Any], patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches the phone number or its name, or equals its SID. Case is ignored."""
    folded = {pattern.casefold() for pattern in patterns}
    texts = [str(number[key]).casefold() for key in ("phone_number", "friendly_name") if number.get(key)]
    return number["sid"].casefold() in folded or any(fnmatchcase(text, pattern) for text in texts for pattern in folded)


def select(
    owned: Iterable[IncomingPhoneNumber], entries: Sequence[str]
) -> tuple[dict[str, IncomingPhoneNumber], list[str]]:
    """Return the selected numbers by SID, in the order of the entries, and the entries without a number.

    :param owned: All numbers of the account.
    :param entries: SIDs, numbers and patterns.
    """
    numbers = list(owned)
    by_key = {str(number[key]): number for number in numbers for key in ("sid", "phone_number")}
    selected: dict[str, IncomingPhoneNumber] = {}
    missing = []
    for entry in entries:
        if is_pattern(entry):
            matching = [number for number in numbers if matches_any(number, [entry])]
        else:
            matching = [by_key[entry]] if entry in by_key else []
        selected |= {number.sid: number for number in matching}
        if not matching:
            missing.append(entry)
    return selected, missing


def unowned_error(missing: Sequence[str], account_sid: str, action: str) -> NotFound:
    """Return the error for numbers that the account does not own.

    :param missing: Entries of a selection without a number.
    :param action: Past participle of the action that did not take place, such as ``released``.
    """
    named = ", ".join(map(mask, missing[:10]))
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    return NotFound(
        f"account {account_sid} does not own {named}{more}. If another account does, pass its SID as account_sid. No"
        f" number was {action}"
    )
