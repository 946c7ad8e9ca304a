"""The fixture for users' own tests, in projects of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs" / "testing-dags.md"
HEAVY = ("airflow", "uvicorn", "starlette", "requests", "aiohttp", "jinja2", "pendulum")


class Project:
    """Hold a user's project, with tests of its own."""

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


def test_nothing_is_imported_until_the_fixture_is_used(project: Project):
    project.write(
        "test_it.py",
        f"""
import sys

def loaded():
    return [name for name in {HEAVY!r} if name in sys.modules]

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


def test_each_test_begins_anew_with_the_connection_set(project: Project):
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


def test_speed_is_a_setting(project: Project):
    project.write("pytest.ini", "[pytest]\ntwilio_emulator_speed = 250\n")
    project.write("test_it.py", "def test_it(twilio_emulator):\n    assert twilio_emulator.clock.speed == 250\n")
    done = project.pytest()
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("setting", ["fast", "0"])
def test_a_wrong_speed_is_said_to_be_wrong(project: Project, setting: str):
    project.write("pytest.ini", f"[pytest]\ntwilio_emulator_speed = {setting}\n")
    project.write("test_it.py", "def test_it(twilio_emulator):\n    pass\n")
    done = project.pytest()
    assert done.returncode != 0
    assert f"twilio_emulator_speed is '{setting}': use a positive number" in done.stdout + done.stderr


def blocks() -> dict[str, str]:
    """Give the files that the documentation tells a user to write, by the name that stands in their first line."""
    found = re.findall(r"```python\n# ([\w/]+\.py)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return dict(found)


@pytest.mark.slow
def test_what_the_documentation_shows_passes(project: Project):
    """A project made of nothing but the documentation's code: its DAG, its set-up, its tests."""
    files = blocks()
    assert set(files) >= {"conftest.py", "dags/order_alert.py", "tests/test_order_alert.py"}
    for name, text in files.items():
        project.write(name, text)
    wanted = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in files.values())
    assert wanted >= 4
    done = project.pytest("tests", timeout=400)
    assert f"{wanted} passed" in done.stdout, done.stdout + done.stderr
