"""DAGs that ask for approval in a mapped task, in a mapped task group, and before mapped tasks."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task, task_group

from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator

PHONES = ["+14155550111", "+14155550122"]
ASK: dict[str, Any] = {
    "question": "Deploy?",
    "from_": "+15005550006",
    "twilio_conn_id": "approvals",
    "deferrable": True,
    "poll_interval": 1,
    # Airflow sometimes fails a deferred task whose trigger fires before the scheduler has processed the deferral.
    "retries": 3,
    "retry_delay": 1,
}


@task
def work(number: int) -> int:
    """Return a number, in a mapped task."""
    return number


with DAG("approvals_mapped", schedule=None):
    ApproveBySmsOperator.partial(task_id="ask", **ASK).expand(to=PHONES) >> EmptyOperator(task_id="deploy")


with DAG("approvals_group", schedule=None):

    @task_group
    def each(to: str) -> None:
        """Ask, and deploy if that phone replies with YES."""
        ApproveBySmsOperator(task_id="ask", to=to, **ASK) >> EmptyOperator(task_id="deploy")

    each.expand(to=PHONES)


with DAG("approvals_before", schedule=None):
    ApproveBySmsOperator(task_id="ask", to=PHONES[0], **ASK) >> work.expand(number=[1, 2])
