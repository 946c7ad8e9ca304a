"""What examples of each kind leave behind in logs and XComs, with all at DEBUG: no token, no number, no body."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_twilio.emulator import serve
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
DAGS = tuple(
    f"twilio_{name}"
    for name in ("send_and_wait", "call_and_wait", "number_lifecycle", "nightly_housekeeping", "taskflow")
)
DEBUG = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "sqlalchemy=INFO aiosqlite=INFO",  # each row of the database, word for word
}


@dataclass
class Left:
    """What the runs have left: lines by file, XComs, and what must not be in them."""

    lines: dict[str, list[str]]
    xcoms: list[tuple[str, str]]
    token: str
    numbers: set[str]
    bodies: set[str]

    def hits(self, secrets: set[str]) -> list[str]:
        """Give the lines of logs that hold one of them."""
        wanted = re.compile("|".join(re.escape(secret) for secret in sorted(secrets)))
        return [f"{file}: {line}" for file, lines in self.lines.items() for line in lines if wanted.search(line)]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    home = tmp_path_factory.mktemp("airflow")
    with serve(speed=60) as emulator:
        connections = {"twilio_default": emulator.connection_uri}
        with Airflow([ROOT / "example_dags"], connections=connections, env=DEBUG, home=home) as airflow:
            runs = {dag: airflow.trigger(dag, timeout=120) for dag in DAGS}
            for dag, run_id in runs.items():
                assert airflow.wait(dag, run_id, 400).state == "success", dag
        logs = [path for path in home.rglob("*.log") if path.is_file()]
        with sqlite3.connect(home / "airflow.db") as database:
            xcoms = database.execute("select key, value from xcom").fetchall()
        yield Left(
            {str(path.relative_to(home)): path.read_text(errors="replace").splitlines() for path in logs},
            xcoms,
            emulator.auth_token,
            {str(message["to"]) for message in emulator.messages} | {str(call["to"]) for call in emulator.calls},
            {str(message["body"]) for message in emulator.messages if message["body"]},
        )


OF_AIRFLOW = re.compile(
    r"Received message from task runner .*msg=(SetRenderedFields|SetXCom|SetTaskStateStore)\("
    r"|_PythonDecoratedOperator.*Returned value was|Returned value was.*_PythonDecoratedOperator"
)
"""Airflow's own words of rendered fields, of XComs and of what a `@task` returns, which are the user's to see."""


def test_no_token(left: Left):
    assert not left.hits({left.token})
    assert not [key for key, value in left.xcoms if left.token in str(value)]


def test_no_body_and_no_number_but_in_what_airflow_tells_itself(left: Left):
    assert left.bodies
    assert left.numbers
    hits = left.hits(left.bodies | left.numbers)
    assert hits  # the search finds what is there
    assert not [hit for hit in hits if not OF_AIRFLOW.search(hit)]


def test_no_body_in_an_xcom(left: Left):
    values = [str(value) for _, value in left.xcoms]
    assert [value for value in values if any(number in value for number in left.numbers)]  # to, from: as documented
    assert not [value for value in values if any(body in value for body in left.bodies)]
