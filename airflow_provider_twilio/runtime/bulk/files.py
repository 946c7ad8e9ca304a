"""Files of recipients: CSV with a header, or JSON Lines, read as a stream.

A file is UTF-8, with or without byte order marks, and may be compressed with gzip whatever its name is. Lines end as on
any system. What spreadsheets leave behind is skipped: blank lines, blank columns without a name, and invisible
characters in the names of columns. Errors name the row, and quote nothing but names of columns.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.placeholders import INVISIBLE, clean_name, is_missing, list_columns

FORMATS = (".csv", ".jsonl", ".ndjson")
PARAMETER = "recipients"
CHUNK_SIZE = 1 << 16
"""Size of a read, in bytes."""
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Delimiters that are recognized in a header, with their names."""
MIN_DIGITS = 4
"""Number of digits from which a cell counts as a number."""

_SEPARATOR_LINE = re.compile(r'"?sep=(\t|\\t|[^\s\w"])"?\s*', re.IGNORECASE)
_OTHER_CONTENTS = {
    b"PK\x03\x04": ("an Excel workbook or a ZIP archive", "export it as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "export it as CSV in UTF-8"),
    b"PAR1": ("a Parquet file", "convert it to CSV or JSON Lines"),
}
"""Types of files by their first four bytes, and what to do with them."""


def read_file(path: Any, column: str) -> Iterator[Any]:
    """Yield the rows of a CSV file as mappings, or the values of a JSON Lines file.

    :param path: ``pathlib.Path`` or ``ObjectStoragePath``.
    :param column: Column of the number or address.
    :raises BadParameter: If the file is of another type, or a row of it is invalid.
    :raises FileNotFoundError: If the file does not exist.
    """
    name = str(path).lower().removesuffix(".gz")
    if not name.endswith(FORMATS):
        raise BadParameter(
            PARAMETER, "is a file of an unknown type", f"pass a file whose name ends with {', '.join(FORMATS)}"
        )
    try:
        with path.open("rb") as raw:
            lines = _decode_lines(_decompress(raw, is_named_gzip=str(path).lower().endswith(".gz")))
            yield from _read_csv(lines, column) if name.endswith(".csv") else _read_json_lines(lines)
    except FileNotFoundError as error:  # not a BadParameter: the file may exist when the task is retried
        raise FileNotFoundError(
            f"{PARAMETER} is a file that does not exist ({path}): correct the path, or wait for the file with a sensor"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fault = "is truncated" if isinstance(error, EOFError) else f"is not valid gzip: {error}"
        raise BadParameter(
            PARAMETER, f"is a file that {fault} ({path})", "compress it again, and copy it completely"
        ) from None


def _decompress(raw: IO[bytes], *, is_named_gzip: bool) -> IO[bytes]:
    """Return the content of a file, decompressed if it is gzip."""
    start = raw.read(4)
    raw.seek(0)
    if is_named_gzip or start[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if start in _OTHER_CONTENTS:
        contents, remedy = _OTHER_CONTENTS[start]
        raise BadParameter(PARAMETER, f"is a file with the contents of {contents}", remedy)
    return raw


def _decode_lines(raw: IO[bytes]) -> Iterator[str]:
    """Yield decoded lines. An error names the line and position of a byte that is not UTF-8."""
    for number, line in enumerate(_split_lines(raw), 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadParameter(
                PARAMETER,
                f"line {number} is not UTF-8: its byte {error.start + 1} is 0x{line[error.start]:02X}",
                "save the file as UTF-8",
            ) from None
        if "\0" in text:
            raise BadParameter(PARAMETER, f"line {number} contains a NUL byte", "save the file as UTF-8")
        yield text.lstrip("\ufeff") if number == 1 else text


def _split_lines(raw: IO[bytes]) -> Iterator[bytes]:
    r"""Yield lines with their ends, which may be ``\n``, ``\r\n`` or ``\r``."""
    rest: list[bytes] = []  # it may be incomplete, and a "\r" at its end the first half of "\r\n"
    while chunk := raw.read(CHUNK_SIZE):
        rest.append(chunk)
        if b"\n" in chunk or b"\r" in chunk or rest[0].endswith(b"\r"):
            *lines, last = b"".join(rest).splitlines(keepends=True)
            rest = [last]
            yield from lines
    if rest:
        yield b"".join(rest)


def _read_csv(lines: Iterator[str], column: str) -> Iterator[dict[str, str]]:
    delimiter = ","
    first = next((line for line in lines if line.strip(INVISIBLE + " \t\r\n")), "")
    skipped = 0
    if separator := _SEPARATOR_LINE.fullmatch(first):
        delimiter = separator[1].replace("\\t", "\t")
        first, skipped = next(lines, ""), 1
    _check_delimiter(first, column, delimiter)
    reader = csv.reader(
        chain([first], lines), strict=True, delimiter=delimiter, skipinitialspace=f'{delimiter} "' in first
    )
    delimiter_name = "comma" if delimiter == "," else "delimiter"
    number = 0
    try:
        header = [clean_name(name) for name in next(reader, [])]
        while header and not header[-1]:
            header.pop()
        _check_header(header, column, reader)
        names = [column if name == clean_name(column) else name for name in header]
        is_named = all(names)
        for cells in reader:
            if not (cells and cells[0].strip()) and all(map(is_missing, cells)):
                continue
            number += 1
            if len(cells) > len(names) and all(map(is_missing, cells[len(names) :])):
                del cells[len(names) :]
            if len(cells) != len(names):
                raise BadParameter(
                    PARAMETER,
                    f"row {number} (line {reader.line_num + skipped}) has {len(cells)} cells, and the header has"
                    f" {len(names)}",
                    f"correct the row; put a cell that contains a {delimiter_name} in double quotes",
                )
            row = dict(zip(names, cells, strict=True))
            if not is_named:
                row.pop("", None)
            yield row
    except csv.Error as error:
        raise BadParameter(
            PARAMETER,
            f"row {number + 1} (line {reader.line_num + skipped}) is not valid CSV: {error}",
            "correct the row",
        ) from None


def _check_delimiter(first: str, column: str, delimiter: str) -> None:
    """Check that the first line is not a header with another delimiter.

    :raises BadParameter: If the recipient's column is only found with another one.
    """

    def has_column(separator: str) -> bool:
        return clean_name(column) in [clean_name(name).strip("\"'") for name in first.split(separator)]

    for other, its_name in DELIMITERS.items():
        if other != delimiter and has_column(other) and not has_column(delimiter):
            example = other.replace("\t", "\\t")
            raise BadParameter(
                PARAMETER,
                f"has no column {column!r}: its columns are separated by {its_name}",
                f"separate the columns by commas, or add the first line sep={example}",
            )


def _check_header(header: list[str], column: str, rows: Iterator[list[str]]) -> None:
    """Check the cleaned names of the columns. An error quotes them only if the next row is unlike them.

    :param rows: The rows below the header, of which the first one is read if the recipient's column is missing.
    :raises BadParameter: If two are equal, or the recipient's column is not among them.
    """
    wanted = clean_name(column)
    if wanted in header:
        named = [name for name in header if name]
        if len(set(named)) < len(named):
            raise BadParameter(PARAMETER, "has two columns with the same name", "rename one of them")
        return
    fault = f"has no column {column!r}"
    if not header:
        raise BadParameter(PARAMETER, f"{fault}; its columns are: none", "correct the first line")
    columns = list_columns(header)
    has_number = any(sum(map(str.isdigit, cell)) >= MIN_DIGITS for cell in next(filter(any, rows), []))
    if columns is None:
        raise BadParameter(
            PARAMETER,
            f"{fault}: the first line looks like data, so the file has no header",
            f"add a first line with the names of the columns, such as {wanted},name. No message was sent",
        )
    raise BadParameter(
        PARAMETER,
        f"{fault}; its columns are: {columns}" if columns and has_number else fault,
        "correct the first line, or set recipient_column",
    )


def _read_json_lines(lines: Iterator[str]) -> Iterator[Any]:
    number = 0
    for line in lines:
        if not line.strip(INVISIBLE + " \t\r\n"):
            continue
        number += 1
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            raise BadParameter(PARAMETER, f"row {number} is not JSON", "write one object or string per line") from None
