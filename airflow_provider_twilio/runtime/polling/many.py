"""Wait for many messages by the shared poll, and count what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import islice
from typing import Any

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.runtime.polling.shared import Connect
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll, StatusWait

MAX_WAITING = 20_000
"""So many are waited for at once."""


class BulkStatusWait(StatusWait):
    """Hold a wait that tells that Twilio doesn't accept to be asked from that the message is gone."""

    rejection: TwilioError | None = None

    def on_rejected(self, error: TwilioError) -> None:
        self.rejection = error
        super().on_rejected(error)


async def wait_for_all(
    sids: Iterable[str],
    goal: Goal,
    *,
    interval: float,
    deadline: float,
    begun: float,
    not_before: float,
    name: Hashable,
    connect: Connect,
) -> dict[str, Any]:
    """Wait until each message has come to its end, or the deadline; give the numbers of each outcome, as JSON.

    Times are in seconds since the epoch.

    :param goal: what counts as delivered.
    :param begun: when the first was created.
    :param not_before: when the first look makes sense.
    :param name: what names the connection and account: see :func:`airflow_provider_twilio.runtime.polling.status.wait_for`.
    :param connect: opens a client.
    :raises TwilioError: Twilio doesn't accept to be asked, as with wrong credentials.
    """
    delivered = waiting = 0
    undelivered: Counter[str] = Counter()
    iterator = iter(sids)
    while window := list(islice(iterator, MAX_WAITING)):
        waits = [
            BulkStatusWait(sid, goal, interval=interval, deadline=deadline, not_before=not_before, created=begun)
            for sid in window
        ]
        poller = StatusPoll.get_or_create(MESSAGES, name, connect)
        # The clock has gone on from the first to the last of them: looked for apart, they would be listed in vain.
        together = max(wait.due for wait in waits)
        for wait in waits:
            wait.due = together
            poller.join(wait)
        try:
            for wait in waits:
                told = await wait.future
                if wait.rejection is not None:
                    raise wait.rejection
                match told["outcome"]:
                    case "reached":
                        delivered += 1
                    case "timeout":
                        waiting += 1
                    case _:
                        undelivered[str(told.get("error_code") or told.get("status") or "gone")] += 1
        finally:
            for wait in waits:
                if wait.poll is not None:
                    wait.poll.leave(wait)
    return {"delivered": delivered, "undelivered": dict(undelivered), "waiting": waiting}
