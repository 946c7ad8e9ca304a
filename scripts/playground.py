"""Run Airflow and the emulator, with a connection between them, until Ctrl-C (``make airflow``).

Airflow loads the example DAGs and your own DAGs in ``dags/``, which git ignores. Its files are in ``.airflow``. They
remain there for inspection until the next start.
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
ENVIRONMENT = {"AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30"}
"""With Airflow's default of 5 seconds, tasks fail on slow machines while the worker waits for the API server."""


def choose_port(preferred: int) -> int:
    """Return the preferred port, or a free port if it is in use."""
    with socket.socket() as probe:
        return free_port() if probe.connect_ex((LOOPBACK, preferred)) == 0 else preferred


def main() -> None:
    home, own_dags = ROOT / ".airflow", ROOT / "dags"
    lock_and_empty(home)
    own_dags.mkdir(exist_ok=True)
    # Closing the terminal has the effect of Ctrl-C. A shell ignores SIGINT for background jobs, so it is set as well.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with serve(port=choose_port(8765)) as emulator:
        print(f"The emulator runs at {emulator.url}. Starting Airflow, which takes about a minute …", flush=True)
        connection = {
            **connection_body(emulator.connection_json),
            "extra": json.dumps({"from_": emulator.phone_number}),
        }
        with Airflow([ROOT / "example_dags", own_dags], home=home, port=choose_port(8080), env=ENVIRONMENT) as airflow:
            # Connections in the database are visible in the web UI; those in the environment are not.
            airflow.api("POST", "connections", {"connection_id": "twilio_default", **connection})
            print(
                f"""
  Airflow web UI   {airflow.url}    (no login: every visitor is an admin)
  Emulator inbox   {emulator.url}
  Connection       twilio_default: {emulator.connection_uri}/?from_={quote(emulator.phone_number)}
  Your DAGs        {own_dags}
  Example DAGs     {ROOT / "example_dags"}
  Task logs        {home / "logs"}
  Airflow logs     {home}/*.log
  Airflow CLI      AIRFLOW_HOME={home} {ROOT / ".venv/bin/airflow"} dags list

Press Ctrl-C to stop Airflow and the emulator.
""",
                flush=True,
            )
            signal.pause()


def lock_and_empty(folder: Path) -> None:
    """Lock a folder until this process ends, and delete its contents; exit if another process has locked it."""
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)  # never closed: the lock lasts until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"make airflow is already running, and uses {folder}. Stop it first: press Ctrl-C in its terminal.")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def connection_body(connection_json: str) -> dict[str, object]:
    """Return the REST API's body of a connection, in which the extras are a JSON string."""
    fields = json.loads(connection_json)
    extra = fields.pop("extra", None)
    return fields if extra is None else {**fields, "extra": extra if isinstance(extra, str) else json.dumps(extra)}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    print("Stopped.")
