"""The kill matrix: in a real Airflow, kill -9 at each point of a send, and count what Twilio has.

`make test-crash` runs each cell 5 times, other runs once. CRASH_DATABASE is where Airflow keeps its state, instead of
SQLite: `postgresql+psycopg2://…`, with that driver and asyncpg installed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
KINDS = ("message", "call", "number")
TIMEOUT = 30
STORE = (
    "before the intent is stored",
    "after the intent is stored",
    "before the SID is stored",
    "after the SID is stored",
)
REQUEST = "during the request"
SUPERVISOR = "its supervisor, the child left running"
RESUMPTION = "at resumption"
DEFERRED = "while deferred"
FAULTS: dict[str, dict[str, Any]] = {
    REQUEST: {"accept_then_stall": TIMEOUT - 1},
    # Twilio acts only when the next try has long begun: the process before is alive, and still sending.
    SUPERVISOR: {"stall": TIMEOUT - 3},
}


@dataclass
class Cell:
    """One task that is to be killed: of what kind, where, and to whom it sends."""

    kind: str
    point: str
    address: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        waits = self.point in (DEFERRED, RESUMPTION)
        arguments: dict[str, dict[str, Any]] = {
            "message": {"to": self.address, "body": "The nightly load has failed.", "wait_for_delivery": waits},
            "call": {"to": self.address, "say": "The nightly load has failed.", "wait_for_completion": waits},
            "number": {"phone_number": self.address},
        }
        self.arguments = arguments[self.kind]


@dataclass
class Matrix:
    """The cells of one kind, run as one mapped task."""

    kind: str
    cells: list[Cell]
    airflow: Airflow
    folder: Path
    run_id: str = ""
    tasks: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> None:
        cells = [{"point": cell.point, "arguments": cell.arguments} for cell in self.cells]
        conf = {"folder": str(self.folder), "cells": cells}
        self.run_id = self.airflow.trigger(f"crash_{self.kind}", conf)

    def wait(self) -> None:
        self.tasks = self.airflow.wait(f"crash_{self.kind}", self.run_id, timeout=600).tasks

    def note(self, index: int) -> Path:
        """The file that is there once a task has been killed."""
        return self.folder / f"crash_{self.kind}-{self.run_id}-{index}.killed"

    def pids(self, index: int) -> list[int]:
        """Give the task's process, and its supervisor."""
        return [int(pid) for pid in self.note(index).with_suffix(".pids").read_text().split()]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve() as running:
        yield running


def client(emulator: Emulator) -> Client:
    auth = Basic(emulator.account_sid, emulator.auth_token)
    return Client(Settings(account_sid=emulator.account_sid, auth=auth, base=emulator.url))


def held(emulator: Emulator, kind: str) -> list[tuple[str, str]]:
    """Give the address and the SID of all that was sent, called or bought."""
    with client(emulator) as twilio:
        if kind == "message":
            return [(str(record.to), str(record.sid)) for record in twilio.messages.list()]
        if kind == "call":
            return [(str(record.to), str(record.sid)) for record in twilio.calls.list()]
        return [(str(record.phone_number), str(record.sid)) for record in twilio.incoming_phone_numbers.list()]


def strike(emulator: Emulator, matrices: list[Matrix], stop: threading.Event) -> None:
    """Kill those that are to be killed during their request, as soon as Twilio holds it."""
    while not stop.wait(0.1):
        for entry in emulator.journal.find("POST"):
            if entry.fault not in ("accept_then_stall", "stall"):
                continue
            address = entry.params.get("To") or entry.params.get("PhoneNumber")
            for matrix in matrices:
                for index, cell in enumerate(matrix.cells):
                    if cell.address == address and not matrix.note(index).exists():
                        child, supervisor = matrix.pids(index)
                        with suppress(ProcessLookupError):
                            os.kill(supervisor if cell.point == SUPERVISOR else child, signal.SIGKILL)
                            matrix.note(index).touch()


def kill_triggerer(airflow: Airflow, matrices: list[Matrix]) -> None:
    """Wait till all that wait are deferred, and kill the triggerer under them."""
    for matrix in matrices:
        for index, cell in enumerate(matrix.cells):
            if cell.point in (DEFERRED, RESUMPTION):
                airflow.wait_for_task(f"crash_{matrix.kind}", matrix.run_id, f"send[{index}]", "deferred", timeout=600)
    airflow.restart("triggerer")
    for matrix in matrices:
        for index, cell in enumerate(matrix.cells):
            if cell.point == DEFERRED:
                matrix.note(index).touch()


def test_whatever_is_killed_is_sent_once(emulator: Emulator, tmp_path: Path):
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
    started, before = time.monotonic(), airflows()
    with Airflow(
        [Path(__file__).parent / "dags"], connections=connections, env=env, home=tmp_path / "airflow"
    ) as airflow:
        addresses = {
            kind: (f"+1212555{number:04d}" for number in range(KINDS.index(kind) * 1000, 10_000)) for kind in KINDS
        } | {"number": iter(offers)}

        def matrix(kind: str, points: list[str]) -> Matrix:
            cells = [Cell(kind, point, next(addresses[kind])) for point in points]
            for cell in cells:
                if fault := FAULTS.get(cell.point):
                    name = "PhoneNumber" if kind == "number" else "To"
                    emulator.fail_next(method="POST", params={name: cell.address}, **fault)
            return Matrix(kind, cells, airflow, tmp_path)

        waits = {"message": [DEFERRED, RESUMPTION], "call": [DEFERRED, RESUMPTION], "number": []}
        every: list[Matrix] = []
        stop = threading.Event()
        striker = threading.Thread(target=strike, args=(emulator, every, stop), daemon=True)
        striker.start()
        try:
            for _ in range(REPEATS):
                many = [matrix(kind, [*STORE, REQUEST, *waits[kind]]) for kind in KINDS]
                # A supervisor is a worker of the LocalExecutor, which hangs if it loses too many of them at once.
                alone = [matrix(kind, [SUPERVISOR]) for kind in KINDS]
                every += [*many, *alone]
                emulator.quirks.set(status_lag=100_000)  # nothing is delivered, until the triggerer has been killed
                for one in (*many, *alone):
                    one.start()
                kill_triggerer(airflow, many)
                emulator.quirks.set(status_lag=0)
                for one in (*many, *alone):
                    one.wait()
        finally:
            stop.set()
            striker.join()
        kills = duplicates = lost = 0
        for one in every:
            there = held(emulator, one.kind)
            for index, cell in enumerate(one.cells):
                killed = one.note(index).exists()
                kills += killed
                sids = [sid for address, sid in there if address == cell.address]
                duplicates += len(sids) > 1
                lost += not sids
                where = f"{one.kind}, {cell.point}"
                assert killed, where
                assert one.tasks[f"send[{index}]"] == "success", where
                assert airflow.xcom(f"crash_{one.kind}", one.run_id, f"send[{index}]")["sid"] in sids, where
        print(f"\nkills={kills} duplicates={duplicates} lost={lost} ({time.monotonic() - started:.0f} s)")
        assert (kills, duplicates, lost) == (22 * REPEATS, 0, 0)
    assert not airflows() - before


def airflows() -> set[int]:
    """Give what runs below this process and is an Airflow."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "airflow" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found
