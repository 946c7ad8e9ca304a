"""The segments of a message body.

https://www.twilio.com/docs/glossary/what-sms-character-limit
"""

from __future__ import annotations

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_DOUBLE = frozenset("^{}\\[~]|€\f")
_SIMILAR = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2026": "...",
        "\u00a0": " ", "\u2009": " ", "\u200a": " ", "\u202f": " ", "\u200b": "", "\u2028": " ", "`": "'",
        "\u00ab": '"', "\u00bb": '"', "\u2032": "'", "\u2033": '"', "\u2212": "-", "\u2044": "/", "\t": " ",
    }
)  # fmt: skip


def smart_encode(text: str) -> str:
    """Replace characters outside GSM-7 by similar ones inside, where there are any."""
    return text.translate(_SIMILAR)


def count_segments(text: str) -> int:
    """Return the number of segments that a message body is sent in, which is at least 1."""
    if _BASIC.issuperset(text) or (_BASIC | _DOUBLE).issuperset(text):
        units = [2 if c in _DOUBLE else 1 for c in text]
        single, part = 160, 153
    else:
        units = [2 if ord(c) > 0xFFFF else 1 for c in text]
        single, part = 70, 67
    if sum(units) <= single:
        return 1
    segments, remaining = 1, part
    for unit in units:
        if unit > remaining:
            segments, remaining = segments + 1, part
        remaining -= unit
    return segments
