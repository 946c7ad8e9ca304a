"""Run a coroutine beside the thread that waits for it: on an event loop in a thread of its own.

A task's signals are handled in its main thread, and ``execution_timeout`` is one that raises there, once. If an event
loop ran there, that could strike any of its callbacks; and what a callback raises is logged by asyncio, which goes on.

The loop is uvloop's, which comes with Airflow: what is sent takes less of the CPU there.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

import uvloop

T = TypeVar("T")


class BackgroundRunner(Generic[T]):
    """Hold a coroutine, to be run once."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._ended = False
        self._result: T
        self._error: BaseException | None = None
        # Bare locks and a bare thread: they stay as they are when a signal's exception strikes. In `threading`, which
        # waits for a thread to start or to end, another error might be raised instead, or the end be forgotten.
        self._started, self._end = _thread.allocate_lock(), _thread.allocate_lock()

    def run(self) -> T:
        """Run it, and give what it gives or raise what it raises.

        What a signal raises meanwhile is raised when the coroutine was cancelled and has come to its end.

        :raises asyncio.CancelledError: it was cancelled.
        """
        work = contextvars.copy_context().run
        self._end.acquire()
        try:
            _thread.start_new_thread(work, (self._work,))
            self._end.acquire()
        except BaseException:
            if self._started.acquire(blocking=False):  # it has not begun, and will not
                self._coroutine.close()
                raise
            self.cancel()
            if not self._ended:
                self._end.acquire()
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Cancel it, from any thread or a signal's handler, at any time. This does not wait for its end."""
        self._cancelled = True
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _work(self) -> None:
        if not self._started.acquire(blocking=False):
            return
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._result = runner.run(self._main())
        except BaseException as error:  # raised again where it is waited for
            self._error = error
        finally:
            self._ended = True
            self._end.release()

    async def _main(self) -> T:
        self._task = asyncio.current_task()
        if self._cancelled:
            self._coroutine.close()
            raise asyncio.CancelledError
        return await self._coroutine
