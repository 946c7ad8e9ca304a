"""Reading of work items, in batches and ahead of their use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from itertools import islice
from typing import TypeVar

from airflow_provider_twilio.runtime.bulk.items import WorkItem

T = TypeVar("T")

BATCH_SIZE = 500
"""Number of items that a thread reads at once."""
YIELD_EVERY = 50
"""Yield to the event loop after this many items."""
READ_AHEAD = 200
"""Read the next batch once fewer items are left than this, or than the last batch had. Reading further ahead costs
time: an item that waits for long is no longer in the processor's cache when it is sent."""


async def batches(items: Iterable[WorkItem] | AsyncIterable[WorkItem]) -> AsyncIterator[list[WorkItem]]:
    """Yield items in batches. A plain iterable is read in a thread."""
    if not isinstance(items, AsyncIterable):
        async for batch in read_in_thread(items):
            yield batch
        return
    batch = []
    async for item in items:
        batch.append(item)
        if len(batch) >= YIELD_EVERY:
            yield batch
            batch = []
            await asyncio.sleep(0)
    if batch:
        yield batch


async def read_in_thread(stream: Iterable[T]) -> AsyncIterator[list[T]]:
    """Yield batches of a stream, which is read in a thread since reading may block."""
    iterator = iter(stream)
    while batch := await asyncio.to_thread(lambda: list(islice(iterator, BATCH_SIZE))):
        yield batch


class ReadAhead:
    """A buffer that reads the next batch of a source before its last item is taken.

    :param source: The batches to read.
    :param on_error: Called with the exception that the source raises, which ends the stream early.
    :param on_read: Called after each attempt to read a batch.
    """

    def __init__(
        self,
        source: AsyncIterator[list[WorkItem]],
        on_error: Callable[[BaseException], None],
        on_read: Callable[[], None],
    ) -> None:
        self.items: deque[WorkItem] = deque()
        self.task: asyncio.Future[None] | None = None
        """The task that reads the next batch, while there is one."""
        self._source, self._on_error, self._on_read = source, on_error, on_read
        self._low_water_mark = READ_AHEAD
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether the source has ended and all of its items are taken."""
        return self._ended and not self.items

    def pop(self) -> WorkItem:
        """Return the next item, which must exist. Start reading if few are left."""
        item = self.items.popleft()
        if self.task is None and len(self.items) < self._low_water_mark:
            self.refill()
        return item

    def refill(self) -> None:
        """Start reading the next batch, unless one is being read or the source has ended."""
        if self.task is None and not self._ended:
            self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            batch = await anext(self._source)
            self.items.extend(batch)
            self._low_water_mark = max(READ_AHEAD, len(batch))
        except StopAsyncIteration:
            self._ended = True
        except BaseException as error:  # any other exception means that the stream broke, not that it ended
            self._on_error(error)
        finally:
            self.task = None
            self._on_read()
