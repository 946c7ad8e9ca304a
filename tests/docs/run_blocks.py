"""Run the DAGs in the DAGs folder as `airflow dags test` does, and write their states to a JSON file.

Usage: `python run_blocks.py RESULT`, with an Airflow home whose DAGs folder holds the documentation's Python code.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow_provider_twilio.emulator import Emulator, serve
from tests.docs.blocks import prepare

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag  # type: ignore[no-redef,attr-defined,unused-ignore]


def run(dag: Any, emulator: Emulator) -> dict[str, Any]:
    """Run a DAG, and return its state and the number of messages that it has sent."""
    emulator.reset()
    for task in dag.tasks:
        if hasattr(task, "poll_interval"):
            task.poll_interval = 1  # Shorter than the default, which is for real phones.
    return {"state": str(dag.test().state), "sent": len(emulator.messages)}


if __name__ == "__main__":
    with serve(speed=1000) as emulator:
        os.environ |= prepare(emulator)
        bag: Any = DagBag()
        assert not bag.import_errors, bag.import_errors
        dags = [dag for dag in bag.dags.values() if dag.tasks]
        Path(sys.argv[1]).write_text(json.dumps({dag.dag_id: run(dag, emulator) for dag in dags}))
