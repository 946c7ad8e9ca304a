"""Records as the rows of a file, in CSV, JSON Lines or Parquet, there and back, some thousand at a time.

A row in between is a list of texts, or None: whole numbers and exact decimals without zeros at their ends, and times in
ISO 8601 and UTC. So two rows are equal if what they say is, whatever file they come from.
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

FORMATS = ("jsonl", "csv", "parquet")
BATCH = 2000
DIGITS, PLACES = 28, 10
"""The digits of a decimal in Parquet, and how many of them stand behind the point."""
LEFT_OUT = frozenset({"uri", "subresource_uris", "api_version"})

Row = Sequence[str | None]
Columns = Mapping[str, type]
"""Each column, and what its values are: str, int, Decimal or datetime."""


def columns_of(record: type[Record], without: Iterable[str] = ()) -> Columns:
    """Give the columns of a kind of record: its fields, in their order."""
    omitted = LEFT_OUT | set(without)
    fields = [field for field in vars(record).values() if isinstance(field, Field)]
    return {field.name: field.kind for field in fields if field.name not in omitted}


def row_of(record: Mapping[str, Any], columns: Columns) -> Row:
    """Write a record as a row."""
    return [_text(record.get(name), kind) for name, kind in columns.items()]


def _text(value: Any, kind: type) -> str | None:
    if value is None or value == "":
        return None
    if kind is datetime:
        when = value if isinstance(value, datetime) else parse_datetime(value)
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind is Decimal:
        return f"{Decimal(str(value)).normalize():f}"
    return str(int(value)) if kind is int else str(value)


# ---------------------------------------------------------------- writing


def write(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write a file in the format that it is named for."""
    _WRITERS[path.suffix[1:]](path, rows, columns)


def _write_csv(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    """Write decimals as texts, as Twilio does: most readers take a JSON number for a float."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            values = zip(columns.items(), row, strict=True)
            said = {name: int(text) if kind is int and text else text for (name, kind), text in values}
            file.write(json.dumps(said, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Iterable[Row], columns: Columns) -> None:
    pyarrow, parquet = _pyarrow()
    kinds = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        Decimal: pyarrow.decimal128(DIGITS, PLACES),
        datetime: pyarrow.timestamp("us", tz="UTC"),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    left = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(left, BATCH)):
            values = zip(*batch, strict=True)
            arrays = [
                pyarrow.array([_VALUES[kind](text) if text is not None else None for text in texts], type=kinds[kind])
                for kind, texts in zip(columns.values(), values, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


_VALUES: Mapping[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
}
_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}


# ---------------------------------------------------------------- reading back


def read(path: Path, columns: Columns) -> Iterator[Row]:
    """Read a file's rows; a column that it lacks is None in each."""
    for entry in _READERS[path.suffix[1:]](path):
        yield row_of(entry, columns)


def _read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _read_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    _, parquet = _pyarrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            yield from batch.to_pylist()


_READERS: Mapping[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}


def require(file_format: str) -> None:
    """Refuse a format that what it takes isn't installed for."""
    if file_format == "parquet":
        _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise BadParameter(
            "file_format", "is parquet, and pyarrow is not installed", "pip install 'airflow-provider-twilio[parquet]'"
        ) from None
    return pa, parquet
