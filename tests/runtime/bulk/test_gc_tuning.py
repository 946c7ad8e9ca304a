"""Garbage is looked for less often while a run lasts, and as before when it is over."""

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
def before() -> Iterator[tuple[int, int, int]]:
    kept = gc.get_threshold()
    gc.set_threshold(600, 9, 8)
    yield gc.get_threshold()
    gc.set_threshold(*kept)


@pytest.mark.parametrize("fails", [False, True])
async def test_while_a_run_lasts(emulator: Emulator, open_client, before: tuple[int, int, int], fails: bool):
    seen = set()

    def items() -> Iterator[WorkItem]:
        for _ in range(10):
            seen.add(gc.get_threshold())
            yield WorkItem(Messages.create(to="+14155550001", from_=emulator.phone_number, body="hello"))

    async with open_client() as client:
        if fails:
            emulator.fail_next(status=401, code=20003)
            with pytest.raises(AuthenticationFailed):
                await run(client, items())
        else:
            await run(client, items())
    assert seen == {(YOUNG_THRESHOLD, *before[1:])}
    assert gc.get_threshold() == before


@pytest.mark.parametrize("own", [0, YOUNG_THRESHOLD, YOUNG_THRESHOLD + 1], ids=["off", "as high", "higher"])
def test_what_is_as_seldom_already_stays(before: tuple[int, int, int], own: int):
    gc.set_threshold(own, *before[1:])
    with relaxed_gc():
        assert gc.get_threshold() == (own, *before[1:])
    assert gc.get_threshold() == (own, *before[1:])


def test_what_is_set_meanwhile_stays(before: tuple[int, int, int]):
    with relaxed_gc():
        gc.set_threshold(0)
    assert gc.get_threshold()[0] == 0


def test_of_two_runs_the_first_puts_it_back(before: tuple[int, int, int]):
    first, second = relaxed_gc(), relaxed_gc()
    with first:
        second.__enter__()
    assert gc.get_threshold() == before
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
