"""How many at once, and how soon the next one."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.runtime.bulk.pace import PROBE_INTERVAL, AdaptiveConcurrency, RateLimiter


def test_half_as_many_when_refused_and_one_more_a_round():
    throttle = AdaptiveConcurrency(40)
    throttle.on_throttled(0.0)
    assert throttle.limit == 20
    for _ in range(20):  # a round
        throttle.on_success(0.0)
    assert 20.9 <= throttle.limit <= 21.1


def test_stays_below_where_it_was_refused():
    throttle = AdaptiveConcurrency(40)
    throttle.on_throttled(0.0)
    for _ in range(100_000):
        throttle.on_success(PROBE_INTERVAL / 2)
    assert throttle.limit == 39
    for second in range(1000):
        throttle.on_success(PROBE_INTERVAL + second)
    assert throttle.limit == 40


def test_never_below_one():
    throttle = AdaptiveConcurrency(3)
    for _ in range(10):
        throttle.on_throttled(0.0)
    assert throttle.limit == 1


def test_each_lane_has_its_own_pace():
    pace = RateLimiter(10.0)
    assert [pace.reserve("a", 1.0, 0.0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])
    assert pace.reserve("b", 5.0, 0.0) == 0.0
    assert pace.reserve("b", 1.0, 0.0) == 0.5
    assert pace.reserve("a", 1.0, 7.0) == 7.0  # what was not used is not saved up


def test_a_lane_that_rests():
    pace = RateLimiter()
    assert pace.reserve("a", 1.0, 1.0) == 1.0
    pace.pause("a", 5.0)
    assert pace.is_paused("a", 4.9)
    assert not pace.is_paused("b", 4.9)
    assert pace.reserve("a", 1.0, 2.0) == 5.0
    assert not pace.is_paused("a", 5.0)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_a_rate_is_above_0(rate: float):
    with pytest.raises(BadParameter, match="rate is"):
        RateLimiter(rate)
