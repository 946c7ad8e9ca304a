"""Send a message to each person of a list, in one task that resumes after a retry, a crash or Clear.

Each person gets one message. The list is a CSV file with the columns ``to`` and ``name``. Here the first task writes
it; in production it would be an export in an object store, and the DAG only needs its path. The operator writes two
files next to the list: a table with the outcome of each row, and the checkpoints from which a retry resumes. Since
Airflow 3.3, lists of up to 20,000 people need no checkpoint file. Invalid numbers are counted and skipped.

Requirements: the connection ``twilio_default``.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.messages import SendMessagesOperator


@task
def export(params: Any = None) -> str:
    """Write the list of people and return its path."""
    folder = Path(tempfile.mkdtemp(prefix="twilio-example-"))
    path = folder / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["to", "name"])
        writer.writerows([f"+1415555{number:04}", f"customer {number}"] for number in range(params["people"]))
        writer.writerow(["not a number", "somebody"])
    return str(path)


@task
def report(summary: dict[str, Any]) -> str:
    """Return a summary of the outcomes."""
    return f"{summary['sent']} of {summary['rows']} sent, {summary['delivered']} delivered, failed: {summary['failed']}"


with DAG(
    "twilio_bulk_send",
    schedule=None,
    params={"people": 200, "from_number": "+15005550006"},
    tags=["twilio", "example"],
    doc_md=__doc__,
) as dag:
    people = export()
    send = SendMessagesOperator(
        task_id="send",
        recipients=people,
        from_="{{ params.from_number }}",
        body="Dear {name}, we are open again on Monday.",
        rate=100,
        max_failures=0.05,
        checkpoint_path="{{ ti.xcom_pull('export') }}.checkpoints",
        results="{{ ti.xcom_pull('export') }}.results.csv",
        wait_for_delivery=True,
        deferrable=True,
        poll_interval=5,
        wait_timeout=600,
        retries=3,
    )
    report(send.output)
