"""Keep an account tidy, every night: watch the balance, take stock of the numbers, and forget old messages.

Messages older than ``redact_days`` lose their text, those older than ``delete_days`` go altogether. Each message is a
mapped task of its own: it shows by itself in the grid, and is retried by itself. ``most`` bounds how many there are in
a night; what is left over waits for the next.

The list is made by the hook rather than by ListMessagesOperator, for what goes to XCom stays in Airflow's database:
the SIDs may, the texts that are to be forgotten may not.

What it needs: the connection ``twilio_default``.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.messages import DeleteMessageOperator, UpdateMessageOperator
from airflow_provider_twilio.operators.phone_numbers import ListNumbersOperator


@task
def warn_if_low(balance: dict[str, Any], params: Any = None) -> bool:
    """Fail when the money runs out, so that somebody sees it in the morning."""
    if float(balance["balance"]) < params["least_balance"]:
        raise ValueError(f"only {balance['balance']} {balance['currency']} left")
    return True


@task
def numbers_without_webhook(numbers: list[dict[str, Any]]) -> list[str]:
    """Name the numbers that answer nobody."""
    return [number["sid"] for number in numbers if not number["sms_url"] and not number["voice_url"]]


@task
def messages_to_redact(params: Any = None, dag_run: Any = None) -> list[str]:
    """List the messages that are old enough to lose their text, and still have it."""
    days, end = params["redact_days"], params["delete_days"]
    listed = TwilioHook().messages.list(
        date_sent_after=dag_run.run_after - timedelta(days=end),
        date_sent_before=dag_run.run_after - timedelta(days=days),
    )
    return list(islice((str(message.sid) for message in listed if message.body), params["most"]))


@task
def messages_to_delete(params: Any = None, dag_run: Any = None) -> list[str]:
    """List the messages that are old enough to go."""
    old = dag_run.run_after - timedelta(days=params["delete_days"])
    return [str(message.sid) for message in TwilioHook().messages.list(date_sent_before=old, limit=params["most"])]


with DAG(
    "twilio_nightly_housekeeping",
    schedule="@daily",
    params={"least_balance": 10, "redact_days": 7, "delete_days": 30, "most": 500},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    balance: Any = FetchBalanceOperator(task_id="balance").output
    warn_if_low(balance)

    numbers: Any = ListNumbersOperator(task_id="numbers").output
    numbers_without_webhook(numbers)

    # body="" takes the text away; the record stays, with its dates, status and price.
    UpdateMessageOperator.partial(task_id="redact", body="").expand(message_sid=messages_to_redact())
    DeleteMessageOperator.partial(task_id="delete").expand(message_sid=messages_to_delete())
