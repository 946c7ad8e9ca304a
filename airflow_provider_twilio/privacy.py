"""Keep private what is private: phone numbers, message bodies and secrets, in log lines and exceptions.

Pure, and imports nothing of the package, so that everything may use it.
"""

from __future__ import annotations

import re

# A number as people and URLs write it: + or its percent-encoding, then 7 to 15 digits.
_NUMBER = re.compile(r"(\+|%2B)(\d{7,15})(?!\d)", re.IGNORECASE)


def mask(text: str) -> str:
    """Mask every phone number in a text: ``+14155551234`` becomes ``+1415•••1234``."""
    return _NUMBER.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    digits = match[2]
    shown = 4 if len(digits) >= 11 else 2
    return f"+{digits[:shown]}•••{digits[-shown:]}"
