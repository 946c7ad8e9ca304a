"""Eager writing of requests on Python 3.11, as aiohttp does by itself from Python 3.12 on.

On Python 3.11, aiohttp writes a request with a body in a separate task, which starts one iteration of the event loop
later. When several responses arrive together, all of them are processed before the next request is written. The next
requests are then written together, and their responses arrive together, so requests in flight wait for one another.
(uvloop before 0.23 also delays its writes to the end of the iteration.)
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from aiohttp import ClientRequest


class EagerClientRequest(ClientRequest):
    """A request that is written at once, as far as the connection accepts it."""

    def write_bytes(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        return start_eagerly(super().write_bytes(*args, **kwargs))


def start_eagerly(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Run a coroutine to its first suspension, in the caller's task, and return a coroutine that runs the rest."""
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return _finished()
    return StartedCoroutine(coroutine, awaited)


async def _finished() -> None:
    pass


class StartedCoroutine(Coroutine[Any, Any, None]):
    """A coroutine that has run to its first suspension.

    :param coroutine: The coroutine.
    :param awaited: The future that it yielded when it was suspended. It is yielded again, to the task that resumes it.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine, self._yielded = coroutine, [awaited]

    def send(self, value: Any) -> Any:
        return self._yielded.pop() if self._yielded else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._yielded.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._yielded
        self._yielded.clear()
        yield from self._coroutine.__await__()
