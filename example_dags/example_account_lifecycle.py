"""Open an account for a customer, suspend it, activate it again, and close it in the end.

Who closes or suspends names the account twice, by its SID and by its name: a SID that was mistaken for another does no
harm. The connection's own account is always refused. Closing can't be undone and releases the account's numbers: it
names them first, and is done with ``apply`` only.

What it needs: the connection ``twilio_default``, with an auth token or a main API key, and some money on the account.
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
