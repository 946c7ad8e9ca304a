"""Rows written to files and read back, in each format, without loss or rounding."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

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


INVALID = [
    ("price", "free", "price is not a decimal number"),
    ("price", "NaN", "price is not a decimal number"),
    ("price", "-Infinity", "price is not a decimal number"),
    ("price", "1E+999999", "price is not a decimal number"),
    ("price", {"amount": 1}, "price is not a decimal number"),
    ("num_segments", "two", "num_segments is not a whole number"),
    ("num_segments", 1.5, "num_segments is not a whole number"),
    ("num_segments", ["2"], "num_segments is not a whole number"),
    ("date_sent", "yesterday", "date_sent is not a time"),
    ("date_sent", 1700000000, "date_sent is not a time"),
    ("date_sent", "0001-01-01T00:00:00+14:00", "date_sent is not a time"),
    ("body", "half \ud83d", "body is not valid text"),
]


@pytest.mark.parametrize(("name", "value", "fault"), INVALID)
def test_row_of_record_with_invalid_value_names_the_field(name: str, value: Any, fault: str):
    faults: list[str] = []
    row = dict(zip(COLUMNS, tables.to_row({**RAW, name: value}, COLUMNS, faults.append), strict=True))
    assert (faults, row[name], row["sid"]) == ([fault], None, "SM1")
    with pytest.raises(tables.InvalidValue, match=f"^{fault}$"):
        tables.to_row({**RAW, name: value}, COLUMNS)


@pytest.mark.parametrize("zero", ["-0", "-0.00", "0", "0E-10", "0E+200", Decimal("-0"), -0.0])
@pytest.mark.parametrize("file_format", tables.FILE_FORMATS)
def test_row_of_record_zero_is_equal_when_read(tmp_path: Path, file_format: str, zero: Any):
    row = tables.to_row({**RAW, "price": zero}, COLUMNS)
    path = tmp_path / f"a.{file_format}"
    tables.write(path, [row], COLUMNS)
    assert list(tables.read(path, COLUMNS)) == [row]


def test_row_of_record_decimal_keeps_all_digits():
    digits = "1234567890123456789012345678901234567890.5"
    row = dict(zip(COLUMNS, tables.to_row({**RAW, "price": digits + "00"}, COLUMNS), strict=True))
    assert row["price"] == digits


@pytest.mark.parametrize("file_format", tables.FILE_FORMATS)
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_tables_with_line_ends_in_text_are_equal_when_read(tmp_path: Path, file_format: str, end: str):
    rows = [tables.to_row({**RAW, "body": f"a{end}b"}, COLUMNS), tables.to_row(RAW, COLUMNS)]
    path = tmp_path / f"a.{file_format}"
    tables.write(path, rows, COLUMNS)
    assert list(tables.read(path, COLUMNS)) == rows


def test_drop_unfit_leaves_out_numbers_that_parquet_cannot_hold(tmp_path: Path):
    wide = tables.to_row({**RAW, "price": "-0.12345678901", "num_segments": str(2**63)}, COLUMNS)
    faults: list[str] = []
    row = tables.drop_unfit(wide, COLUMNS, faults.append)
    assert sorted(faults) == [f"{name} has too many digits for Parquet" for name in ("num_segments", "price")]
    for price in ("-999999999999999999.9999999999", "0.0000000001"):
        fitting = tables.to_row({**RAW, "price": price}, COLUMNS)
        assert tables.drop_unfit(fitting, COLUMNS, faults.append) == fitting
        tables.write(tmp_path / "a.parquet", [row, fitting], COLUMNS)
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"sid": "SM1"}\n{"price": "Ada"}\n', "in row 2, price is not a decimal number"),
        ("a.jsonl", '{"sid": "SM1"}\n{"Ada"}\n', r"row 2 cannot be read \(JSONDecodeError\)"),
        ("a.jsonl", '["Ada"]\n', "in row 1, there is no object"),
        ("a.csv", "sid,num_segments\nSM1,Ada\n", "in row 1, num_segments is not a whole number"),
        ("a.csv", "sid,body\nSM1," + "Ada" * 50_000 + "\n", r"row 1 cannot be read \(Error\)"),
        ("a.parquet", "Ada", r"row 1 cannot be read \(ArrowInvalid\)"),
    ],
)
def test_read_file_with_invalid_row_quotes_no_value(tmp_path: Path, name: str, content: str, message: str):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(tables.InvalidValue, match=f"^{message}$") as caught:
        list(tables.read(path, COLUMNS))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


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
