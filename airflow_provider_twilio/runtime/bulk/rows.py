"""Read recipients as a stream of rows: a list of numbers or of mappings, or a file of CSV or JSON Lines.

A file is read as UTF-8, with or without a byte order mark, a line at a time; what is wrong in it is a
:class:`BadParameter` that names the row. ``.gz`` behind its name is unpacked as it is read.
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

Row = Mapping[str, Any]


def rows(recipients: Any, column: str = "to") -> Iterator[Row]:
    """Give each recipient as a mapping with the number or address under ``column``, and values beside it.

    :param recipients: strings, mappings, or a path (``pathlib.Path``, ``ObjectStoragePath``) to a ``.csv``, ``.jsonl``
        or ``.ndjson`` file.
    """
    if hasattr(recipients, "open"):
        return _of_file(recipients, column)
    if isinstance(recipients, str | Mapping) or not isinstance(recipients, Iterable):
        raise BadParameter(
            PARAMETER,
            f"is of type {type(recipients).__name__}",
            "give a list of numbers, a list of mappings, or the path of a file",
        )
    return (_row(number, recipient, column) for number, recipient in enumerate(recipients, 1))


def _row(number: int, recipient: Any, column: str) -> Row:
    if isinstance(recipient, str):
        return {column: recipient}
    if isinstance(recipient, Mapping):
        return recipient
    raise BadParameter(
        PARAMETER, f"row {number} is of type {type(recipient).__name__}", "give numbers as text, or mappings"
    )


def _of_file(path: Any, column: str) -> Iterator[Row]:
    name = str(path).lower().removesuffix(".gz")
    if not name.endswith(FORMATS):
        raise BadParameter(PARAMETER, "is a file of an unknown kind", f"give one that ends with {', '.join(FORMATS)}")
    try:
        with path.open("rb") as raw:
            lines = _lines(gzip.GzipFile(fileobj=raw) if str(path).lower().endswith(".gz") else raw)
            yield from _csv(lines, column) if name.endswith(".csv") else _json(lines, column)
    except FileNotFoundError as error:  # it may still come: a retry looks again
        raise FileNotFoundError(
            f"{PARAMETER} is a file that is not there ({path}): mend the path, or let a sensor wait for it"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fault = "ends too early" if isinstance(error, EOFError) else f"is not what gzip has packed: {error}"
        raise BadParameter(PARAMETER, f"is a file that {fault} ({path})", "pack it again, and copy it whole") from None


def _lines(raw: Iterable[bytes]) -> Iterator[str]:
    """Decode line by line: a byte that is not UTF-8 is told by its line and place."""
    for number, line in enumerate(raw, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadParameter(
                PARAMETER,
                f"line {number} is not UTF-8: byte {error.start + 1} of it is 0x{line[error.start]:02X}",
                "save the file as UTF-8",
            ) from None
        if "\0" in text:
            raise BadParameter(PARAMETER, f"line {number} holds a zero byte", "save the file as UTF-8")
        yield text


def _csv(lines: Iterator[str], column: str) -> Iterator[Row]:
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
                    f"row {number} (line {reader.line_num}) has {len(cells)} cells, and the header {len(header)}",
                    "mend the row; a cell with a comma stands in double quotes",
                )
            # An empty cell says nothing: no sender of its own, say.
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadParameter(
            PARAMETER, f"row {number + 1} (line {reader.line_num}) is not CSV: {error}", "mend the row"
        ) from None


def _check_header(header: list[str], column: str) -> None:
    if column not in header:
        known = ", ".join(name for name in header if name) or "none"
        told = (
            f"has no column {column!r}; its columns are: {known}" if len(known) < 300 else f"has no column {column!r}"
        )
        semicolons = len(header) == 1 and ";" in header[0]
        remedy = "separate the columns by commas" if semicolons else "mend the first line, or give recipient_column"
        raise BadParameter(PARAMETER, told, remedy)
    if len(set(header)) < len(header):
        raise BadParameter(PARAMETER, "has two columns of one name", "rename one of them")


def _json(lines: Iterator[str], column: str) -> Iterator[Row]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line)
        except ValueError:
            raise BadParameter(PARAMETER, f"row {number} is not JSON", "give one object or one text a line") from None
        yield _row(number, value, column)


# ---------------------------------------------------------------- who is who


def normalize_address(address: Any, checked: bool = False) -> str:
    """Write a number in E.164: as ``phonenumbers`` reads it, or, where that isn't installed, without spaces and signs.

    A channel address keeps its channel: ``WhatsApp: +1 415 555 0100`` is ``whatsapp:+14155550100``.

    :param checked: whether it is known to be a number.
    :raises BadParameter: it is no number, or of no possible length.
    """
    if checked and isinstance(address, str) and PLAIN_NUMBER.fullmatch(address):
        return address
    if not isinstance(address, str) or not address.strip():
        raise BadParameter(
            "to", "is missing" if not address else f"is of type {type(address).__name__}", "give a number"
        )
    spelt = address_text(address.strip())
    channel, colon, number = spelt.rpartition(":")
    if channel and channel not in ("whatsapp", "rcs", "tel", "sms"):
        return spelt
    plain = _e164(number.strip())
    return f"{channel}{colon}{plain}"


@lru_cache(maxsize=1024)
def _e164(number: str) -> str:
    try:
        import phonenumbers
    except ImportError:
        plain = number.translate(_SIGNS)
        checks.recipient("to", plain)
        return plain
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        parsed = None
    # Whether a number is in use changes faster than the library: only its length is held against it.
    if parsed is None or not phonenumbers.is_possible_number(parsed):
        raise BadParameter("to", f"is no phone number ({checks.describe(number)})", checks.E164_REMEDY)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


PLAIN_NUMBER = re.compile(checks.E164)
"""A number in E.164."""
_SIGNS = str.maketrans("", "", " .-()/\u00a0\u2011")


class SeenHashes:
    """Tell which 64-bit hashes were seen before, in 16 to 32 bytes each: a million take 17 to 34 MB.

    Two texts of a million are taken for one with a chance of 1 in 37 million.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._held = 0

    def add(self, number: int) -> bool:
        """Note a hash; tell whether it is new."""
        number = number or 1  # 0 is an empty slot
        if not _put(self._slots, number):
            return False
        self._held += 1
        if 2 * self._held > len(self._slots):
            larger = array("Q", bytes(2 * 8 * len(self._slots)))
            for held in self._slots:
                if held:
                    _put(larger, held)
            self._slots = larger
        return True


def _put(slots: array[int], number: int) -> bool:
    mask = len(slots) - 1
    place = number & mask
    while held := slots[place]:
        if held == number:
            return False
        place = (place + 1) & mask
    slots[place] = number
    return True
