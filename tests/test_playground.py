"""``make airflow``: what the one before has left is cleared away, unless it still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.playground import ROOT, begin_anew


def test_a_folder_is_emptied_once_nobody_holds_it(tmp_path: Path):
    home = tmp_path / ".airflow"
    code = f"""
from pathlib import Path
from scripts.playground import begin_anew
home = Path({str(home)!r})
begin_anew(home)
(home / "logs").mkdir()
(home / "logs" / "task.log").write_text("x")
(home / "airflow.db").write_text("x")
(home / "latest").symlink_to("logs")
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
    assert len(list(home.iterdir())) == 3
    begin_anew(home)
    assert list(home.iterdir()) == []


def test_a_folder_that_is_held_is_left_alone(tmp_path: Path):
    begin_anew(tmp_path)
    (tmp_path / "airflow.db").write_text("x")
    with pytest.raises(SystemExit, match="make airflow runs already"):
        begin_anew(tmp_path)
    assert (tmp_path / "airflow.db").read_text() == "x"
