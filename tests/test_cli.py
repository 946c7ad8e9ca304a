"""Tests of ``airflow twilio emulator``, on versions of Airflow that support commands of providers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import airflow
import pytest
import requests

SCHEMA = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
ROOT = Path(__file__).resolve().parent.parent

requires_provider_commands = pytest.mark.skipif(
    "cli" not in SCHEMA["properties"], reason="only Airflow 3.2 and newer support commands of providers"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def emulator_process(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "airflow", "twilio", "emulator", "--port", "0", "--speed", "100"]
    command += ["--fail", "status=503 n=2", "--quirk", "list_lag=5", "--quirk", "trial=true"]
    command += ["--verify", "+14155550100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


@requires_provider_commands
def test_emulator_command_runs_until_interrupted(emulator_process: subprocess.Popen[str]):
    assert emulator_process.stdout is not None
    lines = iter(emulator_process.stdout.readline, "")
    url = next(line.split()[-1] for line in lines if line.startswith("Twilio emulator"))
    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(f"{url}/_emulator/clock", timeout=10).json()["speed"] == 100
    assert requests.get(f"{url}/_emulator/faults", timeout=10).json()["faults"][0]["n"] == 2
    quirks = requests.get(f"{url}/_emulator/quirks", timeout=10).json()
    assert (quirks["list_lag"], quirks["trial"]) == (5, True)
    verified = requests.post(f"{url}/_emulator/verified", json={"number": "+14155550101"}, timeout=10).json()
    assert verified == {"verified": ["+14155550100", "+14155550101"]}
    emulator_process.send_signal(signal.SIGINT)
    assert emulator_process.wait(20) == 0


@requires_provider_commands
def test_emulator_command_fails_if_it_cannot_listen(environment: dict[str, str]):
    command = [sys.executable, "-m", "airflow", "twilio", "emulator", "--host", "203.0.113.1"]
    assert subprocess.run(command, env=environment, check=False, capture_output=True, timeout=120).returncode == 1


def test_cli_module_imports_nothing_else():
    """Airflow loads the module whenever it parses a command line."""
    code = """
import sys
import airflow.cli.cli_parser
before = set(sys.modules)
from airflow_provider_twilio.cli import get_twilio_cli_commands
(group,) = get_twilio_cli_commands()
print(group.name, *(command.name for command in group.subcommands))
print(*sorted(set(sys.modules) - before))
"""
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert lines[-2] == "twilio emulator"
    assert not [name for name in lines[-1].split() if not name.startswith("airflow_provider_twilio")]
    assert "airflow_provider_twilio.emulator" not in lines[-1].split()
