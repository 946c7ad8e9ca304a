"""Find a phone number, buy it, use it, and release it.

The tasks pass the number on by XCom: the number that was found is bought, and the number that was bought is released.
Buying is the setup and releasing the teardown. So the number is released, and costs no more rent, even if a task in
between fails.

The number is bought once. If the task is retried, or killed halfway, it does not buy a second one. The release operator
requires the SID or the full phone number, and rejects anything that could match another number.

Requirements: the connection ``twilio_default``. With a real account this costs a month's rent of a number.
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

    # If any number of the area will do, PurchaseNumberOperator(area_code=415) searches and buys in one task.
    purchase = PurchaseNumberOperator(
        task_id="purchase",
        phone_number="{{ ti.xcom_pull(task_ids='search')[0]['phone_number'] }}",
        friendly_name="for {{ dag.dag_id }}",
    )

    set_webhook = UpdateNumberOperator(
        task_id="set_webhook",
        phone_number_sid=purchase.output["sid"],
        sms_url="{{ params.sms_url }}",
    )

    use = SendMessageOperator(
        task_id="use",
        to="{{ params.to }}",
        from_=purchase.output["phone_number"],
        body="Reply to this number while it is ours.",
    )

    release = ReleaseNumberOperator(task_id="release", phone_number_sid=purchase.output["sid"])

    search >> purchase >> set_webhook >> use >> release.as_teardown(setups=purchase, on_failure_fail_dagrun=True)
