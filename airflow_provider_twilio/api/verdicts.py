"""Verdicts: what the status of a record means for a task that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from airflow_provider_twilio.api import calls, codes, messages

FAILURE_REASONS: Mapping[str, str] = {
    "busy": "the line was busy",
    "failed": "the call could not be placed; the number may not exist",
    "no-answer": "the call was not answered in time",
    "canceled": "the call was canceled before it was answered",
}
"""Reasons for which a call was not answered, by final status."""


class Verdict(NamedTuple):
    """The result of comparing a record with a goal.

    :param outcome: ``waiting``, ``reached`` or ``failed``.
    :param reason: Why the goal was missed, without numbers or message text.
    :param code: Twilio's error code, if any.
    """

    outcome: Literal["waiting", "reached", "failed"]
    reason: str | None = None
    code: int | None = None


WAITING = Verdict("waiting")
REACHED = Verdict("reached")


class Goal(Protocol):
    """Anything that can judge a record: :class:`Delivery` or :class:`Completion`."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Return the verdict on a record from Twilio. An unknown status means ``waiting``.

        :param now: Current time, aware.
        """
        raise NotImplementedError


class Delivery(NamedTuple):
    """The goal of a message: ``delivered`` or ``read``, or ``sent`` if that is accepted."""

    accept_sent: bool = False
    """Whether ``sent`` (the carrier has accepted the message) is a success."""
    sent_grace: float | None = None
    """Seconds after which ``sent`` is a success, since many carriers report nothing further. None for never."""
    resendable_codes: frozenset[int] = codes.RESENDABLE
    """Error codes for which resending can help. They affect the wording of the reason only."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Return the verdict on a message, by its status."""
        message = messages.Message(record)
        status = message.status
        if status in messages.DELIVERED or status in messages.INBOUND:
            return REACHED
        if status in messages.FAILED:
            explanation = f": {codes.explain(message.error_code, self.resendable_codes)}" if message.error_code else ""
            return Verdict("failed", f"message {message.sid} is {status}{explanation}", message.error_code)
        if status == "sent" and (self.accept_sent or self._grace_is_over(message, now)):
            return REACHED
        return WAITING

    def _grace_is_over(self, message: messages.Message, now: datetime) -> bool:
        since = message.date_updated or message.date_sent
        return self.sent_grace is not None and since is not None and (now - since).total_seconds() >= self.sent_grace


class Completion(NamedTuple):
    """The goal of a call: ``completed``, which means that a person or a machine answered."""

    accept: tuple[str, ...] = ()
    """Further final statuses that are a success, such as ``no-answer``."""
    answered_by: tuple[str, ...] = ()
    """Accepted values of ``answered_by``, such as ``human``. The call needs ``machine_detection``."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Return the verdict on a call, by its status."""
        call = calls.Call(record)
        status = call.status
        if status in calls.FINAL and status in self.accept:
            return REACHED
        if status in calls.FAILED:
            return Verdict("failed", f"call {call.sid} is {status}: {FAILURE_REASONS[status]}")
        if status not in calls.COMPLETED:
            return WAITING
        if self.answered_by and call.answered_by not in self.answered_by:
            return Verdict("failed", f"call {call.sid} was answered by {call.answered_by or 'an unknown party'}")
        return REACHED
