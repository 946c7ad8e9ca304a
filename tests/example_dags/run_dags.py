"""Run DAG files as `airflow dags test` does, one after the other in one process, and write how each ended as JSON.

Called in a process of its own, with an Airflow home of its own: `python run_dags.py RESULT FILE…`
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from airflow.sdk import DAG


def load(file: Path) -> DAG:
    """Import a DAG file, and give its one DAG."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (dag,) = (value for value in vars(module).values() if isinstance(value, DAG))
    return dag


# What destroys does so only when it is told to.
CONF = dict.fromkeys(
    ["twilio_nightly_housekeeping", "twilio_number_housekeeping", "twilio_account_lifecycle"], ("apply", True)
)
FOLDERS = {"twilio_nightly_housekeeping": "reports", "twilio_logs_to_storage": "logs"}


def run(dag: Any, folder: Path) -> dict[str, Any]:
    conf: dict[str, Any] = dict([CONF[dag.dag_id]]) if dag.dag_id in CONF else {}
    if name := FOLDERS.get(dag.dag_id):
        conf[name] = str(folder / "files" / name)
    dag.deadline = None  # dag.test() of Airflow 3.3.2 stumbles over one; tests/real_airflow_alerts has deadlines
    ended = dag.test(run_conf=conf)
    tasks = {(ti.task_id, ti.map_index): str(ti.state) for ti in ended.get_task_instances()}
    return {
        "state": str(ended.state),
        "tasks": {f"{name}[{index}]" if index >= 0 else name: state for (name, index), state in tasks.items()},
    }


if __name__ == "__main__":
    result, *files = map(Path, sys.argv[1:])
    result.write_text(json.dumps({file.stem: run(load(file), result.parent) for file in files}))
