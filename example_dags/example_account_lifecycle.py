"""Create a subaccount for a customer, suspend it, reactivate it, and finally close it.

Operators that suspend or close an account require both its SID and its name, so that a wrong SID does no harm. They
always reject the connection's own account. Closing an account cannot be undone and releases its phone numbers. The
operator lists these numbers first, and closes the account only with ``apply``.

Requirements: the connection ``twilio_default`` with an auth token or a main API key, and a positive balance.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_twilio.operators.accounts import (
    ActivateAccountOperator,
    CloseAccountOperator,
    CreateAccountOperator,
    SuspendAccountOperator,
)
from airflow_provider_twilio.sensors.accounts import BalanceSensor

with DAG(
    "twilio_account_lifecycle",
    schedule=None,
    params={"name": "A customer", "apply": False},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    money = BalanceSensor(task_id="money", minimum=20, mode="reschedule", poke_interval=600, timeout=86_400)

    create = CreateAccountOperator(task_id="create", friendly_name="{{ params.name }}")
    account = {"target_account_sid": create.output["sid"], "friendly_name": "{{ params.name }}"}

    suspend = SuspendAccountOperator(task_id="suspend", **account)
    activate = ActivateAccountOperator(task_id="activate", **account)
    close = CloseAccountOperator(task_id="close", **account, apply="{{ params.apply }}")

    money >> create >> suspend >> activate >> close
