"""Bulk sending in a real Airflow: killed at random moments, waited for in the triggerer, and mapped.

BULK_SIZE is how many it sends (10000 for the full size), BULK_KILLS how often it is killed.
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
from pathlib import Path

import pytest
from airflow import __version__ as version

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


def people(path: Path, count: int) -> dict[str, str]:
    """Write so many recipients to a file, and give what each is to read."""
    expected = {f"+1415{5550000 + index}": f"Dear person {index}" for index in range(count)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["to", "name"])
        writer.writerows((number, body.removeprefix("Dear ")) for number, body in expected.items())
    return expected


def kill_at(emulator: Emulator, pid: Path, counts: list[int]) -> int:
    """Kill the task with -9 each time so many messages are there; tell how often."""
    kills, last = 0, ""
    for count in counts:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            running = pid.read_text() if pid.exists() else ""
            if running and running != last and len(emulator.world.main.messages) >= count:
                with suppress(ProcessLookupError):
                    os.kill(int(running), signal.SIGKILL)
                    kills += 1
                last = running
                break
            time.sleep(0.002)
    return kills


@pytest.mark.parametrize("where", ["store", "checkpoint_path"])
def test_each_gets_one_whatever_is_killed(airflow: Airflow, emulator: Emulator, tmp_path: Path, where: str):
    if where == "store" and version.startswith("3.1."):
        pytest.skip("this Airflow has no task state store")
    emulator.reset()
    emulator.quirks.set(latency=0.01, status_lag=100_000)  # nothing is delivered while it is being killed
    size = SIZE if where == "store" else SIZE // 2
    expected = people(tmp_path / "people.csv", size)
    pid, table = tmp_path / "pid", tmp_path / "table.csv"
    conf = {
        "recipients": str(tmp_path / "people.csv"),
        "checkpoint_path": "" if where == "store" else str(tmp_path / "checkpoint_path"),
        "results": str(table),
        "pid": str(pid),
    }
    began = time.monotonic()
    run_id = airflow.trigger("bulk_send", conf)
    kills = kill_at(emulator, pid, sorted(random.sample(range(1, size - 100), KILLS)))
    assert airflow.wait_for_task("bulk_send", run_id, "send", "deferred", "failed", timeout=300) == "deferred"
    sent = time.monotonic() - began
    lists = emulator.journal.count("GET", "Messages")
    with emulator.world.lock:
        held = Counter(message.to for message in emulator.world.main.messages)
    assert set(held.values()) == {1}
    assert held.keys() == expected.keys()
    # Settled by walks through the list, not by a query for each message.
    assert lists <= (kills + 1) * (size // 1000 + 2)
    time.sleep(11)  # two ticks at least
    ticks = emulator.journal.count("GET", "Messages") - lists
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
    if where == "store":
        assert list(airflow.state_store("bulk_send", run_id, "send")) == ["twilio_bulk"]
    print(
        f"\n{where}: {size} messages, {kills} kills, {len(emulator.messages)} held, {lists} requests to settle,"
        f" {ticks} requests in two to three ticks; sent after {sent:.0f} s, and all ended after"
        f" {time.monotonic() - began:.0f} s"
    )
    assert kills == KILLS
    assert ticks <= 3 * (size // 1000 + 2)


def test_mapped_over_workers(airflow: Airflow, emulator: Emulator, tmp_path: Path):
    emulator.reset()
    run_id = airflow.trigger("bulk_mapped", {"checkpoint_path": str(tmp_path)})
    run = airflow.wait("bulk_mapped", run_id, timeout=300)
    assert set(run.tasks.values()) == {"success"}
    sent = [airflow.xcom("bulk_mapped", run_id, f"send[{index}]")["sent"] for index in range(4)]
    assert sent == [100] * 4
    assert set(Counter(message["to"] for message in emulator.messages).values()) == {1}
    assert len(emulator.messages) == 400
