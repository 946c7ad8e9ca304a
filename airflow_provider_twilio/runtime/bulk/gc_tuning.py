"""Let Python look for garbage less often while much is on its way.

Python looks for reference cycles each time that so many more objects have been made than are gone, some hundred or two
thousand by its version: among the newest, now and then among those that have outlived a look, and seldom among all.
What is on its way outlives many looks, and is no garbage. Here it looks after ten thousand.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Raise the threshold of the newest in this process, where it is lower, and put it back at the end."""
    before = gc.get_threshold()
    if not 0 < before[0] < YOUNG:  # 0: it is off
        yield
        return
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold()[0] == YOUNG:
            gc.set_threshold(*before)
