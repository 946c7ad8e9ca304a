"""Call a person, speak, and wait until the call has ended.

``say`` is converted to TwiML, with ``<``, ``>`` and ``&`` escaped. ``twiml`` accepts your own TwiML, and ``url`` an
address that returns it. The sensor succeeds when the call was answered and completed, and fails on ``busy``,
``no-answer``, ``failed`` and ``canceled``. It releases its worker slot between two polls (``mode="reschedule"``).

Requirements: the connection ``twilio_default``. To place real calls, trigger the DAG with your phone as ``to`` and a
number of your account as ``from_``. The default numbers are for the emulator that comes with the provider.
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
        ring_timeout=30,  # seconds that the phone rings; the sensor has a timeout of its own
    )

    wait = CallCompletionSensor(
        task_id="wait",
        call_sid=call.output["sid"],
        mode="reschedule",
        poke_interval=5,
        timeout=600,
    )

    # The final record, with the duration and the price of the call.
    wait >> FetchCallOperator(task_id="look_back", call_sid=call.output["sid"])
