"""Tell people that a run is late, while it still runs.

The run shall be done an hour after it was queued. If it isn't, the triggerer sends an SMS, and places a call where
that can't be done. Such a callback travels as JSON: what it is given, the fallback too, is named by class path and
plain arguments.

What it needs: the connection ``twilio_default``, and Airflow 3.2 or later for the deadline; before, it runs without.
To be told for real, write your phone and a number of your account where the emulator's stand now, or better, into the
Variable ``oncall``, as shown: then the code holds no numbers, and neither do logs of Airflow's own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.notifications.twilio import TwilioNotifier

someone = {"to": "{{ var.value.get('oncall', '+14155550123') }}", "from_": "+15005550006"}

try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]
except ImportError:  # before Airflow 3.2
    deadline: dict[str, Any] = {}
else:
    late = AsyncCallback(
        TwilioNotifier,
        kwargs={
            **someone,
            "quiet_hours": ("22:00", "06:30", "Europe/Berlin"),
            "fallback": (
                "airflow_provider_twilio.notifications.twilio.TwilioNotifier",
                {**someone, "call": True, "language": "en-GB"},
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
        """Be done in time."""
        return "done"

    report()
