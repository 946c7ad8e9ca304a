"""Files on any storage that Airflow supports. They are written completely or not at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import lineage
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

TABLE_FORMATS = (".csv", ".jsonl")
"""Extensions of the files that :func:`write_table` can write."""

PERMANENT_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
"""Errors of a storage that a retry would meet, too. Others may be temporary, such as an overload."""


def check_path(name: str, value: Any, extensions: Sequence[str] = ()) -> None:
    """Check an optional path.

    :param name: Name of the parameter, for the error message.
    :param extensions: The extensions that the path may have. Empty to allow any.
    :raises BadParameter: If the path is empty, or has another extension.
    """
    if value is None or value is UNRESOLVED:
        return
    text = str(value)
    if not text.strip():
        raise BadParameter(name, "is empty", "give a path such as 's3://aws_default@bucket/reports/today.csv'")
    if extensions and not text.endswith(tuple(extensions)):
        raise BadParameter(
            name, f"has an unsupported extension ({checks.describe(text)})", f"use {' or '.join(extensions)}"
        )


def object_path(path: str) -> ObjectStoragePath:
    """Return a path on any storage, which is not opened yet. A relative path starts at the working directory."""
    from airflow.sdk import ObjectStoragePath

    if "://" not in path:
        path = os.path.abspath(path)  # an ObjectStoragePath of Airflow 3.1 would start at the root folder
    return ObjectStoragePath(path)


def resolve_path(name: str, path: str) -> ObjectStoragePath:
    """Return the location of a path on its storage. The path may contain a connection: ``s3://conn_id@bucket/key``.

    :param name: Name of the parameter, for the error message.
    :raises BadParameter: If the storage is unknown, or its provider is not installed.
    """
    try:
        location = object_path(path)
        _ = location.fs
    except (ValueError, ImportError) as error:
        raise BadParameter(
            name, f"is on a storage that can't be opened: {error}", "install its provider, or correct the path"
        ) from None
    return location


@contextmanager
def atomic_write(name: str, target: ObjectStoragePath, reader: Any) -> Iterator[Path]:
    """Yield the path of a temporary file, and replace the target with it at the end.

    On a file system, the file is renamed. On an object store it is uploaded, and visible once the upload is complete.

    :param name: Name of the parameter that the path was passed as, for the error message.
    :param reader: The hook that the data was read with, for Airflow's lineage.
    :raises BadParameter: If the target can't be written, and a retry would fail, too. Other errors of the storage are
        raised as they are, so that Airflow retries the task.
    """
    with tempfile.TemporaryDirectory(prefix="twilio-") as folder:
        temporary = Path(folder) / target.name
        yield temporary
        try:
            _replace(temporary, target)
        except PERMANENT_ERRORS as error:
            raise BadParameter(
                name,
                f"can't be written ({target}): {type(error).__name__}: {error.strerror or error}",
                "correct the path or its permissions",
            ) from error
    _emit_lineage(target, reader)


def _replace(source: Path, target: ObjectStoragePath) -> None:
    if target.protocol not in ("", "file"):
        target.fs.put_file(str(source), target.path)
        return
    path = Path(target.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only a file in the same directory can be renamed atomically.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file, source.open("rb") as content:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _emit_lineage(target: ObjectStoragePath, reader: Any) -> None:
    """Report the file as an output to Airflow's lineage."""
    uri = str(target)
    lineage().add_output_asset(context=reader, uri=uri if "://" in uri else f"file://{uri}")


def write_table(name: str, path: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], reader: Any) -> int:
    """Write rows to a CSV or JSON Lines file, depending on its extension, and return the number of rows.

    :param name: Name of the parameter that the path was passed as, for error messages.
    :param columns: Names of the columns. A column that a row lacks is empty in CSV, and null in JSON Lines.
    :param reader: The hook that the data was read with, for Airflow's lineage.
    :raises BadParameter: If the storage is unknown, or the file can't be written.
    """
    target = resolve_path(name, path)
    with atomic_write(name, target, reader) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        return write_csv(file, columns, rows) if path.endswith(".csv") else write_jsonl(file, columns, rows)


def write_csv(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a header and the rows as CSV, and return the number of rows. A column that a row lacks is empty."""
    write_row = csv_row_writer(file)
    write_row(columns)
    count = 0
    for row in rows:
        write_row([_cell(row.get(column)) for column in columns])
        count += 1
    return count


def csv_row_writer(file: IO[str]) -> Callable[[Iterable[Any]], None]:
    r"""Return a function that writes a row as CSV, with ``\n`` as the line end.

    With this line end, Python's writer leaves cells with a carriage return unquoted. Readers would end a line there.
    """
    writer = csv.writer(file, lineterminator="\n")
    quoting_writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write_row(cells: Iterable[Any]) -> None:
        row = list(cells)
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (quoting_writer if has_return else writer).writerow(row)

    return write_row


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def write_jsonl(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the rows as JSON Lines, and return the number of rows. A column that a row lacks is null."""
    count = 0
    for row in rows:
        file.write(json.dumps({column: row.get(column) for column in columns}, ensure_ascii=False) + "\n")
        count += 1
    return count


def read_table(name: str, path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file that :func:`write_table` has written; no rows if the file does not exist.

    :param name: Name of the parameter that the path was passed as, for error messages.
    :raises BadParameter: If the storage is unknown.
    """
    target = resolve_path(name, path)
    if not target.exists():
        return
    with target.fs.open(target.path, "r", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            yield from csv.DictReader(file)
        else:
            yield from map(json.loads, file)
