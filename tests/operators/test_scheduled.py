"""Tests of CancelScheduledMessagesOperator, which calls scheduled messages back."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import STATE_UNKNOWN, AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.messages import CancelScheduledMessagesOperator
from airflow_provider_twilio.triggers import _stopping
from tests.operators.test_bulk import context, numbers, send


def create_service(emulator: Emulator) -> str:
    """Create a messaging service with a sender of its own, and return its SID."""
    hook, services = TwilioHook(), "https://messaging.twilio.com/v1/Services"
    service: str = hook.request("POST", services, {"FriendlyName": "s"})["sid"]
    number = emulator.state.add_number(emulator.state.main, f"+1415555{len(emulator.numbers):04}")
    hook.request("POST", f"{services}/{service}/PhoneNumbers", {"PhoneNumberSid": number.sid})
    return service


def scheduled(service: str) -> dict[str, Any]:
    """Return the arguments of messages that a messaging service sends in two hours."""
    send_at = datetime.now(UTC) + timedelta(hours=2)
    return {"from_": None, "messaging_service_sid": service, "schedule_type": "fixed", "send_at": send_at}


def add_checkpoint(path: Path, outcomes: list[Any] | None) -> None:
    """Add a second checkpoint to the only send below a path."""
    [first] = path.rglob("twilio_bulk.0.0.json")
    state = {**json.loads(first.read_text()), "outcomes": outcomes}
    first.with_name("twilio_bulk.0.1.json").write_text(json.dumps(state))


def statuses(emulator: Emulator) -> Counter[str]:
    return Counter(str(message["status"]) for message in emulator.messages)


def test_cancel_scheduled_messages_by_service_cancels_only_its_own(emulator: Emulator, run):
    first, second = create_service(emulator), create_service(emulator)
    for service in (first, second):
        send(run, recipients=numbers(30), **scheduled(service))
    send(run, recipients=numbers(5))
    summary = run(CancelScheduledMessagesOperator, messaging_service_sid=first)
    assert (summary["found"], summary["canceled"], summary["applied"]) == (30, 0, False)
    assert "canceled" not in statuses(emulator)
    summary = run(CancelScheduledMessagesOperator, messaging_service_sid=first, apply=True)
    assert summary == {"found": 30, "canceled": 30, "not_scheduled": 0, "failed": 0, "applied": True}
    canceled = [message for message in emulator.messages if message["status"] == "canceled"]
    assert {message["messaging_service_sid"] for message in canceled} == {first}
    assert run(CancelScheduledMessagesOperator, messaging_service_sid=first, apply=True)["found"] == 0


def test_cancel_scheduled_messages_by_recipients_and_time(emulator: Emulator, run):
    service = create_service(emulator)
    send(run, recipients=numbers(10), **scheduled(service))
    emulator.clock.advance(minutes=30)
    half_hour_later = datetime.fromtimestamp(emulator.clock.now(), UTC) - timedelta(minutes=1)
    send(run, recipients=numbers(10), **scheduled(service))
    arguments: dict[str, Any] = {"recipients": ", ".join(numbers(4)), "created_before": half_hour_later.isoformat()}
    assert run(CancelScheduledMessagesOperator, **arguments, apply=True)["canceled"] == 4
    arguments = {"recipients": numbers(4), "created_after": half_hour_later.isoformat()}
    assert run(CancelScheduledMessagesOperator, **arguments, apply=True)["canceled"] == 4
    assert statuses(emulator) == {"canceled": 8, "scheduled": 12}


@pytest.mark.parametrize("finished", [True, False])
def test_cancel_scheduled_messages_by_checkpoints(emulator: Emulator, run, tmp_path: Path, finished: bool):
    service = create_service(emulator)
    send(run, recipients=numbers(3), **scheduled(service))
    if not finished:
        emulator.fail_next(1, status=401, method="POST", skip=10)
    arguments: dict[str, Any] = {"recipients": numbers(20), "checkpoint_path": str(tmp_path), "concurrency": 1}
    try:
        send(run, **arguments, **scheduled(service))
    except AirflowFailException:
        assert not finished
    summary = run(CancelScheduledMessagesOperator, checkpoint_path=str(tmp_path), apply=True)
    assert summary["canceled"] == (20 if finished else 10)
    assert statuses(emulator)["scheduled"] == 3


@pytest.mark.parametrize("apply", [True, False])
@pytest.mark.parametrize(("outcomes", "count"), [(None, 1000), (["?", None, ["unknown", 0]], 2)])
def test_cancel_scheduled_messages_with_unknown_sids_cancels_the_others_and_fails(
    emulator: Emulator, run, tmp_path: Path, outcomes: Any, count: int, apply: bool
):
    """A killed send has an open checkpoint, or interrupted requests."""
    service = create_service(emulator)
    send(run, recipients=numbers(5), checkpoint_path=str(tmp_path), **scheduled(service))
    add_checkpoint(tmp_path, outcomes)
    with pytest.raises(AirflowFailException, match=f"Up to {count} more messages may be scheduled") as error:
        run(CancelScheduledMessagesOperator, checkpoint_path=str(tmp_path), apply=apply)
    assert "by messaging_service_sid" in str(error.value)
    assert "Or retry the send" in str(error.value)
    assert statuses(emulator) == {"canceled" if apply else "scheduled": 5}


def test_cancel_scheduled_messages_in_dry_run_cancels_nothing(emulator: Emulator, run, monkeypatch):
    service = create_service(emulator)
    send(run, recipients=numbers(3), **scheduled(service))
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    summary = run(CancelScheduledMessagesOperator, messaging_service_sid=service, apply=True)
    assert (summary["found"], summary["canceled"], summary["applied"]) == (3, 0, False)
    assert statuses(emulator) == {"scheduled": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "messaging_service_sid is missing, as is every other filter"),
        ({"messaging_service_sid": "SM" + "0" * 32}, "messaging_service_sid"),
        ({"recipients": []}, "recipients is empty"),
        ({"recipients": " "}, "recipients is empty"),
        ({"checkpoint_path": ""}, "checkpoint_path is empty"),
        ({"created_after": "yesterday"}, "created_after is not an ISO 8601 time"),
        ({"created_after": "2026-01-31T08:00:00"}, "created_after"),
    ],
)
def test_cancel_scheduled_messages_checks_literals(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        CancelScheduledMessagesOperator(task_id="task", **arguments, apply=True)


@pytest.mark.parametrize("arguments", [{"recipients": "{{ '' }}"}, {"messaging_service_sid": "{{ None or '' }}"}])
def test_cancel_scheduled_messages_rejects_filters_rendered_empty(emulator: Emulator, run, arguments: dict[str, Any]):
    with pytest.raises(AirflowFailException, match="is empty"):
        run(CancelScheduledMessagesOperator, **arguments, apply=True)


def test_cancel_scheduled_messages_rejects_invalid_recipients(emulator: Emulator, run):
    with pytest.raises(AirflowFailException, match="recipients has an entry that is not a phone number"):
        run(CancelScheduledMessagesOperator, recipients=["+14155550001", "12"], apply=True)


def test_cancel_scheduled_messages_without_checkpoints_fails(emulator: Emulator, run, tmp_path: Path):
    with pytest.raises(AirflowFailException, match="checkpoint_path has no checkpoints"):
        run(CancelScheduledMessagesOperator, checkpoint_path=str(tmp_path), apply=True)


@pytest.mark.parametrize("state", ["failed", "deferred", "success", STATE_UNKNOWN])
async def test_bulk_delivery_trigger_killed_cancels_scheduled_messages(
    emulator: Emulator, run, tmp_path: Path, monkeypatch, caplog, state: str
):
    import asyncio

    def defer() -> Any:
        arguments = {"recipients": numbers(20), "checkpoint_path": str(tmp_path), **scheduled(create_service(emulator))}
        with pytest.raises(TaskDeferred) as deferred:
            send(run, context(), **arguments, wait_for_delivery=True, deferrable=True)
        return deferred.value.trigger

    trigger = await asyncio.to_thread(defer)
    trigger.task_instance = None
    monkeypatch.setattr(_stopping, "get_task_state", lambda ti: state)
    await trigger.on_kill()
    assert statuses(emulator) == {"canceled" if state == "failed" else "scheduled": 20}
    assert "more messages may be scheduled" not in caplog.text
    add_checkpoint(tmp_path, ["?"])
    await trigger.on_kill()
    assert ("Up to 1 more messages may be scheduled" in caplog.text) is (state == "failed")
