"""Run Airflow's web UI and the emulator side by side, with a connection between them, till Ctrl-C.

    make airflow

Its DAGs are the examples and yours: what lies in `dags/`, which git ignores. Everything is kept in `.airflow`, to look
into afterwards, until the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import quote

from airflow_provider_twilio.emulator import serve
from tests.real_airflow import LOOPBACK, Airflow, free_port

ROOT = Path(__file__).resolve().parent.parent
PATIENT = {"AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30"}
"""On a slow laptop Airflow's own 5 seconds fail a task whose worker waits for its API server."""


def port(wanted: int) -> int:
    """Give the port that people expect, or a free one where it is taken."""
    with socket.socket() as probe:
        return free_port() if probe.connect_ex((LOOPBACK, wanted)) == 0 else wanted


def main() -> None:
    home, own = ROOT / ".airflow", ROOT / "dags"
    begin_anew(home)
    own.mkdir(exist_ok=True)
    # A closed terminal ends all as Ctrl-C does, which is ignored in the background unless told.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with serve(port=port(8765)) as emulator:
        print(f"Starting Airflow; the emulator is at {emulator.url}. About a minute …", flush=True)
        connection = {**body(emulator.connection_json), "extra": json.dumps({"from_": emulator.phone_number})}
        with Airflow([ROOT / "example_dags", own], home=home, port=port(8080), env=PATIENT) as airflow:
            # In the database rather than in the environment, so that the web UI shows it.
            airflow.api("POST", "connections", {"connection_id": "twilio_default", **connection})
            print(
                f"""
  Airflow's web UI     {airflow.url}    (no login: whoever opens it is an admin)
  the emulator         {emulator.url}
  the connection       twilio_default, set: {emulator.connection_uri}/?from_={quote(emulator.phone_number)}
  your DAGs            {own}: put them there
  the examples         {ROOT / "example_dags"}
  the logs             of tasks {home / "logs"}, of Airflow {home}/*.log
  Airflow's commands   AIRFLOW_HOME={home} {ROOT / ".venv/bin/airflow"} dags list

Ctrl-C ends both.
""",
                flush=True,
            )
            signal.pause()


def begin_anew(folder: Path) -> None:
    """Empty a folder, and hold it until this process ends; refuse where another one holds it."""
    folder.mkdir(exist_ok=True)
    held = os.open(folder, os.O_RDONLY)  # never closed: the lock ends with this process
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"make airflow runs already, and keeps all in {folder}. End it first: Ctrl-C where it was started.")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def body(connection_json: str) -> dict[str, object]:
    """Turn a connection's JSON into what the REST API takes: the extras are JSON within JSON there."""
    fields = json.loads(connection_json)
    extra = fields.pop("extra", None)
    return fields if extra is None else {**fields, "extra": extra if isinstance(extra, str) else json.dumps(extra)}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    print("Ended.")
