"""Maintain the phone numbers of an account: buy a missing one, update their settings, and release idle ones.

The first task buys a number in its first run and finds it by its name in later runs. It never buys a second one, even
if it is retried, killed or cleared. ``max_active_tis_per_dag=1`` keeps two runs from buying at the same moment.

Releasing a number cannot be undone. So a person, or ``apply``, stands between finding idle numbers and releasing them.
Numbers that match ``protect`` are never released. If there are more than ``max_releases``, none is released.

Requirements: the connection ``twilio_default``. With a real account this costs a number's rent.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_twilio.operators.phone_numbers import (
    EnsureNumberOperator,
    FindIdleNumbersOperator,
    ReleaseNumbersOperator,
    UpdateNumbersOperator,
)

with DAG(
    "twilio_number_housekeeping",
    schedule="@weekly",
    max_active_runs=1,
    params={
        "country": "US",
        "area_code": 415,
        "sms_url": "https://example.com/incoming",
        "idle_days": 90,
        "protect": ["alerts*", "+1800*"],
        "apply": False,
    },
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    ensure = EnsureNumberOperator(
        task_id="ensure",
        friendly_name="alerts",
        country="{{ params.country }}",
        area_code="{{ params.area_code }}",
        sms_enabled=True,
        max_active_tis_per_dag=1,
    )

    # The differences are logged and pushed to XCom, whether they are applied or not.
    update = UpdateNumbersOperator(
        task_id="update",
        phone_numbers=["alerts*"],
        sms_url="{{ params.sms_url }}",
        apply="{{ params.apply }}",
    )

    idle = FindIdleNumbersOperator(task_id="idle", days="{{ params.idle_days }}", protect="{{ params.protect }}")

    release = ReleaseNumbersOperator(
        task_id="release",
        phone_numbers="{{ ti.xcom_pull(task_ids='idle') | map(attribute='sid') | list }}",
        protect="{{ params.protect }}",
        max_releases=5,
        apply="{{ params.apply }}",
    )

    ensure >> update >> idle >> release
