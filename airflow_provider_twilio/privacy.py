"""Keep private what is private: phone numbers, message bodies and secrets, in log lines and exceptions.

Pure, and imports nothing of the package, so that everything may use it.
"""

from __future__ import annotations

import logging
import re

# A number as people, Twilio and URLs write it: + or its percent-encoding, then 7 to 15 digits, which may be set apart;
# or, without the +, 10 to 15 digits that stand alone. A SID's digits stand among letters.
_APART = r"(?:[ ().-]|%20)*"
_NUMBER = rf"(?i)(?:\+|%2B){_APART}(\d(?:{_APART}\d){{6,14}})(?!\d)|(?<![0-9A-Za-z•.])(\d{{10,15}})(?![0-9A-Za-z])"


def mask(text: str) -> str:
    """Mask every phone number in a text: ``+14155551234`` becomes ``+1415•••1234``."""
    return re.sub(_NUMBER, _masked, text)


def _masked(match: re.Match[str]) -> str:
    number = match[1] or match[2]
    digits = re.sub(r"%20|\D", "", number)
    shown = 4 if len(digits) >= 11 else 2
    return f"{'+' if match[1] else ''}{digits[:shown]}•••{digits[-shown:]}"


class _Masked(logging.Filter):
    """Mask the phone numbers in a logger's lines; let every line pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg, record.args = masked, None
        return True


def mask_logs(*names: str) -> None:
    """Mask the phone numbers in what these loggers log, from now on: HTTP libraries log URLs at DEBUG."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Masked) for known in logger.filters):
            logger.addFilter(_Masked())
