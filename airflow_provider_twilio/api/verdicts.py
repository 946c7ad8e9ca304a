"""What a status means for those who wait: a verdict is a value, and finding it does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol


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
    """What is waited for: ``messages.Delivery`` or ``calls.Completion``."""

    def verdict(self, record: Mapping[str, Any], now: datetime) -> Verdict:
        """Judge a record as Twilio gave it. A status that is not known yet is waited on."""
        raise NotImplementedError
