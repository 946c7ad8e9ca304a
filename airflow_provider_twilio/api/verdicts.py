"""What a status means for those who wait: a verdict is a value, and finding it does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from airflow_provider_twilio.api import calls, codes, messages

FAILURE_REASONS: Mapping[str, str] = {
    "busy": "the line was busy",
    "failed": "it could not be placed; the number may not exist",
    "no-answer": "nobody picked up in time",
    "canceled": "it was canceled before anybody picked up",
}
"""Why a call reached nobody."""


class Verdict(NamedTuple):
    """Say whether what is waited for has been reached.

    :param outcome: ``waiting``, ``reached`` or ``failed``.
    :param reason: why it failed, for people; names no number and no text.
    :param code: Twilio's error code, if there is one.
    """

    outcome: Literal["waiting", "reached", "failed"]
    reason: str | None = None
    code: int | None = None


WAITING = Verdict("waiting")
REACHED = Verdict("reached")


class Goal(Protocol):
    """What is waited for: :class:`Delivery` or :class:`Completion`."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Judge a record as Twilio gave it. A status that is not known yet is waited on."""
        raise NotImplementedError


class Delivery(NamedTuple):
    """Say what counts as a message's success: ``delivered`` or ``read``, and ``sent`` where that is all one gets."""

    accept_sent: bool = False
    """Take ``sent`` (the carrier has it) for success."""
    sent_grace: float | None = None
    """Take ``sent`` for success when it has lasted so many seconds: many carriers report no more."""
    resendable_codes: frozenset[int] = codes.RESENDABLE
    """Error codes after which sending again can help; they only word the reason."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Judge a message by its status."""
        message = messages.Message(record)
        status = message.status
        if status in messages.DELIVERED or status in messages.INBOUND:
            return REACHED
        if status in messages.FAILED:
            why = f": {codes.explain(message.error_code, self.resendable_codes)}" if message.error_code else ""
            return Verdict("failed", f"message {message.sid} is {status}{why}", message.error_code)
        if status == "sent" and (self.accept_sent or self._graced(message, now)):
            return REACHED
        return WAITING

    def _graced(self, message: messages.Message, now: datetime) -> bool:
        since = message.date_updated or message.date_sent
        return self.sent_grace is not None and since is not None and (now - since).total_seconds() >= self.sent_grace


class Completion(NamedTuple):
    """Say what counts as a call's success: ``completed``, which says that someone, or something, picked up."""

    accept: tuple[str, ...] = ()
    """Further final statuses to take for success, such as ``no-answer``."""
    answered_by: tuple[str, ...] = ()
    """What must have picked up, such as ``human``; the call needs ``machine_detection`` for it."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Judge a call by its status."""
        call = calls.Call(record)
        status = call.status
        if status in calls.FINAL and status in self.accept:
            return REACHED
        if status in calls.FAILED:
            return Verdict("failed", f"call {call.sid} is {status}: {FAILURE_REASONS[status]}")
        if status not in calls.COMPLETED:
            return WAITING
        if self.answered_by and call.answered_by not in self.answered_by:
            return Verdict("failed", f"call {call.sid} was answered by {call.answered_by or 'nobody knows whom'}")
        return REACHED
