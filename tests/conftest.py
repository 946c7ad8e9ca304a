"""What all tests share: an Airflow home of their own, and a whole Airflow to run DAGs in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# No test is about seconds: a busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Before anything imports Airflow, which reads its home then and writes a configuration file there.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
    del os.environ[_name]
_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from tests.real_airflow import Airflow  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Take Airflow's deprecations for errors. Here and not in pyproject.toml, which would import Airflow too early."""
    config.addinivalue_line("filterwarnings", "error::airflow.exceptions.AirflowProviderDeprecationWarning")


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    """Start a whole Airflow, once for all tests that ask for it; it runs the DAGs of `tests/dags`."""
    with Airflow([ROOT / "tests" / "dags"]) as running:
        yield running
