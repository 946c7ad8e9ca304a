"""A deadline's callback: it travels as JSON, and the triggerer makes the notifier of it and awaits it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions import deadline
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.serialization import serialized_objects

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.notifications.twilio import TwilioNotifier
from tests.notifications.conftest import Logged, deadline_context

try:
    from airflow.triggers.callback import CallbackTrigger
except ImportError:  # before Airflow 3.2
    from airflow.triggers.deadline import (  # type: ignore[no-redef,import-not-found,unused-ignore]
        DeadlineCallbackTrigger as CallbackTrigger,
    )

TO, ALSO = "+14155550101", "+14155550102"
PATH = "airflow_provider_twilio.notifications.twilio.TwilioNotifier"
callback: Any = deadline.AsyncCallback  # type: ignore[attr-defined]
KWARGS: dict[str, Any] = {
    "to": [TO],
    "max_per_hour": 2,
    "dedupe_window": 0.001,
    "only_last_try": True,
    "quiet_hours": ["03:00", "03:01", "Pacific/Kiritimati"],
    "fallback": [PATH, {"to": ALSO, "call": True}],
}


def await_it(**instead: Any) -> list[str]:
    """Let a trigger run the callback, and give the states that it reports."""
    kwargs = json.loads(json.dumps(KWARGS | instead))
    path = callback(TwilioNotifier, kwargs=kwargs).path
    kind, given = CallbackTrigger(path, kwargs | {"context": deadline_context()}).serialize()
    assert kind.endswith(CallbackTrigger.__name__)

    async def run() -> list[str]:
        return [event.payload["state"].value async for event in CallbackTrigger(**given).run()]

    return asyncio.run(run())


def test_it_is_told(emulator: Emulator):
    assert await_it() == ["running", "success"]
    assert [message["to"] for message in emulator.messages] == [TO]
    assert emulator.messages[0]["body"].startswith("Airflow: orders missed its deadline")


@pytest.mark.parametrize(("on_error", "state"), [("raise", "failed"), ("log", "success")])
def test_an_error_is_raised_or_logged_after_the_fallback(emulator: Emulator, logged: Logged, on_error: str, state: str):
    emulator.fail_next(20, status=503, method="POST", path="/Messages.json")
    assert await_it(on_error=on_error) == ["running", state]
    assert [call["to"] for call in emulator.calls] == [ALSO]
    assert "Not told, by the connection twilio_default: +1415•••0101" in logged()


@pytest.mark.parametrize(
    "kwargs",
    [
        KWARGS,
        {"to": TO, "dedupe_window": timedelta(minutes=5), "quiet_hours": ("22:00", "07:00", "UTC")},
        {"to": TO, "fallback": (PATH, {"to": ALSO})},
    ],
)
def test_a_dag_with_it_can_be_serialised(kwargs: dict[str, Any]):
    both: Any = serialized_objects
    serialization = getattr(both, "DagSerialization", None) or both.SerializedDAG  # the latter in Airflow 3.1
    alert = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=callback(TwilioNotifier, kwargs=kwargs),
    )
    dag = DAG("orders", schedule=None, deadline=alert)
    assert serialization.from_dict(json.loads(json.dumps(serialization.to_dict(dag)))).dag_id == "orders"
