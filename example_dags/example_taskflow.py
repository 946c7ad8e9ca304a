"""Send to several people and process the results in Python, with operators and ``@task`` functions.

The operator sends, with one mapped task for each recipient, so that each message is sent once even if tasks are
retried. The mapped sensors wait for all messages in the triggerer, and share their requests to Twilio. The ``@task``
functions read with the hook: ``hook.messages``, ``hook.calls`` and the others have Twilio's operations as methods.
``hook.aclient()`` has the same methods as coroutines, for concurrent requests.

Requirements: the connection ``twilio_default``. To send real messages, trigger the DAG with your own numbers. The
default numbers are for the emulator that comes with the provider.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor


@task
def recipients(params: Any = None) -> list[str]:
    """Return the recipients. In your DAG they could come from a query."""
    return sorted(set(params["to"]))


@task
def statuses(messages: Any) -> dict[str, int]:
    """Fetch all messages concurrently, and count them by status.

    Since Airflow 3.2 the task itself may be ``async def``, without ``asyncio.run``.
    """

    async def fetch_all() -> Counter[str]:
        async with TwilioHook().aclient() as client:
            fetched = await asyncio.gather(*(client.messages.fetch(message["sid"]) for message in messages))
        return Counter(str(message.status) for message in fetched)

    return dict(asyncio.run(fetch_all()))


@task
def segments(params: Any = None) -> int:
    """List the latest messages from our number, page by page, and return the number of their segments."""
    messages = TwilioHook().messages.list(from_=params["from_"], limit=1000)
    return sum(message.num_segments or 0 for message in messages)


with DAG(
    "twilio_taskflow",
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={"to": ["+14155550123", "+14155550124", "+14155550125"], "from_": "+15005550006"},
    doc_md=__doc__,
    tags=["twilio", "example"],
) as dag:
    send = SendMessageOperator.partial(
        task_id="send",
        from_="{{ params.from_ }}",
        body="The run {{ run_id }} says hello.",
    ).expand(to=recipients())

    wait = MessageDeliverySensor.partial(task_id="wait", deferrable=True, poke_interval=2, timeout=3600).expand(
        message_sid=send.output.map(lambda record: record["sid"])
    )

    wait >> statuses(send.output) >> segments()
