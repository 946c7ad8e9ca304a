"""Tries of a task that are killed: each a process of its own, with a task state store on disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator

PRELOADED = [
    "airflow.sdk",
    "airflow_provider_twilio.operators.messages",
    "airflow_provider_twilio.operators.phone_numbers",
    "airflow_provider_twilio.client.blocking",
    "airflow_provider_twilio.client.asynchronous",
]


class Store:
    """Airflow's task state store, as far as operators ask it; what is set is there, whoever is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Any:
        file = self.folder / key
        return json.loads(file.read_text()) if file.exists() else None

    def set(self, key: str, value: Any) -> None:
        new = self.folder / f".{key}.{os.getpid()}"
        new.write_text(json.dumps(value))
        new.replace(self.folder / key)

    def delete(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)


class Ti:
    """What an operator asks of its task instance."""

    task_id, map_index, max_tries, start_date = "task", -1, 0, None

    def __init__(self, number: int) -> None:
        self.try_number = number

    def xcom_push(self, key: str, value: Any) -> None:
        """Push nothing: nobody pulls."""

    def xcom_pull(self, task_ids: Any = None, key: str = "") -> list[Any]:
        return []


def attempt(kind: type[BaseOperator], arguments: dict[str, Any], folder: Path, number: int, connection: str) -> None:
    """Be one try: run the operator, and write down what it returns."""
    os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] = connection
    context: Any = {"task_state_store": Store(folder / "store"), "ti": Ti(number), "run_id": "run"}
    task = kind(task_id="task", **arguments)
    task.render_template_fields(context)
    (folder / "begun").touch()
    (folder / "result.new").write_text(json.dumps(task.execute(context)))
    (folder / "result.new").replace(folder / "result")


def until_done(
    kind: type[BaseOperator], arguments: dict[str, Any], folder: Path, connection: str, *, kills: int, within: float
) -> tuple[Any, int]:
    """Run a task, and kill its first tries some time after they began; give its result and how many were killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    killed = 0
    for number in range(1, kills + 2):
        (folder / "begun").unlink(missing_ok=True)
        process = context.Process(target=attempt, args=(kind, arguments, folder, number, connection), daemon=True)
        process.start()
        if number <= kills:
            while not (folder / "begun").exists() and process.is_alive():
                time.sleep(0.005)
            time.sleep(random.uniform(0, within))
            process.kill()
        process.join(300)
        assert process.exitcode is not None, f"try {number} does not end"
        if (folder / "result").exists():
            break
        killed += 1
    return json.loads((folder / "result").read_text()), killed
