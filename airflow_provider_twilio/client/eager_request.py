"""Let aiohttp write a request at once on Python 3.11, as it does by itself from 3.12 on.

There it leaves what has a body to a task of its own, a turn of the event loop later. Of many answers that have come
together, all are then dealt with before the first of the next requests is out: those come together again, and so do
their answers, and what is on its way stays in piles where each waits for the others. (uvloop's own writing waits for
the end of the turn as well, until its version 0.23.)
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from aiohttp import ClientRequest


class EagerClientRequest(ClientRequest):
    """Write as much of the request as the connection takes, before anything else has its turn."""

    def write_bytes(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        return start_eagerly(super().write_bytes(*args, **kwargs))


def start_eagerly(work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Take a coroutine's first step, in the caller's own task, and give one that takes the others."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return _nothing()
    return StartedCoroutine(work, waits_for)


async def _nothing() -> None:
    pass


class StartedCoroutine(Coroutine[Any, Any, None]):
    """Be a coroutine whose first step is taken: say once more what it waits for, then go on."""

    def __init__(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._work, self._first = work, [waits_for]

    def send(self, value: Any) -> Any:
        return self._first.pop() if self._first else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        self._first.clear()
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._first
        self._first.clear()
        yield from self._work.__await__()
