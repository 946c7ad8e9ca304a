"""Rows written to files and read back, in each format, without loss or rounding."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.transfers import _tables as tables

RAW = {
    "sid": "SM1",
    "body": 'a "text"\nof two lines, 👍',
    "num_segments": "2",
    "price": "-0.00750",
    "error_code": None,
    "from": "+14155550100",
    "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
    "date_sent": None,
    "uri": "/x",
}
COLUMNS = tables.columns_of(Message)


@pytest.mark.parametrize("file_format", tables.FILE_FORMATS)
def test_tables_written_and_read_are_equal(tmp_path: Path, file_format: str):
    rows = [list(tables.to_row({**RAW, "sid": f"SM{number}"}, COLUMNS)) for number in range(tables.ROWS_PER_BATCH + 1)]
    path = tmp_path / f"a.{file_format}"
    tables.write(path, iter(rows), COLUMNS)
    assert [list(row) for row in tables.read(path, COLUMNS)] == rows
    first = path.read_bytes()
    tables.write(path, iter(rows), COLUMNS)
    assert path.read_bytes() == first
    tables.write(path, iter([]), COLUMNS)
    assert list(tables.read(path, COLUMNS)) == []


def test_row_of_record_has_normalized_values():
    row = dict(zip(COLUMNS, tables.to_row(RAW, COLUMNS), strict=True))
    assert (row["price"], row["date_created"], row["from"]) == ("-0.0075", "2023-08-24T05:01:45Z", "+14155550100")
    assert (row["num_segments"], row["error_code"], row["date_sent"]) == ("2", None, None)
    assert not {"uri", "subresource_uris", "api_version"} & COLUMNS.keys()


def test_write_parquet_keeps_types_and_decimals(tmp_path: Path):
    path = tmp_path / "a.parquet"
    tables.write(path, [tables.to_row(RAW, COLUMNS)], COLUMNS)
    table = pq.read_table(path)
    assert table.schema.field("price").type == pa.decimal128(28, 10)
    (record,) = table.to_pylist()
    assert record["price"] == Decimal("-0.0075")
    assert record["date_created"] == datetime(2023, 8, 24, 5, 1, 45, tzinfo=UTC)
    assert (record["num_segments"], record["error_code"]) == (2, None)


def test_write_parquet_with_too_many_digits_raises(tmp_path: Path):
    row = tables.to_row({**RAW, "price": "-0.12345678901234"}, COLUMNS)
    with pytest.raises(ValueError, match="data loss"):
        tables.write(tmp_path / "a.parquet", [row], COLUMNS)


def test_check_format_installed_without_pyarrow_names_package():
    code = """
import sys
sys.modules["pyarrow"] = None
from airflow_provider_twilio.transfers import _tables, storage
_tables.check_format_installed("csv")
try:
    _tables.check_format_installed("parquet")
except ValueError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'airflow-provider-twilio[parquet]'" in output
