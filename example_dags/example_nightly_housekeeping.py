"""Keep an account tidy, every night: watch the balance and the costs, and forget what is old.

Messages older than ``redact_days`` lose their text and media, those older than ``delete_days`` go altogether, and so do
old calls and recordings. Nothing is redacted or deleted until ``apply`` is true: each task writes a report of what it
would do, and then one of what it has done. Read the reports first; then set ``apply`` for good.

A task may handle 100,000 records. A try that was killed is taken up where it was, and the report tells of all.

What it needs: the connection ``twilio_default``. The reports go to a folder, or to any store of Airflow's, such as
``s3://aws_default@bucket/reports``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.calls import DeleteOldCallsOperator, DeleteOldRecordingsOperator
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, RedactOldMessagesOperator
from airflow_provider_twilio.operators.usage import UsageReportOperator


def report(name: str) -> dict[str, Any]:
    """Give a task a report of its own in each run, and leave it to the run whether anything is done."""
    return {"report": f"{{{{ params.reports }}}}/{name}/{{{{ run_id }}}}.csv", "apply": "{{ params.apply }}"}


with DAG(
    "twilio_nightly_housekeeping",
    schedule="@daily",
    max_active_runs=1,
    params={
        "least_balance": 10,
        "budget": 500,
        "redact_days": 7,
        "delete_days": 30,
        "apply": False,
        "reports": "/tmp/twilio-reports",  # noqa: S108 (an example's; choose a store of yours)
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    FetchBalanceOperator(task_id="balance", minimum="{{ params.least_balance }}")

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
        task_id="redact_messages", days="{{ params.redact_days }}", media=True, **report("redacted")
    )
    delete = DeleteOldMessagesOperator(task_id="delete_messages", days="{{ params.delete_days }}", **report("messages"))
    recordings = DeleteOldRecordingsOperator(
        task_id="delete_recordings", days="{{ params.redact_days }}", **report("recordings")
    )
    calls = DeleteOldCallsOperator(task_id="delete_calls", days="{{ params.delete_days }}", **report("calls"))

    delete >> redact  # what is to be deleted need not be redacted before
    recordings >> calls
