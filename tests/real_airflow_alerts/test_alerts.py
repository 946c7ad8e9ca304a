"""Alerts in a complete Airflow: tries, alert storms, deadlines, wrong credentials, and an approval.

TWILIO_TEST_STORM sets the number of tasks that fail in the storm: 12 by default. The docs promise 500.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow import sdk

from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow]

STORM = int(os.environ.get("TWILIO_TEST_STORM", "12"))
PARALLELISM = 8
MAX_PER_HOUR = 5  # as in the DAG
DAGS = Path(__file__).parent / "dags"
PHONES = {
    name: f"+141555501{number:02}"
    for number, name in enumerate(["tries", "storm", "dag", "deadline", "executor", "broken", "fallback", "approver"])
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve(speed=1000) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: Emulator) -> Iterator[Airflow]:
    valid = f"{emulator.connection_uri}/?from_=%2B15005550006"
    invalid = emulator.connection_uri.replace(quote(emulator.auth_token), "wrong")
    env = {"AIRFLOW_VAR_ONCALL": PHONES["broken"], "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM)}
    with Airflow([DAGS], connections={"twilio_default": valid, "broken": invalid}, env=env) as running:
        yield running


def bodies(emulator: Emulator, name: str) -> list[str]:
    return [message["body"] for message in emulator.messages if message["to"] == PHONES[name]]


def wait_for_messages(emulator: Emulator, name: str, minimum: int, seconds: float = 90) -> list[str]:
    """Wait until a phone has at least this many messages, and return them."""
    end = time.monotonic() + seconds
    while len(found := bodies(emulator, name)) < minimum:
        assert time.monotonic() < end, f"{name} has {found}"
        time.sleep(0.5)
    return found


def test_alerts_with_only_last_try_report_last_try(airflow: Airflow, emulator: Emulator):
    run_id = airflow.trigger("alerts_tries")
    assert airflow.wait("alerts_tries", run_id).tasks == {"fail": "failed"}
    (entry,) = airflow.task_instances("alerts_tries", run_id)
    assert entry["try_number"] == 3
    (body,) = wait_for_messages(emulator, "tries", 1)
    assert body.startswith("Airflow: alerts_tries.fail failed, try 3 of 3 (ValueError), ")
    assert body.endswith(f"{airflow.url}/dags/alerts_tries/runs/{run_id}/tasks/fail")
    assert count(body).segments == 1
    assert not emulator.journal.find("GET", "Messages.json", To=PHONES["tries"])


def test_alerts_of_storm_are_limited_and_announced(airflow: Airflow, emulator: Emulator):
    started = time.monotonic()
    run_id = airflow.trigger("alerts_storm", {"many": STORM})
    run = airflow.wait("alerts_storm", run_id, 120 + 6 * STORM)
    assert list(run.tasks.values()).count("failed") == STORM
    duration = time.monotonic() - started
    alerts = bodies(emulator, "storm")
    notices = [body for body in alerts if re.search(r"More are held back until \d\d:\d\d UTC\. #", body)]
    print(
        f"\n{STORM} tasks failed in {duration:.0f} s: {len(alerts)} alerts, {len(notices)} of them with the notice",
        *alerts,
        sep="\n",
    )
    assert MAX_PER_HOUR <= len(alerts) <= MAX_PER_HOUR + PARALLELISM
    assert notices
    assert all(count(body).segments == 1 for body in alerts)
    assert emulator.journal.count("GET", "Messages.json", To=PHONES["storm"]) <= STORM + PARALLELISM + 1

    (body,) = wait_for_messages(emulator, "dag", 1)
    assert body.startswith("Airflow: alerts_storm failed")  # replaces a body that refers to a missing name

    emulator.clock.advance(hours=1, minutes=2)
    next_id = airflow.trigger("alerts_storm", {"many": 1})
    airflow.wait("alerts_storm", next_id)
    first = wait_for_messages(emulator, "storm", len(alerts) + 1)[-1]
    print(first)
    failed = re.search(r"Since \d\d:\d\d UTC some were held back: (\d+) tasks failed\.", first)
    assert failed
    assert int(failed[1]) in (STORM, STORM + 1)


def test_alerts_of_deadline_are_sent_from_triggerer_and_executor(airflow: Airflow, emulator: Emulator):
    for _ in range(3):
        airflow.trigger("alerts_deadline")
    alerts = wait_for_messages(emulator, "deadline", 2)
    assert alerts[0].startswith("Airflow: alerts_deadline missed its deadline, ")
    assert any("More are held back until" in body for body in alerts)
    if hasattr(sdk, "SyncCallback"):
        assert wait_for_messages(emulator, "executor", 1)[0].startswith(
            "Airflow: alerts_deadline missed its deadline, "
        )
    time.sleep(5)
    assert len(bodies(emulator, "deadline")) <= 3
    assert "Notification failed (connection broken): " in airflow.output("triggerer")
    assert PHONES["broken"] not in airflow.output("triggerer")


def test_alerts_with_wrong_credentials_log_error_and_run_fallback(airflow: Airflow, emulator: Emulator):
    run_id = airflow.trigger("alerts_broken")
    airflow.wait("alerts_broken", run_id)
    end = time.monotonic() + 60
    while not (calls := [call for call in emulator.calls if call["to"] == PHONES["fallback"]]):
        assert time.monotonic() < end
        time.sleep(0.5)
    assert "task fail of DAG alerts broken failed" in emulator.transcript(calls[0]["sid"])[0]
    log = airflow.log("alerts_broken", run_id, "fail")
    print(*(line for line in log.splitlines() if "notifications" in line or "Failed to run" in line), sep="\n")
    assert "Notification failed (connection broken): " in log
    assert "AuthenticationFailed" in log
    assert "Fallback succeeded" in log
    assert "Failed to run task callback" in log
    assert PHONES["broken"] not in log
    assert not bodies(emulator, "broken")


def test_alerts_of_approval_contain_response_link(airflow: Airflow, emulator: Emulator):
    run_id = airflow.trigger("alerts_asks")
    (body,) = wait_for_messages(emulator, "approver", 1)
    page = f"{airflow.url}/dags/alerts_asks/runs/{run_id}/tasks/approve/required_actions?map_index=-1"
    assert body.startswith("Airflow: alerts_asks.approve asks: Ship version 7? http")
    assert body.endswith(page)
    state = airflow.wait_for_task("alerts_asks", run_id, "approve", "awaiting_input", "deferred")
    assert state
    time.sleep(5)  # Airflow fails a task that resumes before its scheduler has recorded the pause
    path = f"dags/alerts_asks/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    airflow.api("PATCH", path, {"chosen_options": ["Approve"], "params_input": {}})
    assert airflow.wait("alerts_asks", run_id).state == "success"
