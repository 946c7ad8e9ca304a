"""Answer messages that come in: one that arrives starts this DAG.

The asset is watched in the triggerer, which asks Twilio every few seconds, once for all watchers of the account; no
public address is needed. Its event says that something has come, and no more. ``read`` then gives what is new since the
last run that read, each message to one run, however often events come. A word that is not known gets no answer, so that
two machines don't talk to each other for ever.

What it needs: the connection ``twilio_default``, and ``OURS`` a number of your account. What stands there now is for
the emulator that comes with the provider: write to it from a phone on its page.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_twilio.operators.inbound import ReadInboundMessagesOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger

OURS = "+15005550006"
ANSWERS = {"status": "All pipelines are green.", "help": "Write STATUS to hear how the pipelines are."}

inbox = Asset(
    "twilio_inbox",
    watchers=[AssetWatcher(name="sms", trigger=InboundMessageTrigger(to=OURS, poll_interval=5))],
)

with DAG(
    "twilio_two_way",
    schedule=inbox,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    read = ReadInboundMessagesOperator(task_id="read", to=OURS)

    @task
    def compose(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Choose an answer to each message that asks for one."""
        asked = [(message, message["body"].strip().lower()) for message in messages]
        return [
            {"to": message["from"], "from_": message["to"], "body": ANSWERS[word]}
            for message, word in asked
            if word in ANSWERS
        ]

    # Without a message to answer there is nothing to map over, and Airflow skips this.
    SendMessageOperator.partial(task_id="answer").expand_kwargs(compose(read.output))
