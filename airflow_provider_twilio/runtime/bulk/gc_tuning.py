"""Fewer garbage collections while a bulk run has many objects in flight.

Python searches for reference cycles each time the number of live objects has grown by a threshold, which is a few
hundred to two thousand by version. Objects of requests in flight survive many of these collections and are not garbage,
so the collections cost time and free nothing. A higher threshold makes them rare.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_THRESHOLD = 10_000
"""Number of new objects that starts a collection of the youngest generation during a run."""


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Raise the threshold of the youngest generation in this process, and restore it at the end.

    A threshold that is already as high, or off, stays unchanged.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < YOUNG_THRESHOLD:  # 0 means that collection is off
        yield
        return
    gc.set_threshold(YOUNG_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold()[0] == YOUNG_THRESHOLD:
            gc.set_threshold(*before)
