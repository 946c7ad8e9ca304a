"""Send to several people, and read what became of it in Python: operators and ``@task`` functions side by side.

Sending stays with the operator, which sends once whatever is retried: one mapped task a recipient. The mapped sensors
wait for all of them in the triggerer, with a few requests in common. Reading is what the hook is for:
``hook.messages``, ``hook.calls`` and the others have Twilio's operations as methods, and ``hook.aclient()`` has the
same ones, awaited, to ask for many things at once.

What it needs: the connection ``twilio_default``. To send for real, trigger it with your own numbers. What stands there
now is for the emulator that comes with the provider.
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
    """Choose whom to send to; in your DAG, by a query perhaps."""
    return sorted(set(params["to"]))


@task
def statuses(messages: Any) -> dict[str, int]:
    """Fetch all messages at once, and count them by status.

    From Airflow 3.2 on the task itself may be ``async def``, and needs no ``asyncio.run``.
    """

    async def fetch_all() -> Counter[str]:
        async with TwilioHook().aclient() as client:
            found = await asyncio.gather(*(client.messages.fetch(message["sid"]) for message in messages))
        return Counter(str(message.status) for message in found)

    return dict(asyncio.run(fetch_all()))


@task
def segments(params: Any = None) -> int:
    """Go through the list of what was sent from our number, page by page, and sum up what we pay for."""
    sent = TwilioHook().messages.list(from_=params["from_"], limit=1000)
    return sum(message.num_segments or 0 for message in sent)


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
