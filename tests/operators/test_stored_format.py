"""The formats that operators store between tries and between runs.

These keys and values may never change again: a later version of this package must be able to resume a task that an
earlier version started. Add new formats next to these, and keep reading these.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Variable

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators._bulk_folder import FolderMarker
from airflow_provider_twilio.operators._bulk_run import BulkRun
from airflow_provider_twilio.operators.inbound import ReadInboundMessagesOperator
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, SendMessagesOperator
from airflow_provider_twilio.operators.number_housekeeping import ReleasePlan
from airflow_provider_twilio.runtime.state_store import FolderStore, TaskStateStore
from tests.runtime.test_state_store import Store

OWNED, PHONE = "+15005550006", "+14155550123"

# Under the key "twilio_bulk". The keys of its checkpoints begin with "twilio_bulk.", the generation and a period.
STORED_BULK_RUN = """{"generation": 1, "max_tries": 2, "started_at": 1000000000.0, "sent_at": 1000000060.0,
    "sent": {"rows": 3, "sent": 3, "skipped": 0, "failed": {}, "later": 0, "duplicates": 0, "segments": 3,
             "seconds": 0.5, "rate": 6.0, "ended": "2026-01-31T08:00:31+00:00"},
    "summary": null}"""
# Under the key "twilio_release" the number of chunks, and under the others SID, number and name of each number.
STORED_RELEASE_PLAN = """{"twilio_release": 2,
    "twilio_release.0": [["PN00000000000000000000000000000000", "+14155550100", "alerts"]],
    "twilio_release.1": [["PN11111111111111111111111111111111", "+14155550101", null]]}"""
# Under the key "twilio_retention": the operator's days, start, end, include_unsent and its own parameters.
STORED_RETENTION = """{"selection": "[30, None, None, True, {}]", "records": 3}"""
# In the Variable "twilio_inbound.<dag_id>.<task_id>".
STORED_INBOUND = """{"after": 1750000000.0,
    "runs": {"scheduled__1": {"SM00000000000000000000000000000000": 1750000060.0}}}"""


def bulk_run(summary: str) -> BulkRun:
    store = Store()
    store.set("twilio_bulk", json.loads(STORED_BULK_RUN.replace("null", summary)))
    return BulkRun.load_or_start(TaskStateStore(store), 2, resend_on_clear=True, before_start=lambda: None)


def test_stored_bulk_run_is_read():
    run = bulk_run("null")
    assert (run.key, run.started_at, run.sent_at) == ("twilio_bulk.1", 1e9, 1e9 + 60)
    assert (run.sent["sent"], run.summary) == (3, None)
    assert bulk_run('{"rows": 3}').summary == {"rows": 3}


def test_stored_bulk_run_that_failed_is_repaired():
    run = bulk_run('{"rows": 3}, "failed": true')
    assert (run.has_succeeded, bulk_run('{"rows": 3}').has_succeeded) == (False, True)
    run.repair(3, {})
    assert run.store.get("twilio_bulk") == {
        **json.loads(STORED_BULK_RUN), "max_tries": 3, "sent": None, "sent_at": None,
    }  # fmt: skip


def test_stored_bulk_marker_is_read(tmp_path: Any):
    store = Store()
    store.set("twilio_bulk.folder", {"path": "/earlier", "max_tries": 2, "succeeded": False})
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1, max_tries=2)
    marker = FolderMarker({"ti": ti, "task_state_store": store}, FolderStore(tmp_path))
    with pytest.raises(BadParameter, match="stored its checkpoints in /earlier"):
        marker.check(resend_on_clear=True, start_over=True)
    marker.write(succeeded=True)
    assert store.values["twilio_bulk.folder"] == {"path": str(tmp_path), "max_tries": 2, "succeeded": True}


def test_stored_bulk_run_is_written(emulator: Emulator, run: Any):
    store = Store()
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1, max_tries=2)
    context = {"ti": ti, "task_state_store": store}
    summary = run(SendMessagesOperator, context, recipients=[PHONE], from_=OWNED, body="hello")
    expected = json.loads(STORED_BULK_RUN)
    assert list(store.values) == ["twilio_bulk"]
    stored = store.values["twilio_bulk"]
    assert list(stored) == list(expected)
    assert list(stored["sent"]) == list(expected["sent"])
    assert {name: type(value) for name, value in stored.items()} == {
        "generation": int, "max_tries": int, "started_at": float, "sent_at": float, "sent": dict, "summary": dict,
    }  # fmt: skip
    assert (stored["generation"], stored["max_tries"], stored["summary"]) == (0, 2, summary)


def test_stored_release_plan_is_read_and_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_provider_twilio.operators.number_housekeeping.CHUNK_SIZE", 1)
    store, other_store = Store(), Store()
    store.values = json.loads(STORED_RELEASE_PLAN)
    planned = ReleasePlan({"task_state_store": store}).read()
    assert planned["+14155550100"] == planned["PN" + "0" * 32]
    assert planned["PN" + "1" * 32] == {
        "sid": "PN" + "1" * 32, "phone_number": "+14155550101", "friendly_name": None,
    }  # fmt: skip
    ReleasePlan({"task_state_store": other_store}).write({row["sid"]: row for row in planned.values()})
    assert other_store.values == store.values


def test_stored_retention_is_read_and_written(emulator: Emulator, run: Any):
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    TwilioHook().messages.create(to=PHONE, from_=OWNED, body="old")
    emulator.clock.reset()
    store = Store()
    store.set("twilio_retention", json.loads(STORED_RETENTION))
    summary = run(DeleteOldMessagesOperator, {"task_state_store": store, "run_id": "run"}, days=30, apply=True)
    assert (summary["records"], summary["deleted"]) == (3, 3)  # an earlier try deleted two
    assert store.values == {"twilio_retention": json.loads(STORED_RETENTION)}


def test_stored_inbound_reads_are_read_and_written(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    values = {"twilio_inbound.dag.read": json.loads(STORED_INBOUND)}
    monkeypatch.setattr(Variable, "get", lambda key, **_: values[key])
    monkeypatch.setattr(Variable, "set", lambda key, value, **_: values.update({key: value}))
    received = emulator.receive_message("hello", from_=PHONE, to=OWNED)
    ti = SimpleNamespace(dag_id="dag", task_id="read", run_id="scheduled__2", map_index=-1)
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(run_after=None)}
    (message,) = ReadInboundMessagesOperator(task_id="read", lookback=0).execute(context)
    assert message.sid == received
    stored = json.loads(json.dumps(values["twilio_inbound.dag.read"]))
    assert list(stored) == ["after", "runs"]
    assert stored["runs"]["scheduled__1"] == json.loads(STORED_INBOUND)["runs"]["scheduled__1"]
    assert list(stored["runs"]["scheduled__2"]) == [received]
    assert stored["after"] > 1750000000
