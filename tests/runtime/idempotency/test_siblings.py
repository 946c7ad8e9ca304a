"""Siblings that may have sent the same message: each claims its own record, or fails."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import AmbiguousOutcome, InvalidRequest
from airflow_provider_twilio.emulator import Emulator
from tests.support.send_once import (
    ACCEPTED,
    FAULTS,
    FROM,
    PUBLISHED,
    QUIRKS,
    STORED,
    TO,
    Killed,
    Task,
    attempt,
    message,
    sids,
)


def pair(emulator: Emulator) -> tuple[Task, Task]:
    board: dict[str, Any] = {}
    return Task(emulator, "a", board), Task(emulator, "b", board)


def kill_in_flight(sender: Task, *, accepted: bool) -> None:
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED if accepted else STORED)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_siblings_killed_in_flight_each_claim_their_own_record(emulator: Emulator, order: tuple[int, int]):
    siblings = pair(emulator)
    for sibling in siblings:
        kill_in_flight(sibling, accepted=True)
    assert len(sids(emulator)) == 2
    owned = {siblings[index].run(message())["sid"] for index in order}
    assert owned == set(sids(emulator))


def test_siblings_reconciling_concurrently_claim_different_records(emulator: Emulator):
    """In threads, each with its own steps: a record that one sibling claims is left out by the other."""
    for _ in range(10):
        emulator.reset()
        siblings = pair(emulator)
        for sibling in siblings:
            sibling.sleep = lambda seconds: time.sleep(seconds / 100)  # type: ignore[method-assign]
            kill_in_flight(sibling, accepted=True)
        emulator.clock.advance(65)
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(lambda sibling: sibling.run(message())["sid"], siblings))
        assert sorted(found) == sorted(sids(emulator))


def test_siblings_leave_record_of_completed_sibling(emulator: Emulator):
    one, other = pair(emulator)
    done = one.run(message())
    kill_in_flight(other, accepted=False)
    assert other.run(message())["sid"] != done["sid"]
    assert len(sids(emulator)) == 2


def test_siblings_fail_if_only_one_was_accepted(emulator: Emulator):
    """There is one unclaimed record and two unresolved siblings: both fail, and neither sends again."""
    one, other = pair(emulator)
    kill_in_flight(one, accepted=True)
    kill_in_flight(other, accepted=False)
    for sibling in (one, other):
        with pytest.raises(AmbiguousOutcome) as caught:
            sibling.run(message())
        assert caught.value.candidates == tuple(sids(emulator))
        assert caught.value.candidates[0] in str(caught.value)
        assert caught.value.permanent
    assert len(sids(emulator)) == 1


def test_siblings_wait_for_sibling_in_flight(emulator: Emulator):
    """Twilio has accepted the sibling's message; its response arrives while this task polls."""
    one, other = pair(emulator)
    kill_in_flight(other, accepted=False)
    kill_in_flight(one, accepted=True)
    original_sleep = other.sleep

    def sleep(seconds: float) -> None:
        original_sleep(seconds)
        if other.counts["slept"] > 20:
            one.publish({**json.loads(one.board["a"]), "sid": sids(emulator)[0]})

    one.steps_left = None
    other.sleep = sleep  # type: ignore[method-assign]
    assert other.run(message())["sid"] == sids(emulator)[1]
    assert len(sids(emulator)) == 2


