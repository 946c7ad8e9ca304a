"""The pytest plugin, in projects of users."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs" / "testing-dags.md"
LIBRARIES = ("airflow", "uvicorn", "starlette", "requests", "aiohttp", "jinja2", "pendulum")


class Project:
    """A user's project with its tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pytest(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env=env | {"PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(self.folder / "airflow")},
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_plugin_imports_emulator_only_when_fixture_is_used(project: Project):
    project.write(
        "test_it.py",
        f"""
import sys

def loaded():
    return [name for name in {LIBRARIES!r} if name in sys.modules]

def test_without():
    assert "airflow_provider_twilio.emulator.pytest_plugin" in sys.modules
    assert loaded() == []

def test_with(twilio_emulator):
    assert "uvicorn" in loaded()
    assert "airflow" not in loaded()
""",
    )
    done = project.pytest()
    assert "2 passed" in done.stdout, done.stdout


def test_fixture_resets_emulator_and_sets_connection(project: Project):
    project.write(
        "test_it.py",
        """
import os
import pytest

urls = set()

@pytest.mark.parametrize("n", [1, 2])
def test_anew(twilio_emulator, n):
    assert os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] == twilio_emulator.connection_uri
    urls.add(twilio_emulator.url)
    assert twilio_emulator.messages == []
    assert not twilio_emulator.clock.frozen
    assert twilio_emulator.clock.speed == 1000
    twilio_emulator.receive_message("hello", from_="+14155550100")
    twilio_emulator.clock.freeze()

def test_after():
    assert "AIRFLOW_CONN_TWILIO_DEFAULT" not in os.environ
    assert len(urls) == 1
""",
    )
    done = project.pytest()
    assert "3 passed" in done.stdout, done.stdout


def test_plugin_reads_speed_setting(project: Project):
    project.write("pytest.ini", "[pytest]\ntwilio_emulator_speed = 250\n")
    project.write("test_it.py", "def test_it(twilio_emulator):\n    assert twilio_emulator.clock.speed == 250\n")
    done = project.pytest()
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("setting", ["fast", "0"])
def test_plugin_reports_invalid_speed(project: Project, setting: str):
    project.write("pytest.ini", f"[pytest]\ntwilio_emulator_speed = {setting}\n")
    project.write("test_it.py", "def test_it(twilio_emulator):\n    pass\n")
    done = project.pytest()
    assert done.returncode != 0
    assert f"twilio_emulator_speed is '{setting}': use a positive number" in done.stdout + done.stderr


def blocks() -> dict[str, str]:
    """Return the files in the documentation, by the name in their first line."""
    found = re.findall(r"```python\n# ([\w/]+\.py)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return dict(found)


@pytest.mark.slow
def test_documentation_project_passes_its_tests(project: Project):
    """Run the tests of a project that consists of the documentation's code only."""
    files = blocks()
    assert set(files) >= {"conftest.py", "dags/order_alert.py", "tests/test_order_alert.py"}
    for name, text in files.items():
        project.write(name, text)
    count = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in files.values())
    assert count >= 4
    done = project.pytest("tests", timeout=400)
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
