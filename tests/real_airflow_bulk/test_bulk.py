"""Bulk sends in a real Airflow: killed at random moments, waiting in the triggerer, and mapped.

BULK_SIZE is the number of messages (10000 for the full size), BULK_KILLS the number of kills.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow import __version__ as version
from airflow.triggers.base import BaseTrigger

from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
SIZE = int(os.environ.get("BULK_SIZE", "2500"))
KILLS = int(os.environ.get("BULK_KILLS", "5"))
TIMEOUT = 5


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve(speed=10) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    connections = {"twilio_default": f"{emulator.connection_uri}/?timeout={TIMEOUT}"}
    with Airflow(
        [Path(__file__).parent / "dags"],
        connections=connections,
        env={"PYTHONPATH": str(ROOT)},
        home=tmp_path_factory.mktemp("airflow"),
    ) as running:
        yield running


def write_recipients(path: Path, count: int) -> dict[str, str]:
    """Write recipients to a file, and return the expected body for each number."""
    expected = {f"+1415{5550000 + index}": f"Dear person {index}" for index in range(count)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["to", "name"])
        writer.writerows((number, body.removeprefix("Dear ")) for number, body in expected.items())
    return expected


def kill_at(emulator: Emulator, pid_file: Path, counts: list[int]) -> int:
    """Kill the task with SIGKILL each time the emulator has a number of messages. Return how often it was killed."""
    kills, killed_pid = 0, ""
    for count in counts:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            running = pid_file.read_text() if pid_file.exists() else ""
            if running and running != killed_pid and len(emulator.state.main.messages) >= count:
                with suppress(ProcessLookupError):
                    os.kill(int(running), signal.SIGKILL)
                    kills += 1
                killed_pid = running
                break
            time.sleep(0.002)
    return kills


@pytest.mark.parametrize("storage", ["store", "checkpoint_path"])
def test_send_messages_killed_at_random_sends_each_message_once(
    airflow: Airflow, emulator: Emulator, tmp_path: Path, storage: str
):
    if storage == "store" and version.startswith("3.1."):
        pytest.skip("this Airflow has no task state store")
    emulator.reset()
    emulator.quirks.set(latency=0.01, status_lag=100_000)  # no message is delivered while the task is being killed
    size = SIZE if storage == "store" else SIZE // 2
    expected = write_recipients(tmp_path / "people.csv", size)
    pid_file, table = tmp_path / "pid", tmp_path / "table.csv"
    conf = {
        "recipients": str(tmp_path / "people.csv"),
        "checkpoint_path": "" if storage == "store" else str(tmp_path / "checkpoint_path"),
        "results": str(table),
        "pid": str(pid_file),
    }
    started_at = time.monotonic()
    run_id = airflow.trigger("bulk_send", conf)
    kills = kill_at(emulator, pid_file, sorted(random.sample(range(1, size - 100), KILLS)))
    assert airflow.wait_for_task("bulk_send", run_id, "send", "deferred", "failed", timeout=300) == "deferred"
    sent_after = time.monotonic() - started_at
    list_requests = emulator.journal.count("GET", "Messages")
    with emulator.state.lock:
        counts = Counter(message.to for message in emulator.state.main.messages)
    assert set(counts.values()) == {1}
    assert counts.keys() == expected.keys()
    # Reconciled by reading the list, not by a query for each message.
    assert list_requests <= (kills + 1) * (size // 1000 + 2)
    time.sleep(11)  # at least two polling cycles
    polls = emulator.journal.count("GET", "Messages") - list_requests
    emulator.quirks.set(status_lag=0)
    run = airflow.wait("bulk_send", run_id, timeout=300)
    assert run.tasks == {"send": "success"}, airflow.log("bulk_send", run_id, "send")[-4000:]
    summary = airflow.xcom("bulk_send", run_id, "send")
    assert (summary["rows"], summary["sent"], summary["delivered"]) == (size, size, size)
    assert {message["to"]: message["body"] for message in emulator.messages} == expected
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_sid = {message["sid"]: message["to"] for message in emulator.messages}
    assert [by_sid[row["sid"]] for row in rows] == list(expected)
    assert {(row["outcome"], row["status"]) for row in rows} == {("sent", "delivered")}
    if storage == "store":
        assert list(airflow.state_store("bulk_send", run_id, "send")) == ["twilio_bulk"]
    print(
        f"\n{storage}: {size} messages, {kills} kills, {len(emulator.messages)} messages in the emulator,"
        f" {list_requests} requests to reconcile, {polls} requests in two to three polling cycles;"
        f" sent after {sent_after:.0f} s, and finished after {time.monotonic() - started_at:.0f} s"
    )
    assert kills == KILLS
    assert polls <= 3 * (size // 1000 + 2)


def test_send_messages_mapped_sends_each_message_once(airflow: Airflow, emulator: Emulator, tmp_path: Path):
    emulator.reset()
    run_id = airflow.trigger("bulk_mapped", {"checkpoint_path": str(tmp_path)})
    run = airflow.wait("bulk_mapped", run_id, timeout=300)
    assert set(run.tasks.values()) == {"success"}
    sent = [airflow.xcom("bulk_mapped", run_id, f"send[{index}]")["sent"] for index in range(4)]
    assert sent == [100] * 4
    assert set(Counter(message["to"] for message in emulator.messages).values()) == {1}
    assert len(emulator.messages) == 400


def test_send_messages_killed_without_its_folder_fails_permanently(
    airflow: Airflow, emulator: Emulator, tmp_path: Path
):
    emulator.reset()
    emulator.quirks.set(latency=0.05)
    write_recipients(tmp_path / "people.csv", 500)
    pid_file = tmp_path / "pid"
    conf = {"recipients": str(tmp_path / "people.csv"), "checkpoint_path": str(tmp_path / "disk"), "pid": str(pid_file)}
    run_id = airflow.trigger("bulk_missing_folder", conf)
    assert kill_at(emulator, pid_file, [100]) == 1
    assert airflow.wait_for_task("bulk_missing_folder", run_id, "send", "failed", "success", timeout=120) == "failed"
    (task,) = airflow.task_instances("bulk_missing_folder", run_id)
    log = airflow.log("bulk_missing_folder", run_id, "send")
    assert task["try_number"] == 2
    assert "checkpoint_path has no checkpoints of an earlier try" in log
    assert str(tmp_path / "disk" / "2") in log
    sent = Counter(message["to"] for message in emulator.messages)
    assert 100 <= len(sent) < 250
    assert set(sent.values()) == {1}
    airflow.clear("bulk_missing_folder", run_id, "send")
    airflow.until(
        lambda: airflow.task_instances("bulk_missing_folder", run_id)[0]["try_number"] == 3, 60, "the try after Clear"
    )
    assert airflow.wait_for_task("bulk_missing_folder", run_id, "send", "failed", "success", timeout=120) == "failed"
    assert Counter(message["to"] for message in emulator.messages) == sent


@pytest.mark.parametrize("state", ["running", "deferred"])
def test_send_messages_marked_failed_cancels_scheduled_messages_in_airflow(
    airflow: Airflow, emulator: Emulator, tmp_path: Path, state: str
):
    if state == "deferred" and not hasattr(BaseTrigger, "on_kill"):
        pytest.skip("this Airflow does not tell a trigger that its task was killed")
    emulator.reset()
    settings = Settings(
        emulator.account_sid, Basic(emulator.account_sid, emulator.auth_token), base=emulator.url, timeout=5.0
    )
    with Client(settings) as client:
        services = "https://messaging.twilio.com/v1/Services"
        service = client.request("POST", services, {"FriendlyName": "s"})["sid"]
        number = next(client.incoming_phone_numbers.list())["sid"]
        client.request("POST", f"{services}/{service}/PhoneNumbers", {"PhoneNumberSid": number})
    emulator.quirks.set(latency=0.05 if state == "running" else 0.0)
    write_recipients(tmp_path / "people.csv", 1000 if state == "running" else 50)
    conf = {
        "recipients": str(tmp_path / "people.csv"),
        "checkpoint_path": str(tmp_path),
        "service": service,
        "send_at": (datetime.now(UTC) + timedelta(days=20)).isoformat(),
    }
    run_id = airflow.trigger("bulk_scheduled", conf)
    assert airflow.wait_for_task("bulk_scheduled", run_id, "send", state, timeout=60) == state
    airflow.until(lambda: len(emulator.state.main.messages) >= 50, 30, "50 messages")
    if state == "deferred":
        airflow.until(lambda: "starting" in airflow.log("bulk_scheduled", run_id, "send"), 60, "the trigger")
    airflow.mark("bulk_scheduled", run_id, "send", "failed")

    def statuses() -> Counter[str]:
        return Counter(message["status"] for message in emulator.messages)

    airflow.until(lambda: set(statuses()) == {"canceled"}, 60, "the cancellation of all messages")
    if state == "running":
        airflow.until(lambda: "Stopped while sending" in airflow.log("bulk_scheduled", run_id, "send"), 30, "the log")
        assert len(emulator.messages) < 1000
