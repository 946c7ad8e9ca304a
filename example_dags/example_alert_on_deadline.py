"""Notify people while a run is still running that it has missed its deadline.

The run should finish within an hour of being queued. If it does not, the triggerer sends an SMS, or places a call if
the SMS cannot be sent. Airflow passes such a callback as JSON. So its arguments are plain values, and the fallback is
given by its class path.

Requirements: the connection ``twilio_default``, and Airflow 3.2 or later for the deadline; older versions run the DAG
without it. To receive real alerts, store your phone number in the Variable ``oncall`` and replace ``from_`` by a number
of your account. With the Variable, neither the code nor Airflow's own logs contain phone numbers.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.notifications.twilio import TwilioNotifier

recipient = {"to": "{{ var.value.get('oncall', '+14155550123') }}", "from_": "+15005550006"}

try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]
except ImportError:  # before Airflow 3.2
    deadline: dict[str, Any] = {}
else:
    late = AsyncCallback(
        TwilioNotifier,
        kwargs={
            **recipient,
            "quiet_hours": ("22:00", "06:30", "Europe/Berlin"),
            "fallback": (
                "airflow_provider_twilio.notifications.twilio.TwilioNotifier",
                {**recipient, "call": True, "language": "en-GB"},
            ),
        },
    )
    deadline = {
        "deadline": DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1), callback=late
        )
    }

with DAG("twilio_alert_on_deadline", schedule=None, doc_md=__doc__, tags=["twilio", "example"], **deadline) as dag:

    @task
    def report() -> str:
        """Finish in time."""
        return "done"

    report()
