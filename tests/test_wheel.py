"""Tests of the wheel: its content, its metadata, and how Airflow discovers the provider."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from airflow_provider_twilio import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as for a release: isolated, and from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_contains_only_the_package(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "airflow_provider_twilio",
        f"airflow_provider_twilio-{__version__}.dist-info",
    }
    files = {path.relative_to(ROOT) for path in (ROOT / "airflow_provider_twilio").rglob("*") if path.is_file()}
    expected = {str(path) for path in files if "__pycache__" not in path.parts}
    assert {name for name in names if name.startswith("airflow_provider_twilio/")} == expected
    assert "airflow_provider_twilio/py.typed" in names


def test_wheel_metadata(wheel: Path):
    info = f"airflow_provider_twilio-{__version__}.dist-info"
    archive = zipfile.ZipFile(wheel)
    metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
    assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")


def test_wheel_installed_provider_is_discovered_by_airflow(wheel: Path, tmp_path: Path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    # With the versions of the environment that runs this test.
    requirements = subprocess.check_output(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"], text=True, cwd=ROOT
    )
    (tmp_path / "constraints.txt").write_text(requirements)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, str(wheel), "--constraint", str(tmp_path / "constraints.txt")], check=True)

    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env["AIRFLOW_HOME"] = str(tmp_path / "home")

    def airflow(*arguments: str) -> str:
        return subprocess.check_output([python, "-m", "airflow", *arguments], env=env, cwd=tmp_path, text=True)

    (provider,) = [line for line in airflow("providers", "list").splitlines() if "airflow-provider-twilio" in line]
    assert __version__ in provider
    (hook,) = [line for line in airflow("providers", "hooks").splitlines() if line.startswith("twilio ")]
    assert "airflow_provider_twilio.hooks.twilio.TwilioHook" in hook
    assert "twilio_conn_id" in hook
