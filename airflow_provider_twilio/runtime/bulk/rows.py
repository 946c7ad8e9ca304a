"""Recipients as a stream of rows, from a list of numbers or mappings, or from a CSV or JSON Lines file.

A file is read line by line as UTF-8, with or without a byte order mark, and decompressed if its name ends with ``.gz``.
An error in it raises a :class:`BadParameter` that names the row.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import address_text

FORMATS = (".csv", ".jsonl", ".ndjson")
PARAMETER = "recipients"
MAX_HEADER_SHOWN = 300
"""Maximum length of a CSV header that an error message quotes, in characters."""

Row = Mapping[str, Any]


def rows(recipients: Any, column: str = "to") -> Iterator[Row]:
    """Return an iterator of rows. A row maps ``column`` to the number or address, and other names to values.

    :param recipients: Strings, mappings, or the path (``pathlib.Path``, ``ObjectStoragePath``) of a ``.csv``,
        ``.jsonl`` or ``.ndjson`` file.
    :param column: Column of the number or address.
    :raises BadParameter: If the recipients or a row of them are invalid. The iterator raises it too.
    """
    if hasattr(recipients, "open"):
        return _read_file(recipients, column)
    if isinstance(recipients, str | Mapping) or not isinstance(recipients, Iterable):
        raise BadParameter(
            PARAMETER,
            f"is of type {type(recipients).__name__}",
            "pass a list of numbers, a list of mappings, or the path of a file",
        )
    return (_as_row(number, recipient, column) for number, recipient in enumerate(recipients, 1))


def _as_row(number: int, recipient: Any, column: str) -> Row:
    if isinstance(recipient, str):
        return {column: recipient}
    if isinstance(recipient, Mapping):
        return recipient
    raise BadParameter(
        PARAMETER, f"row {number} is of type {type(recipient).__name__}", "pass numbers as strings, or mappings"
    )


def _read_file(path: Any, column: str) -> Iterator[Row]:
    name = str(path).lower().removesuffix(".gz")
    if not name.endswith(FORMATS):
        raise BadParameter(
            PARAMETER, "is a file of an unknown type", f"pass a file whose name ends with {', '.join(FORMATS)}"
        )
    try:
        with path.open("rb") as raw:
            lines = _decode_lines(gzip.GzipFile(fileobj=raw) if str(path).lower().endswith(".gz") else raw)
            yield from _read_csv(lines, column) if name.endswith(".csv") else _read_json_lines(lines, column)
    except FileNotFoundError as error:  # not a BadParameter: the file may exist when the task is retried
        raise FileNotFoundError(
            f"{PARAMETER} is a file that does not exist ({path}): correct the path, or wait for the file with a sensor"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fault = "is truncated" if isinstance(error, EOFError) else f"is not valid gzip: {error}"
        raise BadParameter(
            PARAMETER, f"is a file that {fault} ({path})", "compress it again, and copy it completely"
        ) from None


def _decode_lines(raw: Iterable[bytes]) -> Iterator[str]:
    """Yield decoded lines. An error names the line and position of a byte that is not UTF-8."""
    for number, line in enumerate(raw, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadParameter(
                PARAMETER,
                f"line {number} is not UTF-8: its byte {error.start + 1} is 0x{line[error.start]:02X}",
                "save the file as UTF-8",
            ) from None
        if "\0" in text:
            raise BadParameter(PARAMETER, f"line {number} contains a NUL byte", "save the file as UTF-8")
        yield text


def _read_csv(lines: Iterator[str], column: str) -> Iterator[Row]:
    reader = csv.reader(lines, strict=True)
    number = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, column)
        for cells in reader:
            if not any(cells):
                continue
            number += 1
            if len(cells) != len(header):
                raise BadParameter(
                    PARAMETER,
                    f"row {number} (line {reader.line_num}) has {len(cells)} cells, and the header has {len(header)}",
                    "correct the row; put a cell that contains a comma in double quotes",
                )
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadParameter(
            PARAMETER, f"row {number + 1} (line {reader.line_num}) is not valid CSV: {error}", "correct the row"
        ) from None


def _check_header(header: list[str], column: str) -> None:
    if column not in header:
        names = ", ".join(name for name in header if name) or "none"
        fault = f"has no column {column!r}"
        if len(names) < MAX_HEADER_SHOWN:
            fault += f"; its columns are: {names}"
        semicolons = len(header) == 1 and ";" in header[0]
        remedy = "separate the columns by commas" if semicolons else "correct the first line, or set recipient_column"
        raise BadParameter(PARAMETER, fault, remedy)
    if len(set(header)) < len(header):
        raise BadParameter(PARAMETER, "has two columns with the same name", "rename one of them")


def _read_json_lines(lines: Iterator[str], column: str) -> Iterator[Row]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line)
        except ValueError:
            raise BadParameter(PARAMETER, f"row {number} is not JSON", "write one object or string per line") from None
        yield _as_row(number, value, column)


# ---------------------------------------------------------------- addresses


def normalize_address(address: Any, checked: bool = False) -> str:
    """Return an address in canonical form, with its number in E.164.

    Numbers are parsed by ``phonenumbers``. Without that library, spaces and punctuation are removed, and the rest must
    be E.164. A channel address keeps its channel: ``WhatsApp: +1 415 555 0100`` becomes ``whatsapp:+14155550100``.

    :param address: Address from a row.
    :param checked: Whether the address is known to be valid.
    :raises BadParameter: If the address is missing or no phone number, or its number has an impossible length.
    """
    if checked and isinstance(address, str) and PLAIN_NUMBER.fullmatch(address):
        return address
    if not isinstance(address, str) or not address.strip():
        raise BadParameter(
            "to", "is missing" if not address else f"is of type {type(address).__name__}", "pass a number"
        )
    text = address_text(address.strip())
    channel, colon, number = text.rpartition(":")
    if channel and channel not in PHONE_CHANNELS:
        return text
    return f"{channel}{colon}{_e164(number.strip())}"


@lru_cache(maxsize=1024)
def _e164(number: str) -> str:
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
_PUNCTUATION = str.maketrans("", "", " .-()/\u00a0\u2011")


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
