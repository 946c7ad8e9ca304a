"""DAGs that wait for many messages, for one, and for scheduled messages that a user stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

ARGS = {"retries": 2, "retry_delay": timedelta(seconds=1)}
WAIT: dict[str, Any] = {"wait_for_delivery": True, "deferrable": True, "poll_interval": 3, "wait_timeout": 7200}


@task
def recipients(**context: Any) -> list[str]:
    """Return as many phone numbers as the run's conf asks for."""
    return [f"+1415555{number:04d}" for number in range(context["dag_run"].conf["many"])]


with DAG("waiting_many", schedule=None, default_args=ARGS):
    SendMessageOperator.partial(task_id="send", body="hello", **WAIT).expand(to=recipients())


with DAG("waiting_one", schedule=None, default_args=ARGS) as one:
    sent = SendMessageOperator(task_id="send", to="+14155550100", body="hello", **WAIT)
    MessageDeliverySensor(task_id="wait", message_sid=sent.output["sid"], deferrable=True, poke_interval=1)


with DAG("waiting_scheduled", schedule=None, default_args=ARGS):

    @task
    def in_an_hour() -> str:
        """Return the time to send at."""
        return (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    SCHEDULED: dict[str, Any] = {
        "messaging_service_sid": "{{ dag_run.conf['service'] }}",
        "schedule_type": "fixed",
        "send_at": in_an_hour(),
        "body": "see you",
        **WAIT,
    }
    SendMessageOperator(task_id="alone", to="+14155550200", **SCHEDULED)
    SendMessageOperator.partial(task_id="mapped", **SCHEDULED).expand(to=["+14155550201", "+14155550202"])


with DAG("waiting_resumed", schedule=None, default_args=ARGS):

    @task.branch
    def chosen(**context: Any) -> str:
        """Return the task that the run's conf names."""
        return str(context["dag_run"].conf["task"])

    resumed: dict[str, Any] = {**SCHEDULED, "send_at": in_an_hour(), "to": "+14155550203", "on_clear": "skip"}
    chosen() >> [
        SendMessageOperator(task_id="deferred", **resumed),
        SendMessageOperator(task_id="on_worker", **{**resumed, "deferrable": False}),
    ]


with DAG("waiting_call", schedule=None, default_args=ARGS):
    CreateCallOperator(
        task_id="call",
        to="+15005559105",  # talks for an hour
        twiml="<Response><Pause length='60'/></Response>",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=3,
        hang_up_on_kill=True,
    )
