"""Adaptive concurrency, the rate limit of each lane, and the queue of delayed items."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.bulk.pace import PROBE_INTERVAL, AdaptiveConcurrency, DelayQueue, RateLimiter


def test_adaptive_concurrency_halves_when_throttled_and_grows_by_one_per_round():
    concurrency = AdaptiveConcurrency(40)
    concurrency.on_throttled(0.0)
    assert concurrency.limit == 20
    for _ in range(20):  # a round
        concurrency.on_success(0.0)
    assert 20.9 <= concurrency.limit <= 21.1


def test_adaptive_concurrency_stays_below_the_throttled_limit_until_the_next_probe():
    concurrency = AdaptiveConcurrency(40)
    concurrency.on_throttled(0.0)
    for _ in range(100_000):
        concurrency.on_success(PROBE_INTERVAL / 2)
    assert concurrency.limit == 39
    for second in range(1000):
        concurrency.on_success(PROBE_INTERVAL + second)
    assert concurrency.limit == 40


def test_adaptive_concurrency_never_falls_below_one():
    concurrency = AdaptiveConcurrency(3)
    for _ in range(10):
        concurrency.on_throttled(0.0)
    assert concurrency.limit == 1


def test_rate_limiter_limits_each_lane_separately():
    limiter = RateLimiter(10.0)
    assert [limiter.reserve("a", 1.0, 0.0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])
    assert limiter.reserve("b", 5.0, 0.0) == 0.0
    assert limiter.reserve("b", 1.0, 0.0) == 0.5
    assert limiter.reserve("a", 1.0, 7.0) == 7.0  # unused capacity does not accumulate


def test_rate_limiter_pause_delays_only_its_lane():
    limiter = RateLimiter()
    assert limiter.reserve("a", 1.0, 1.0) == 1.0
    limiter.pause("a", 5.0)
    assert limiter.is_paused("a", 4.9)
    assert not limiter.is_paused("b", 4.9)
    assert limiter.reserve("a", 1.0, 2.0) == 5.0
    assert not limiter.is_paused("a", 5.0)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_rate_limiter_rejects_a_rate_not_above_0(rate: float):
    with pytest.raises(BadParameter, match="rate is"):
        RateLimiter(rate)


def test_delay_queue_returns_due_items_by_time_and_then_by_insertion():
    items = [WorkItem(Messages.delete("SM" + "0" * 32), key) for key in "abc"]
    queue = DelayQueue()
    assert queue.next_due is None
    for item, due in zip(items, (2.0, 1.0, 1.0), strict=True):
        queue.push(item, due)
    assert [len(queue), queue.next_due] == [3, 1.0]
    assert queue.pop_due(0.9) is None
    assert [queue.pop_due(1.0), queue.pop_due(1.0), queue.pop_due(1.0)] == [items[1], items[2], None]
    assert queue.pop_due(2.0) is items[0]
    assert not queue
