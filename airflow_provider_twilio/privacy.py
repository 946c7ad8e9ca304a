"""Masking of phone numbers in log lines and error messages.

This module imports nothing from the package, so that every other module can use it.
"""

from __future__ import annotations

import logging
import re
from functools import cache

# Characters between the digits of a number: spaces, hyphens and dashes of any kind, dots, slashes, parentheses and
# invisible characters, also percent-encoded.
_SEPARATOR = (
    r"(?:[\s().\-/\u00ad\u00b7\u200b-\u200f\u2010-\u2015\u2024\u2027\u202a-\u202e\u2060-\u2069\u2212"
    r"\ufe58\ufe63\ufeff\uff0d-\uff0f]"
    r"|%2[0-9DEF]|%A0|%C2%A[0D]|%C2%B7|%E2%8[018]%[0-9A-F]{2}|%EF%BB%BF)"
)
# A number with + or its percent-encoding: 7 to 15 digits.
_INTERNATIONAL = rf"(?:[+\uff0b]|%2B)({_SEPARATOR}{{0,5}}\d(?:{_SEPARATOR}{{0,5}}\d){{6,14}})(?!\d)"
# Without a +: 10 to 15 consecutive digits that touch no letter, which excludes the digits of a SID.
_PLAIN = r"(?<![0-9A-Za-z•.])(\d{10,15})(?![0-9A-Za-z])"
# A number in a national format, with separators: 10 to 17 digits, or 9 with a leading 0. Dates, times, floats and IP
# addresses are not numbers.
_NATIONAL = (
    r"(?<![0-9A-Za-z•.])(?<!\d[-:/. ])"
    r"(?!\d{4}-\d\d-\d\d|\d{1,2}(?P<date>[-./])\d{1,2}(?P=date)\d{4}(?!\d))"
    r"(?!(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|(?:0|[1-9]\d*)\.\d+(?!\d|[ \-/.]\d))"
    rf"(?P<national>\(?(?:\d(?:{_SEPARATOR}{{0,3}}\d){{9,16}}|0(?:{_SEPARATOR}{{0,3}}\d){{8}}))(?![0-9A-Za-z])"
)


@cache
def _number() -> re.Pattern[str]:
    """Return the pattern of a number. It is compiled when first used, as this takes longer than to import a module."""
    return re.compile(rf"(?i){_INTERNATIONAL}|{_PLAIN}|{_NATIONAL}")


def mask(text: str) -> str:
    """Mask every phone number in a string: ``+14155551234`` becomes ``+1415•••1234``.

    Numbers in national formats, such as ``(415) 555-1234``, and with any separators are masked too.
    """
    return _number().sub(_mask_match, text)


def _mask_match(match: re.Match[str]) -> str:
    digits = re.sub(rf"(?i){_SEPARATOR}|\D", "", match[1] or match[2] or match["national"])
    shown = 4 if len(digits) >= 11 else 2
    return f"{'+' if match[1] else ''}{digits[:shown]}•••{digits[-shown:]}"


class _MaskingFilter(logging.Filter):
    """A logging filter that masks phone numbers and passes every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg, record.args = masked, None
        return True


def mask_logs(*names: str) -> None:
    """Mask phone numbers in all further records of these loggers.

    HTTP libraries, for example, log URLs at DEBUG level.

    :param names: Names of the loggers.
    """
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(existing, _MaskingFilter) for existing in logger.filters):
            logger.addFilter(_MaskingFilter())
