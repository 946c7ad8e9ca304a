"""The events that waits end with, as plain JSON.

Their types reach from the trigger to ``execute_complete``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict, cast

from airflow_provider_twilio.api.errors import NotFound, TwilioError
from airflow_provider_twilio.api.verdicts import Goal

log = logging.getLogger(__name__)

WaitOutcome = Literal["reached", "failed", "timeout", "error"]


class RecordFacts(TypedDict, total=False):
    """The fields of a message or call that an event may carry, as Twilio returned them.

    No phone number and no body: Airflow logs events verbatim.
    """

    status: str
    error_code: int
    price: str
    price_unit: str
    num_segments: str
    date_created: str
    date_sent: str
    date_updated: str
    start_time: str
    end_time: str
    duration: str
    answered_by: str


EVENT_FIELDS = tuple(RecordFacts.__annotations__)
"""Names of the record's fields that an event carries."""


class WaitEvent(RecordFacts):
    """The outcome of a wait for one message or call.

    ``outcome`` is ``reached`` (success), ``failed`` (a final status that is no success), ``timeout`` (no final status
    by the deadline) or ``error`` (Twilio rejected the request, or the record does not exist).
    """

    sid: str
    outcome: WaitOutcome
    reason: str | None


class ApprovalEvent(WaitEvent):
    """The outcome of an approval question.

    It has no phone number, and not the text of the reply.
    """

    answer: NotRequired[Literal["yes", "no"]]
    reply_sid: NotRequired[str]
    answered_at: NotRequired[str]


class DeliveryCounts(TypedDict):
    """The outcome of a wait for many messages.

    ``undelivered`` counts by error code, or by status where Twilio gave no code. ``waiting`` counts the messages that
    had no final status at the deadline.
    """

    delivered: int
    undelivered: dict[str, int]
    waiting: int


InboundFields = TypedDict(
    "InboundFields",
    {
        "sid": str,
        "date_sent": str | None,
        "from": NotRequired[str | None],
        "to": NotRequired[str | None],
        "body": NotRequired[str | None],
        "num_media": NotRequired[str | None],
    },
)
"""An inbound message as an event shows it: only the fields that the trigger's ``include`` names."""


class InboundEvent(TypedDict):
    """New inbound messages: their SIDs, oldest first, and the fields that were asked for."""

    sids: list[str]
    messages: NotRequired[list[InboundFields]]


def wait_event(
    sid: str, outcome: WaitOutcome, reason: str | None = None, record: Mapping[str, Any] | None = None
) -> WaitEvent:
    """Build the event of a wait from its outcome, the reason, and the facts of the record."""
    fields = {name: record[name] for name in EVENT_FIELDS if record.get(name) is not None} if record else {}
    facts = cast(RecordFacts, fields)  # records are as Twilio returned them, and not typed
    return {"sid": sid, "outcome": outcome, "reason": reason, **facts}


def evaluate(goal: Goal, sid: str, record: Mapping[str, Any]) -> WaitEvent | None:
    """Return the event that a record leads to, or None to continue waiting.

    A record that cannot be interpreted does not end the wait either.
    """
    try:
        verdict = goal.verdict(record, datetime.now(UTC))
    except Exception:  # one malformed record must not end the poll for every subscriber
        log.warning("Cannot interpret the record of %s: waiting for its next status", sid, exc_info=True)
        return None
    return None if verdict.outcome == "waiting" else wait_event(sid, verdict.outcome, verdict.reason, record)


def missing(sid: str, error: NotFound) -> WaitEvent:
    """Build the event of a record that does not exist."""
    return wait_event(sid, "error", f"{sid} does not exist: {error}")


def rejected(sid: str, error: TwilioError) -> WaitEvent:
    """Build the event of a wait whose requests Twilio rejects."""
    return wait_event(sid, "error", f"{type(error).__name__}: {error}")


def timed_out(sid: str, detail: str, record: Mapping[str, Any] | None = None) -> WaitEvent:
    """Build the event of a wait that has reached its deadline.

    :param detail: What the last poll showed, such as ``its last status is sent``.
    """
    return wait_event(sid, "timeout", f"{sid} had no final status at the deadline: {detail}", record)


def approval_event(event: WaitEvent) -> ApprovalEvent:
    """Return the event of a question that nobody has answered."""
    return cast(ApprovalEvent, event)  # it lacks only keys that are not required
