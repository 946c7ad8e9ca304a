"""Show the provider at work, offline: an emulated Twilio, a real Airflow, and a DAG that sends and waits.

make demo
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


def say(text: str) -> None:
    """Print a line, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


class Onlooker(threading.Thread):
    """Note each status of the newest message when it first shows, till stopped."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(daemon=True)
        self._emulator = emulator
        self._over = threading.Event()
        self.message: dict[str, Any] = {}
        self.seen: dict[str, float] = {}

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.look()

    def look(self) -> None:
        if messages := self._emulator.messages:
            self.message = messages[-1]
            self.seen.setdefault(self.message["status"], time.time())

    def stop(self) -> None:
        self._over.set()
        self.join()
        self.look()


def main() -> int:
    say("Starting the emulator: a Twilio on this machine, with one account and no money.")
    with serve() as emulator:
        say(f"It answers at {emulator.url}")
        say("Starting a real Airflow: API server, scheduler, DAG processor and triggerer. About a minute.")
        connections = {"twilio_default": emulator.connection_json}
        with Airflow([ROOT / "example_dags"], connections=connections) as airflow:
            say(f"Airflow is healthy at {airflow.url}, and its connection twilio_default leads to the emulator.")
            onlooker = Onlooker(emulator)
            onlooker.start()
            run_id = airflow.trigger(DAG)
            say(f"Started a run of the DAG {DAG} ({FILE}).")
            run = airflow.wait(DAG, run_id, timeout=180)
            onlooker.stop()
            for task, state in run.tasks.items():
                say(f"  task {task}: {state}")
            if run.state != "success":
                for task, state in run.tasks.items():
                    if state == "failed":
                        print(airflow.log(DAG, run_id, task))
                return 1
    message, seen = onlooker.message, onlooker.seen
    first = min(seen.values())
    say(f"The message {message['sid']} went this way:")
    for status, at in seen.items():
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        print(f"            {clock}  +{at - first:4.1f} s  {status}")
    say(f"Its final status, as Twilio tells it: {message['status']}")
    print(
        f"""
What next:
  make airflow                             the same, to click through: Airflow's web UI beside the emulator
  {FILE}    the DAG that has just run
  README.md                                a connection of your own, and what else there is
"""
    )
    return 0 if message["status"] == "delivered" else 1


if __name__ == "__main__":
    sys.exit(main())
