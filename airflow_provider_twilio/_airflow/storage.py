"""Files on any store that Airflow knows: written whole, or not at all."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
"""The endings of files that :func:`write_table` writes."""

PERMANENT_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
"""What a store says that it will say again. Anything else may pass, such as that it is busy."""

log = logging.getLogger(__name__)


def check_path(name: str, value: Any, endings: Sequence[str] = ()) -> None:
    """Require a path, where one is given, with one of these endings if there are any."""
    if value is None or value is UNRESOLVED:
        return
    text = str(value)
    if not text.strip():
        raise BadParameter(name, "is empty", "give a path such as 's3://aws_default@bucket/reports/today.csv'")
    if endings and not text.endswith(tuple(endings)):
        raise BadParameter(name, f"has another ending ({checks.describe(text)})", f"end it in {' or '.join(endings)}")


def resolve_path(name: str, path: str) -> ObjectStoragePath:
    """Give the place on its store that a path names; the connection may stand before an ``@``."""
    from airflow.sdk import ObjectStoragePath

    try:
        found = ObjectStoragePath(path)
        _ = found.fs
    except (ValueError, ImportError) as error:
        raise BadParameter(
            name, f"is on a store that can't be reached: {error}", "install its provider, or mend the path"
        ) from None
    return found


@contextmanager
def atomic_write(name: str, target: ObjectStoragePath, reader: Any) -> Iterator[Path]:
    """Give a local file to write; when it is done it takes the target's place, whole.

    On a file system by renaming, on an object store by an upload, which shows only once it is complete. What may
    pass is left to the task's retries.

    :param name: the parameter that the path was given as.
    :param reader: the hook that what is written came by, for Airflow's lineage.
    """
    with tempfile.TemporaryDirectory(prefix="twilio-") as folder:
        local = Path(folder) / target.name
        yield local
        try:
            _put(local, target)
        except PERMANENT_ERRORS as error:
            raise BadParameter(
                name, f"can't be written ({target}): {type(error).__name__}: {error.strerror or error}", "mend it"
            ) from error
    _emit_lineage(target, reader)


def _put(local: Path, target: ObjectStoragePath) -> None:
    if target.protocol not in ("", "file"):
        target.fs.put_file(str(local), target.path)
        return
    there = Path(target.path)
    there.parent.mkdir(parents=True, exist_ok=True)
    beside = there.with_name(f".{there.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file, local.open("rb") as source:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(there)
    finally:
        beside.unlink(missing_ok=True)


def _emit_lineage(target: ObjectStoragePath, reader: Any) -> None:
    """Tell Airflow's lineage what was written."""
    uri = str(target)
    lineage().add_output_asset(context=reader, uri=uri if "://" in uri else f"file://{uri}")


def write_table(name: str, path: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], reader: Any) -> int:
    """Write rows as CSV or JSON Lines, as the path ends; give how many they are. Values stay as they are, texts.

    :param name: the parameter that the path was given as.
    """
    target = resolve_path(name, path)
    with atomic_write(name, target, reader) as local, local.open("w", encoding="utf-8", newline="") as file:
        return write_csv(file, columns, rows) if path.endswith(".csv") else write_jsonl(file, columns, rows)


def write_csv(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a line of names, then a line a row; what is not there is empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
        count += 1
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def write_jsonl(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON object a line."""
    count = 0
    for row in rows:
        file.write(json.dumps({column: row.get(column) for column in columns}, ensure_ascii=False) + "\n")
        count += 1
    return count


def read_table(name: str, path: str) -> Iterator[Mapping[str, Any]]:
    """Read the rows of a table that :func:`write_table` has written; none if there is no such file."""
    target = resolve_path(name, path)
    if not target.exists():
        return
    with target.fs.open(target.path, "r", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            yield from csv.DictReader(file)
        else:
            yield from map(json.loads, file)
