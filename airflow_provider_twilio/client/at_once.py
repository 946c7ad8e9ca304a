"""Let aiohttp write a request at once on Python 3.11, as it does by itself from 3.12 on.

There it leaves that to a task of its own, a turn of the event loop later. Of many answers that have come together, all
are then read before the first of the next requests is out: those come together again, and so do their answers, and
what is on its way stays in piles where each waits for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

from aiohttp import ClientRequest


class RequestAtOnce(ClientRequest):
    """Write as much of the request as the connection takes, before anything else has its turn."""

    def write_bytes(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        return begun(super().write_bytes(*args, **kwargs))


def begun(work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Take a coroutine's first step, and give one that takes the others."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return _nothing()
    return _rest(work, waits_for)


async def _nothing() -> None:
    pass


async def _rest(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _go_on(work, waits_for)


@coroutine
def _go_on(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Be what has begun already: hand what it waits for to the event loop, and what comes back to it."""
    while True:
        step: Callable[[Any], Any] = work.send
        try:
            given = yield waits_for
        except BaseException as error:
            step, given = work.throw, error
        try:
            waits_for = step(given)
        except StopIteration:
            return
