"""Typical DAG code for type checkers to read; never run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Context

from airflow_provider_twilio.notifications.twilio import TwilioNotifier
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator, SendMessagesOperator
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

TO = "+14155550123"


def on_failure(context: Context) -> None:
    """Handle a failure."""


class RemindOperator(SendMessageOperator):
    """A user's operator, with a parameter of its own."""

    def __init__(self, *, team: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.team = team


class PatientSensor(MessageDeliverySensor):
    """A user's sensor, with another default."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("poke_interval", 300.0)
        super().__init__(**kwargs)


def dag() -> None:
    arguments: dict[str, Any] = {"from_": "+15005550006", "on_failure_callback": TwilioNotifier(to=TO)}
    with DAG("dag", schedule=None, default_args=arguments):
        send = SendMessageOperator(
            task_id="send",
            to=TO,
            body="hello",
            on_clear="skip",
            deferrable=True,
            depends_on_past=True,
            doc_md="Sends a message.",
            email_on_failure=False,
            execution_timeout=timedelta(minutes=5),
            executor_config={},
            max_active_tis_per_dag=1,
            on_failure_callback=on_failure,
            on_success_callback=[TwilioNotifier(to=TO)],
            owner="team",
            pool="twilio",
            pool_slots=1,
            priority_weight=2,
            queue="default",
            retries=3,
            retry_delay=timedelta(minutes=1),
            retry_exponential_backoff=True,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
            trigger_rule="all_done",
        )
        call = CreateCallOperator(task_id="call", to=TO, say="hello", record=True, retries=1, pool="twilio")
        send_many = SendMessagesOperator(task_id="send_many", recipients=[TO], body="hello", rate=10, retries=2)
        remind = RemindOperator(task_id="remind", team="data", to=TO, body="hello", retries=2)
        wait = MessageDeliverySensor(
            task_id="wait", message_sid=send.output["sid"], poke_interval=60.0, mode="reschedule", soft_fail=True
        )
        PatientSensor(task_id="patient", message_sid="{{ params.sid }}")
        SendMessageOperator.partial(task_id="each", body="hello", retries=2)
        send.set_downstream(wait)
        wait.set_downstream([call, send_many, remind])
