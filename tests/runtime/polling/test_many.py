"""Waiting for ten thousand deliveries by listing a thousand records a page."""

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
from airflow_provider_twilio.runtime.polling import shared
from airflow_provider_twilio.runtime.polling.events import DeliveryCounts
from airflow_provider_twilio.runtime.polling.many import wait_for_all
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll
from tests.support.polling import settings, until

MANY = 10_000
INTERVAL = 2.0


@pytest.fixture
def connection(emulator: Emulator) -> Settings:
    return settings(emulator)


async def wait(sids: Sequence[str], connection: Settings, *, duration: float, **arguments: Any) -> DeliveryCounts:
    """Wait for at most a number of seconds."""
    return await wait_for_all(
        sids,
        Delivery(),
        deadline=time.time() + duration,
        not_before=0.0,
        connect=lambda: AsyncClient(connection, concurrency=20),
        **{"interval": 0.1, "created": time.time(), **arguments},
    )


async def test_wait_for_all_makes_at_most_12_requests_a_cycle(emulator: Emulator, connection: Settings):
    emulator.quirks.set(status_lag=100_000)
    async with AsyncClient(connection) as client:
        first = (await client.send(Messages.create(to="+14155550001", from_="+15005550006", body="hello")))["sid"]
        failing = Messages.create(to="+15005559001", from_="+15005550006", body="hello")
        failing = (await client.send(failing))["sid"]
    state = emulator.state
    with state.lock:
        template = state.main.messages.get(first)
        assert template is not None
        for _ in range(MANY - 2):
            state.main.messages.add(replace(template, sid=state.new_sid("SM"), seq=state.next_seq()))
        sids = [message.sid for message in state.main.messages]
    assert failing in sids
    assert len(sids) == MANY
    started = time.monotonic()
    waiting = asyncio.create_task(
        wait(sids, connection, duration=600, interval=INTERVAL, created=time.time() - 120, name="bulk")
    )
    await until(lambda: emulator.journal.count("GET") >= 30)
    emulator.quirks.set(status_lag=0)
    emulator.clock.advance(hours=1)
    counts = await waiting
    assert counts == {"delivered": MANY - 1, "undelivered": {"30003": 1}, "waiting": 0}
    assert emulator.journal.count("GET") <= 12 * ((time.monotonic() - started) / INTERVAL + 1)


async def test_wait_for_all_waits_are_due_at_the_same_time(connection: Settings):
    """Constructing the waits takes longer than the interval here. With due times of their own, they would differ."""
    sids = [f"SM{number:032}" for number in range(MANY)]
    waiting = asyncio.create_task(wait(sids, connection, duration=60, interval=0.01, name="together"))
    await asyncio.sleep(0)
    waits = StatusPoll.get_or_create(MESSAGES, "together", lambda: AsyncClient(connection)).subscribers
    assert len(waits) == MANY
    assert len({wait.due for of_sid in waits.values() for wait in of_sid}) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not waits


async def test_wait_for_all_rejected_credentials_raise(
    emulator: Emulator, connection: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.0)
    rejected = replace(connection, auth=Basic(emulator.account_sid, "0" * 32))
    with pytest.raises(AuthenticationFailed):
        await wait([f"SM{number:032}" for number in range(10)], rejected, duration=60, name="rejected")


async def test_wait_for_all_counts_waiting_messages_at_the_deadline(emulator: Emulator, connection: Settings):
    async with AsyncClient(connection) as client:
        stuck = Messages.create(to="+15005559010", from_="+15005550006", body="hello")
        sid = (await client.send(stuck))["sid"]
    counts = await wait([sid], connection, duration=0.5, name="deadline")
    assert counts == {"delivered": 0, "undelivered": {}, "waiting": 1}
