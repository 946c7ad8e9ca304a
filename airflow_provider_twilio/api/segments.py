"""Message segments: how Twilio encodes, counts and bills a message body.

A body within GSM-7 has 160 units in a single segment, and 153 in each of several. Any other body is UCS-2, with 70 and
67 units. Characters of GSM-7's extension table take two units, as do characters beyond U+FFFF in UCS-2 (most emoji). No
character and no grapheme cluster is split between segments, unless it is longer than a segment.

https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
https://www.twilio.com/docs/messaging/services#smart-encoding
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

BASIC = frozenset(
    "\n\r !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    "¡£¤¥§¿ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùüΓΔΘΛΞΠΣΦΨΩ"
)
"""Basic character set of GSM-7. Each character takes one unit."""
EXTENSION = frozenset("\f[\\]^{|}~€")
"""Extension table of GSM-7. Each character takes two units."""
_GSM = BASIC | EXTENSION

GSM_SINGLE, GSM_MULTI = 160, 153
UCS2_SINGLE, UCS2_MULTI = 70, 67

# Twilio's smart encoding: each replacement, and the characters outside GSM-7 that it replaces.
_SMART = {
    " ": "\u2001\u2028\u2029",
    "!": "\u01c3\ufe15\ufe57\uff01",
    '"': "\xab\xbb\u02ba\u02ee\u201c\u201d\u201e\u201f\u275d\u275e\u301d\u301e\uff02",
    "#": "\ufe5f\uff03",
    "$": "\ufe69\uff04",
    "%": "\ufe6a\uff05",
    "&": "\ufe60\uff06",
    "'": (
        "\x60\xb4\u02b9\u02bb\u02bc\u02bd\u02c8\u02ca\u02cb\u0313\u0314\u2018\u2019\u201b\u275b\u275c\ufe10\ufe11\uff07"
    ),
    "(": "\u2768\u276a\u27ee\u2985\ufe59\uff08",
    ")": "\u2769\u276b\u27ef\u2986\ufe5a\uff09",
    "*": (
        "\u204e\u2217\u229b\u2722\u2723\u2724\u2725\u2731\u2732\u2733\u273a\u273b\u273c\u273d\u2743\u2749"
        "\u274a\u274b\u29c6\ufe61\uff0a"
    ),
    "+": "\u02d6\ufe62\uff0b",
    ",": "\u0326\u201a\u3001\ufe50\ufe51\uff0c\uff64",
    "-": "\u2010\u2013\u2014\u2015\u2022\u2043\u23bc\u23bd\ufe63\uff0d",
    ".": "\u3002\ufe52\uff0e\uff61",
    "/": "\xf7\u0337\u0338\u2044\u2215\u29f8\uff0f",
    "0": "\uff10",
    "1": "\uff11",
    "2": "\uff12",
    "3": "\uff13",
    "4": "\uff14",
    "5": "\uff15",
    "6": "\uff16",
    "7": "\uff17",
    "8": "\uff18",
    "9": "\uff19",
    ":": "\u02d0\u02f8\u2982\ua789\ufe13\uff1a",
    ";": "\u204f\ufe14\ufe54\uff1b",
    "<": "\u2039\ufe64\uff1c",
    "=": "\u0347\ua78a\ufe66\uff1d",
    ">": "\u203a\ufe65\uff1e",
    "?": "\ufe16\ufe56\uff1f",
    "@": "\ufe6b\uff20",
    "A": "\u1d00\uff21",
    "B": "\u0299\uff22",
    "C": "\u1d04\uff23",
    "D": "\u1d05\uff24",
    "E": "\u1d07\uff25",
    "F": "\ua730\uff26",
    "G": "\u0262\uff27",
    "H": "\u029c\uff28",
    "I": "\u026a\uff29",
    "J": "\u1d0a\uff2a",
    "K": "\u1d0b\uff2b",
    "L": "\u029f\uff2c",
    "M": "\u1d0d\uff2d",
    "N": "\u0274\uff2e",
    "O": "\u1d0f\uff2f",
    "P": "\u1d18\uff30",
    "Q": "\uff31",
    "R": "\u0280\uff32",
    "S": "\ua731\uff33",
    "T": "\u1d1b\uff34",
    "U": "\u1d1c\uff35",
    "V": "\u1d20\uff36",
    "W": "\u1d21\uff37",
    "X": "\uff38",
    "Y": "\u028f\uff39",
    "Z": "\u1d22\uff3a",
    "[": "\uff3b",
    "\\": "\u20e5\u29f5\u29f9\ufe68\uff3c",
    "]": "\uff3d",
    "^": "\u02c6\u0302\u1dcd\uff3e",
    "_": "\u0332\u2017\uff3f",
    "{": "\u2774\ufe5b\uff5b",
    "|": "\u20d2\u20d3\u2223\u239c\u239f\u23b8\u23b9\u23d0\uff5c",
    "}": "\u2775\ufe5c\uff5d",
    "~": "\u02dc\u02f7\u0303\u0330\u0334\u223c\uff5e",
    "": "\x00\x03\x04\x10\x11\x12\x13\x14\x17\x19\u200b\u200c\u2060\ufeff",
    "  ": ("\x80\x8d\x90\x9b\x9f\xa0\u2000\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"),
    "       ": "\x09",
    "!!": "\u203c",
    "...": "\u2026",
    "1/2": "\xbd",
    "1/4": "\xbc",
    "3/4": "\xbe",
}
_SMART_TABLE = str.maketrans({old: new for new, olds in _SMART.items() for old in olds})


@dataclass(frozen=True, slots=True)
class Segments:
    """The encoding and segments of a message body.

    :ivar encoding: ``GSM-7`` or ``UCS-2``.
    :ivar segments: Number of segments, each of which is billed.
    :ivar units: Number of units of the encoding.
    :ivar offending: Characters outside GSM-7, each once, in order. Without them the body would be GSM-7.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    segments: int
    units: int
    offending: tuple[str, ...] = ()


