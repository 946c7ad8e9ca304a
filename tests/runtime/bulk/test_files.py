"""Files of recipients as spreadsheets and exports write them, and files that cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.rows import check_path, normalize_address, rows

ONE, TWO = "+14155550101", "+14155550102"
TABLE = f"to,name\r\n{ONE},Ada\r\n{TWO},Zoë\r\n"
PEOPLE = [{"to": ONE, "name": "Ada"}, {"to": TWO, "name": "Zoë"}]


def read(tmp_path: Path, content: str | bytes, name: str = "people.csv", column: str = "to") -> list[Any]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [dict(row) for row in rows(path, column)]


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE,
        "\ufeff\ufeff" + TABLE,
        TABLE.replace("\r\n", "\n"),
        TABLE.replace("\r\n", "\r"),
        TABLE.replace("\r\n", "\r").removesuffix("\r"),
        "\n\n" + TABLE,
        "\r\n \t\r\n" + TABLE,
        TABLE.replace("\r\n", ",,\r\n"),
        TABLE.replace("to,name", "to,name,,").replace("Ada", "Ada, ,"),
        TABLE.replace("to,name", "to,,name").replace("Ada", "x,Ada").replace("Zoë", ",Zoë"),
        TABLE.replace("to,name", " to\u200b,\u00a0name "),
        TABLE.replace("to,name", '"to","\ufeffname"'),
        TABLE + " , \r\n,\r\n\u00a0\r\n \t\r\n",
        TABLE.replace("to,name", 'to, "name"').replace("Ada", ' "Ada"'),
        "sep=,\r\n" + TABLE,
        "sep=;\r\n" + TABLE.replace(",", ";"),
        "\ufeffSep=\t\r\n" + TABLE.replace(",", "\t"),
        "sep=\\t\n" + TABLE.replace(",", "\t"),
        '"sep=;"\n' + TABLE.replace(",", ";"),
    ],
)
def test_read_file_csv_of_a_spreadsheet_has_the_same_rows(tmp_path: Path, content: str):
    assert read(tmp_path, content) == PEOPLE
    assert read(tmp_path, gzip.compress(content.encode())) == PEOPLE  # the name does not end with .gz


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_read_file_lines_across_chunks_are_complete(
    tmp_path: Path, end: str, size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_twilio.runtime.bulk.files.CHUNK_SIZE", size)
    assert read(tmp_path, TABLE.replace("\r\n", end)) == PEOPLE
    cell = f'to,name\n{ONE},"Ada{end}Lovelace"\n'
    assert read(tmp_path, cell) == [{"to": ONE, "name": f"Ada{end}Lovelace"}]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_read_file_json_lines_skips_marks_and_blank_lines(tmp_path: Path, end: str):
    lines = end.join(["\ufeff\ufeff", '{"to": "+14155550101"}', " \t", "\ufeff", '"+14155550102"', ""])
    assert read(tmp_path, lines, "people.jsonl") == [{"to": ONE}, {"to": TWO}]


def test_read_file_recipient_column_has_any_spelling(tmp_path: Path):
    assert read(tmp_path, f"Phone  Number\u200b,name\n{ONE},Ada\n", column="Phone Number")[0]["Phone Number"] == ONE
    assert read(tmp_path, f"Phone Number,name\n{ONE},Ada\n", column="Phone Number ")[0]["Phone Number "] == ONE
    (row,) = rows([{"to\u200b ": ONE}])
    assert row["to"] == ONE


@pytest.mark.parametrize("content", ["Ada,Lovelace\nBob,Smith\n", "Ada,Lovelace\n", "Ada\n"])
def test_read_file_csv_of_names_only_quotes_nothing(tmp_path: Path, content: str):
    with pytest.raises(
        BadParameter, match=r"^recipients has no column 'to': correct the first line, or set recipient_"
    ):
        read(tmp_path, content)


HEADERLESS = [
    f"{ONE},Ada Lovelace,Your code is 1234\n{TWO},Bob,Hi\n",
    "4155550101,Ada\n4155550102,Bob\n",
    "Ada,(415) 555-0101\n",
    "Ada;+14155550101\n",
    "ada@example.com,Ada\n",
    "whatsapp:ada,Ada\n",
    "Ada,Dear Ada we are open again on Monday\n",
    "Ada,https://example.com\n",
    ",Ada,+14155550101\n",
]


@pytest.mark.parametrize("content", HEADERLESS)
def test_read_file_csv_without_header_quotes_nothing(tmp_path: Path, content: str):
    with pytest.raises(BadParameter) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "the first line looks like data, so the file has no header: add a first line" in message
    assert not any(part in message for part in ("Ada", "415", "ada", "code"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"to;name\n{ONE};Ada\n", "its columns are separated by semicolons: separate .* by commas, or add .*sep=;"),
        (f"to\tname\n{ONE}\tAda\n", r"its columns are separated by tabs: .* add the first line sep=\\t"),
        (f'"to"|"name"\n{ONE}|Ada\n', "its columns are separated by vertical bars"),
        (f"phone,First Name\n{ONE},Ada\n", "has no column 'to'; its columns are: phone, First Name: correct"),
        ("to,to \n", "has two columns with the same name"),
        (f"to,name,\n{ONE},Ada,x\n", r"row 1 \(line 2\) has 3 cells, and the header has 2"),
        (f"sep=;\nto;name\n{ONE}\n", r"row 1 \(line 3\) has 1 cells"),
        (b"PK\x03\x04rest", "is a file with the contents of an Excel workbook or a ZIP archive: export it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "an Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
    ],
)  # fmt: skip
def test_read_file_csv_that_cannot_be_read_names_the_problem(tmp_path: Path, content: str | bytes, message: str):
    with pytest.raises(BadParameter, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.csv", f'to,name\n{ONE},"Ada" Lovelace\n'),
        ("people.csv", f"to,name\n{ONE},Ada,x\n"),
        ("people.jsonl", f'{{"to": "{ONE}", "name": Ada}}\n'),
        ("people.jsonl", f'["{ONE}", "Ada"]\n'),
        ("people.jsonl", "14155550101\n"),
    ],
)
def test_read_file_errors_quote_no_value_of_a_row(tmp_path: Path, name: str, content: str):
    with pytest.raises(BadParameter, match="row 1 ") as caught:
        read(tmp_path, content, name)
    assert not any(part in str(caught.value).split(";")[0] for part in ("Ada", "415", "x\n"))


class DataFrame:
    """A data frame. One of its columns is an attribute that paths have, too."""

    open = (1.5, 2.5)

    def __iter__(self) -> Any:
        return iter(["to", "name"])

    def to_dict(self, orient: str) -> Any:
        return [{"to": ONE, "orient": orient}]


class Frame(DataFrame):
    def to_dicts(self) -> Any:
        return []


class Array:
    def __iter__(self) -> Any:
        return iter([ONE])

    def tolist(self) -> list[str]:
        return [ONE]


class Series(Array):
    def to_dict(self) -> dict[int, str]:
        return {0: ONE}


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        (DataFrame(), r'is of type DataFrame: convert it to a list of mappings with \.to_dict\("records"\)'),
        (Frame(), r"is of type Frame: convert it to a list of mappings with \.to_dicts\(\)"),
        (Array(), r"is of type Array: convert it to a list with \.tolist\(\)"),
        (Series(), r"is of type Series: convert it to a list with \.tolist\(\)"),
        ({ONE, TWO}, "is of type set, which has no order: pass a list"),
        (frozenset({ONE}), "is of type frozenset, which has no order: pass a list"),
        (b"people.csv", "is of type bytes"),
    ],
)
def test_rows_of_an_unordered_or_tabular_type_names_the_type(recipients: Any, message: str):
    with pytest.raises(BadParameter, match=rf"^recipients {message}"):
        rows(recipients)


@pytest.mark.parametrize("value", [14155550101, 14155550101.0])
def test_rows_with_numbers_from_yaml_ask_for_quotes(value: Any):
    with pytest.raises(
        BadParameter, match=rf"^recipients row 1 is of type {type(value).__name__}: .*in YAML, quote them"
    ):
        list(rows([value]))
    with pytest.raises(BadParameter, match=r"^to is of type (int|float), which has no plus sign: .*in YAML, quote it"):
        normalize_address(value)


@pytest.mark.parametrize(
    "text", ["[{'to': '+14155550101', 'n': nan}]", "          to\n0  +14155550101\n", ONE, f"{ONE}, {TWO}", "{'+1415'}"]
)
def test_check_path_of_a_rendered_list_names_the_problem(text: str):
    with pytest.raises(
        BadParameter, match=r"^recipients is a string that is neither .*such as task\.output$"
    ) as caught:
        check_path(text)
    assert "415" not in str(caught.value)


def test_rows_accepts_ordered_collections():
    assert [row["to"] for row in rows(dict.fromkeys([TWO, ONE]).keys())] == [TWO, ONE]
    assert [row["to"] for row in rows(number for number in (TWO, ONE))] == [TWO, ONE]
