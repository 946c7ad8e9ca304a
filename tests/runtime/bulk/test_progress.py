"""Progress lines of a run."""

from __future__ import annotations

import asyncio
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
    assert progress.format_progress(tally, "messages", total, 500, 10.0) == line


async def test_progress_logs_lines_at_growing_intervals(caplog, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    caplog.set_level("INFO")
    tally = Tally()
    async with progress.progress(tally, "messages", 10):
        tally.done = 4
        await asyncio.sleep(0.1)
    assert 2 <= len(caplog.messages) <= 6  # at growing intervals, and one at the end
    assert caplog.messages[0].startswith("4 of 10 messages (40%)")
