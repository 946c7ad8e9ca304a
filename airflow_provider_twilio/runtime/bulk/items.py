"""The work items of a bulk run, and their outcomes.

An outcome is of one of these kinds:

* ``done``: Twilio accepted the request; ``outcome.result`` is the record. An idempotent request whose resource no
  longer exists is done as well.
* ``skipped``: The recipient has opted out.
* ``later``: The request cannot be carried out yet, such as deleting a message that is still being sent, or the sender's
  queue stays full. A later run can send it.
* ``failed``: Twilio rejected the request; ``outcome.code`` is its error code, and ``outcome.reason`` a description.
* ``unknown``: The response to a request that is not idempotent was lost: only Twilio's records show whether it was
  carried out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.request import Request

if TYPE_CHECKING:
    from airflow_provider_twilio.client.prepare import PreparedRequest

OutcomeKind = Literal["done", "skipped", "later", "failed", "unknown"]


@dataclass(slots=True, eq=False)
class WorkItem:
    """A request of a bulk run.

    :param request: The request to send.
    :param key: Identifies the item to the caller.
    :param weight: Share of the rate limit that the item consumes, such as its number of segments.
    :param lane: Name of the rate limit that applies, such as the sender.
    :param prepared: The request as the client sends it, if it is prepared already.
    """

    request: Request[Any]
    key: Any = None
    weight: float = 1.0
    lane: str = ""
    prepared: PreparedRequest[Any] | None = None
    number: int = field(default=-1, init=False)
    """Position in the stream, from 0. Checkpoints set it."""
    server_errors: int = field(default=0, init=False)
    """Number of server errors that this item has met."""


@dataclass(slots=True, eq=False)
class Outcome:
    """The outcome of a work item."""

    item: WorkItem
    kind: OutcomeKind
    result: Any = None
    error: TwilioError | None = None

    @property
    def code(self) -> int | None:
        """Twilio's error code; None without an error, or if the error has no code."""
        return None if self.error is None else self.error.code

    @property
    def reason(self) -> str:
        """The error message, free of phone numbers and message bodies; empty without an error."""
        return "" if self.error is None else str(self.error)


@dataclass(slots=True)
class Tally:
    """Counts of the outcomes so far. ``failed`` and ``skipped`` count by error code; 0 stands for no code."""

    done: int = 0
    later: int = 0
    unknown: int = 0
    skipped: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    throttled: int = 0
    """Number of requests that Twilio rejected because of a rate or concurrency limit."""
    resumed: int = 0
    """Number of counted outcomes that an earlier try determined."""
    unresolved: int = 0
    """Number of items that wait for their reconciliation, and have no outcome yet."""
    reconcile_at: float = 0.0
    """Monotonic time from which on they are reconciled."""

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.count(outcome.kind, outcome.code or 0)

    def count(self, kind: OutcomeKind, code: int = 0) -> None:
        """Count an outcome of this kind and error code."""
        match kind:
            case "done":
                self.done += 1
            case "skipped":
                self.skipped[code] += 1
            case "failed":
                self.failed[code] += 1
            case "later":
                self.later += 1
            case "unknown":
                self.unknown += 1

    @property
    def total(self) -> int:
        """Number of outcomes of any kind."""
        return self.done + self.later + self.unknown + self.skipped.total() + self.failed.total()


def format_codes(counts: Counter[int]) -> str:
    """Return counts by error code as text, such as ``21211: 19, 21408: 2``: the five most common codes."""
    return ", ".join(f"{code or 'without a code'}: {count:,}" for code, count in counts.most_common(5))
