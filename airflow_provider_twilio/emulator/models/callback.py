"""Callbacks: the requests that the emulator makes, as Twilio does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class CallbackAttempt:
    """A request to a callback address, or to a number's webhook."""

    time: float
    method: str
    url: str
    params: dict[str, str]
    status: int | None = None
    """HTTP status of the response; None if there was none."""
    error: str | None = None
    tries: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}
