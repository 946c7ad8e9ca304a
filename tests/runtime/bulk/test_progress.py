"""Progress lines of a run."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from airflow_provider_twilio.runtime.bulk import progress
from airflow_provider_twilio.runtime.bulk.items import Tally


@pytest.mark.parametrize(
    ("tally", "total", "line"),
    [
        (Tally(done=500), 10_000, "500 of 10,000 messages (5%), 50/s, 3 min 10 s left"),
        (
            Tally(done=480, failed=Counter({21211: 19}), skipped=Counter({21610: 1})),
            1_000_000,
            "500 of 1,000,000 messages (0%), 50/s, skipped 1 (21610: 1), failed 19 (21211: 19), 5 h 33 min left",
        ),
        (
            Tally(done=498, failed=Counter({0: 2})),
            500,
            "500 of 500 messages (100%), 50/s, failed 2 (without a code: 2)",
        ),
        (Tally(done=400, later=100), 500, "500 of 500 messages (100%), 50/s, left for later 100"),
        (Tally(done=500), None, "500 messages, 50/s"),
    ],
)
def test_format_progress_describes_counts_rate_and_time_left(tally: Tally, total: int | None, line: str):
    assert progress.format_progress(tally, "messages", total, 10.0) == line


async def test_progress_logs_lines_at_growing_intervals(caplog, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    caplog.set_level("INFO")
    tally = Tally()
    async with progress.progress(tally, "messages", 10):
        tally.done = 4
        await asyncio.sleep(0.1)
    assert 2 <= len(caplog.messages) <= 6  # at growing intervals, and one at the end
    assert caplog.messages[0].startswith("4 of 10 messages (40%)")


def test_format_progress_leaves_out_outcomes_of_earlier_tries():
    """They took no time in this try, so they say nothing about its rate or the time left."""
    tally = Tally(done=900, resumed=800)
    line = progress.format_progress(tally, "messages", 1000, 10.0)
    assert line == "900 of 1,000 messages (90%), 10/s, 800 by earlier tries, 10 s left"


def test_format_progress_names_messages_that_wait_for_reconciliation():
    tally = Tally(done=900, resumed=900, unresolved=100, reconcile_at=time.monotonic() + 90.4)
    line = progress.format_progress(tally, "messages", 1000, 10.0)
    assert line == (
        "900 of 1,000 messages (90%), 0/s, 900 by earlier tries, 100 of unknown outcome to be reconciled in 1 min 30 s"
    )


async def test_progress_counts_only_outcomes_of_this_try(caplog, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    caplog.set_level("INFO")
    tally = Tally()
    async with progress.progress(tally, "messages", 1000):
        tally.done = tally.resumed = 600
        await asyncio.sleep(0.05)
    assert ", 0/s, " in caplog.messages[0]
    assert "left" not in caplog.messages[0]


async def test_progress_logs_often_while_messages_wait_for_reconciliation(caplog, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    monkeypatch.setattr(progress, "MAX_WAIT_INTERVAL", 0.02)
    caplog.set_level("INFO")
    async with progress.progress(Tally(unresolved=1), "messages", 10):
        await asyncio.sleep(0.3)
    assert len(caplog.messages) >= 10
