"""Lists of recipients: strings and sequences, however their entries are separated."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_START = r"(?:\+|[A-Za-z]+:|[A-Z]{2}[0-9a-f]{32}\b)"
"""Pattern of the beginning of a number, a channel address or a SID."""
# A space belongs to the entry unless a new one follows: "+1 415" must become neither "+1" nor "415", and
# "whatsapp: +1415…" must keep its channel.
_SEPARATOR = re.compile(rf"[,\n\r]|(?<![:\s])\s+(?={_START})")
_SEMICOLON = re.compile(";")
# A semicolon also introduces a parameter of a SIP URI: "sip:alice@example.com;transport=tls".
_SEMICOLON_AFTER_SIP = re.compile(rf";(?=\s*(?:{_START}|;|$))")


def split_recipients(value: Any) -> list[Any]:
    """Return the distinct entries of a list of recipients, in order and without blank ones.

    Entries are separated by commas, semicolons, line breaks, or spaces before a number, channel address or SID. A
    string may also be a list in JSON or Python. Entries of a sequence are split, too, since a template in one may
    render several. Entries of other types are returned unchanged, to be rejected by the checks of the caller.

    :param value: A string, or a sequence of strings and sequences.
    """
    entries: list[Any] = []
    seen = set()
    for entry in _iter_entries(value):
        if isinstance(entry, str):
            if entry in seen:
                continue
            seen.add(entry)
        entries.append(entry)
    return entries


def _iter_entries(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        parsed = _parse_list(value)
        yield from _split(value) if parsed is None else _iter_entries(parsed)
    elif isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        for item in value:
            yield from _iter_entries(item)
    else:
        yield value


def _split(text: str) -> Iterator[str]:
    for part in _SEPARATOR.split(text):
        is_sip = part.strip().lower().startswith(("sip:", "sips:"))
        for entry in (_SEMICOLON_AFTER_SIP if is_sip else _SEMICOLON).split(part):
            if entry := entry.strip():
                yield entry


def _parse_list(text: str) -> list[Any] | None:
    """Return the list that a string spells in JSON or Python, or None if it spells none."""
    if text.strip()[:1] not in ("[", "("):
        return None
    for parse in (ast.literal_eval, json.loads):
        try:
            parsed = parse(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return list(parsed) if isinstance(parsed, list | tuple | set) else None
    return None
