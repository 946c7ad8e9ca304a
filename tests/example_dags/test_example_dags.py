"""Each example DAG, unchanged, against the emulator. Only the connection is set."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, serve
from tests.example_dags.run_dags import load

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "example_dags").glob("*.py"))
OWNED = "+15005550006"

# The final state of every task of every example.
FINAL_STATES: dict[str, dict[str, str]] = {
    "example_bulk_send": dict.fromkeys(["export", "send", "report"], "success"),
    "example_send_and_wait": dict.fromkeys(["send", "wait"], "success"),
    "example_call_and_wait": dict.fromkeys(["call", "wait", "look_back"], "success"),
    "example_number_lifecycle": dict.fromkeys(["search", "purchase", "set_webhook", "use", "release"], "success"),
    "example_nightly_housekeeping": dict.fromkeys(
        [
            "balance", "usage", "redact_messages", "delete_messages", "delete_recordings", "delete_calls",
        ],
        "success",
    ),
    "example_two_way": dict.fromkeys(["read", "compose", "answer[0]"], "success"),
    "example_approval": {"ask": "success", "drop": "success", "keep": "skipped"},
    "example_number_housekeeping": dict.fromkeys(["ensure", "update", "idle", "release"], "success"),
    "example_logs_to_storage": dict.fromkeys(["messages", "calls"], "success"),
    "example_account_lifecycle": dict.fromkeys(["money", "create", "suspend", "activate", "close"], "success"),
    "example_taskflow": dict.fromkeys(
        [
            "recipients", "send[0]", "send[1]", "send[2]", "wait[0]", "wait[1]", "wait[2]", "statuses", "segments",
        ],
        "success",
    ),
    "example_alert_on_failure": {"load": "failed"},
    "example_alert_on_deadline": {"report": "success"},
}  # fmt: skip
FAILING = {"example_alert_on_failure"}


@dataclass
class FinishedRuns:
    """The results of all runs, and the environment in which they ran."""

    runs: dict[str, Any]
    emulator: Emulator
    retained: str
    redacted: str
    deleted: set[str]
    home: Path


def airflow(home: Path, emulator: Emulator, *arguments: str | Path) -> None:
    """Run Python in an Airflow home, without the Airflow settings of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    process = subprocess.run(
        [sys.executable, *arguments],
        env={
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            "AIRFLOW_CONN_TWILIO_DEFAULT": emulator.connection_uri,
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
        },
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert process.returncode == 0, process.stdout[-20_000:] + process.stderr[-20_000:]


def send(emulator: Emulator, days_ago: float, body: str) -> str:
    """Create a message in the emulator with a past date, and return its SID."""
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=days_ago))
    from airflow_provider_twilio.hooks.twilio import TwilioHook

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        message = TwilioHook().messages.create(to="+14155550199", from_=OWNED, body=body)
    emulator.clock.reset()
    return str(message.sid)


@contextmanager
def approver(emulator: Emulator) -> Iterator[None]:
    """Reply YES to each question, as a person with a phone would."""
    stopped, replied = threading.Event(), set[str]()

    def reply() -> None:
        while not stopped.wait(0.5):
            for message in emulator.messages:
                code = re.search(r"Reply YES (\d{8})", message["body"] or "")
                if code and message["sid"] not in replied:
                    replied.add(message["sid"])
                    emulator.receive_message(f"Yes {code[1]}", from_=message["to"], to=message["from"])

    person = threading.Thread(target=reply, daemon=True)
    person.start()
    try:
        yield
    finally:
        stopped.set()
        person.join()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRuns]:
    home = tmp_path_factory.mktemp("airflow")
    with serve() as emulator:  # at the speed of real phones, so that tasks have to wait
        retained = send(emulator, 1, "yesterday's")
        redacted = send(emulator, 10, "last week's")
        deleted = {send(emulator, 40, "last month's"), send(emulator, 50, "older")}
        emulator.receive_message("Status", from_="+14155550188")
        emulator.receive_message("Thanks!", from_="+14155550188")
        airflow(home, emulator, "-m", "airflow", "db", "migrate")
        result = home / "result.json"
        with approver(emulator):
            airflow(home, emulator, ROOT / "tests" / "example_dags" / "run_dags.py", result, *FILES)
        yield FinishedRuns(json.loads(result.read_text()), emulator, retained, redacted, deleted, home)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_dag_is_documented(file: Path):
    dag = load(file)
    assert dag.dag_id == file.stem.replace("example_", "twilio_", 1)
    assert dag.doc_md is not None
    assert "twilio_default" in dag.doc_md  # the requirements
    assert {"twilio", "example"} <= set(dag.tags)


def test_example_dags_are_all_run():
    assert {file.stem for file in FILES} == set(FINAL_STATES)


@pytest.mark.real_airflow
@pytest.mark.parametrize("name", FINAL_STATES)
def test_example_dag_run_ends_in_expected_states(finished: FinishedRuns, name: str):
    assert finished.runs[name] == {"state": "failed" if name in FAILING else "success", "tasks": FINAL_STATES[name]}


@pytest.mark.real_airflow
def test_example_dags_send_and_buy_as_documented(finished: FinishedRuns):
    emulator = finished.emulator
    bodies = [message["body"] for message in emulator.messages if message["direction"] == "outbound-api"]
    assert sum("says hello" in body for body in bodies) == 1 + 3
    assert sum("pipelines are green" in body for body in bodies) == 1
    assert sum("twilio_alert_on_failure.load failed, try 3 of 3" in body for body in bodies) == 1
    assert sum("of twilio_alert_on_failure failed. Nobody was billed." in body for body in bodies) == 1
    assert [call["status"] for call in emulator.calls] == ["completed"]
    assert "needs you" in emulator.transcript(emulator.calls[0]["sid"])[0]

    purchases = emulator.journal.find("POST", "IncomingPhoneNumbers.json")
    bought = {str(entry.params["FriendlyName"]): str(entry.params["PhoneNumber"]) for entry in purchases}
    assert len(purchases) == len(bought) == 2
    assert emulator.journal.count("POST", "IncomingPhoneNumbers/PN", SmsUrl="https://example.com/incoming") == 2
    assert emulator.journal.count("POST", "Messages.json", From=bought["for twilio_number_lifecycle"]) == 1
    assert {number["phone_number"] for number in emulator.numbers} == {OWNED, bought["alerts"]}

    opened = emulator.journal.find("POST", "Accounts.json")
    assert len(opened) == 1
    for status in ("suspended", "active", "closed"):
        assert emulator.journal.count("POST", "Accounts/AC", Status=status) == 1


@pytest.mark.real_airflow
def test_example_dags_delete_and_redact_old_messages_only(finished: FinishedRuns):
    remaining = {message["sid"]: message["body"] for message in finished.emulator.messages}
    assert remaining[finished.retained] == "yesterday's"
    assert remaining[finished.redacted] == ""
    assert not finished.deleted & remaining.keys()
    (report,) = (finished.home / "files" / "reports" / "messages").iterdir()
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {(row["sid"], row["outcome"]) for row in rows} == {(sid, "deleted") for sid in finished.deleted}
    (usage,) = (finished.home / "files" / "reports" / "usage").iterdir()
    assert "totalprice" in usage.read_text()


@pytest.mark.real_airflow
def test_example_dags_write_logs_of_four_days(finished: FinishedRuns):
    files = sorted(
        path.name for path in (finished.home / "files" / "logs").glob("*/*") if path.suffix in (".parquet", ".csv")
    )
    assert len(files) == 8  # the run's day and the three before it, for messages and for calls
