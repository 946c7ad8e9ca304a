"""Repair of a failed stream: which of its items are sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api import codes
from airflow_provider_twilio.runtime.bulk.stored import decode_outcome
from airflow_provider_twilio.runtime.state_store import StateStore

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.reconcile import MessageStatus

UNDELIVERED = ("undelivered", "failed")
"""Statuses of messages that will not be delivered."""
RETRYABLE = codes.RETRY_LATER | codes.RESENDABLE
"""Errors after which sending a message again can help."""


def is_repairable(stored: Any, statuses: Mapping[str, MessageStatus]) -> bool:
    """Return whether a repair sends a message again: its recipient has not received it, and may do so now.

    :param stored: Stored outcome of the message.
    :param statuses: Current statuses of messages by SID.
    """
    kind, code, sid = decode_outcome(stored)
    if kind == "failed":
        return code in RETRYABLE or code in codes.SENDER_WIDE  # a rejected sender can be corrected
    status, delivery_code, *_ = statuses.get(sid or "", (None, None))
    return status in UNDELIVERED and delivery_code in RETRYABLE


def reopen_checkpoints(store: StateStore, key: str, is_repeated: Callable[[Any], bool]) -> int:
    """Remove the outcomes of items that are to be sent again, and return their number.

    :param is_repeated: Returns whether the item with a stored outcome is to be sent again.
    """
    index = reopened = 0
    while (state := store.get(f"{key}.{index}")) is not None:
        outcomes = state["outcomes"] or []
        repeated = [stored is not None and is_repeated(stored) for stored in outcomes]
        if any(repeated):
            sids = [
                stored for stored, again in zip(outcomes, repeated, strict=True) if again and isinstance(stored, str)
            ]
            remaining = [None if again else stored for stored, again in zip(outcomes, repeated, strict=True)]
            replaced = {"replaced": [*state.get("replaced", ()), *sids]} if sids else {}
            store.set(f"{key}.{index}", {**state, "outcomes": remaining, **replaced})
        reopened += sum(repeated)
        index += 1
    return reopened
