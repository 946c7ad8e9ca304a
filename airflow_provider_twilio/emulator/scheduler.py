"""Actions that are due at a time of the emulator's clock, on the event loop of its server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from airflow_provider_twilio.emulator.state import State


class Scheduler:
    """The scheduled actions of one emulator.

    Statuses are computed when they are read, so nothing notices when one is reached. For those that must be reported,
    one task on the server's loop sleeps until the next action is due.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        state.clock.moved.append(self.wake_up)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use an event loop. The server calls this with each request."""
        if self._loop is not loop:
            self._loop, self._wake_event = loop, asyncio.Event()
            if self._due:
                self.wake_up()

    def clear(self) -> None:
        self._due.clear()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Schedule an action.

        A caller that has scheduled all of its actions calls :meth:`wake_up`.
        """
        heappush(self._due, (when, next(self._number), action))

    def soon(self, action: Callable[[], None]) -> None:
        """Schedule an action for now, on the server's loop."""
        self.at(self.state.clock.now(), action)
        self.wake_up()

    def wake_up(self) -> None:
        """Run the actions that are due. May be called from any thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._wake_up_on_loop)
        except RuntimeError:  # the loop was closed a moment ago
            return

    def _wake_up_on_loop(self) -> None:
        if self._task is None or self._task.done():
            if self._due:
                self._task = asyncio.ensure_future(self._run())
        else:
            self._wake_event.set()

    async def _run(self) -> None:
        while True:
            with self.state.lock:
                now = self.state.clock.now()
                while self._due and self._due[0][0] <= now:
                    _, _, action = heappop(self._due)
                    action()
                if not self._due:
                    return
                delay = None if self.state.clock.frozen else self._due[0][0] - now
            self._wake_event.clear()
            try:
                await asyncio.wait_for(self._wake_event.wait(), delay)
            except TimeoutError:
                continue
