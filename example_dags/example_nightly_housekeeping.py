"""Monitor the balance and costs of an account every night, and redact or delete old records.

Messages older than ``redact_days`` lose their text and media. Messages older than ``delete_days`` are deleted, and so
are old calls and recordings. Nothing is redacted or deleted until ``apply`` is true. Each task writes a report of what
it would do and, with ``apply``, of what it has done. Read the reports first, then set ``apply`` permanently.

A task can handle 100,000 records. A try that was killed is resumed, and the report covers all tries.

Requirements: the connection ``twilio_default``. The reports are written to a folder or to any of Airflow's object
stores, such as ``s3://aws_default@bucket/reports``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.calls import DeleteOldCallsOperator, DeleteOldRecordingsOperator
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, RedactOldMessagesOperator
from airflow_provider_twilio.operators.usage import UsageReportOperator


def report_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of a task: its own report in each run, and ``apply`` as the run's parameters set it."""
    return {"report": f"{{{{ params.reports }}}}/{name}/{{{{ run_id }}}}.csv", "apply": "{{ params.apply }}"}


with DAG(
    "twilio_nightly_housekeeping",
    schedule="@daily",
    max_active_runs=1,
    params={
        "minimum_balance": 10,
        "budget": 500,
        "redact_days": 7,
        "delete_days": 30,
        "apply": False,
        "reports": "/tmp/twilio-reports",  # noqa: S108 (for the example only; use a store of your own)
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    FetchBalanceOperator(task_id="balance", minimum="{{ params.minimum_balance }}")

    UsageReportOperator(
        task_id="usage",
        start="-30days",
        end="-1days",
        by="day",
        subaccounts=True,
        budget="{{ params.budget }}",
        path="{{ params.reports }}/usage/{{ run_id }}.csv",
    )

    redact = RedactOldMessagesOperator(
        task_id="redact_messages", days="{{ params.redact_days }}", media=True, **report_arguments("redacted")
    )
    delete = DeleteOldMessagesOperator(
        task_id="delete_messages", days="{{ params.delete_days }}", **report_arguments("messages")
    )
    recordings = DeleteOldRecordingsOperator(
        task_id="delete_recordings", days="{{ params.redact_days }}", **report_arguments("recordings")
    )
    calls = DeleteOldCallsOperator(task_id="delete_calls", days="{{ params.delete_days }}", **report_arguments("calls"))

    delete >> redact  # messages that are deleted need not be redacted first
    recordings >> calls
