"""Let Python look for garbage less often while much is on its way.

Each look for reference cycles goes over every young object, and what is on its way is young: some ten thousand objects,
which takes milliseconds. Python looks each time that some hundred more have been made than are gone, as they are when
some answers come together; while it does, more come together. Here they have to be some thousand.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000


@contextmanager
def seldom_sought() -> Iterator[None]:
    """Raise the threshold of the young generation in this process, where it is lower, and put it back at the end."""
    before = gc.get_threshold()
    if not 0 < before[0] < YOUNG:  # 0: it is off
        yield
        return
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
