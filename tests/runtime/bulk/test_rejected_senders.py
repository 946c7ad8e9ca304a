"""Errors that affect every message of a sender: its lane ends at once, without a request for each message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_twilio.api.errors import InvalidRequest
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk.engine import run
from airflow_provider_twilio.runtime.bulk.items import Tally, WorkItem

REJECTED = "+14155550177"
"""A sender that is no number of the account."""


def items(senders: list[str], count: int) -> Iterator[WorkItem]:
    """Yield messages of each of the senders in turn."""
    for index in range(count):
        sender = senders[index % len(senders)]
        yield WorkItem(Messages.create(to=f"+1415555{index:04}", from_=sender, body="hello"), index, lane=sender)


@pytest.mark.parametrize("rate", [None, 20.0])
async def test_engine_with_rejected_sender_ends_only_its_lane(emulator: Emulator, open_client, rate: float | None):
    outcomes: dict[int, str] = {}
    async with open_client(10) as client:
        tally = await run(
            client,
            items([emulator.phone_number, REJECTED], 60),
            lambda outcome: outcomes.update({outcome.item.key: outcome.kind}),
            concurrency=10,
            rate=rate,
            lane_count=2,
        )
    assert (tally.done, tally.failed.total(), len(tally.failed)) == (30, 30, 1)
    assert {outcomes[index] for index in range(0, 60, 2)} == {"done"}
    refused = [entry for entry in emulator.journal if entry.status == 400]
    assert 1 <= len(refused) <= 10  # at most those that were in flight


@pytest.mark.parametrize("code", [21606, 21659, 21701, 21704, 63007])
async def test_engine_with_rejected_only_sender_ends_the_run(emulator: Emulator, open_client, code: int):
    emulator.fail_next(1, status=400, code=code, skip=3)
    tally = Tally()
    async with open_client(1) as client:
        with pytest.raises(InvalidRequest) as error:
            await run(client, items([emulator.phone_number], 500), concurrency=1, lane_count=1, tally=tally)
    assert error.value.code == code
    assert (tally.done, tally.failed.total(), len(emulator.journal)) == (3, 0, 4)


async def test_engine_with_two_rejected_senders_ends_the_run(emulator: Emulator, open_client):
    tally = Tally()
    async with open_client(1) as client:
        with pytest.raises(InvalidRequest):
            await run(client, items([REJECTED, "+14155550178"], 500), concurrency=1, lane_count=2, tally=tally)
    assert len(emulator.journal) == 2
