"""Run a DAG that sends a message and waits for its delivery, offline (``make demo``).

The demo starts the Twilio emulator and a real Airflow.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow

ROOT = Path(__file__).resolve().parent.parent
DAG, FILE = "twilio_send_and_wait", "example_dags/example_send_and_wait.py"
STARTED = time.monotonic()


def log(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


class StatusRecorder(threading.Thread):
    """A thread that records when each status of the newest message first appears."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(daemon=True)
        self._emulator = emulator
        self._stopped = threading.Event()
        self.message: dict[str, Any] = {}
        self.statuses: dict[str, float] = {}

    def run(self) -> None:
        while not self._stopped.wait(0.05):
            self.record()

    def record(self) -> None:
        if messages := self._emulator.messages:
            self.message = messages[-1]
            self.statuses.setdefault(self.message["status"], time.time())

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self.record()


def main() -> int:
    log("Starting the Twilio emulator.")
    with serve() as emulator:
        log(f"The emulator runs at {emulator.url}")
        log("Starting Airflow (API server, scheduler, DAG processor, triggerer), which takes about a minute.")
        connections = {"twilio_default": emulator.connection_json}
        with Airflow([ROOT / "example_dags"], connections=connections) as airflow:
            log(f"Airflow runs at {airflow.url}. Its connection twilio_default uses the emulator.")
            recorder = StatusRecorder(emulator)
            recorder.start()
            run_id = airflow.trigger(DAG)
            log(f"Triggered the DAG {DAG} ({FILE}).")
            run = airflow.wait(DAG, run_id, timeout=180)
            recorder.stop()
            for task, state in run.tasks.items():
                log(f"  task {task}: {state}")
            if run.state != "success":
                for task, state in run.tasks.items():
                    if state == "failed":
                        print(airflow.log(DAG, run_id, task))
                return 1
    message, statuses = recorder.message, recorder.statuses
    first = min(statuses.values())
    log(f"Statuses of the message {message['sid']}:")
    for status, at in statuses.items():
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        print(f"            {clock}  +{at - first:4.1f} s  {status}")
    log(f"Final status: {message['status']}")
    print(
        f"""
Next steps:
  make airflow                             open Airflow's web UI and the emulator's inbox in a browser
  {FILE}    read the DAG of this demo
  README.md                                create a connection, and see the other features
"""
    )
    return 0 if message["status"] == "delivered" else 1


if __name__ == "__main__":
    sys.exit(main())
