"""Pauses, probes and deferral of sender queues that overflow."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api.errors import RateLimited
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.runtime.bulk.items import WorkItem
from airflow_provider_twilio.runtime.bulk.pace import RateLimiter
from airflow_provider_twilio.runtime.bulk.sender_queue import (
    MAX_OVERFLOWS,
    MAX_QUEUE_BACKOFF,
    QUEUE_BACKOFF,
    SenderQueues,
)

ERROR = RateLimited("queue full")


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter()


@pytest.fixture
def queues(limiter: RateLimiter) -> SenderQueues:
    return SenderQueues(limiter)


def item(lane: str) -> WorkItem:
    return WorkItem(Messages.create(to="+14155550100", from_="+15005550006", body="hello"), lane=lane)


def test_sender_queues_overflow_doubles_the_pause_of_its_lane(queues: SenderQueues, limiter: RateLimiter):
    now = 0.0
    for overflows in range(MAX_OVERFLOWS - 1):
        queues.overflow("a", ERROR, now, now)
        pause = min(QUEUE_BACKOFF * 2**overflows, MAX_QUEUE_BACKOFF)
        assert limiter.is_paused("a", now + pause - 0.01)
        assert not limiter.is_paused("a", now + pause)
        assert not limiter.is_paused("b", now)
        now += pause


def test_sender_queues_overflow_counts_requests_in_flight_once(queues: SenderQueues):
    queues.overflow("a", ERROR, 1.0, 2.0)
    queues.overflow("a", ERROR, 1.5, 3.0)
    assert queues.overflowed["a"].overflows == 1


def test_sender_queues_admit_sends_a_single_probe_of_an_overflowed_lane(queues: SenderQueues):
    assert queues.admit(item("a")) == "send"
    queues.overflow("a", ERROR, 0.0, 1.0)
    probe, next_item = item("a"), item("a")
    assert queues.admit(probe) == "send"
    assert queues.admit(next_item) == "wait"
    assert queues.admit(item("b")) == "send"
    queues.end_probe(next_item)
    assert queues.admit(next_item) == "wait"
    queues.end_probe(probe)
    assert queues.admit(next_item) == "send"


def test_sender_queues_admit_defers_after_too_many_overflows(queues: SenderQueues, limiter: RateLimiter):
    for now in range(MAX_OVERFLOWS):
        queues.overflow("a", ERROR, float(now), float(now))
    assert queues.admit(item("a")) == "defer"
    assert queues.overflowed["a"].error is ERROR
    assert not limiter.is_paused("a", float(MAX_OVERFLOWS))


def test_sender_queues_reopen_ends_the_pause_unless_the_request_is_older(queues: SenderQueues, limiter: RateLimiter):
    queues.overflow("a", ERROR, 0.0, 1.0)
    queues.reopen("a", 0.5, 2.0)
    assert limiter.is_paused("a", 2.0)
    queues.reopen("a", 1.5, 2.0)
    assert not limiter.is_paused("a", 2.0)
    assert not queues.overflowed
