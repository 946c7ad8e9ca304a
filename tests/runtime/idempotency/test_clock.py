"""Send a request once although a worker's clock is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AmbiguousOutcome, OutcomeUnresolved
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.idempotency.intent import CLOCK_SKEW, Window
from tests.support.send_once import ACCEPTED, STORED, TIMEOUT, Killed, Task, connection, message, sids

SKEWS = [-3 * 86400, -3600, -60, -20, -16, 16, 20, 60, 3600, 3 * 86400]


class SkewedTask(Task):
    """A task on a worker whose clock is wrong.

    :param skew: Seconds by which the worker's clock is ahead of Twilio's.
    """

    def __init__(self, emulator: Emulator, name: str = "send", board: Any = None, *, skew: float) -> None:
        super().__init__(emulator, name, board)
        self.skew = skew

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.skew)


@pytest.mark.parametrize("lag", [0, 25])
@pytest.mark.parametrize("skew", SKEWS)
def test_send_once_with_wrong_clock_finds_message_after_lost_response(emulator: Emulator, skew: float, lag: float):
    emulator.quirks.set(list_lag=lag)
    emulator.fail_next(method="POST", accept_then_drop=True)
    sender = SkewedTask(emulator, skew=skew)
    assert [sender.run(message())["sid"]] == sids(emulator)


@pytest.mark.parametrize("lag", [0, 25])
@pytest.mark.parametrize("skew", SKEWS)
def test_send_once_with_wrong_clock_finds_message_after_crash(emulator: Emulator, skew: float, lag: float):
    emulator.quirks.set(list_lag=lag)
    sender = SkewedTask(emulator, skew=skew)
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED)
    sender.sleep(1)
    assert [sender.run(message())["sid"]] == sids(emulator)


@pytest.mark.parametrize("lag", [0, 25])
@pytest.mark.parametrize("skew", SKEWS)
def test_send_once_with_wrong_clock_resends_once_after_full_wait(emulator: Emulator, skew: float, lag: float):
    emulator.quirks.set(list_lag=lag)
    emulator.fail_next(method="POST", status=500)
    sender = SkewedTask(emulator, skew=skew)
    assert [sender.run(message())["sid"]] == sids(emulator)
    # Twilio's time has a resolution of one second.
    assert TIMEOUT + 29 <= sender.counts["slept"] <= TIMEOUT + 30 + 15


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("skews", [(skew, 0) for skew in SKEWS] + [(0, skew) for skew in SKEWS] + [(20, -20)], ids=str)
def test_send_once_retried_on_worker_with_other_clock_never_sends_twice(
    emulator: Emulator, skews: tuple[float, float], accepted: bool
):
    first, second = (SkewedTask(emulator, skew=skew) for skew in skews)
    second.state = first.state
    with pytest.raises(Killed):
        first.run(message(), kill_at=ACCEPTED if accepted else STORED)
    second.sleep(1)
    found: list[str] = []
    try:
        found.append(second.run(message())["sid"])
    except AmbiguousOutcome as error:
        found.extend(error.candidates if accepted else ["not accepted"])
    assert found == sids(emulator)
    assert len(sids(emulator)) == 1
    assert second.counts["slept"] <= 2 * TIMEOUT + 30


def test_send_once_finds_message_if_only_the_retry_has_a_wrong_clock(emulator: Emulator):
    first, second = SkewedTask(emulator, skew=0), SkewedTask(emulator, skew=-60)
    second.state = first.state
    with pytest.raises(Killed):
        first.run(message(), kill_at=ACCEPTED)
    assert [second.run(message())["sid"]] == sids(emulator)


def test_send_once_with_measured_clock_ignores_other_times(sender: Task, emulator: Emulator):
    """This process has measured its clock: a record of another time is certainly not its own."""
    with Client(connection(emulator)) as other:
        earlier = other.send(message())["sid"]
    sender.sleep(600)
    emulator.fail_next(method="POST", status=500)
    assert sender.run(message())["sid"] == sids(emulator)[1] != earlier


def test_send_once_after_crash_ignores_messages_before_the_run(sender: Task, emulator: Emulator):
    with Client(connection(emulator)) as other:
        earlier = other.send(message())["sid"]
    sender.sleep(600)
    run_started = sender.now()
    sender.sleep(10)
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    assert sender.run(message(), not_before=run_started)["sid"] == sids(emulator)[1] != earlier


def test_send_once_after_crash_does_not_resend_if_only_the_time_differs(sender: Task, emulator: Emulator):
    with Client(connection(emulator)) as other:
        other.send(message())
    sender.sleep(600)
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    with pytest.raises(AmbiguousOutcome, match="clock of the worker") as caught:
        sender.run(message())
    assert caught.value.candidates == tuple(sids(emulator))
    assert len(sids(emulator)) == 1


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("year", ["1970", "2999"])
def test_send_once_stored_time_far_away_does_not_wait_endlessly(
    sender: Task, emulator: Emulator, year: str, accepted: bool
):
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED if accepted else STORED)
    state = json.loads(sender.state["k"])
    sender.state["k"] = json.dumps(state | dict.fromkeys(("first_sent_at", "sent_at"), f"{year}-01-02T03:04:05+00:00"))
    try:
        sender.run(message())
    except OutcomeUnresolved:
        assert accepted
    assert len(sids(emulator)) == 1
    assert sender.counts["slept"] <= TIMEOUT + 30 + 15


def test_send_once_stored_sid_of_the_future_does_not_wait_endlessly(sender: Task, emulator: Emulator):
    sender.state["k"] = json.dumps({"sid": "SM" + "0" * 32, "sent_at": "2999-01-02T03:04:05+00:00"})
    assert sender.run(message()) == {"sid": "SM" + "0" * 32}
    assert sender.counts["slept"] <= 60


def test_send_once_sibling_of_the_future_does_not_wait_endlessly(emulator: Emulator):
    board: dict[str, Any] = {}
    one, other = SkewedTask(emulator, "a", board, skew=0), SkewedTask(emulator, "b", board, skew=400 * 86400)
    for sibling, kill_at in ((other, STORED), (one, ACCEPTED)):
        with pytest.raises(Killed):
            sibling.run(message(), kill_at=kill_at)
    assert [one.run(message())["sid"]] == sids(emulator)
    assert one.counts["slept"] <= TIMEOUT + 30 + 15


@pytest.mark.parametrize("skews", [(20, 20), (-20, -20), (20, -20), (0, 20)], ids=str)
def test_siblings_with_wrong_clocks_never_send_twice(emulator: Emulator, skews: tuple[float, float]):
    board: dict[str, Any] = {}
    siblings = [SkewedTask(emulator, name, board, skew=skew) for name, skew in zip("ab", skews, strict=True)]
    for sibling in siblings:
        with pytest.raises(Killed):
            sibling.run(message(), kill_at=ACCEPTED)
    owned = []
    for sibling in siblings:
        try:
            owned.append(sibling.run(message())["sid"])
        except AmbiguousOutcome:
            pass
    assert len(set(owned)) == len(owned)
    assert set(owned) <= set(sids(emulator))
    assert len(sids(emulator)) == 2
    if skews[0] == skews[1]:
        assert len(owned) == 2


@pytest.mark.parametrize(
    ("window_offset", "offset", "covered"),
    [
        (3600.0, None, {3600}),  # the clock of the process that sent the request is known, so only it counts
        (3600.0, 0.0, {3600}),
        (3600.0, -3600.0, {3600}),
        (None, None, {0}),
        (None, 3600.0, {0, 3600}),  # it may have been right, or this machine's
        (None, -3600.0, {0, -3600}),
    ],
)
def test_window_covers_time_by_known_or_possible_clocks(
    window_offset: float | None, offset: float | None, covered: set[int]
):
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    window = Window(start, start + timedelta(seconds=TIMEOUT), window_offset)
    for shift in (-3600, 0, 3600):
        first, last = (time + timedelta(seconds=shift) for time in (window.start, window.end))
        assert window.covers(first - timedelta(seconds=CLOCK_SKEW), offset) == (shift in covered)
        assert window.covers(last + timedelta(seconds=CLOCK_SKEW), offset) == (shift in covered)
        assert not window.covers(first - timedelta(seconds=CLOCK_SKEW + 1), offset)
        assert not window.covers(last + timedelta(seconds=CLOCK_SKEW + 1), offset)
    assert window.covers(None, offset)
