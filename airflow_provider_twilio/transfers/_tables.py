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

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import Field, Record, parse_datetime

FILE_FORMATS = ("jsonl", "csv", "parquet")
ROWS_PER_BATCH = 2000
"""Rows that are held in memory at once."""
DECIMAL_PRECISION, DECIMAL_SCALE = 28, 10
"""Digits of a decimal in Parquet, and how many of them are fractional."""
EXCLUDED_FIELDS = frozenset({"uri", "subresource_uris", "api_version"})

Row = Sequence[str | None]
Columns = Mapping[str, type]
"""The columns' names, and the type of their values: str, int, Decimal or datetime."""


def columns_of(record_type: type[Record], exclude: Iterable[str] = ()) -> Columns:
    """Return the columns of a type of record: its fields, in their order."""
    excluded = EXCLUDED_FIELDS | set(exclude)
    fields = [field for field in vars(record_type).values() if isinstance(field, Field)]
    return {field.name: field.value_type for field in fields if field.name not in excluded}


def to_row(record: Mapping[str, Any], columns: Columns) -> Row:
    """Return the row of a record."""
    return [_to_text(record.get(name), value_type) for name, value_type in columns.items()]


def _to_text(value: Any, value_type: type) -> str | None:
    if value is None or value == "":
        return None
    if value_type is datetime:
        when = value if isinstance(value, datetime) else parse_datetime(value)
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if value_type is Decimal:
        return f"{Decimal(str(value)).normalize():f}"
    return str(int(value)) if value_type is int else str(value)


def write(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write rows to a file, in the format of its suffix."""
    _WRITERS[path.suffix[1:]](path, rows, columns)


def _write_csv(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


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
    """Yield a file's rows. A column that the file lacks is None in each."""
    for record in _READERS[path.suffix[1:]](path):
        yield to_row(record, columns)


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
