"""Send a message, and wait until it is delivered.

A message that Twilio has accepted is only ``queued``. The second task succeeds when the carrier reports ``delivered``,
and fails with Twilio's error code when the message can no longer be delivered. It waits in the triggerer. So a thousand
such tasks occupy no worker slot, and share their requests to Twilio.

The first task sends once. If it is retried, or killed halfway, it does not send a second message.

Requirements: the connection ``twilio_default``. To send real messages, trigger the DAG with your phone as ``to`` and a
number of your account as ``from_``. The default numbers are for the emulator that comes with the provider.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

with DAG(
    "twilio_send_and_wait",
    schedule=None,
    params={"to": "+14155550123", "from_": "+15005550006"},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    send = SendMessageOperator(
        task_id="send",
        to="{{ params.to }}",
        from_="{{ params.from_ }}",
        body="The run {{ run_id }} says hello.",
    )

    # Some carriers never report more than "sent": with sent_grace=600, that counts as success after ten minutes.
    MessageDeliverySensor(
        task_id="wait",
        message_sid=send.output["sid"],
        deferrable=True,
        poke_interval=2,
        timeout=3600,
    )
