"""What all examples leave behind in logs and XComs, with all at DEBUG: no token, no number, no text."""

from __future__ import annotations

import json
import re
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, serve
from tests.example_dags.test_example_dags import approver, send
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
DAGS = {file.stem.replace("example_", "twilio_", 1) for file in (ROOT / "example_dags").glob("*.py")}
FAILS, ANSWERS = "twilio_alert_on_failure", "twilio_two_way"
PATIENCE = 400
DEBUG = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "sqlalchemy=INFO aiosqlite=INFO",  # each row of the database, word for word
}


@dataclass
class Left:
    """What the runs have left: lines by file, XComs by DAG and task, and what must not be in them."""

    lines: dict[str, list[str]]
    xcoms: list[tuple[str, str]]
    database: bytes
    token: set[str]
    numbers: set[str]
    texts: set[str]

    def hits(self, secrets: set[str]) -> list[str]:
        """Give the lines of logs that hold one of them."""
        found = _any(secrets)
        return [f"{file}: {line}" for file, lines in self.lines.items() for line in lines if found.search(line)]

    def pulled(self, secrets: set[str]) -> set[str]:
        """Give the tasks whose XComs hold one of them."""
        found = _any(secrets)
        return {task for task, value in self.xcoms if found.search(value)}


def _any(secrets: set[str]) -> re.Pattern[str]:
    assert secrets
    written = secrets | {json.dumps(secret)[1:-1] for secret in secrets}
    return re.compile("|".join(map(re.escape, sorted(written))))


def confs(home: Path) -> dict[str, dict[str, Any]]:
    """Say how each DAG is run: what destroys does, and what writes writes into the home."""
    return {
        **{dag: {} for dag in DAGS},
        "twilio_account_lifecycle": {"apply": True},
        "twilio_bulk_send": {"people": 20},
        "twilio_logs_to_storage": {"logs": str(home / "storage")},
        "twilio_nightly_housekeeping": {"apply": True, "reports": str(home / "reports")},
        "twilio_number_housekeeping": {"apply": True, "area_code": 212},  # no number that another DAG finds, too
    }


def table(airflow: Airflow, statement: str) -> list[Any]:
    """Run a statement on Airflow's database, and give the rows."""
    with closing(sqlite3.connect(airflow.home / "airflow.db", timeout=60)) as database, database:
        return database.execute(statement).fetchall()


def run_all(airflow: Airflow, emulator: Emulator) -> None:
    """Run each DAG; the one that alerts once so that Twilio refuses the message, and the late one late."""
    runs = [(dag, airflow.trigger(dag, conf, timeout=120, paused=True)) for dag, conf in confs(airflow.home).items()]
    runs.append((FAILS, airflow.trigger(FAILS, {"to": "+15005559201"}, paused=True)))
    table(airflow, "update deadline set deadline_time = datetime('now', '-1 hour')")
    airflow.until(
        lambda: set(table(airflow, "select state from callback where type = 'triggerer'")) == {("success",)},
        PATIENCE,
        "that the run is late has been told",
    )
    with approver(emulator):
        for dag in sorted(DAGS):
            airflow.unpause(dag)
        for dag, run_id in runs:
            assert airflow.wait(dag, run_id, PATIENCE).state == ("failed" if dag == FAILS else "success"), dag
        airflow.until(lambda: table(airflow, "select * from asset_event"), PATIENCE, "what came in has been watched")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    home = tmp_path_factory.mktemp("airflow")
    with serve(speed=60) as emulator:
        for days, text in ((1, "Yesterday's text"), (10, "Last week's text"), (40, "Last month's text")):
            send(emulator, days, text)
        for text in ("sTATUs", "Thank you very much"):
            emulator.receive_message(text, from_="+14155550188")
        old = {str(message["body"]) for message in emulator.messages}
        with Airflow(
            [ROOT / "example_dags"], connections={"twilio_default": emulator.connection_uri}, env=DEBUG, home=home
        ) as airflow:
            run_all(airflow, emulator)
            xcoms = table(airflow, "select dag_id || '.' || task_id, value from xcom")
        logs = [path for path in home.rglob("*.log") if path.is_file()]
        said = {text for call in emulator.calls for text in emulator.transcript(call["sid"])}
        ends = {str(record[end]) for record in (*emulator.messages, *emulator.calls) for end in ("to", "from")}
        bought = {str(number["phone_number"]) for number in emulator.numbers}
        yield Left(
            {str(path.relative_to(home)): path.read_text(errors="replace").splitlines() for path in logs},
            [(task, str(value)) for task, value in xcoms],
            b"".join(path.read_bytes() for path in home.glob("airflow.db*")),
            {emulator.auth_token, b64encode(f"{emulator.account_sid}:{emulator.auth_token}".encode()).decode()},
            {number.removeprefix("+") for number in ends | bought},
            {str(message["body"]) for message in emulator.messages if message["body"]} | said | old,
        )


# What docs/reliability.md says that Airflow itself logs, which is the user's to see.
OF_AIRFLOW = re.compile(
    r"Received message from task runner .*msg=(SetRenderedFields|SetXCom|SetTaskStateStore|DeferTask)\("
    r"|Updating task params|msg=StartupDetails\(|Queuing DagCallbackRequest"  # params, and what a run is triggered with
    r"|Calling 'on_asset_created'"  # a watcher's arguments
    r"|_PythonDecoratedOperator.*Returned value was|Returned value was.*_PythonDecoratedOperator"
)


def test_each_has_logged_all(left: Left):
    for dag in DAGS:
        lines = [line for file, lines in left.lines.items() if f"dag_id={dag}/" in file for line in lines]
        assert any('"level":"debug"' in line for line in lines), dag
    assert {"api-server.log", "dag-processor.log", "scheduler.log", "triggerer.log"} <= left.lines.keys()


def test_no_token(left: Left):
    assert not left.hits(left.token)
    assert not left.pulled(left.token)
    assert not [secret for secret in left.token if secret.encode() in left.database]


def test_no_text_and_no_number_but_in_what_airflow_tells_itself(left: Left):
    hits = left.hits(left.texts | left.numbers)
    assert hits  # the search finds what is there
    assert not [hit for hit in hits if not OF_AIRFLOW.search(hit)]


def test_no_text_in_an_xcom_but_of_what_came_in(left: Left):
    of_the_dag = f"{ANSWERS}.compose"  # its own function returns the answers
    assert left.pulled(left.texts) == {f"{ANSWERS}.read", of_the_dag}


def test_numbers_in_xcoms_are_those_of_records(left: Left):
    assert left.pulled(left.numbers) == {
        "twilio_send_and_wait.send",
        *(f"twilio_taskflow.{task}" for task in ("recipients", "send")),
        *(f"twilio_call_and_wait.{task}" for task in ("call", "look_back")),
        *(f"twilio_number_lifecycle.{task}" for task in ("search", "purchase", "set_webhook", "use")),
        *(f"twilio_number_housekeeping.{task}" for task in ("ensure", "update")),
        *(f"{ANSWERS}.{task}" for task in ("read", "compose", "answer")),
    }
