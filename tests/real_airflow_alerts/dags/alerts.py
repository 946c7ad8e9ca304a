"""DAGs that fail, are late, or ask, and tell people so."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow import sdk
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task
from airflow.sdk.definitions import deadline
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_provider_twilio.notifications.twilio import TwilioNotifier

# Where both 3.1 and 3.3 have them; from 3.2 on they are `airflow.sdk`'s, too.
AsyncCallback: Any = deadline.AsyncCallback  # type: ignore[attr-defined]
SyncCallback: Any = getattr(sdk, "SyncCallback", None)  # not in Airflow 3.1

NOTIFIER = "airflow_provider_twilio.notifications.twilio.TwilioNotifier"
PHONES = {
    name: f"+141555501{number:02}"
    for number, name in enumerate(["tries", "storm", "dag", "deadline", "executor", "broken", "fallback", "asked"])
}


@task
def fail(number: int) -> None:
    """Fail."""
    raise ValueError(f"number {number} is none")


told = TwilioNotifier(to=PHONES["tries"], only_last_try=True)
with DAG(
    "alerts_tries",
    schedule=None,
    default_args={"on_retry_callback": told, "on_failure_callback": told, "retries": 2, "retry_delay": timedelta(0)},
):
    fail(1)


with DAG(
    "alerts_storm",
    schedule=None,
    params={"many": 20},
    on_failure_callback=TwilioNotifier(to=PHONES["dag"], max_per_hour=2, body="{{ alert.text }} {{ ti.nope }}"),
    max_active_tasks=64,
):

    @task
    def numbers(**context: Any) -> list[int]:
        """List as many as asked."""
        return list(range(context["params"]["many"]))

    notifier = TwilioNotifier(to=PHONES["storm"], max_per_hour=5)
    fail.override(task_id="fail", on_failure_callback=notifier).expand(number=numbers())


deadlines = [
    DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(
            TwilioNotifier,
            kwargs={
                "to": "{{ var.value.oncall }}",
                "twilio_conn_id": "broken",
                "from_": "+15005550006",
                "on_error": "log",
                "fallback": [NOTIFIER, {"to": PHONES["deadline"], "max_per_hour": 2}],
                "quiet_hours": ["03:00", "03:01", "Pacific/Kiritimati"],
            },
        ),
    ),
]
if SyncCallback is not None:
    deadlines.append(
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(seconds=1),
            callback=SyncCallback(
                TwilioNotifier, kwargs={"to": PHONES["executor"], "dedupe_window": timedelta(minutes=9)}
            ),
        )
    )

# Airflow 3.1 takes one only.
with DAG("alerts_deadline", schedule=None, deadline=deadlines if SyncCallback else deadlines[0]):

    @task
    def last() -> None:
        """Take too long."""
        time.sleep(4)

    last()


with DAG("alerts_broken", schedule=None):
    fail.override(
        on_failure_callback=TwilioNotifier(
            to=PHONES["broken"],
            from_="+15005550006",
            twilio_conn_id="broken",
            fallback=TwilioNotifier(to=PHONES["fallback"], call=True),
        )
    )(1)


with DAG("alerts_asks", schedule=None):
    ApprovalOperator(
        task_id="approve",
        subject="Ship version 7?",
        notifiers=[TwilioNotifier(to=PHONES["asked"], on_error="log")],
        response_timeout=timedelta(minutes=5),
    )
