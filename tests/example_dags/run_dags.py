"""Run DAG files as `airflow dags test` does, one after the other, and write the final states as JSON.

Run it in a separate process with a separate Airflow home: `python run_dags.py RESULT FILE…`
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from airflow.sdk import DAG


def load(file: Path) -> DAG:
    """Import a DAG file and return its only DAG."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (dag,) = (value for value in vars(module).values() if isinstance(value, DAG))
    return dag


# DAGs that destroy something do so only with `apply`.
PARAMS = dict.fromkeys(
    ["twilio_nightly_housekeeping", "twilio_number_housekeeping", "twilio_account_lifecycle"], ("apply", True)
)
FOLDERS = {"twilio_nightly_housekeeping": "reports", "twilio_logs_to_storage": "logs"}


def run(dag: Any, folder: Path) -> dict[str, Any]:
    conf: dict[str, Any] = dict([PARAMS[dag.dag_id]]) if dag.dag_id in PARAMS else {}
    if name := FOLDERS.get(dag.dag_id):
        conf[name] = str(folder / "files" / name)
    dag.deadline = None  # dag.test() of Airflow 3.3.2 fails on a deadline; tests/real_airflow_alerts tests deadlines
    dag_run = dag.test(run_conf=conf)
    tasks = {(ti.task_id, ti.map_index): str(ti.state) for ti in dag_run.get_task_instances()}
    return {
        "state": str(dag_run.state),
        "tasks": {f"{name}[{index}]" if index >= 0 else name: state for (name, index), state in tasks.items()},
    }


if __name__ == "__main__":
    result, *files = map(Path, sys.argv[1:])
    result.write_text(json.dumps({file.stem: run(load(file), result.parent) for file in files}))
