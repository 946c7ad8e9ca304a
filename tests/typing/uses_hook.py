"""Typical user code for type checkers to read; never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import assert_type

from pendulum import DateTime

from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.hooks.twilio import TwilioHook


def blocking(hook: TwilioHook) -> None:
    message = hook.messages.create(to="+14155550123", body="hello", media_url=["https://example.com/a.png"])
    assert_type(message, Message)
    assert_type(message.price, Decimal | None)
    assert_type(message.date_sent, DateTime | None)
    assert_type(message.sid, str)
    assert_type(hook.messages.list(to="+14155550123", limit=5), Iterator[Message])
    assert_type(hook.messages.delete("SM"), None)
    assert_type(hook.request("GET", "Queues"), Record)
    assert_type(hook.iterate("Queues"), Iterator[Record])


async def asynchronous(hook: TwilioHook) -> None:
    async with hook.aclient() as client:
        assert_type(await client.messages.create(to="+14155550123", body="hello"), Message)
        assert_type(client.messages.list(), AsyncIterator[Message])
        assert_type(await client.request("GET", "Queues"), Record)
        async for message in client.messages.list():
            assert_type(message, Message)


def unsent() -> None:
    assert_type(Messages.create(to="+14155550123", body="hello"), Request[Message])
    assert_type(Messages.list(), Listing[Message])
