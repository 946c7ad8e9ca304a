"""The kill matrix: in a real Airflow, kill -9 at each point of a send, and count the records at Twilio.

`make test-crash` runs each cell 5 times, and twice with a wrong clock in each direction. Without it, each cell runs
once. Instead of the workers' clock, the emulator's is moved: its dates differ from those of this machine, and its lists
lag in addition. Set CRASH_DATABASE to use a database other than SQLite for Airflow: `postgresql+psycopg2://…`, with
that driver and asyncpg installed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
REPEATS = int(os.environ.get("CRASH_REPEATS", "1"))
REQUEST_TYPES = ("message", "call", "number")
TIMEOUT = 30  # seconds
LIST_LAG = 2  # seconds, within the reconcile_timeout of the DAGs
AT_STORE = (
    "before the intent is stored",
    "after the intent is stored",
    "before the SID is stored",
    "after the SID is stored",
)
REQUEST = "during the request"
SUPERVISOR = "the supervisor, with the child left running"
RESUMPTION = "at resumption"
DEFERRED = "while deferred"
FAULTS: dict[str, dict[str, Any]] = {
    REQUEST: {"accept_then_stall": TIMEOUT - 1},
    # Twilio acts long after the next try has started: the earlier process is alive, and still sending.
    SUPERVISOR: {"stall": TIMEOUT - 3},
}


@dataclass
class Cell:
    """A task to kill.

    :param request_type: The request it sends: a message, a call or a number.
    :param point: The point at which it is killed.
    :param address: The recipient, or the number to purchase.
    """

    request_type: str
    point: str
    address: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        should_wait = self.point in (DEFERRED, RESUMPTION)
        arguments: dict[str, dict[str, Any]] = {
            "message": {"to": self.address, "body": "The nightly load has failed.", "wait_for_delivery": should_wait},
            "call": {"to": self.address, "say": "The nightly load has failed.", "wait_for_completion": should_wait},
            "number": {"phone_number": self.address},
        }
        self.arguments = arguments[self.request_type]


@dataclass
class Matrix:
    """The cells of one request type, run as one mapped task."""

    request_type: str
    cells: list[Cell]
    airflow: Airflow
    folder: Path
    run_id: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> None:
        cells = [{"point": cell.point, "arguments": cell.arguments} for cell in self.cells]
        conf = {"folder": str(self.folder), "cells": cells}
        self.run_id = self.airflow.trigger(f"crash_{self.request_type}", conf)

    def wait(self) -> None:
        self.tasks = self.airflow.wait(f"crash_{self.request_type}", self.run_id, timeout=600).tasks

    def marker(self, index: int) -> Path:
        """Return the path of the file that exists once a task has been killed."""
        return self.folder / f"crash_{self.request_type}-{self.run_id}-{index}.killed"

    def pids(self, index: int) -> list[int]:
        """Return the process IDs of the task and of its supervisor."""
        return [int(pid) for pid in self.marker(index).with_suffix(".pids").read_text().split()]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve() as running:
        yield running


def client(emulator: Emulator) -> Client:
    auth = Basic(emulator.account_sid, emulator.auth_token)
    return Client(Settings(account_sid=emulator.account_sid, auth=auth, base=emulator.url))


def created(emulator: Emulator, request_type: str) -> list[tuple[str, str]]:
    """Return the address and the SID of each message, call or phone number."""
    with client(emulator) as twilio:
        if request_type == "message":
            return [(str(record.to), str(record.sid)) for record in twilio.messages.list()]
        if request_type == "call":
            return [(str(record.to), str(record.sid)) for record in twilio.calls.list()]
        return [(str(record.phone_number), str(record.sid)) for record in twilio.incoming_phone_numbers.list()]


def kill_during_requests(emulator: Emulator, matrices: list[Matrix], stop: threading.Event) -> None:
    """Kill the tasks that are to be killed during their request, as soon as Twilio has received it."""
    while not stop.wait(0.1):
        for entry in emulator.journal.find("POST"):
            if entry.fault not in ("accept_then_stall", "stall"):
                continue
            address = entry.params.get("To") or entry.params.get("PhoneNumber")
            for matrix in matrices:
                for index, cell in enumerate(matrix.cells):
                    if cell.address == address and not matrix.marker(index).exists():
                        child, supervisor = matrix.pids(index)
                        with suppress(ProcessLookupError):
                            os.kill(supervisor if cell.point == SUPERVISOR else child, signal.SIGKILL)
                            matrix.marker(index).touch()


def kill_triggerer(airflow: Airflow, matrices: list[Matrix]) -> None:
    """Wait until all waiting tasks are deferred, and kill the triggerer."""
    for matrix in matrices:
        for index, cell in enumerate(matrix.cells):
            if cell.point in (DEFERRED, RESUMPTION):
                airflow.wait_for_task(
                    f"crash_{matrix.request_type}", matrix.run_id, f"send[{index}]", "deferred", timeout=600
                )
    airflow.restart("triggerer")
    for matrix in matrices:
        for index, cell in enumerate(matrix.cells):
            if cell.point == DEFERRED:
                matrix.marker(index).touch()


@pytest.mark.parametrize("clock_offset", [0, 20, -20])
def test_send_once_killed_at_each_point_sends_one_request(emulator: Emulator, tmp_path: Path, clock_offset: float):
    """Send with Twilio's clock ahead of that of the workers, in seconds."""
    repeats = max(REPEATS // 2, 1) if clock_offset else REPEATS
    if clock_offset:
        emulator.clock.freeze(datetime.now(UTC) + timedelta(seconds=clock_offset))
        emulator.clock.resume()
        emulator.quirks.set(list_lag=LIST_LAG)
    env = {
        "PYTHONPATH": str(ROOT),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    }
    if database := os.environ.get("CRASH_DATABASE"):
        env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
    connections = {"twilio_default": f"{emulator.connection_uri}/?timeout={TIMEOUT}"}
    with client(emulator) as twilio:
        offers = [str(n.phone_number) for n in twilio.available_phone_numbers.list("US", area_code=415, limit=100)]
    started, running_before = time.monotonic(), airflow_processes()
    with Airflow(
        [Path(__file__).parent / "dags"], connections=connections, env=env, home=tmp_path / "airflow"
    ) as airflow:
        addresses = {
            name: (f"+1212555{number:04d}" for number in range(REQUEST_TYPES.index(name) * 1000, 10_000))
            for name in REQUEST_TYPES
        } | {"number": iter(offers)}

        def build_matrix(request_type: str, points: list[str]) -> Matrix:
            cells = [Cell(request_type, point, next(addresses[request_type])) for point in points]
            for cell in cells:
                if fault := FAULTS.get(cell.point):
                    name = "PhoneNumber" if request_type == "number" else "To"
                    emulator.fail_next(method="POST", params={name: cell.address}, **fault)
            return Matrix(request_type, cells, airflow, tmp_path)

        waiting_points = {"message": [DEFERRED, RESUMPTION], "call": [DEFERRED, RESUMPTION], "number": []}
        matrices: list[Matrix] = []
        stop = threading.Event()
        killer = threading.Thread(target=kill_during_requests, args=(emulator, matrices, stop), daemon=True)
        killer.start()
        try:
            for _ in range(repeats):
                parallel = [build_matrix(name, [*AT_STORE, REQUEST, *waiting_points[name]]) for name in REQUEST_TYPES]
                # A supervisor is a worker of the LocalExecutor, which hangs if it loses too many workers at once.
                alone = [build_matrix(name, [SUPERVISOR]) for name in REQUEST_TYPES]
                started_now = [*parallel, *alone]
                matrices += started_now
                emulator.quirks.set(status_lag=100_000)  # no message is delivered before the triggerer is killed
                for matrix in started_now:
                    matrix.start()
                kill_triggerer(airflow, parallel)
                emulator.quirks.set(status_lag=0)
                for matrix in started_now:
                    matrix.wait()
        finally:
            stop.set()
            killer.join()
        emulator.quirks.set(list_lag=0)
        kills = duplicates = lost = 0
        for matrix in matrices:
            records = created(emulator, matrix.request_type)
            for index, cell in enumerate(matrix.cells):
                killed = matrix.marker(index).exists()
                kills += killed
                sids = [sid for address, sid in records if address == cell.address]
                duplicates += len(sids) > 1
                lost += not sids
                where = f"{matrix.request_type}, {cell.point}"
                assert killed, where
                assert matrix.tasks[f"send[{index}]"] == "success", where
                assert airflow.xcom(f"crash_{matrix.request_type}", matrix.run_id, f"send[{index}]")["sid"] in sids, (
                    where
                )
        print(f"\nkills={kills} duplicates={duplicates} lost={lost} ({time.monotonic() - started:.0f} s)")
        assert (kills, duplicates, lost) == (22 * repeats, 0, 0)
    assert not airflow_processes() - running_before


def airflow_processes() -> set[int]:
    """Return the process IDs of the Airflow components below this process."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "airflow" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found
