"""Bring the logs of messages and calls home, a file for each day.

The files are named for the day (UTC) that records were made on, which never changes: each message is in one file, once.
Each run writes its day, and looks back at those before it: prices and statuses come late, and what has changed is
written again. A day that is as it was isn't touched.

A run writes its data interval or, where it has none, the day before it. ``max_active_runs=1``, for
two runs would write the same days.

What it needs: the connection ``twilio_default``; for ``parquet`` the extra of that name:
``pip install 'airflow-provider-twilio[parquet]'``. The files go to a folder, or to any store of Airflow's, such as
``s3://aws_default@bucket/messages``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_twilio.transfers.storage import CallsToStorageOperator, MessagesToStorageOperator

with DAG(
    "twilio_logs_to_storage",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    params={"logs": "/tmp/twilio-logs"},  # noqa: S108 (an example's; choose a store of yours)
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    MessagesToStorageOperator(
        task_id="messages",
        path="{{ params.logs }}/messages",
        file_format="parquet",
        look_back=3,
    )

    CallsToStorageOperator(task_id="calls", path="{{ params.logs }}/calls", file_format="csv")
