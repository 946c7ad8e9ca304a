"""Say how far a run is: in the log now and then, and as a bar where a person looks on."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from airflow_provider_twilio.runtime.bulk.items import Tally

FIRST, LONGEST = 5.0, 60.0
"""Seconds before the first line in the log, and between any two later: each time twice as long until then."""
BAR, WIDTH = 0.2, 30

log = logging.getLogger(__name__)


@asynccontextmanager
async def progress(tally: Tally, what: str, total: int | None = None) -> AsyncIterator[None]:
    """Tell the progress of a run while it goes on.

    :param tally: what the run counts on.
    :param what: what is counted, such as ``messages``.
    :param total: how many there are, if that is known.
    """
    began, before = time.monotonic(), tally.total

    def line() -> str:
        return format_progress(tally, what, total, tally.total - before, time.monotonic() - began)

    async def lines() -> None:
        pause = FIRST
        while True:
            await asyncio.sleep(pause)
            log.info(line())
            pause = min(pause * 2, LONGEST)

    async def bar() -> None:
        while True:
            share = min(1.0, tally.total / total) if total else 0.0
            full = int(WIDTH * share)
            sys.stderr.write(f"\r\x1b[K[{'=' * full}{' ' * (WIDTH - full)}] {line()}")
            sys.stderr.flush()
            await asyncio.sleep(BAR)

    looked_on = sys.stderr.isatty()
    task = asyncio.ensure_future(bar() if looked_on and total else lines())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if looked_on and total:
            sys.stderr.write("\r\x1b[K")
        log.info(line())


def format_progress(tally: Tally, what: str, total: int | None, since: int, seconds: float) -> str:
    """Write a line of progress.

    :param since: how many came in the last so many ``seconds``.
    """
    done, rate = tally.total, since / seconds if seconds > 0 else 0.0
    parts = [f"{done:,} of {total:,} {what} ({done / total:.0%})" if total else f"{done:,} {what}", f"{rate:,.0f}/s"]
    for word, counted in (("skipped", tally.skipped), ("failed", tally.failed)):
        if counted:
            codes = ", ".join(f"{code or 'without a code'}: {number:,}" for code, number in counted.most_common(5))
            parts.append(f"{word} {counted.total():,} ({codes})")
    if tally.later:
        parts.append(f"for later {tally.later:,}")
    if total and rate and done < total:
        parts.append(f"{_time((total - done) / rate)} left")
    return ", ".join(parts)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
