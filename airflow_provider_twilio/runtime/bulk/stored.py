"""The stored form of checkpoints and outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.runtime.bulk.items import Outcome, OutcomeKind, WorkItem

UNKNOWN: Final = "?"
"""Stored for an item that may have been sent."""
DEFERRED: Final = "later"
"""Stored for an item that a later try sends."""


@dataclass(slots=True)
class Checkpoint:
    """An open checkpoint.

    :param index: Position in the stream, from 0.
    :param digest: Hash of the requests of all items.
    :param started_at: Time before which none of the items was sent.
    :param outcomes: Stored outcome of each item; None for an item without one.
    :param items: The items.
    :param lease: Position of the lease in which the checkpoint was first opened; None without leases.
    :param replaced: SIDs of undelivered records, in whose place other records are created.
    """

    index: int
    digest: str
    started_at: datetime
    outcomes: list[Any]
    items: list[WorkItem]
    lease: int | None = None
    replaced: list[str] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    """Number of attempts whose response was lost, by item number."""
    remaining: int = field(init=False)
    """Number of items without an outcome."""

    def __post_init__(self) -> None:
        self.remaining = self.outcomes.count(None)

    def record(self, position: int, stored: Any) -> None:
        """Record the stored outcome of an item. None removes the outcome."""
        self.remaining += (stored is None) - (self.outcomes[position] is None)
        self.outcomes[position] = stored

    def as_json(self, outcomes: list[Any] | None) -> dict[str, Any]:
        """Return the value for the state store."""
        state = {"digest": self.digest, "started_at": self.started_at.isoformat(), "outcomes": outcomes}
        optional = {"lease": self.lease, "replaced": self.replaced or None}
        return state | {name: value for name, value in optional.items() if value is not None}


def encode_outcome(outcome: Outcome) -> Any:
    """Return an outcome as it is stored: the SID, True without one, ``later``, or a list of kind and error code."""
    if outcome.kind == "done":
        return (outcome.result.get("sid") if isinstance(outcome.result, Record) else None) or True
    return DEFERRED if outcome.kind == DEFERRED else [outcome.kind, outcome.code or 0]


def decode_outcome(stored: Any) -> tuple[OutcomeKind, int, str | None]:
    """Return the kind, error code and SID of a stored outcome. The code is 0 if there is none."""
    if isinstance(stored, list):
        return stored[0], stored[1], None
    if stored == DEFERRED:
        return DEFERRED, 0, None
    if stored == UNKNOWN:
        return "unknown", 0, None
    return "done", 0, stored if isinstance(stored, str) else None


def known_sids(outcomes: Iterable[Any]) -> list[str]:
    """Return the SIDs in stored outcomes."""
    return [sid for stored in outcomes if stored is not None and (sid := decode_outcome(stored)[2])]


def count_unknown(outcomes: Iterable[Any]) -> int:
    """Return the number of items that may have been sent, but whose SIDs are not stored."""
    return sum(stored is not None and decode_outcome(stored)[0] == "unknown" for stored in outcomes)
