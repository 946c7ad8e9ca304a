from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

import pytest

from airflow_provider_twilio.emulator.record_store import RecordStore


@dataclass(eq=False)
class Thing:
    sid: str
    seq: int
    created: float
    sort_key: float
    to: str
    sender: str | None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pending", ["first", "last", "date_created"])
def test_the_index_finds_what_a_walk_finds(seed: int, pending: str) -> None:
    dice = random.Random(seed)
    shelf: RecordStore[Thing] = RecordStore(("to", "sender"))
    shortcuts = 0
    for seq in range(600):
        created = float(seq // 3)
        thing = Thing(f"SM{seq}", seq, created, created + dice.choice([0, 5, 400]), dice.choice("abcdefghij"), None)
        thing.sender = dice.choice(["x", "y", None])
        shelf.add(thing)
        if dice.random() < 0.3:
            one = dice.choice(list(shelf))
            if dice.random() < 0.5:
                shelf.remove(one)
            else:
                shelf.move(one, created + dice.random() * 9)
        if seq % 20:
            continue
        wanted = {"to": dice.choice("abcz"), "sender": dice.choice(["x", None])}

        def keep(each: Thing, wanted: dict[str, str | None] = wanted) -> bool:
            return (each.to, each.sender) == (wanted["to"], wanted["sender"])

        size = dice.choice([1, 10, 50])
        part = shelf.lookup(size, **wanted)
        shortcuts += part is not shelf
        walked = list(islice(shelf.iter_newest(created, pending, None, keep), size))
        assert list(islice(part.iter_newest(created, pending, None, keep), size)) == walked
    assert shortcuts > 5
    assert len(shelf.lookup(10, to="z")) == 0
    for thing in list(shelf):
        shelf.remove(thing)
    assert not any(held for held in shelf._index.values())
