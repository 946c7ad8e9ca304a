"""Ask a person for approval by SMS before a dangerous task runs.

The message ends with a code and the time limit: "Reply YES 48213955 or NO 48213955 within 30 min". A reply counts if it
comes from that phone, to the number that asked, within the time limit, with that code. After YES the DAG continues with
``drop``, after NO with ``keep``. Without a reply, or if the message cannot be delivered, the task fails. The task waits
in the triggerer and occupies no worker slot.

An SMS can be forged and a phone can be lent, so treat an approval by SMS like one by phone. See the page on inbound
messages.

Requirements: the connection ``twilio_default``. To send real messages, trigger the DAG with your phone as ``to`` and a
number of your account as ``from_``. The default numbers are for the emulator that comes with the provider;
reply on the emulator's page.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator

with DAG(
    "twilio_approval",
    schedule=None,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
    },  # a retry waits for the same reply, without asking again
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
        """Run the task that cannot be undone."""
        return f"dropped, as {answer['by']} said at {answer['answered_at']}"

    @task
    def keep() -> str:
        """Change nothing."""
        return "kept"

    drop(ask.output)
    ask >> keep()
