"""Waiting for many messages with the shared poll, and counting their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import islice

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.verdicts import Goal
from airflow_provider_twilio.runtime.polling.events import DeliveryCounts
from airflow_provider_twilio.runtime.polling.shared import Connect
from airflow_provider_twilio.runtime.polling.spec import WaitSpec
from airflow_provider_twilio.runtime.polling.status import MESSAGES, StatusPoll, StatusWait

MAX_WAITING = 20_000
"""Maximum number of messages waited for at a time."""


class BulkStatusWait(StatusWait):
    """A wait that stores the error if Twilio rejects the requests of the poll.

    Wrong credentials must not count as missing messages.
    """

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
    created: float,
    name: Hashable,
    connect: Connect,
    not_before: float | None = None,
) -> DeliveryCounts:
    """Wait until the final status of every message, or the deadline, and count the outcomes.

    Times are in seconds since the epoch.

    :param goal: What counts as delivered.
    :param created: Time the first message was created, or is scheduled for.
    :param name: Name of the connection and account: see
        :func:`airflow_provider_twilio.runtime.polling.status.wait_for`.
    :param connect: Function that opens a client.
    :param not_before: Time of the first poll; ``created`` by default.
    :raises TwilioError: Twilio rejects the requests, as with wrong credentials.
    """
    delivered = waiting = 0
    undelivered: Counter[str] = Counter()
    iterator = iter(sids)
    start = created if not_before is None else not_before
    while batch := list(islice(iterator, MAX_WAITING)):
        waits = [
            BulkStatusWait(WaitSpec(sid, goal, interval=interval, deadline=deadline, not_before=start, created=created))
            for sid in batch
        ]
        poll = StatusPoll.get_or_create(MESSAGES, name, connect)
        # Constructing the waits takes time. With due times of their own, they would be listed several times.
        due = max(wait.due for wait in waits)
        for wait in waits:
            wait.due = due
            poll.join(wait)
        try:
            for wait in waits:
                event = await wait.future
                if wait.rejection is not None:
                    raise wait.rejection
                match event["outcome"]:
                    case "reached":
                        delivered += 1
                    case "timeout":
                        waiting += 1
                    case _:
                        undelivered[str(event.get("error_code") or event.get("status") or "gone")] += 1
        finally:
            for wait in waits:
                if wait.poll is not None:
                    wait.poll.leave(wait)
    return {"delivered": delivered, "undelivered": dict(undelivered), "waiting": waiting}
