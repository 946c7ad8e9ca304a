"""Recipients as a stream of rows, from a list of numbers or mappings, or from a file."""

from __future__ import annotations

import re
import string
import unicodedata
from array import array
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import address_text
from airflow_provider_twilio.runtime.bulk.files import PARAMETER, read_file
from airflow_provider_twilio.runtime.bulk.placeholders import INVISIBLE, clean_name, is_missing

CONVERSIONS = {
    "tolist": "a list with .tolist()",
    "to_list": "a list with .to_list()",
    "to_dicts": "a list of mappings with .to_dicts()",
    "to_pylist": "a list of mappings with .to_pylist()",
    "to_dict": 'a list of mappings with .to_dict("records")',
}
"""How arrays and data frames are converted, by the method that does it."""

Row = Mapping[str, Any]


def rows(recipients: Any, column: str = "to") -> Iterator[Row]:
    """Return an iterator of rows. A row maps ``column`` to the number or address, and other names to values.

    :param recipients: Strings, mappings, or the path (``pathlib.Path``, ``ObjectStoragePath``) of a ``.csv``,
        ``.jsonl`` or ``.ndjson`` file.
    :param column: Column of the number or address.
    :raises BadParameter: If the recipients or a row of them are invalid. The iterator raises it too.
    """
    check_type(recipients)
    values = read_file(recipients, column) if hasattr(recipients, "open") else recipients
    return (_as_row(number, value, column) for number, value in enumerate(values, 1))


def check_type(recipients: Any) -> None:
    """Check that recipients are a list, another ordered collection, or the path of a file.

    :raises BadParameter: If they are anything else.
    """
    type_name = type(recipients).__name__
    remedy = "pass a list of numbers, a list of mappings, or the path of a file"
    if isinstance(recipients, AbstractSet) and not isinstance(recipients, KeysView | ItemsView):
        raise BadParameter(PARAMETER, f"is of type {type_name}, which has no order", "pass a list")
    for method, conversion in CONVERSIONS.items():
        if hasattr(type(recipients), method) and not isinstance(recipients, Mapping):
            raise BadParameter(PARAMETER, f"is of type {type_name}", f"convert it to {conversion}")
    if hasattr(recipients, "open"):
        return
    if isinstance(recipients, str | bytes | Mapping) or not isinstance(recipients, Iterable):
        raise BadParameter(PARAMETER, f"is of type {type_name}", remedy)


def check_path(text: str) -> None:
    """Check that a string can be the path of a file.

    :raises BadParameter: If it is empty, a number, or a list or table that a template has rendered.
    """
    if not text.strip():
        raise BadParameter(PARAMETER, "is empty", "pass a list, or the path of a file")
    if "\n" in text.strip() or text.strip()[0] in "[({+":
        raise BadParameter(
            PARAMETER,
            "is a string that is neither the path of a file nor a list",
            "pass a list of numbers, the path of a file, or an XCom itself, such as task.output",
        )


def _as_row(number: int, recipient: Any, column: str) -> Row:
    if isinstance(recipient, str):
        return {column: recipient}
    if isinstance(recipient, Mapping):
        if column in recipient:
            return recipient
        # the name of the column may contain invisible characters
        key = next((key for key in recipient if clean_name(key) == clean_name(column)), None)
        return recipient if key is None else {**recipient, column: recipient[key]}
    remedy = "pass numbers as strings, or mappings"
    if isinstance(recipient, int | float):
        remedy += '; in YAML, quote them: "+14155550100" without quotes loses its plus sign'
    raise BadParameter(PARAMETER, f"row {number} is of type {type(recipient).__name__}", remedy)


# ---------------------------------------------------------------- addresses


