"""Ask a person by SMS before something dangerous is done.

The question ends with a code, and with how long it is open: "Reply YES 4821 or NO 4821 within 30 min". An answer counts
if it comes from that phone, to the number that asked, in time, with that code. YES goes on, NO goes the other way; no
answer, and a phone that can't be reached, fail the task. It waits in the triggerer and holds no worker slot.

An SMS can be forged, and a phone lent: it approves what a phone call would approve. See the page on inbound messages.

What it needs: the connection ``twilio_default``. To ask for real, trigger it with ``to`` your phone, and ``from_`` a
number of your account. What stands there now is for the emulator that comes with the provider: answer on its page.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator

with DAG(
    "twilio_approval",
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},  # a retry waits on, and doesn't ask again
    params={"to": "+14155550142", "from_": "+15005550006"},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    ask = ApproveBySmsOperator(
        task_id="ask",
        to="{{ params.to }}",
        from_="{{ params.from_ }}",
        question="Drop the partitions of last year?",
        follow={"no": "keep"},
        deferrable=True,
        poll_interval=2,
        wait_timeout=1800,
    )

    @task
    def drop(answer: dict[str, str]) -> str:
        """Do what can't be undone."""
        return f"dropped, as {answer['by']} said at {answer['answered_at']}"

    @task
    def keep() -> str:
        """Leave it be."""
        return "kept"

    drop(ask.output)
    ask >> keep()
