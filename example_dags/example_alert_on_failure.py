"""Notify people of a failed task by SMS, or by a call if the SMS cannot be sent.

The task ``load`` fails three times. Its callback skips tries that are followed by another, and sends an SMS after the
last one. If Twilio rejects the SMS, the fallback places a call. The same phone gets at most five such alerts in an
hour, however many tasks fail. The fifth says until when more are held back.

The DAG has a callback as well. A task that was killed, or whose worker is lost, may not run its own callback. The run
still fails, and the DAG processor runs the DAG's callback.

Requirements: the connection ``twilio_default``. To receive real alerts, trigger the DAG with your phone as ``to`` and a
number of your account as ``from_``. The default numbers are for the emulator that comes with the provider.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.notifications.twilio import TwilioNotifier

recipient: Any = {"to": "{{ params.to }}", "from_": "{{ params.from_ }}"}

task_failed = TwilioNotifier(
    **recipient,
    only_last_try=True,
    max_per_hour=5,
    fallback=TwilioNotifier(**recipient, call=True),
)

# If the context lacks a name (a DAG's may have no task), the default text is sent instead: see docs/alerting.md.
run_failed = TwilioNotifier(
    **recipient,
    body="The run {{ run_id }} of {{ alert.dag_id }} {{ alert.event }}. Nobody was billed. {{ alert.link }}",
    dedupe_window=timedelta(minutes=30),
)

with DAG(
    "twilio_alert_on_failure",
    schedule=None,
    params={"to": "+14155550123", "from_": "+15005550006"},
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
        "on_retry_callback": task_failed,
        "on_failure_callback": task_failed,
    },
    on_failure_callback=run_failed,
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:

    @task
    def load() -> None:
        """Fail."""
        raise ConnectionError("the warehouse does not respond")

    load()
