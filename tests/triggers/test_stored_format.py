"""Stored formats: what a release has written to Airflow's database, every later release must read.

The class paths, the names of the arguments, and the keys of the cursor below may never change again. When a trigger
gets another argument, add a row for it, and leave the rows above it as they are.
"""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_twilio.get_provider_info import get_provider_info
from airflow_provider_twilio.triggers import inbound
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger

PACKAGE = "airflow_provider_twilio.triggers"
# Class path and serialized arguments, as Airflow's database has them. The last row of a class has all its arguments.
STORED_TRIGGERS: list[tuple[str, str]] = [
    (
        f"{PACKAGE}.messages.MessageDeliveryTrigger",
        """{"message_sid": "SM00000000000000000000000000000000", "twilio_conn_id": "twilio_default",
        "account_sid": null, "poll_interval": 30.0, "deadline": 2e9, "not_before": null, "created": 1e9,
        "accept_sent": false, "sent_grace": 600, "resendable_codes": [30003], "cancel_on_kill": true,
        "on_clear": "skip"}""",
    ),
    (
        f"{PACKAGE}.messages.BulkDeliveryTrigger",
        """{"key": "twilio_bulk.0", "checkpoint_path": null, "xcom_count": 2, "dag_id": "dag", "run_id": "run",
        "task_id": "send", "map_index": -1, "message_count": 25, "twilio_conn_id": "twilio_default",
        "account_sid": null, "poll_interval": 30.0, "deadline": 2e9, "created": 1e9, "accept_sent": false,
        "sent_grace": null}""",
    ),
    (
        f"{PACKAGE}.messages.BulkDeliveryTrigger",
        """{"key": "twilio_bulk.0", "checkpoint_path": null, "xcom_count": 2, "dag_id": "dag", "run_id": "run",
        "task_id": "send", "map_index": -1, "message_count": 25, "twilio_conn_id": "twilio_default",
        "account_sid": null, "poll_interval": 30.0, "deadline": 2e9, "created": 1e9, "accept_sent": false,
        "sent_grace": null, "cancel_on_kill": true}""",
    ),
    (
        f"{PACKAGE}.calls.CallCompletionTrigger",
        """{"call_sid": "CA00000000000000000000000000000000", "twilio_conn_id": "twilio_default",
        "account_sid": null, "poll_interval": 30.0, "deadline": 2e9, "created": 1e9, "accept": ["busy"],
        "answered_by": ["human"], "hang_up_on_kill": true, "on_clear": "resend"}""",
    ),
    (
        f"{PACKAGE}.approvals.ApprovalTrigger",
        """{"message_sid": "SM00000000000000000000000000000000", "to": "+14155550100", "created": 1e9,
        "deadline": 2e9, "from_": null, "code": "4821", "poll_interval": 30.0, "twilio_conn_id": "twilio_default",
        "account_sid": null}""",
    ),
    (
        f"{PACKAGE}.inbound.InboundMessageTrigger",
        """{"to": "+15005550006", "from_": null, "pattern": "^yes", "include": ["body"], "poll_interval": 30.0,
        "lookback": 3600.0, "overlap": 300.0, "twilio_conn_id": "twilio_default", "account_sid": null}""",
    ),
]
# An entry of an asset's state store. The key is a hash of the connection, the account and the filters.
STORED_CURSOR_KEY = "twilio_inbound.330d309f7f533986"
STORED_CURSOR = """{"after": 1750000000, "seen": {"SM00000000000000000000000000000000": 1750000060.0}}"""


def make_trigger(path: str, arguments: dict[str, Any]) -> BaseTrigger:
    """Construct a trigger as Airflow does."""
    module, _, name = path.rpartition(".")
    trigger: BaseTrigger = getattr(importlib.import_module(module), name)(**arguments)
    return trigger


@pytest.mark.parametrize(("path", "arguments"), STORED_TRIGGERS)
def test_stored_triggers_are_constructed_unchanged(path: str, arguments: str):
    stored = json.loads(arguments)
    new_path, serialized = make_trigger(path, stored).serialize()
    assert new_path == path
    assert stored.items() <= serialized.items()


@pytest.mark.parametrize(("path", "arguments"), dict(STORED_TRIGGERS).items())
def test_stored_triggers_last_row_has_all_arguments(path: str, arguments: str):
    stored = json.loads(arguments)
    assert make_trigger(path, stored).serialize() == (path, stored)


def test_stored_triggers_cover_every_trigger():
    paths = set()
    for entry in get_provider_info()["triggers"]:
        for name in entry["python-modules"]:
            for member in vars(importlib.import_module(name)).values():
                is_trigger = inspect.isclass(member) and issubclass(member, BaseTrigger)
                if is_trigger and member.__module__ == name and not inspect.isabstract(member):
                    paths.add(f"{member.__module__}.{member.__qualname__}")
    assert paths == {path for path, _ in STORED_TRIGGERS}


async def test_stored_cursor_is_read_and_written_unchanged():
    class Store:
        values = {STORED_CURSOR_KEY: STORED_CURSOR}

        async def get(self, key: str) -> Any:
            return json.loads(self.values[key])

        async def set(self, key: str, value: Any) -> None:
            self.values[key] = json.dumps(value)

    trigger = InboundMessageTrigger(to="+15005550006", pattern="^yes", poll_interval=10, include=["body"])
    store: Any = Store()
    cursor = inbound._CursorStore(trigger.arguments, [store])
    await cursor.load()
    assert cursor.cursor.after == 1_750_000_000
    assert cursor.cursor.seen == {"SM" + "0" * 32: 1_750_000_060.0}
    assert store.values.keys() == {STORED_CURSOR_KEY}
    assert json.loads(store.values[STORED_CURSOR_KEY]) == json.loads(STORED_CURSOR)