def smart_encode(body: str) -> str:
    """Replace characters as Twilio does with ``smart_encoded=True``."""
    return body.translate(_SMART_TABLE)


def transliterate(text: str) -> str:
    """Convert text to GSM-7.

    Characters outside GSM-7 become similar ones inside it; a run without similar characters becomes one ``?``.
    """
    return re.sub(r"\?{2,}", "?", "".join(_similar(character) for character in smart_encode(text)))


def _similar(character: str) -> str:
    """Return a similar character in GSM-7, ``?``, or nothing for a combining mark."""
    if character in _GSM:
        return character
    decomposed = "".join(c for c in unicodedata.normalize("NFKD", character) if c in _GSM)
    # Some letters do not decompose, such as LATIN SMALL LETTER L WITH STROKE.
    named = re.match(r"LATIN (SMALL|CAPITAL) LETTER ([A-Z])\b", unicodedata.name(character, ""))
    letter = (named[2].lower() if named[1] == "SMALL" else named[2]) if named else "?"
    return decomposed or ("" if unicodedata.combining(character) else letter)


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """Shorten text until it fits, at a word boundary, and mark the cut with ``...``.

    A link at the end of the text is kept if possible.

    :param fits: Whether a text fits. If it accepts a text, it must accept every prefix of that text.
    """
    if fits(text):
        return text
    words, _, link = text.rstrip().rpartition(" ")
    for base, ending in ((words, f"... {link}"), (text, "...")):
        if ending != "..." and not link.startswith(("http://", "https://")):
            continue
        length = bisect_left(range(len(base)), True, key=lambda index: not fits(base[: index + 1] + ending))
        if length:
            cut = base[:length]
            words_only = cut.rpartition(" ")[0] if base[length : length + 1].strip() else cut
            return (words_only if len(words_only) > length * 2 // 3 else cut).rstrip() + ending
    return ""


def count(body: str, smart_encoded: bool = False) -> Segments:
    """Count the segments of a message body.

    :param body: Message body.
    :param smart_encoded: Whether to count the body as Twilio sends it with ``smart_encoded=True``.
    """
    if smart_encoded:
        body = smart_encode(body)
    offending = () if _GSM.issuperset(body) else tuple(dict.fromkeys(c for c in body if c not in _GSM))
    if offending:
        sizes = [size for cluster in _clusters(body) for size in _sizes(cluster)]
        return Segments("UCS-2", _pack(sizes, UCS2_SINGLE, UCS2_MULTI), sum(sizes), offending)
    sizes = [1] * len(body) if BASIC.issuperset(body) else [1 if c in BASIC else 2 for c in body]
    return Segments("GSM-7", _pack(sizes, GSM_SINGLE, GSM_MULTI), sum(sizes))


def _pack(sizes: Sequence[int], single: int, multi: int) -> int:
    """Return how many segments contain pieces of these sizes, in order and undivided."""
    if sum(sizes) <= single:
        return 1
    segments, used = 1, 0
    for size in sizes:
        if used + size > multi:
            segments, used = segments + 1, 0
        used += size
    return segments


def _sizes(cluster: str) -> list[int]:
    """Return the sizes of a cluster's parts in UTF-16 units.

    A cluster is one part, unless it is longer than a segment and must be split.
    """
    sizes = [2 if c > "\uffff" else 1 for c in cluster]
    return [sum(sizes)] if sum(sizes) <= UCS2_MULTI else sizes


# ---------------------------------------------------------------- grapheme clusters

# Characters by their role in a grapheme cluster, as in Unicode 10's annex 29, which Twilio's segment calculator
# follows. Other characters get their role from Python's Unicode properties. Each role is one letter.
_ROLES = {
    "P": "\u0600-\u0605\u06dd\u070f\u08e2\u0d4e\U000110bd\U000111c2\U000111c3",  # prepended mark
    "E": "\u0e33\u0eb3\u1cf2\u1cf3\u200c\uff9e\uff9f\U000e0020-\U000e007f",  # extends the preceding character
    "Z": "\u200d",  # zero-width joiner
    "R": "\U0001f1e6-\U0001f1ff",  # regional indicator: two make a flag
    "m": "\U0001f3fb-\U0001f3ff",  # skin tone
    "g": "\U0001f466-\U0001f469",  # person: takes a skin tone, and can follow a joiner
    "G": "\u2640\u2642\u2695\u2696\u2708\u2764\U0001f308\U0001f33e\U0001f373\U0001f393\U0001f3a4\U0001f3a8\U0001f3eb"
    "\U0001f3ed\U0001f48b\U0001f4bb\U0001f4bc\U0001f527\U0001f52c\U0001f5e8\U0001f680\U0001f692",  # can follow a joiner
    "b": "\u261d\u26f9\u270a-\u270d\U0001f385\U0001f3c2-\U0001f3c4\U0001f3c7\U0001f3ca-\U0001f3cc\U0001f442\U0001f443"
    "\U0001f446-\U0001f450\U0001f46e\U0001f470-\U0001f478\U0001f47c\U0001f481-\U0001f483\U0001f485-\U0001f487\U0001f4aa"
    "\U0001f574\U0001f575\U0001f57a\U0001f590\U0001f595\U0001f596\U0001f645-\U0001f647\U0001f64b-\U0001f64f\U0001f6a3"
    "\U0001f6b4-\U0001f6b6\U0001f6c0\U0001f6cc\U0001f918-\U0001f91c\U0001f91e\U0001f91f\U0001f926\U0001f930-\U0001f939"
    "\U0001f93d\U0001f93e\U0001f9d1-\U0001f9dd",  # takes a skin tone
    "L": "\u1100-\u115f\ua960-\ua97c",  # jamo, the parts of a Korean syllable
    "V": "\u1160-\u11a7\ud7b0-\ud7c6",
    "T": "\u11a8-\u11ff\ud7cb-\ud7fb",
    "O": "\u102b\u102c\u1038\u1062-\u1064\u1067-\u106d\u1083\u1087-\u108c\u108f\u109a-\u109c\u1a61\u1a63\u1a64\uaa7b"
    "\uaa7d",  # marks that do not extend
}
_ROLE = re.compile("|".join(f"(?P<{role}>[{characters}])" for role, characters in _ROLES.items()))
_CLUSTER = re.compile(
    r"C|P*(?:L*(?:V+|AV*|B)T*|L+|T+|RR|[bg]E*m|[^C])(?:E|Z(?:g(?:E*m)?|G)?)*",
)


def _clusters(text: str) -> Iterator[str]:
    """Split text into grapheme clusters.

    Marks, joined emoji, flags, skin tones and Korean syllables stay together.
    """
    roles = "".join(map(_role, text))
    return (text[match.start() : match.end()] for match in _CLUSTER.finditer(roles))


def _role(character: str) -> str:
    """Return the letter of a character's role in a grapheme cluster."""
    if character.isascii():
        return "O" if character.isprintable() else "C"
    if match := _ROLE.match(character):
        return str(match.lastgroup)
    if "\uac00" <= character <= "\ud7a3":  # a Korean syllable: A is open, B is closed
        return "B" if (ord(character) - 0xAC00) % 28 else "A"
    category = unicodedata.category(character)
    if category[0] == "M":
        return "E"
    return "C" if category in ("Cc", "Cf", "Cs", "Zl", "Zp") else "O"
