"""DAGs of the bulk tests: one task that is killed repeatedly, and mapped tasks."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.messages import SendMessagesOperator


def write_pid(context: Any) -> None:
    """Write the ID of the process that runs this try."""
    Path(context["dag_run"].conf["pid"]).write_text(str(os.getpid()))


with DAG("bulk_send", schedule=None):
    SendMessagesOperator(
        task_id="send",
        recipients="{{ dag_run.conf['recipients'] }}",
        from_="+15005550006",
        body="Dear {name}",
        checkpoint_path="{{ dag_run.conf['checkpoint_path'] }}",
        results="{{ dag_run.conf['results'] }}",
        reconcile_timeout=3.0,
        wait_for_delivery=True,
        deferrable=True,
        poll_interval=5.0,
        wait_timeout=600.0,
        retries=10,
        retry_delay=timedelta(seconds=1),
        pre_execute=write_pid,
    )

with DAG("bulk_missing_folder", schedule=None):
    SendMessagesOperator(
        task_id="send",
        recipients="{{ dag_run.conf['recipients'] }}",
        from_="+15005550006",
        body="Dear {name}",
        # Each try has a folder of its own, as on the disk of its own pod.
        checkpoint_path="{{ dag_run.conf['checkpoint_path'] }}/{{ ti.try_number }}",
        reconcile_timeout=1.0,
        concurrency=5,
        retries=3,
        retry_delay=timedelta(seconds=1),
        pre_execute=write_pid,
    )

with DAG("bulk_scheduled", schedule=None):
    SendMessagesOperator(
        task_id="send",
        recipients="{{ dag_run.conf['recipients'] }}",
        messaging_service_sid="{{ dag_run.conf['service'] }}",
        body="Dear {name}",
        schedule_type="fixed",
        send_at="{{ dag_run.conf['send_at'] }}",
        checkpoint_path="{{ dag_run.conf['checkpoint_path'] }}",
        concurrency=5,
        wait_for_delivery=True,
        deferrable=True,
    )

with DAG("bulk_mapped", schedule=None):

    @task
    def split_recipients() -> list[list[str]]:
        return [[f"+1415{5550000 + 100 * part + index}" for index in range(100)] for part in range(4)]

    SendMessagesOperator.partial(
        task_id="send", from_="+15005550006", body="hello", checkpoint_path="{{ dag_run.conf['checkpoint_path'] }}"
    ).expand(recipients=split_recipients())
