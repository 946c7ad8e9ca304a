"""Tell people that a task failed, by SMS, and by a call where that can't be sent.

The task ``load`` fails, three times. Its callback says nothing of the tries that are followed by another; of the last
one it sends an SMS, and should Twilio refuse it, somebody is called instead. The same phone has no more than five such
alerts in an hour, however many tasks fail: the fifth says that more are held back, and until when.

The DAG has a callback as well. A task that was killed, or whose worker is gone, may run none of its own, but the run
fails all the same, and that is told from elsewhere: by the DAG processor.

What it needs: the connection ``twilio_default``. To be told for real, trigger it with ``to`` your phone, and ``from_``
a number of your account. What stands there now is for the emulator that comes with the provider.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.notifications.twilio import TwilioNotifier

someone: Any = {"to": "{{ params.to }}", "from_": "{{ params.from_ }}"}

task_failed = TwilioNotifier(
    **someone,
    only_last_try=True,
    max_per_hour=5,
    fallback=TwilioNotifier(**someone, call=True),
)

# What a context lacks (a DAG's may have no task) doesn't keep the alert from being sent: see docs/alerting.md.
run_failed = TwilioNotifier(
    **someone,
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
        """Fail, as loads do."""
        raise ConnectionError("the warehouse does not answer")

    load()
