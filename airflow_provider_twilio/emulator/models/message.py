"""Messages and their media: https://www.twilio.com/docs/messaging/api/message-resource."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_twilio.emulator.magic_numbers import Steps
from airflow_provider_twilio.emulator.record_store import NEVER

FINAL = frozenset({"delivered", "undelivered", "failed", "canceled", "read", "received", "partially_delivered"})
SENT = frozenset({"sent", "delivered", "undelivered", "read", "received"})
UNBILLED = frozenset({"accepted", "scheduled", "queued", "sending", "failed", "canceled", "receiving"})
STATUSES = (
    "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "read",
    "receiving", "received", "partially_delivered",
)  # fmt: skip
MAX_BODY_LENGTH = 1600  # characters
SENT_IS_FINAL_AFTER = 3600.0
"""Seconds after which a message that stays ``sent`` may be deleted: no delivery report will come."""
BILLING_DELAY = 1.0
"""Seconds between sending and the price."""


@dataclass(slots=True, eq=False)
class Media:
    """A media item of a message, with the ``url`` that the message was created with."""

    sid: str
    seq: int
    created: float
    parent_sid: str
    url: str
    content_type: str
    sort_key: float = 0.0


@dataclass(slots=True, eq=False)
class Message:
    """A message, and the statuses that it goes through from ``start``."""

    sid: str
    seq: int
    created: float
    account_sid: str
    to: str
    sender: str | None
    body: str | None
    start: float
    steps: Steps
    error: int | None
    speed: float
    service_sid: str | None
    direction: str
    segments: int
    price: float
    sort_key: float
    media: list[Media] | None = None
    updated: float = 0.0
    status_callback: str | None = None
    reported_steps: int = 0
    """Number of steps that have been processed for callbacks, whether or not one was sent."""
    provide_feedback: bool = False
    feedback: str | None = None
    discard_body: bool = False
    """Whether the body is deleted once the message is sent."""
    obfuscate_recipient: bool = False
    """Whether the recipient's last digits are hidden once the message is sent."""

    def at(self, step: int) -> float:
        """Return the time at which the message reaches a step."""
        return self.start + self.steps[step][0] / self.speed

    def position(self, now: float) -> int:
        """Return the index of the step that the message has reached."""
        steps, elapsed = self.steps, (now - self.start) * self.speed
        for index in range(len(steps) - 1, 0, -1):
            if steps[index][0] <= elapsed:
                return index
        return 0

    def status(self, now: float) -> str:
        return self.steps[self.position(now)][1]

    def set_status(self, status: str, now: float) -> None:
        """Change the status now, for the rest of the message's life; earlier steps are kept."""
        self.steps = self.steps[: self.position(now) + 1]
        if self.steps[-1][1] != status:
            self.steps = (*self.steps, ((now - self.start) * self.speed, status))
        self.updated = now

    def sent_at(self) -> float:
        """Return the time at which the message is, was or would be sent.

        It is :data:`NEVER` if the message will not be sent.
        """
        for seconds, status in self.steps:
            if status in SENT:
                return self.start + seconds / self.speed
        return NEVER

    def is_final(self, now: float) -> bool:
        status = self.status(now)
        return status in FINAL or (
            status == "sent"
            and (now - self.sent_at()) * self.speed >= SENT_IS_FINAL_AFTER
            and self._is_at_last_step(now)
        )

    def _is_at_last_step(self, now: float) -> bool:
        return self.position(now) == len(self.steps) - 1

    def error_code(self, now: float) -> int | None:
        return self.error if self.status(now) in ("failed", "undelivered") else None

    def charged(self, now: float) -> float:
        """Return the price charged so far.

        It is 0 until shortly after sending, and if the message failed before.
        """
        return self.charged_when_sent_at(self.sent_at(), now)

    def charged_when_sent_at(self, sent_at: float, now: float) -> float:
        """Return the price charged so far, given the result of :meth:`sent_at`."""
        if (now - sent_at) * self.speed < BILLING_DELAY:
            return 0.0
        billed = self.position(sent_at + BILLING_DELAY / self.speed)
        steps = self.steps[billed : self.position(now) + 1]
        return 0.0 if all(status in UNBILLED for _, status in steps) else self.price

    def is_price_final(self, now: float) -> bool:
        """Return whether the price charged so far will not change any more."""
        return self.charged(now) > 0 or self.status(now) in ("failed", "canceled")

    @property
    def day(self) -> int:
        """The day of its creation, in days since 1970."""
        return int(self.created // 86_400)

    @property
    def category(self) -> str:
        """The usage category that the message is counted in."""
        direction = "inbound" if self.direction == "inbound" else "outbound"
        if self.to.startswith(("whatsapp:", "rcs:", "messenger:")):
            return f"channels-messaging-{direction}"
        return f"mms-{direction}" if self.sid.startswith("MM") else f"sms-{direction}"
