"""Handling of sender queues that overflow.

Twilio queues the messages of each sender, and rejects further messages with error 21611 while the queue is full. The
lane of that sender then pauses, and the other lanes continue. After the pause, one message at a time probes whether the
queue has room again. A sender whose queue overflows too often in a row has its remaining messages deferred.

Twilio rejects all messages of some senders, such as a number of another account. Those have no queue.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.bulk.pace import RateLimiter

QUEUE_BACKOFF = 5.0
"""Pause after the first overflow of a queue, in seconds. Each consecutive overflow doubles it."""
MAX_QUEUE_BACKOFF = 60.0
"""Maximum pause, in seconds."""
MAX_OVERFLOWS = 6
"""Number of consecutive overflows after which the remaining messages of the sender are deferred."""

Admission = Literal["send", "wait", "defer"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SenderQueue:
    """A sender's queue at Twilio that has overflowed.

    :param overflows: Number of consecutive overflows.
    :param overflowed_at: Monotonic time of the last overflow.
    :param error: Error of the last overflow.
    :param probe: Item in flight that probes whether the queue has room again.
    """

    overflows: int = 0
    overflowed_at: float = 0.0
    error: TwilioError | None = None
    probe: WorkItem | None = None


class SenderQueues:
    """The queues that have overflowed, by lane.

    :param limiter: Rate limiter whose lanes pause.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self.overflowed: dict[str, SenderQueue] = {}
        self.rejected: dict[str, TwilioError] = {}
        """The lanes whose sender Twilio rejects, and its error."""
        self._limiter = limiter

    @property
    def recheck_delay(self) -> float:
        """Seconds after which to call :meth:`admit` again for an item that has to wait."""
        return QUEUE_BACKOFF / 20

    def overflow(self, lane: str, error: TwilioError, started_at: float, now: float) -> None:
        """Record an overflow, and pause the lane.

        :param started_at: Monotonic time at which the rejected request was started. A request that was already in
            flight at the last overflow says nothing new.
        """
        queue = self.overflowed.setdefault(lane, SenderQueue())
        if started_at < queue.overflowed_at:
            return
        queue.overflows, queue.overflowed_at, queue.error = queue.overflows + 1, now, error
        if queue.overflows < MAX_OVERFLOWS:
            pause = min(QUEUE_BACKOFF * 2.0 ** (queue.overflows - 1), MAX_QUEUE_BACKOFF)
            log.warning("Sender queue overflow (%s): pausing this sender for %.0f s", error.code, pause)
        else:
            pause = 0.0
            log.warning("Sender queue overflow (%s): leaving its remaining messages for the next try", error.code)
        self._limiter.pause(lane, now + pause)

    def admit(self, item: WorkItem) -> Admission:
        """Return whether to send an item, let it wait, or defer it to the next try.

        An item of an overflowed queue is sent only as the queue's single probe.
        """
        queue = self.overflowed.get(item.lane)
        if queue is None:
            return "send"
        if queue.overflows >= MAX_OVERFLOWS:
            return "defer"
        if queue.probe is not None:
            return "wait"
        queue.probe = item
        return "send"

    def end_probe(self, item: WorkItem) -> None:
        """Allow another probe if this item was the probe of its queue."""
        queue = self.overflowed.get(item.lane)
        if queue is not None and queue.probe is item:
            queue.probe = None

    def reopen(self, lane: str, started_at: float, now: float) -> None:
        """Record that a queue accepted a message: it has room again, and its lane continues.

        :param started_at: Monotonic time at which the accepted request was started; one from before the overflow proves
            nothing.
        """
        queue = self.overflowed.get(lane)
        if queue is not None and started_at >= queue.overflowed_at:
            del self.overflowed[lane]
            self._limiter.pause(lane, now)
