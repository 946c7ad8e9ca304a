"""Send to a list of people, in one task that goes on where it was: retried, killed or cleared, each gets one message.

The list is a CSV file with the columns ``to`` and ``name``, here one that the first task writes; in earnest it is an
export in an object store, and its path is all that the DAG needs. The table of what became of each row is written
beside it, and the ledger by which a retry goes on; up to 20,000 people need none from Airflow 3.3 on. Numbers that
can't be sent to are counted, and the rest is sent.

What it needs: the connection ``twilio_default``.
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
    """Write the list of people, and give its path."""
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
    """Say how it went."""
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
        checkpoint_path="{{ ti.xcom_pull('export') }}.ledger",
        results="{{ ti.xcom_pull('export') }}.results.csv",
        wait_for_delivery=True,
        deferrable=True,
        poll_interval=5,
        wait_timeout=600,
        retries=3,
    )
    report(send.output)
