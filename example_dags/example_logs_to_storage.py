"""Store the logs of messages and calls, one file for each day.

The files are named after the day (UTC) on which the records were created. That day never changes, so each message is in
one file, once. Each run writes its own day and updates the days before it, as prices and statuses arrive late. Files
of unchanged days are not rewritten.

A run writes its data interval or, if it has none, the previous day. ``max_active_runs=1`` keeps two runs from writing
the same days.

Requirements: the connection ``twilio_default``; for ``parquet`` also the extra of that name:
``pip install 'airflow-provider-twilio[parquet]'``. The files are written to a folder or to any of Airflow's object
stores, such as ``s3://aws_default@bucket/messages``.
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
    params={"logs": "/tmp/twilio-logs"},  # noqa: S108 (for the example only; use a store of your own)
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
