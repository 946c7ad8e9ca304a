"""Cancellation of many scheduled messages."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.api.errors import NotFound, TwilioError
from airflow_provider_twilio.api.messages import Messages

if TYPE_CHECKING:
    from airflow_provider_twilio.client.asynchronous import AsyncClient

CONCURRENCY = 20
"""Number of messages that are canceled concurrently."""

log = logging.getLogger(__name__)


def describe_unknown(count: int) -> str:
    """Return a warning about messages that may be scheduled, but whose SIDs are not stored."""
    return (
        f"Up to {count} more messages may be scheduled. They cannot be canceled by SID: the send stopped before it"
        " stored Twilio's responses. Cancel them with a CancelScheduledMessagesOperator by messaging_service_sid,"
        " created_after and created_before. Or retry the send, which reconciles them and sends the remaining messages,"
        " and cancel again"
    )


async def cancel_scheduled(client: AsyncClient, sids: Iterable[str]) -> Counter[str]:
    """Cancel those of the messages that are still scheduled.

    Return the numbers of ``canceled`` messages, of messages that are ``not_scheduled`` any more, and of ``failed``
    requests.
    """
    counts: Counter[str] = Counter()
    queue = iter(sids)

    async def work() -> None:
        for sid in queue:
            try:
                await client.send(Messages.update(sid, status="canceled"))
            except TwilioError as error:
                is_final = isinstance(error, NotFound) or error.code in codes.ALREADY_FINAL
                counts["not_scheduled" if is_final else "failed"] += 1
                if not is_final:
                    log.warning("Cannot cancel %s: %s", sid, error)
            else:
                counts["canceled"] += 1

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return counts
