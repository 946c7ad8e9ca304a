"""Search for numbers without traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

CONCURRENCY = 20
"""Maximum number of numbers that are checked concurrently."""


async def find_idle(
    client: AsyncClient, numbers: Sequence[IncomingPhoneNumber], since: datetime
) -> list[IncomingPhoneNumber]:
    """Return the numbers without traffic since a time."""
    limit = asyncio.Semaphore(CONCURRENCY)

    async def is_used(number: IncomingPhoneNumber) -> bool:
        async with limit:
            return await _is_used(client, str(number.phone_number), since)

    used = await asyncio.gather(*map(is_used, numbers))
    return [number for number, number_is_used in zip(numbers, used, strict=True) if not number_is_used]


def is_old_enough(number: IncomingPhoneNumber, since: datetime) -> bool:
    """Return whether a number was created before a time."""
    return number.date_created is not None and number.date_created <= since


def usage_category(number: IncomingPhoneNumber) -> str:
    """Return the category of usage records for the monthly price of a number."""
    return f"phonenumbers-{str(number.type).replace(' ', '')}"


async def _is_used(client: AsyncClient, number: str, since: datetime) -> bool:
    addresses = (number, f"whatsapp:{number}")
    for address in addresses:
        if await _is_not_empty(client.messages.list(to=address, date_sent_after=since, limit=1)):
            return True
        if await _is_not_empty(client.messages.list(from_=address, date_sent_after=since, limit=1)):
            return True
    if await _is_not_empty(client.calls.list(to=number, start_time_after=since, limit=1)):
        return True
    if await _is_not_empty(client.calls.list(from_=number, start_time_after=since, limit=1)):
        return True
    # Messages and calls that failed before they were sent have no date to filter by, and any place in the list.
    for address in addresses:
        if await _is_not_empty(_created_since(client.messages.list(from_=address), since)):
            return True
    return await _is_not_empty(_created_since(client.calls.list(from_=number), since))


async def _created_since(records: AsyncIterator[Any], since: datetime) -> AsyncIterator[Any]:
    async for record in records:
        if record.date_created is not None and record.date_created >= since:
            yield record


async def _is_not_empty(records: AsyncIterator[Any]) -> bool:
    async for _ in records:
        return True
    return False
