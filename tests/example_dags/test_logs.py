"""Search all logs and XComs of the examples, run at DEBUG, for tokens, phone numbers and message bodies."""

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
FAILING, REPLYING = "twilio_alert_on_failure", "twilio_two_way"
RUN_TIMEOUT = 400  # seconds
DEBUG = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "sqlalchemy=INFO aiosqlite=INFO",  # at DEBUG they log every row verbatim
}


@dataclass
class Traces:
    """Log lines by file and XComs by task, and the secrets that must not be in them."""

    lines: dict[str, list[str]]
    xcoms: list[tuple[str, str]]
    database: bytes
    token: set[str]
    numbers: set[str]
    bodies: set[str]

    def log_hits(self, secrets: set[str]) -> list[str]:
        """Return the log lines that contain a secret."""
        pattern = _any_of(secrets)
        return [f"{file}: {line}" for file, lines in self.lines.items() for line in lines if pattern.search(line)]

    def xcom_hits(self, secrets: set[str]) -> set[str]:
        """Return the tasks whose XComs contain a secret."""
        pattern = _any_of(secrets)
        return {task for task, value in self.xcoms if pattern.search(value)}


def _any_of(secrets: set[str]) -> re.Pattern[str]:
    assert secrets
    variants = secrets | {json.dumps(secret)[1:-1] for secret in secrets}
    return re.compile("|".join(map(re.escape, sorted(variants))))


def params_by_dag(home: Path) -> dict[str, dict[str, Any]]:
    """Return the parameters of each DAG's run: with `apply`, and with files in the Airflow home."""
    return {
        **{dag: {} for dag in DAGS},
        "twilio_account_lifecycle": {"apply": True},
        "twilio_bulk_send": {"people": 20},
        "twilio_logs_to_storage": {"logs": str(home / "storage")},
        "twilio_nightly_housekeeping": {"apply": True, "reports": str(home / "reports")},
        "twilio_number_housekeeping": {"apply": True, "area_code": 212},  # an area code that no other DAG searches
    }


def query(airflow: Airflow, statement: str) -> list[Any]:
    """Run a statement on Airflow's database and return the rows."""
    with closing(sqlite3.connect(airflow.home / "airflow.db", timeout=60)) as database, database:
        return database.execute(statement).fetchall()


def run_all(airflow: Airflow, emulator: Emulator) -> None:
    """Run each DAG; the alerting one also with a message that Twilio rejects, the one with a deadline past it."""
    runs = [
        (dag, airflow.trigger(dag, params, timeout=120, paused=True))
        for dag, params in params_by_dag(airflow.home).items()
    ]
    runs.append((FAILING, airflow.trigger(FAILING, {"to": "+15005559201"}, paused=True)))
    query(airflow, "update deadline set deadline_time = datetime('now', '-1 hour')")
    airflow.until(
        lambda: set(query(airflow, "select state from callback where type = 'triggerer'")) == {("success",)},
        RUN_TIMEOUT,
        "the callback of the missed deadline",
    )
    with approver(emulator):
        for dag in sorted(DAGS):
            airflow.unpause(dag)
        for dag, run_id in runs:
            assert airflow.wait(dag, run_id, RUN_TIMEOUT).state == ("failed" if dag == FAILING else "success"), dag
        airflow.until(
            lambda: query(airflow, "select * from asset_event"), RUN_TIMEOUT, "an asset event for the inbound message"
        )


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
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
            xcoms = query(airflow, "select dag_id || '.' || task_id, value from xcom")
        logs = [path for path in home.rglob("*.log") if path.is_file()]
        speech = {text for call in emulator.calls for text in emulator.transcript(call["sid"])}
        addresses = {str(record[end]) for record in (*emulator.messages, *emulator.calls) for end in ("to", "from")}
        bought = {str(number["phone_number"]) for number in emulator.numbers}
        yield Traces(
            {str(path.relative_to(home)): path.read_text(errors="replace").splitlines() for path in logs},
            [(task, str(value)) for task, value in xcoms],
            b"".join(path.read_bytes() for path in home.glob("airflow.db*")),
            {emulator.auth_token, b64encode(f"{emulator.account_sid}:{emulator.auth_token}".encode()).decode()},
            {number.removeprefix("+") for number in addresses | bought},
            {str(message["body"]) for message in emulator.messages if message["body"]} | speech | old,
        )


# The lines that Airflow itself logs: see docs/reliability.md.
AIRFLOW_LINES = re.compile(
    r"Received message from task runner .*msg=(SetRenderedFields|SetXCom|SetTaskStateStore|DeferTask)\("
    r"|Updating task params|msg=StartupDetails\(|Queuing DagCallbackRequest"  # params and a run's configuration
    r"|Calling 'on_asset_created'"  # a watcher's arguments
    r"|_PythonDecoratedOperator.*Returned value was|Returned value was.*_PythonDecoratedOperator"
)


def test_logs_of_examples_are_at_debug(traces: Traces):
    for dag in DAGS:
        lines = [line for file, lines in traces.lines.items() if f"dag_id={dag}/" in file for line in lines]
        assert any('"level":"debug"' in line for line in lines), dag
    assert {"api-server.log", "dag-processor.log", "scheduler.log", "triggerer.log"} <= traces.lines.keys()


def test_logs_of_examples_contain_no_token(traces: Traces):
    assert not traces.log_hits(traces.token)
    assert not traces.xcom_hits(traces.token)
    assert not [secret for secret in traces.token if secret.encode() in traces.database]


def test_logs_of_examples_contain_bodies_and_numbers_in_airflow_lines_only(traces: Traces):
    hits = traces.log_hits(traces.bodies | traces.numbers)
    assert hits  # the search itself works
    assert not [hit for hit in hits if not AIRFLOW_LINES.search(hit)]


def test_xcoms_of_examples_contain_inbound_bodies_only(traces: Traces):
    compose = f"{REPLYING}.compose"  # the DAG's own function returns the replies
    assert traces.xcom_hits(traces.bodies) == {f"{REPLYING}.read", compose}


def test_xcoms_of_examples_contain_numbers_of_records_only(traces: Traces):
    assert traces.xcom_hits(traces.numbers) == {
        "twilio_send_and_wait.send",
        *(f"twilio_taskflow.{task}" for task in ("recipients", "send")),
        *(f"twilio_call_and_wait.{task}" for task in ("call", "look_back")),
        *(f"twilio_number_lifecycle.{task}" for task in ("search", "purchase", "set_webhook", "use")),
        *(f"twilio_number_housekeeping.{task}" for task in ("ensure", "update")),
        *(f"{REPLYING}.{task}" for task in ("read", "compose", "answer")),
    }