def normalize_address(address: Any, checked: bool = False) -> str:
    """Return an address in canonical form, with its number in E.164.

    Numbers are parsed by ``phonenumbers``. Without that library, spaces, punctuation and a ``(0)`` are removed, and the
    rest must be E.164. A channel address keeps its channel: ``WhatsApp: +1 415 555 0100`` becomes
    ``whatsapp:+14155550100``.

    :param address: Address from a row.
    :param checked: Whether the address is known to be valid.
    :raises BadParameter: If the address is missing or no phone number, or its number has an impossible length.
    """
    if checked and isinstance(address, str) and PLAIN_NUMBER.fullmatch(address):
        return address
    if isinstance(address, int | float) and not is_missing(address) and not isinstance(address, bool):
        raise BadParameter(
            "to",
            f"is of type {type(address).__name__}, which has no plus sign",
            'write it as a string; in YAML, quote it: "+14155550100"',
        )
    if is_missing(address) or not isinstance(address, str):
        raise BadParameter(
            "to", "is missing" if is_missing(address) else f"is of type {type(address).__name__}", "pass a number"
        )
    text = address_text(address.strip(INVISIBLE + string.whitespace + "\u00a0"))
    channel, colon, number = text.rpartition(":")
    if channel and channel not in PHONE_CHANNELS:
        return text
    return f"{channel}{colon}{_e164(number.strip())}"


@lru_cache(maxsize=1024)
def _e164(number: str) -> str:
    if not number.isascii():
        number = "".join(map(_ascii_character, number))
    if _SCIENTIFIC.fullmatch(number):
        raise BadParameter(
            "to",
            "was rounded by a spreadsheet to a number with an exponent",
            "format the column as text, and export again",
        )
    number = _TRUNK_PREFIX.sub(r"\1", number)
    try:
        import phonenumbers
    except ImportError:
        digits = number.translate(_PUNCTUATION)
        checks.recipient("to", digits)
        return digits
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        parsed = None
    # Number ranges come into use faster than the library is updated, so only the length is validated.
    if parsed is None or not phonenumbers.is_possible_number(parsed):
        raise BadParameter("to", f"is not a phone number ({checks.describe(number)})", checks.E164_REMEDY)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


PLAIN_NUMBER = re.compile(checks.E164)
"""Pattern of a number in E.164."""
PHONE_CHANNELS = ("whatsapp", "rcs", "tel", "sms")
"""Channels whose addresses are phone numbers."""
_PUNCTUATION = str.maketrans("", "", " .-()/'\t")
# Italy, San Marino, the Vatican, Ivory Coast and Congo keep the 0 of a national number in international format.
_TRUNK_PREFIX = re.compile(r"^(\+(?!39|378|379|225|242)[1-9][0-9]{0,2})[ .-]*\( *0 *\)")
_SCIENTIFIC = re.compile(r"\+?[0-9][.,]?[0-9]*[eE]\+?[0-9]+")


def _ascii_character(character: str) -> str:
    """Return the ASCII character that a character of a number stands for, or no character if it is invisible."""
    if character in INVISIBLE:
        return ""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.category(character) == "Pd" or character in "\u2212\u30fc":
        return "-"
    return " " if character.isspace() else unicodedata.normalize("NFKC", character)


class SeenHashes:
    """A set of 64-bit hashes that takes 16 to 32 bytes for each: 17 to 34 MB for a million.

    It is an open-addressing hash table. The probability that two of a million texts have the same hash is 1 in 37
    million.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._count = 0

    def add(self, value: int) -> bool:
        """Add a hash. Return whether it is new."""
        value = value or 1  # 0 marks an empty slot
        if not _insert(self._slots, value):
            return False
        self._count += 1
        if 2 * self._count > len(self._slots):
            larger = array("Q", bytes(2 * 8 * len(self._slots)))
            for existing in self._slots:
                if existing:
                    _insert(larger, existing)
            self._slots = larger
        return True


def _insert(slots: array[int], value: int) -> bool:
    """Insert a hash by linear probing. Return whether it is new."""
    mask = len(slots) - 1
    index = value & mask
    while existing := slots[index]:
        if existing == value:
            return False
        index = (index + 1) & mask
    slots[index] = value
    return True
