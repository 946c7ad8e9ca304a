"""Ten thousand deliveries are waited for by a page of a thousand at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.verdicts import Delivery
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.polling.many import wait_for_all
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll
from tests.support.polling import until

MANY = 10_000
INTERVAL = 2.0


async def wait(sids: Sequence[str], settings: Settings, *, lasts: float, **others: Any) -> dict[str, Any]:
    """Wait so many seconds at the most."""
    return await wait_for_all(
        sids,
        Delivery(),
        deadline=time.time() + lasts,
        not_before=0.0,
        connect=lambda: AsyncClient(settings, concurrency=20),
        **{"interval": 0.1, "begun": time.time(), **others},
    )


async def test_at_most_12_requests_a_tick(emulator: Emulator, settings: Settings, open_client):
    emulator.quirks.set(status_lag=100_000)
    async with open_client() as client:
        first = (await client.send(Messages.create(to="+14155550001", from_="+15005550006", body="hello")))["sid"]
        failing = Messages.create(to="+15005559001", from_="+15005550006", body="hello")
        failing = (await client.send(failing))["sid"]
    world = emulator.world
    with world.lock:
        like = world.main.messages.get(first)
        assert like is not None
        for _ in range(MANY - 2):
            world.main.messages.add(replace(like, sid=world.sid("SM"), seq=world.next()))
        sids = [message.sid for message in world.main.messages]
    assert failing in sids
    assert len(sids) == MANY
    began = time.monotonic()
    waiting = asyncio.create_task(
        wait(sids, settings, lasts=600, interval=INTERVAL, begun=time.time() - 120, name="bulk")
    )
    await until(lambda: emulator.journal.count("GET") >= 30)
    emulator.quirks.set(status_lag=0)
    emulator.clock.advance(hours=1)
    counted = await waiting
    assert counted == {"delivered": MANY - 1, "undelivered": {"30003": 1}, "waiting": 0}
    assert emulator.journal.count("GET") <= 12 * ((time.monotonic() - began) / INTERVAL + 1)


async def test_all_are_looked_for_together(settings: Settings):
    """Making so many takes longer than the interval here: each for itself, they would be due at several times."""
    sids = [f"SM{number:032}" for number in range(MANY)]
    waiting = asyncio.create_task(wait(sids, settings, lasts=60, interval=0.01, name="together"))
    await asyncio.sleep(0)
    waits = StatusPoll.get_or_create(MESSAGES, "together", lambda: AsyncClient(settings)).subscribers
    assert len(waits) == MANY
    assert len({wait.due for of_sid in waits.values() for wait in of_sid}) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not waits


async def test_who_may_not_ask_is_not_told_that_all_are_gone(emulator: Emulator, settings: Settings, open_client):
    refused = replace(settings, auth=Basic(emulator.account_sid, "0" * 32))
    with pytest.raises(AuthenticationFailed):
        await wait([f"SM{number:032}" for number in range(10)], refused, lasts=60, name="refused")


async def test_what_comes_to_no_end_is_told_at_the_deadline(emulator: Emulator, settings: Settings, open_client):
    async with open_client() as client:
        stuck = Messages.create(to="+15005559010", from_="+15005550006", body="hello")
        sid = (await client.send(stuck))["sid"]
    counted = await wait([sid], settings, lasts=0.5, name="deadline")
    assert counted == {"delivered": 0, "undelivered": {}, "waiting": 1}
