"""Run a coroutine on an event loop in a background thread, while the calling thread waits for it.

Python handles a task's signals in the main thread. Airflow implements ``execution_timeout`` as a signal whose handler
raises an exception there, once. If an event loop ran in the main thread, the exception could be raised inside any
callback of the loop; asyncio logs what a callback raises, and continues, so the timeout would be lost.

The event loop is uvloop's, which comes with Airflow and uses less CPU time per request.
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
    """A coroutine that is run once, in a background thread.

    :param coroutine: The coroutine to run.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._ended = False
        self._result: T
        self._error: BaseException | None = None
        # Bare locks and a bare thread stay consistent when a signal handler raises an exception between any two steps.
        # `threading` waits for a thread to start and to end: an exception there may be replaced by another error, or
        # may make it miss the end of the thread.
        self._started_lock = _thread.allocate_lock()
        """Acquired once: by the background thread to start the coroutine, or by :meth:`run` to prevent the start."""
        self._ended_lock = _thread.allocate_lock()
        """Released by the background thread when the coroutine has ended."""

    def run(self) -> T:
        """Run the coroutine; return its result, or raise its exception.

        If a signal handler raises an exception in the meantime, cancel the coroutine, wait until it has ended, and
        raise that exception.

        :raises asyncio.CancelledError: When :meth:`cancel` was called.
        """
        run_in_context = contextvars.copy_context().run
        self._ended_lock.acquire()
        try:
            _thread.start_new_thread(run_in_context, (self._run_in_thread,))
            self._ended_lock.acquire()
        except BaseException:
            if self._started_lock.acquire(blocking=False):  # the coroutine has not been started, and will not be
                self._coroutine.close()
                raise
            self.cancel()
            if not self._ended:
                self._ended_lock.acquire()
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Cancel the coroutine, without waiting for its end. Call from any thread or signal handler, at any time."""
        self._cancelled = True
        if self._task is not None:
            with suppress(RuntimeError):  # the event loop is closed: the coroutine has ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _run_in_thread(self) -> None:
        if not self._started_lock.acquire(blocking=False):
            return
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._result = runner.run(self._main())
        except BaseException as error:  # the waiting thread raises it
            self._error = error
        finally:
            self._ended = True
            self._ended_lock.release()

    async def _main(self) -> T:
        self._task = asyncio.current_task()
        if self._cancelled:
            self._coroutine.close()
            raise asyncio.CancelledError
        return await self._coroutine
