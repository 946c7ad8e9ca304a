from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

import pytest

from airflow_provider_twilio.emulator.record_store import RecordStore


@dataclass(eq=False)
class Record:
    sid: str
    seq: int
    created: float
    sort_key: float
    to: str
    sender: str | None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pending", ["first", "last", "date_created"])
def test_lookup_finds_same_records_as_full_scan(seed: int, pending: str) -> None:
    rng = random.Random(seed)
    store: RecordStore[Record] = RecordStore(("to", "sender"))
    partial_lookups = 0
    for seq in range(600):
        created = float(seq // 3)
        record = Record(f"SM{seq}", seq, created, created + rng.choice([0, 5, 400]), rng.choice("abcdefghij"), None)
        record.sender = rng.choice(["x", "y", None])
        store.add(record)
        if rng.random() < 0.3:
            other = rng.choice(list(store))
            if rng.random() < 0.5:
                store.remove(other)
            else:
                store.move(other, created + rng.random() * 9)
        if seq % 20:
            continue
        wanted = {"to": rng.choice("abcz"), "sender": rng.choice(["x", None])}

        def keep(each: Record, wanted: dict[str, str | None] = wanted) -> bool:
            return (each.to, each.sender) == (wanted["to"], wanted["sender"])

        size = rng.choice([1, 10, 50])
        part = store.lookup(size, **wanted)
        partial_lookups += part is not store
        scanned = list(islice(store.iter_newest(created, pending, None, keep), size))
        assert list(islice(part.iter_newest(created, pending, None, keep), size)) == scanned
    assert partial_lookups > 5
    assert len(store.lookup(10, to="z")) == 0
    for record in list(store):
        store.remove(record)
    assert not any(by_value for by_value in store._index.values())
