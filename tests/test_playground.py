"""Tests of ``make airflow``: a start deletes the files of the previous one, unless that is still running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.playground import ROOT, lock_and_empty


def test_lock_and_empty_deletes_contents_of_unlocked_folder(tmp_path: Path):
    home = tmp_path / ".airflow"
    code = f"""
from pathlib import Path
from scripts.playground import lock_and_empty
home = Path({str(home)!r})
lock_and_empty(home)
(home / "logs").mkdir()
(home / "logs" / "task.log").write_text("x")
(home / "airflow.db").write_text("x")
(home / "latest").symlink_to("logs")
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
    assert len(list(home.iterdir())) == 3
    lock_and_empty(home)
    assert list(home.iterdir()) == []


def test_lock_and_empty_exits_if_folder_is_locked(tmp_path: Path):
    lock_and_empty(tmp_path)
    (tmp_path / "airflow.db").write_text("x")
    with pytest.raises(SystemExit, match="make airflow is already running"):
        lock_and_empty(tmp_path)
    assert (tmp_path / "airflow.db").read_text() == "x"
