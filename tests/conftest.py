"""Fixtures and settings of all tests: a separate Airflow home, and a complete Airflow to run DAGs in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# No test asserts seconds: a busy machine must not fail one.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Set before anything imports Airflow, which then reads its home and writes a configuration file there.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
    del os.environ[_name]
_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from tests.real_airflow import Airflow  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Make Airflow's deprecations errors. In pyproject.toml this would import Airflow too early."""
    config.addinivalue_line("filterwarnings", "error::airflow.exceptions.AirflowProviderDeprecationWarning")


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    """Start a complete Airflow with the DAGs of `tests/dags`, once for all tests that request it."""
    with Airflow([ROOT / "tests" / "dags"]) as running:
        yield running
