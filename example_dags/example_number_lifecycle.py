"""Find a number, buy it, use it, and give it back.

The tasks hand the number on by XCom: what was found is what is bought, and what was bought is what is released. To
buy is the setup and to release the teardown, so that the number is given back, and costs no more rent, also when a
task between them fails.

Buying happens once: retried or killed half-way, the task never buys a second number. Releasing takes the SID of one
number, or the number in full, and refuses anything that could mean another.

What it needs: the connection ``twilio_default``. With a real account this costs a month's rent of a number.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.operators.phone_numbers import (
    PurchaseNumberOperator,
    ReleaseNumberOperator,
    SearchNumbersOperator,
    UpdateNumberOperator,
)

with DAG(
    "twilio_number_lifecycle",
    schedule=None,
    params={"country": "US", "area_code": 415, "to": "+14155550123", "sms_url": "https://example.com/incoming"},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    search = SearchNumbersOperator(
        task_id="search",
        country="{{ params.country }}",
        area_code="{{ params.area_code }}",
        sms_enabled=True,
        limit=1,
    )

    # By area code alone, PurchaseNumberOperator(area_code=415) does both, if any number there will do.
    purchase = PurchaseNumberOperator(
        task_id="purchase",
        phone_number="{{ ti.xcom_pull(task_ids='search')[0]['phone_number'] }}",
        friendly_name="for {{ dag.dag_id }}",
    )

    answer = UpdateNumberOperator(
        task_id="set_webhook",
        phone_number_sid=purchase.output["sid"],
        sms_url="{{ params.sms_url }}",
    )

    use = SendMessageOperator(
        task_id="use",
        to="{{ params.to }}",
        from_=purchase.output["phone_number"],
        body="Answer to this number, as long as it is ours.",
    )

    release = ReleaseNumberOperator(task_id="release", phone_number_sid=purchase.output["sid"])

    search >> purchase >> answer >> use >> release.as_teardown(setups=purchase, on_failure_fail_dagrun=True)
