"""Garbage collection is rarer during a run, and as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk.engine import run
from airflow_provider_twilio.runtime.bulk.gc_tuning import YOUNG_THRESHOLD, relaxed_gc
from airflow_provider_twilio.runtime.bulk.items import WorkItem


@pytest.fixture
def original() -> Iterator[tuple[int, int, int]]:
    saved = gc.get_threshold()
    gc.set_threshold(600, 9, 8)
    yield gc.get_threshold()
    gc.set_threshold(*saved)


@pytest.mark.parametrize("fails", [False, True])
async def test_engine_run_relaxes_gc_until_it_ends(
    emulator: Emulator, open_client, original: tuple[int, int, int], fails: bool
):
    thresholds = set()

    def items() -> Iterator[WorkItem]:
        for _ in range(10):
            thresholds.add(gc.get_threshold())
            yield WorkItem(Messages.create(to="+14155550001", from_=emulator.phone_number, body="hello"))

    async with open_client() as client:
        if fails:
            emulator.fail_next(status=401, code=20003)
            with pytest.raises(AuthenticationFailed):
                await run(client, items())
        else:
            await run(client, items())
    assert thresholds == {(YOUNG_THRESHOLD, *original[1:])}
    assert gc.get_threshold() == original


@pytest.mark.parametrize("threshold", [0, YOUNG_THRESHOLD, YOUNG_THRESHOLD + 1], ids=["off", "as high", "higher"])
def test_relaxed_gc_keeps_a_threshold_that_is_off_or_higher(original: tuple[int, int, int], threshold: int):
    gc.set_threshold(threshold, *original[1:])
    with relaxed_gc():
        assert gc.get_threshold() == (threshold, *original[1:])
    assert gc.get_threshold() == (threshold, *original[1:])


def test_relaxed_gc_keeps_a_threshold_that_was_set_meanwhile(original: tuple[int, int, int]):
    with relaxed_gc():
        gc.set_threshold(0)
    assert gc.get_threshold()[0] == 0


def test_relaxed_gc_of_overlapping_runs_restores_with_the_first(original: tuple[int, int, int]):
    first, second = relaxed_gc(), relaxed_gc()
    with first:
        second.__enter__()
    assert gc.get_threshold() == original
    second.__exit__(None, None, None)
    assert gc.get_threshold() == original
