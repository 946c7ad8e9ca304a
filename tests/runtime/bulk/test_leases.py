"""Leases: the periods in which the processes of a stream may have been sending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_twilio.runtime.bulk.leases import Lease, Leases, lease_keys
from tests.runtime.bulk.conftest import DictStore

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


class OffsetClock:
    """A clock of Twilio's with a constant offset."""

    def __init__(self, offset: float | None) -> None:
        self.value = offset

    def offset(self, local: datetime) -> float | None:
        return self.value


def leases(store: DictStore, clock: Any = None) -> Leases:
    return Leases(store, "k", request_timeout=10.0, twilio_clock=clock)


def put(store: DictStore, *stored: Lease) -> None:
    for index, lease in enumerate(stored):
        store.set(f"k.lease.{index}", lease.as_json())


def test_leases_acquire_stores_the_end_before_it_has_passed(store: DictStore):
    put(store, Lease(START, START))
    own = leases(store)
    own.acquire(15.0)
    assert own.index == 1
    lease = Lease.from_json(store.get("k.lease.1"))
    assert timedelta(seconds=15) <= lease.until - lease.started_at < timedelta(seconds=20)
    assert lease.clock_offset is None
    own.end()
    assert Lease.from_json(store.get("k.lease.1")).until - lease.started_at < timedelta(seconds=5)


def test_leases_end_is_final(store: DictStore):
    own = leases(store)
    own.acquire(15.0)
    own.end()
    ended = store.get("k.lease.0")
    own.extend(15.0)
    assert store.get("k.lease.0") == ended


def test_leases_extend_keeps_the_last_known_offset(store: DictStore):
    clock = OffsetClock(None)
    own = leases(store, clock)
    own.acquire(15.0)
    clock.value = -16.5
    own.extend(15.0)
    clock.value = None
    own.extend(15.0)
    assert [value["clock_offset"] for _, value in lease_keys(store, "k")] == [-16.5]


def test_leases_windows_leave_out_times_without_a_process(store: DictStore):
    day = timedelta(days=1)
    put(store, Lease(START, START + timedelta(minutes=1), 2.0), Lease(START + day, START + day + timedelta(minutes=1)))
    own = leases(store)
    own.acquire(15.0)
    opened_at = START + timedelta(seconds=30)
    first, second = own.windows(0, opened_at, own=False)
    assert (first.start, first.end, first.clock_offset) == (opened_at, START + timedelta(seconds=70), 2.0)
    assert (second.start, second.end, second.clock_offset) == (START + day, START + day + timedelta(seconds=70), None)
    assert len(own.windows(0, opened_at, own=True)) == 3
    assert own.windows(1, START + day, own=False) == (second,)


def test_leases_windows_of_checkpoints_without_a_lease_end_now(store: DictStore):
    own = leases(store)
    own.acquire(15.0)
    (window,) = own.windows(None, START, own=False)
    assert window.start == START
    assert datetime.now(UTC) - window.end < timedelta(seconds=5)
