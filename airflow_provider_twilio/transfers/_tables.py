"""Files of records in CSV, JSON Lines or Parquet: write them and read them back, in batches.

Between records and files stands a row: a list of strings, or None for no value. Numbers are exact decimals without
trailing zeros, and times are ISO 8601 in UTC. So two rows are equal if their values are, whichever format they were
read from.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_provider_twilio._airflow.storage import csv_row_writer
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import Field, Record, parse_datetime

FILE_FORMATS = ("jsonl", "csv", "parquet")
ROWS_PER_BATCH = 2000
"""Rows that are held in memory at once."""
DECIMAL_PRECISION, DECIMAL_SCALE = 28, 10
"""Digits of a decimal in Parquet, and how many of them are fractional."""
MAX_EXPONENT = 100
"""Largest exponent of a number, by absolute value, whose digits are written."""
EXCLUDED_FIELDS = frozenset({"uri", "subresource_uris", "api_version"})

Row = Sequence[str | None]
Columns = Mapping[str, type]
"""The columns' names, and the type of their values: str, int, Decimal or datetime."""


def columns_of(record_type: type[Record], exclude: Iterable[str] = ()) -> Columns:
    """Return the columns of a type of record: its fields, in their order."""
    excluded = EXCLUDED_FIELDS | set(exclude)
    fields = [field for field in vars(record_type).values() if isinstance(field, Field)]
    return {field.name: field.value_type for field in fields if field.name not in excluded}


class InvalidValue(ValueError):
    """A value that a column cannot hold. The message does not quote it."""


def to_row(record: Mapping[str, Any], columns: Columns, on_invalid: Callable[[str], None] | None = None) -> Row:
    """Return the row of a record.

    :param on_invalid: Called with the description of a value that its column cannot hold, which becomes None. Without
        it, such a value is an error.
    :raises InvalidValue: If a value is invalid, and ``on_invalid`` is not given.
    """
    row: list[str | None] = []
    for name, value_type in columns.items():
        value = record.get(name)
        try:
            row.append(_to_text(value, value_type))
        except (ValueError, ArithmeticError, TypeError, AttributeError, LookupError):
            fault = f"{name} is not {_DESCRIPTIONS[value_type]}"
            if on_invalid is None:
                raise InvalidValue(fault) from None
            on_invalid(fault)
            row.append(None)
    return row


_DESCRIPTIONS = {str: "valid text", int: "a whole number", Decimal: "a decimal number", datetime: "a time"}


def _to_text(value: Any, value_type: type) -> str | None:
    if value is None or value == "":
        return None
    if value_type is datetime:
        when = value if isinstance(value, datetime) else parse_datetime(value)
        return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    if value_type is Decimal:
        return _decimal_text(Decimal(str(value)))
    if value_type is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return str(int(value))
    text = str(value)
    text.encode()  # a lone surrogate cannot be written
    return text


def _decimal_text(number: Decimal) -> str:
    """Return all digits of a number, without trailing zeros. Negative zero becomes zero: Parquet has no sign for it."""
    if not number.is_finite():
        raise ValueError
    if not number:
        return "0"
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def drop_unfit(row: Row, columns: Columns, on_invalid: Callable[[str], None]) -> Row:
    """Return a row without the numbers that have too many digits for Parquet.

    :param on_invalid: Called with the description of each such number, which becomes None.
    """
    fitting: list[str | None] = []
    for (name, value_type), text in zip(columns.items(), row, strict=True):
        fits = text is None or (
            abs(int(text)) < 2**63 if value_type is int else value_type is not Decimal or _fits_decimal(text)
        )
        if not fits:
            on_invalid(f"{name} has too many digits for Parquet")
        fitting.append(text if fits else None)
    return fitting


def _fits_decimal(text: str) -> bool:
    whole, _, fraction = text.lstrip("-").partition(".")
    return len(whole) <= DECIMAL_PRECISION - DECIMAL_SCALE and len(fraction) <= DECIMAL_SCALE


def write(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write rows to a file, in the format of its suffix."""
    _WRITERS[path.suffix[1:]](path, rows, columns)


def _write_csv(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_row = csv_row_writer(file)
        write_row(columns)
        for row in rows:
            write_row(row)


def _write_jsonl(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write rows as JSON Lines. Decimals are strings, as in Twilio's API: most readers would round a JSON number."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            values = zip(columns.items(), row, strict=True)
            record = {name: int(text) if value_type is int and text else text for (name, value_type), text in values}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    pyarrow, parquet = _import_pyarrow()
    arrow_types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        Decimal: pyarrow.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
        datetime: pyarrow.timestamp("us", tz="UTC"),
    }
    schema = pyarrow.schema([(name, arrow_types[value_type]) for name, value_type in columns.items()])
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, ROWS_PER_BATCH)):
            arrays = [
                pyarrow.array(
                    [_PARSERS[value_type](text) if text is not None else None for text in texts],
                    type=arrow_types[value_type],
                )
                for value_type, texts in zip(columns.values(), zip(*batch, strict=True), strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


_PARSERS: Mapping[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
}
_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}


def read(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield a file's rows. A column that the file lacks is None in each.

    :raises InvalidValue: If a row cannot be read. The error names it by its number.
    """
    number = 0
    try:
        for number, record in enumerate(_READERS[path.suffix[1:]](path), 1):  # noqa: B007
            if not isinstance(record, Mapping):
                raise InvalidValue("there is no object")
            yield to_row(record, columns)
    except InvalidValue as error:
        raise InvalidValue(f"in row {number}, {error}") from None
    except (ValueError, csv.Error) as error:
        # The error may quote the row.
        raise InvalidValue(f"row {number + 1} cannot be read ({type(error).__name__})") from None


def _read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _read_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    _, parquet = _import_pyarrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
            yield from batch.to_pylist()


_READERS: Mapping[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}


def check_format_installed(file_format: str) -> None:
    """Check that the library of a format is installed.

    :raises BadParameter: When the format is Parquet and pyarrow is not installed.
    """
    if file_format == "parquet":
        _import_pyarrow()


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise BadParameter(
            "file_format",
            "is parquet, and pyarrow is not installed",
            "run pip install 'airflow-provider-twilio[parquet]'",
        ) from None
    return pa, parquet
