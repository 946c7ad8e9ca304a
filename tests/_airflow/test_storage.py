"""Tests of files on any storage. Temporary errors are raised unchanged, others as `BadParameter`."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_twilio._airflow import storage
from airflow_provider_twilio.api.errors import BadParameter


class FailingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A storage in memory whose uploads raise an error."""

    error: Exception = OSError()

    def put_file(self, *args: Any, **kwargs: Any) -> None:
        raise self.error


def write(error: Exception) -> None:
    FailingFileSystem.error = error
    attach("memory", conn_id="failing", fs=FailingFileSystem())
    storage.write_table("report", "memory://failing@bucket/report.csv", ["a"], [{"a": 1}], None)


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("reset"), TimeoutError("timed out"), OSError(errno.EBUSY, "Please reduce your rate.")],
)
def test_write_table_temporary_error_is_raised_unchanged(error: Exception):
    with pytest.raises(type(error)) as raised:
        write(error)
    assert raised.value is error


@pytest.mark.parametrize("error_type", [FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError])
def test_write_table_permanent_error_raises_bad_parameter(error_type: type[OSError]):
    with pytest.raises(BadParameter, match=rf"report can't be written \(memory://.*{error_type.__name__}"):
        write(error_type("no"))


@pytest.mark.parametrize("folder", ["file", "file/deep"])
def test_write_table_below_a_file_raises_bad_parameter(tmp_path: Path, folder: str):
    (tmp_path / "file").touch()
    with pytest.raises(BadParameter, match="report can't be written"):
        storage.write_table("report", str(tmp_path / folder / "report.csv"), ["a"], [], None)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("extension", storage.TABLE_FORMATS)
def test_write_table_line_ends_in_a_cell_are_read_back(tmp_path: Path, end: str, extension: str):
    path = str(tmp_path / f"report{extension}")
    rows = [{"a": f"x{end}y", "b": "z"}, {"a": "x", "b": "z"}]
    assert storage.write_table("report", path, ["a", "b"], rows, None) == 2
    assert list(storage.read_table("report", path)) == rows


def test_write_table_relative_path_starts_at_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    storage.write_table("report", "folder/report.csv", ["a"], [{"a": 1}], None)
    assert (tmp_path / "folder/report.csv").read_text().split() == ["a", "1"]
    assert list(storage.read_table("report", "folder/report.csv")) == [{"a": "1"}]
