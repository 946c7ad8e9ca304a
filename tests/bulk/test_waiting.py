"""Ten thousand deliveries are waited for by a page of a thousand at a time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed
from airflow_provider_twilio.api.messages import Delivery, Messages
from airflow_provider_twilio.bulk.waiting import wait_for_all
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator

MANY = 10_000
INTERVAL = 2.0


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
        wait_for_all(
            sids,
            Delivery(),
            interval=INTERVAL,
            deadline=time.time() + 600,
            begun=time.time() - 120,
            not_before=0.0,
            name="bulk",
            connect=lambda: AsyncClient(settings, concurrency=20),
        )
    )
    while emulator.journal.count("GET") < 30:  # noqa: ASYNC110 (it tells nobody)
        await asyncio.sleep(0.05)
    emulator.quirks.set(status_lag=0)
    emulator.clock.advance(hours=1)
    counted = await waiting
    assert counted == {"delivered": MANY - 1, "undelivered": {"30003": 1}, "waiting": 0}
    assert emulator.journal.count("GET") <= 12 * ((time.monotonic() - began) / INTERVAL + 1)


async def test_who_may_not_ask_is_not_told_that_all_are_gone(emulator: Emulator, settings: Settings, open_client):
    refused = replace(settings, auth=Basic(emulator.account_sid, "0" * 32))
    with pytest.raises(AuthenticationFailed):
        await wait_for_all(
            [f"SM{number:032}" for number in range(10)],
            Delivery(),
            interval=0.1,
            deadline=time.time() + 60,
            begun=time.time(),
            not_before=0.0,
            name="refused",
            connect=lambda: AsyncClient(refused, concurrency=20),
        )


async def test_what_comes_to_no_end_is_told_at_the_deadline(emulator: Emulator, settings: Settings, open_client):
    async with open_client() as client:
        stuck = Messages.create(to="+15005559010", from_="+15005550006", body="hello")
        sid = (await client.send(stuck))["sid"]
    counted = await wait_for_all(
        [sid],
        Delivery(),
        interval=0.1,
        deadline=time.time() + 0.5,
        begun=time.time(),
        not_before=0.0,
        name="deadline",
        connect=lambda: AsyncClient(settings, concurrency=20),
    )
    assert counted == {"delivered": 0, "undelivered": {}, "waiting": 1}
