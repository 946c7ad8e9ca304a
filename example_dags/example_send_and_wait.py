"""Send a message, and see it delivered.

That Twilio has accepted a message says little: it is ``queued``. The second task succeeds when the carrier reports
``delivered``, and fails with Twilio's error code when it can't be any more. It waits in the triggerer, so that a
thousand of these tasks hold no worker slot, and ask Twilio in common.

The first task sends once: retried, cleared or killed half-way, it never sends a second message without being told to.

What it needs: the connection ``twilio_default``. To send for real, trigger it with ``to`` your phone, and ``from_`` a
number of your account. What stands there now is for the emulator that comes with the provider.
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

    # Some carriers never report more than "sent": sent_grace=600 takes that for success after ten minutes.
    MessageDeliverySensor(
        task_id="wait",
        message_sid=send.output["sid"],
        deferrable=True,
        poke_interval=2,
        timeout=3600,
    )
