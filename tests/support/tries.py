"""Tries of a task that can be killed: each runs in its own process, with a task state store on disk."""

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
    """The part of Airflow's task state store that operators use. Values survive a kill of the process."""

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


class TaskInstance:
    """The part of Airflow's task instance that operators use."""

    task_id, map_index, max_tries, start_date = "task", -1, 0, None

    def __init__(self, number: int) -> None:
        self.try_number = number

    def xcom_push(self, key: str, value: Any) -> None:
        """Discard the value: there is no other task."""

    def xcom_pull(self, task_ids: Any = None, key: str = "") -> list[Any]:
        return []


def run_try(
    operator: type[BaseOperator], arguments: dict[str, Any], folder: Path, number: int, connection: str
) -> None:
    """Run the operator once, and write its result to a file."""
    os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] = connection
    context: Any = {"task_state_store": Store(folder / "store"), "ti": TaskInstance(number), "run_id": "run"}
    task = operator(task_id="task", **arguments)
    task.render_template_fields(context)
    (folder / "started").touch()
    (folder / "result.new").write_text(json.dumps(task.execute(context)))
    (folder / "result.new").replace(folder / "result")


def until_done(
    operator: type[BaseOperator], arguments: dict[str, Any], folder: Path, connection: str, *, kills: int, within: float
) -> tuple[Any, int]:
    """Run a task until it succeeds, and kill its first tries.

    :param kills: Number of tries to kill.
    :param within: Maximum seconds between the start of a try and its kill.
    :return: The result of the task, and the number of killed tries.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    killed = 0
    for number in range(1, kills + 2):
        (folder / "started").unlink(missing_ok=True)
        process = context.Process(target=run_try, args=(operator, arguments, folder, number, connection), daemon=True)
        process.start()
        if number <= kills:
            while not (folder / "started").exists() and process.is_alive():
                time.sleep(0.005)
            time.sleep(random.uniform(0, within))
            process.kill()
        process.join(300)
        assert process.exitcode is not None, f"try {number} did not end"
        if (folder / "result").exists():
            break
        killed += 1
    return json.loads((folder / "result").read_text()), killed