def test_siblings_do_not_claim_record_of_sibling_awaiting_response(emulator: Emulator):
    """There are as many messages as siblings that may have sent them, but one still waits for its response."""
    one, other = pair(emulator)
    kill_in_flight(other, accepted=True)
    emulator.clock.advance(20)
    kill_in_flight(one, accepted=True)
    original_sleep = other.sleep

    def sleep(seconds: float) -> None:
        original_sleep(seconds)
        if other.counts["slept"] > 10:
            one.publish({**json.loads(one.board["a"]), "sid": sids(emulator)[1]})

    one.steps_left = None
    other.sleep = sleep  # type: ignore[method-assign]
    assert other.run(message())["sid"] == sids(emulator)[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("seconds", [20, 50, 80])
def test_siblings_claim_records_in_order_of_their_start(emulator: Emulator, seconds: float, order: tuple[int, int]):
    siblings = pair(emulator)
    kill_in_flight(siblings[1], accepted=True)
    emulator.clock.advance(seconds)
    kill_in_flight(siblings[0], accepted=True)
    assert {siblings[index].run(message())["sid"] for index in order} == set(sids(emulator))
    assert len(sids(emulator)) == 2


def test_siblings_of_much_earlier_do_not_prevent_claim(emulator: Emulator):
    one, other = pair(emulator)
    kill_in_flight(other, accepted=False)
    emulator.clock.advance(400)
    kill_in_flight(one, accepted=True)
    assert [one.run(message())["sid"]] == sids(emulator)
    assert other.run(message())["sid"] == sids(emulator)[1]


def test_siblings_claiming_same_record_withdraw(emulator: Emulator):
    """The sibling's entry arrives just after this task has published its claim."""
    one, other = pair(emulator)
    kill_in_flight(one, accepted=True)
    (sid,) = sids(emulator)
    original_sleep = one.sleep

    def sleep(seconds: float) -> None:
        original_sleep(seconds)
        if json.loads(one.board["a"])["sid"] == sid:
            other.publish({**json.loads(one.board["a"]), "owner": other.owner})

    one.sleep = sleep  # type: ignore[method-assign]
    assert one.run(message())["sid"] != sid
    assert len(sids(emulator)) == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_siblings_killed_between_publishing_and_storing_keep_record(emulator: Emulator, order: tuple[int, int]):
    siblings = pair(emulator)
    kill_in_flight(siblings[1], accepted=True)
    emulator.clock.advance(2)
    with pytest.raises(Killed):
        siblings[0].run(message(), kill_at=PUBLISHED)
    emulator.clock.advance(100)
    assert {siblings[index].run(message())["sid"] for index in order} == set(sids(emulator))
    assert len(sids(emulator)) == 2


def test_siblings_rejected_by_twilio_are_not_unresolved(emulator: Emulator):
    one, other = pair(emulator)
    emulator.fail_next(20, method="POST", status=400)
    with pytest.raises(InvalidRequest):
        one.run(message())
    emulator.state.faults.clear()
    kill_in_flight(other, accepted=True)
    assert [other.run(message())["sid"]] == sids(emulator)


def test_siblings_with_different_twiml_are_ambiguous(emulator: Emulator):
    one, other = pair(emulator)
    for sibling, word in ((one, "One"), (other, "Two")):
        with pytest.raises(Killed):
            sibling.run(
                Calls.create(to=TO, from_=FROM, twiml=f"<Response><Say>{word}</Say></Response>"), kill_at=ACCEPTED
            )
    with pytest.raises(AmbiguousOutcome):
        one.run(Calls.create(to=TO, from_=FROM, twiml="<Response><Say>One</Say></Response>"))


SIBLING_TRIES = st.lists(
    st.tuples(
        st.integers(0, 1), st.one_of(st.none(), st.integers(0, 40)), FAULTS, st.sampled_from([0, 1, 20, 50, 80, 400])
    ),
    max_size=6,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=SIBLING_TRIES, quirks=QUIRKS)
def test_siblings_random_crashes_claim_own_record_or_fail(
    emulator: Emulator, tries: list[tuple[int, int | None, dict[str, Any] | None, int]], quirks: dict[str, Any]
):
    emulator.reset()
    emulator.clock.freeze()
    emulator.quirks.set(**quirks)
    siblings = pair(emulator)
    owned: dict[int, set[str]] = {0: set(), 1: set()}
    failed = set()
    for index, kill_at, fault, delay in [*tries, (0, None, None, 0), (1, None, None, 0)]:
        if index in failed:
            continue
        try:
            if record := attempt(siblings[index], message(), kill_at, fault):
                owned[index].add(record["sid"])
        except AmbiguousOutcome:
            failed.add(index)
        assert len(sids(emulator)) <= 2
        emulator.clock.advance(delay)
    assert all(len(sids_of_one) <= 1 for sids_of_one in owned.values())
    assert not owned[0] & owned[1]
    assert owned[0] | owned[1] <= set(sids(emulator))
    assert all(owned[index] or index in failed for index in (0, 1))
    if not failed:
        assert owned[0] | owned[1] == set(sids(emulator))
