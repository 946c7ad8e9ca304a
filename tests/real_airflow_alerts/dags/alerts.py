"""DAGs that fail, miss a deadline or ask for approval, with notifiers."""

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

# The import that works in all of Airflow 3.1 to 3.3; since 3.2 `airflow.sdk` has them, too.
AsyncCallback: Any = deadline.AsyncCallback  # type: ignore[attr-defined]
SyncCallback: Any = getattr(sdk, "SyncCallback", None)  # None in Airflow 3.1

NOTIFIER = "airflow_provider_twilio.notifications.twilio.TwilioNotifier"
PHONES = {
    name: f"+141555501{number:02}"
    for number, name in enumerate(["tries", "storm", "dag", "deadline", "executor", "broken", "fallback", "approver"])
}


@task
def fail(number: int) -> None:
    """Fail."""
    raise ValueError(f"number {number} is invalid")


notifier = TwilioNotifier(to=PHONES["tries"], only_last_try=True)
with DAG(
    "alerts_tries",
    schedule=None,
    default_args={
        "on_retry_callback": notifier,
        "on_failure_callback": notifier,
        "retries": 2,
        "retry_delay": timedelta(0),
    },
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
        """Return one number for each task that shall fail."""
        return list(range(context["params"]["many"]))

    limited = TwilioNotifier(to=PHONES["storm"], max_per_hour=5)
    fail.override(task_id="fail", on_failure_callback=limited).expand(number=numbers())


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

# Airflow 3.1 accepts one deadline only.
with DAG("alerts_deadline", schedule=None, deadline=deadlines if SyncCallback else deadlines[0]):

    @task
    def last() -> None:
        """Exceed the deadline."""
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
        notifiers=[TwilioNotifier(to=PHONES["approver"], on_error="log")],
        response_timeout=timedelta(minutes=5),
    )
