"""What triggers have stored is understood by every release up to the next major one: add to this, change nothing."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_twilio.get_provider_info import get_provider_info

PACKAGE = "airflow_provider_twilio.triggers"
CONNECTION = '"twilio_conn_id": "twilio_default", "account_sid": null, "poll_interval": 30.0'
# As an Airflow's database has them: by class path, the arguments of a release, each beside those of the next ones.
STORED = [
    (
        f"{PACKAGE}.messages.MessageDeliveryTrigger",
        f"""{{"message_sid": "SM00000000000000000000000000000000", {CONNECTION}, "deadline": 2e9, "not_before": null,
        "created": 1e9, "accept_sent": false, "sent_grace": 600, "resendable_codes": [30003], "cancel_on_kill": true}}""",
    ),
    (
        f"{PACKAGE}.messages.MessagesDeliveryTrigger",
        f"""{{"key": "twilio_bulk.0", "checkpoint_path": null, "xcoms": 2, "of_task": ["dag", "run", "send", -1], "messages": 25,
        {CONNECTION}, "deadline": 2e9, "begun": 1e9, "accept_sent": false, "sent_grace": null}}""",
    ),
    (
        f"{PACKAGE}.calls.CallCompletionTrigger",
        f"""{{"call_sid": "CA00000000000000000000000000000000", {CONNECTION}, "deadline": 2e9, "created": 1e9,
        "accept": ["busy"], "answered_by": ["human"], "hang_up_on_kill": true}}""",
    ),
    (
        f"{PACKAGE}.approvals.AnswerTrigger",
        f"""{{"message_sid": "SM00000000000000000000000000000000", "to": "+14155550100", "created": 1e9,
        "deadline": 2e9, "from_": null, "code": "4821", {CONNECTION}}}""",
    ),
    (
        f"{PACKAGE}.inbound.InboundMessageTrigger",
        f"""{{"to": "+15005550006", "from_": null, "pattern": "^yes", "include": ["body"], {CONNECTION},
        "lookback": 3600.0, "overlap": 300.0}}""",
    ),
]


def make(path: str, arguments: dict[str, Any]) -> BaseTrigger:
    """Make a trigger as Airflow does."""
    module, _, name = path.rpartition(".")
    made: BaseTrigger = getattr(importlib.import_module(module), name)(**arguments)
    return made


@pytest.mark.parametrize(("path", "arguments"), STORED)
def test_it_makes_the_same_trigger(path: str, arguments: str):
    stored = json.loads(arguments)
    again, kept = make(path, stored).serialize()
    assert again == path
    assert stored.items() <= kept.items()


def test_none_is_missing():
    there = set()
    for entry in get_provider_info()["triggers"]:
        for name in entry["python-modules"]:
            for kind in vars(importlib.import_module(name)).values():
                if inspect.isclass(kind) and issubclass(kind, BaseTrigger) and not inspect.isabstract(kind):
                    there.add(f"{kind.__module__}.{kind.__qualname__}")
    assert there == {path for path, _ in STORED}
