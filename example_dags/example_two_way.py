"""Answer inbound messages: each new message starts this DAG.

The triggerer watches the asset. It polls Twilio every few seconds, once for all watchers of the account, and needs no
public address. The asset's event only says that a message has arrived. The task ``read`` then returns the messages that
are new since the last run that read. Each message goes to one run, however many events arrive. Messages without a known
keyword get no reply, so that two machines do not reply to each other forever.

Requirements: the connection ``twilio_default``, and a number of your account in ``OUR_NUMBER``. The default number is
for the emulator that comes with the provider: send a message to it from a phone on the emulator's page.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_twilio.operators.inbound import ReadInboundMessagesOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger

OUR_NUMBER = "+15005550006"
REPLIES = {"status": "All pipelines are green.", "help": "Send STATUS for the state of the pipelines."}

inbox = Asset(
    "twilio_inbox",
    watchers=[AssetWatcher(name="sms", trigger=InboundMessageTrigger(to=OUR_NUMBER, poll_interval=5))],
)

with DAG(
    "twilio_two_way",
    schedule=inbox,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    read = ReadInboundMessagesOperator(task_id="read", to=OUR_NUMBER)

    @task
    def compose(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a reply to each message that contains a keyword."""
        keywords = [(message, message["body"].strip().lower()) for message in messages]
        return [
            {"to": message["from"], "from_": message["to"], "body": REPLIES[keyword]}
            for message, keyword in keywords
            if keyword in REPLIES
        ]

    # Without a reply to send there is nothing to map over, and Airflow skips this task.
    SendMessageOperator.partial(task_id="answer").expand_kwargs(compose(read.output))
