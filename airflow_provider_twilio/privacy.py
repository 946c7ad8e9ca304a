"""Masking of phone numbers in log lines and error messages.

This module imports nothing from the package, so that every other module can use it.
"""

from __future__ import annotations

import logging
import re

# A phone number: + or its percent-encoding and 7 to 15 digits with optional separators; or, without a +, 10 to 15
# consecutive digits that touch no letter, which excludes the digits of a SID.
_SEPARATORS = r"(?:[ ().-]|%20)*"
_NUMBER = (
    rf"(?i)(?:\+|%2B){_SEPARATORS}(\d(?:{_SEPARATORS}\d){{6,14}})(?!\d)|(?<![0-9A-Za-z•.])(\d{{10,15}})(?![0-9A-Za-z])"
)


def mask(text: str) -> str:
    """Mask every phone number in a string: ``+14155551234`` becomes ``+1415•••1234``."""
    return re.sub(_NUMBER, _mask_match, text)


def _mask_match(match: re.Match[str]) -> str:
    number = match[1] or match[2]
    digits = re.sub(r"%20|\D", "", number)
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
