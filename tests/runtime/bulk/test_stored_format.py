"""The stored format of checkpoints.

These keys and values may never change again: a later version of this package must be able to resume a bulk send that an
earlier version started. Add new formats next to this one, and keep reading this one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.bulk import checkpoints
from airflow_provider_twilio.runtime.bulk.checkpoints import (
    delete_checkpoints,
    digest,
    run_resumable,
    stored_outcomes,
)
from airflow_provider_twilio.runtime.bulk.items import Outcome, WorkItem
from airflow_provider_twilio.runtime.bulk.leases import Lease
from airflow_provider_twilio.runtime.bulk.stored import Checkpoint, decode_outcome, encode_outcome
from tests.runtime.bulk.conftest import DictStore

SID = "SM" + "1" * 32
DELETION = WorkItem(Messages.delete(SID))
SEND = WorkItem(Messages.create(to="+14155550100", from_="+15005550006", body="hello"))


STORED: list[tuple[Outcome, Any]] = [
    (Outcome(SEND, "done", Record({"sid": SID})), SID),
    (Outcome(DELETION, "done", None), True),
    (Outcome(SEND, "later", error=TwilioError("rejected", code=21611)), "later"),
    (Outcome(SEND, "failed", error=TwilioError("rejected", code=21211)), ["failed", 21211]),
    (Outcome(SEND, "failed", error=TwilioError("no code")), ["failed", 0]),
    (Outcome(SEND, "skipped", error=TwilioError("rejected", code=21610)), ["skipped", 21610]),
    (Outcome(SEND, "unknown", error=TwilioError("lost")), ["unknown", 0]),
]


@pytest.mark.parametrize(("outcome", "stored"), STORED)
def test_encode_outcome_writes_the_stored_format(outcome: Outcome, stored: Any):
    assert encode_outcome(outcome) == stored
    assert json.loads(json.dumps(stored)) == stored


@pytest.mark.parametrize(
    ("stored", "decoded"),
    [
        (SID, ("done", 0, SID)),
        (True, ("done", 0, None)),
        ("later", ("later", 0, None)),
        (["failed", 21211], ("failed", 21211, None)),
        (["skipped", 21610], ("skipped", 21610, None)),
        (["unknown", 0], ("unknown", 0, None)),
        ("?", ("unknown", 0, None)),
    ],
)
def test_decode_outcome_reads_the_stored_format(stored: Any, decoded: Any):
    assert decode_outcome(stored) == decoded


def test_checkpoint_as_json_has_the_stored_keys():
    started_at = datetime(2026, 1, 31, 8, 0, 31, 250000, UTC)
    checkpoint = Checkpoint(0, "d" * 32, started_at, [None], [SEND])
    stored = {"digest": "d" * 32, "started_at": "2026-01-31T08:00:31.250000+00:00"}
    assert checkpoint.as_json(None) == {**stored, "outcomes": None}
    assert checkpoint.as_json([SID]) == {**stored, "outcomes": [SID]}


def test_checkpoint_as_json_has_optional_keys_where_they_apply():
    started_at = datetime(2026, 1, 31, 8, 0, 31, 250000, UTC)
    checkpoint = Checkpoint(0, "d" * 32, started_at, [None], [SEND], 2, [SID])
    stored = {"digest": "d" * 32, "started_at": "2026-01-31T08:00:31.250000+00:00", "outcomes": None}
    assert checkpoint.as_json(None) == {**stored, "lease": 2, "replaced": [SID]}


def test_lease_has_the_stored_format():
    lease = Lease(datetime(2026, 1, 31, 8, 0, tzinfo=UTC), datetime(2026, 1, 31, 8, 1, tzinfo=UTC), -16.5)
    stored = {"started_at": "2026-01-31T08:00:00+00:00", "until": "2026-01-31T08:01:00+00:00", "clock_offset": -16.5}
    assert lease.as_json() == stored
    assert Lease.from_json(stored) == lease
    assert Lease.from_json({**stored, "clock_offset": None}).clock_offset is None


async def test_digest_of_known_requests_is_unchanged():
    assert await digest([SEND, DELETION]) == "5eb95a766e3485c16e82541e01449845"


async def test_run_resumable_writes_the_stored_keys(emulator: Emulator, open_client, store: DictStore, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SIZE", 2)
    opened: list[Any] = []

    def items(valid: int = 3) -> list[WorkItem]:
        numbers = ["+15005559201", *(f"+1415555{index:04}" for index in range(valid))]
        return [WorkItem(Messages.create(to=to, from_=emulator.phone_number, body="hello")) for to in numbers]

    async with open_client() as client:
        await run_resumable(client, items(), lambda _: opened.append(store.get("key.0")), store=store, key="key")
    assert sorted(store.values) == ["key.0", "key.1", "key.owner"]
    assert isinstance(store.get("key.owner"), str)
    assert set(opened[0]) == {"digest", "started_at", "outcomes"}
    assert opened[0]["outcomes"] is None
    sids = [message["sid"] for message in sorted(emulator.messages, key=lambda message: str(message["to"]))]
    assert [store.get(f"key.{index}")["outcomes"] for index in range(2)] == [[["failed", 21211], sids[0]], sids[1:]]
    assert store.get("key.0")["digest"] == await digest(items()[:2])
    assert datetime.fromisoformat(store.get("key.0")["started_at"]).tzinfo is not None
    delete_checkpoints(store, "key", 4)
    assert not store.values


async def test_run_resumable_stores_null_for_items_not_sent(emulator: Emulator, open_client, store: DictStore):
    emulator.fail_next(1, status=401, skip=1)
    items = [
        WorkItem(Messages.create(to=f"+1415555{index:04}", from_=emulator.phone_number, body="hello"))
        for index in range(3)
    ]
    async with open_client() as client:
        with pytest.raises(AuthenticationFailed):
            await run_resumable(client, items, store=store, key="key", concurrency=1)
    assert store.get("key.0")["outcomes"] == [emulator.messages[0]["sid"], None, None]


async def test_run_resumable_resumes_the_stored_format(emulator: Emulator, open_client, store: DictStore):
    items = [WorkItem(Messages.delete(f"SM{index:032}")) for index in range(7)]
    outcomes = [None, "?", "later", True, SID, ["failed", 20003], ["skipped", 21610]]
    state = {"digest": await digest(items), "started_at": "2026-01-31T08:00:31+00:00", "outcomes": outcomes}
    store.set("key.owner", "0123456789abcdef")
    store.set("key.0", state)
    async with open_client() as client:
        tally = await run_resumable(client, items, store=store, key="key")
    requested = {entry.path.rpartition("/")[2].removesuffix(".json") for entry in emulator.journal}
    assert requested == {item.request.path.rpartition("/")[2].removesuffix(".json") for item in items[:3]}
    assert (tally.done, tally.failed, tally.skipped) == (5, {20003: 1}, {21610: 1})
    assert list(stored_outcomes(store, "key")) == [[True, True, True, *outcomes[3:]]]
