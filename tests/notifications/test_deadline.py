"""The notifier as a deadline's callback: passed as JSON, constructed and awaited by the triggerer."""

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


def run_callback(**kwargs_override: Any) -> list[str]:
    """Run the callback in a trigger and return the states that the trigger reports."""
    kwargs = json.loads(json.dumps(KWARGS | kwargs_override))
    path = callback(TwilioNotifier, kwargs=kwargs).path
    class_path, arguments = CallbackTrigger(path, kwargs | {"context": deadline_context()}).serialize()
    assert class_path.endswith(CallbackTrigger.__name__)

    async def run() -> list[str]:
        return [event.payload["state"].value async for event in CallbackTrigger(**arguments).run()]

    return asyncio.run(run())


def test_notifier_in_deadline_callback_sends_message(emulator: Emulator):
    assert run_callback() == ["running", "success"]
    assert [message["to"] for message in emulator.messages] == [TO]
    assert emulator.messages[0]["body"].startswith("Airflow: orders missed its deadline")


@pytest.mark.parametrize(("on_error", "state"), [("raise", "failed"), ("log", "success")])
def test_notifier_in_deadline_callback_runs_fallback_before_raising(
    emulator: Emulator, logged: Logged, on_error: str, state: str
):
    emulator.fail_next(20, status=503, method="POST", path="/Messages.json")
    assert run_callback(on_error=on_error) == ["running", state]
    assert [call["to"] for call in emulator.calls] == [ALSO]
    assert "Notification failed (connection twilio_default): +1415•••0101" in logged()


@pytest.mark.parametrize(
    "kwargs",
    [
        KWARGS,
        {"to": TO, "dedupe_window": timedelta(minutes=5), "quiet_hours": ("22:00", "07:00", "UTC")},
        {"to": TO, "fallback": (PATH, {"to": ALSO})},
    ],
)
def test_notifier_in_deadline_alert_survives_dag_serialization(kwargs: dict[str, Any]):
    module: Any = serialized_objects
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG  # the latter in Airflow 3.1
    alert = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=callback(TwilioNotifier, kwargs=kwargs),
    )
    dag = DAG("orders", schedule=None, deadline=alert)
    assert serialization.from_dict(json.loads(json.dumps(serialization.to_dict(dag)))).dag_id == "orders"
