"""Call somebody, speak, and wait until the call is over.

``say`` becomes TwiML, with ``<``, ``>`` and ``&`` escaped; ``twiml`` takes your own, and ``url`` an address that
answers with it. The sensor succeeds when the call was answered and completed, and fails on ``busy``, ``no-answer``,
``failed`` and ``canceled``. Between two looks it gives its worker slot back (``mode="reschedule"``).

What it needs: the connection ``twilio_default``. To call for real, trigger it with ``to`` your phone, and ``from_`` a
number of your account. What stands there now is for the emulator that comes with the provider.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_twilio.operators.calls import CreateCallOperator, FetchCallOperator
from airflow_provider_twilio.sensors.calls import CallCompletionSensor

with DAG(
    "twilio_call_and_wait",
    schedule=None,
    params={"to": "+14155550123", "from_": "+15005550006"},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    call = CreateCallOperator(
        task_id="call",
        to="{{ params.to }}",
        from_="{{ params.from_ }}",
        say="This is Airflow. The run {{ run_id }} needs you.",
        language="en-GB",
        ring_timeout=30,  # seconds it may ring; how long the sensor waits is another matter
    )

    wait = CallCompletionSensor(
        task_id="wait",
        call_sid=call.output["sid"],
        mode="reschedule",
        poke_interval=5,
        timeout=600,
    )

    # The record as it is in the end: how long it took, and what it cost.
    wait >> FetchCallOperator(task_id="look_back", call_sid=call.output["sid"])
