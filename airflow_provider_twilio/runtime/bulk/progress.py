"""Progress of a bulk run, as log lines, or as a progress bar in an interactive terminal."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from airflow_provider_twilio.runtime.bulk.items import Tally, format_codes

FIRST_LINE, MAX_INTERVAL = 5.0, 60.0
"""Time before the first log line, and maximum time between two lines, in seconds. The interval doubles in between."""
MAX_WAIT_INTERVAL = 15.0
"""Maximum time between two lines while messages wait for their reconciliation, in seconds."""
BAR_INTERVAL = 0.2
"""Time between two updates of the progress bar, in seconds."""
BAR_WIDTH = 30

log = logging.getLogger(__name__)


@asynccontextmanager
async def progress(tally: Tally, noun: str, total: int | None = None) -> AsyncIterator[None]:
    """Report the progress of a run for the duration of the context.

    :param tally: The counts that the run updates.
    :param noun: Name of the counted items, such as ``messages``.
    :param total: Number of items, if known.
    """
    started_at = time.monotonic()

    def line() -> str:
        return format_progress(tally, noun, total, time.monotonic() - started_at)

    async def log_lines() -> None:
        interval = FIRST_LINE
        while True:
            await asyncio.sleep(interval)
            log.info(line())
            interval = min(interval * 2, MAX_WAIT_INTERVAL if tally.unresolved else MAX_INTERVAL)

    async def draw_bar() -> None:
        while True:
            share = min(1.0, tally.total / total) if total else 0.0
            filled = int(BAR_WIDTH * share)
            sys.stderr.write(f"\r\x1b[K[{'=' * filled}{' ' * (BAR_WIDTH - filled)}] {line()}")
            sys.stderr.flush()
            await asyncio.sleep(BAR_INTERVAL)

    has_bar = sys.stderr.isatty() and bool(total)
    task = asyncio.ensure_future(draw_bar() if has_bar else log_lines())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if has_bar:
            sys.stderr.write("\r\x1b[K")
        log.info(line())


def format_progress(tally: Tally, noun: str, total: int | None, seconds: float) -> str:
    """Return a line of progress.

    :param seconds: Duration of the run so far.
    """
    done, rate = tally.total, (tally.total - tally.resumed) / seconds if seconds > 0 else 0.0
    parts = [f"{done:,} of {total:,} {noun} ({done / total:.0%})" if total else f"{done:,} {noun}", f"{rate:,.0f}/s"]
    for outcome, counts in (("skipped", tally.skipped), ("failed", tally.failed)):
        if counts:
            parts.append(f"{outcome} {counts.total():,} ({format_codes(counts)})")
    if tally.later:
        parts.append(f"left for later {tally.later:,}")
    if tally.resumed:
        parts.append(f"{tally.resumed:,} by earlier tries")
    remaining = (total or 0) - done - tally.unresolved
    if rate and remaining > 0:
        parts.append(f"{_format_duration(remaining / rate)} left")
    if tally.unresolved:
        wait = _format_duration(max(0.0, tally.reconcile_at - time.monotonic()))
        parts.append(f"{tally.unresolved:,} of unknown outcome to be reconciled in {wait}")
    return ", ".join(parts)


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
