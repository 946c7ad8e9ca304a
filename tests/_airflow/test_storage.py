"""Files on a store that fails: what may pass is left to the task's retries, and what will not ends the task."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_twilio._airflow import storage as files
from airflow_provider_twilio.api.errors import BadParameter


class Shaky(MemoryFileSystem):  # type: ignore[misc]
    """A store in memory that fails each upload as it is told to."""

    fault: Exception = OSError()

    def put_file(self, *args: Any, **kwargs: Any) -> None:
        raise self.fault


def write(fault: Exception) -> None:
    Shaky.fault = fault
    attach("memory", conn_id="shaky", fs=Shaky())
    files.write_table("report", "memory://shaky@bucket/report.csv", ["a"], [{"a": 1}], None)


@pytest.mark.parametrize(
    "fault",
    [ConnectionResetError("reset"), TimeoutError("timed out"), OSError(errno.EBUSY, "Please reduce your rate.")],
)
def test_what_may_pass_is_left_to_retries(fault: Exception):
    with pytest.raises(type(fault)) as raised:
        write(fault)
    assert raised.value is fault


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError])
def test_what_will_not_pass_is_a_bad_parameter(kind: type[OSError]):
    with pytest.raises(BadParameter, match=rf"report can't be written \(memory://.*{kind.__name__}"):
        write(kind("no"))


@pytest.mark.parametrize("below", ["file", "file/deep"])
def test_a_file_where_a_folder_should_be_is_one_too(tmp_path: Path, below: str):
    (tmp_path / "file").touch()
    with pytest.raises(BadParameter, match="report can't be written"):
        files.write_table("report", str(tmp_path / below / "report.csv"), ["a"], [], None)
