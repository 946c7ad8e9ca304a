"""Sending and waiting in one task: both ways of waiting come to the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_twilio._airflow import AirflowFailException, TaskDeferred
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from tests.support.scripted import Answer, Scripted

TO, FROM = "+14155550123", "+15005550006"


async def first_event(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


def waited(deferrable: bool, **arguments: Any) -> Any:
    """Run a task to its end, over its deferral, and give what it returns."""

    def task() -> SendMessageOperator:
        return SendMessageOperator(
            task_id="task", wait_for_delivery=True, deferrable=deferrable, poll_interval=0.05, **arguments
        )

    context: Any = {}
    if not deferrable:
        return task().execute(context)
    with pytest.raises(TaskDeferred) as caught:
        task().execute(context)
    deferred = caught.value
    assert "the text" not in json.dumps([deferred.trigger.serialize(), deferred.kwargs])
    event = asyncio.run(first_event(deferred.trigger))
    return task().resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)


@pytest.mark.parametrize("include_body", [True, False])
def test_what_goes_to_xcom_is_the_same_deferred(emulator: Emulator, include_body: bool):
    arguments: dict[str, Any] = {"to": TO, "from_": FROM, "body": "the text", "include_body": include_body}
    here, deferred = waited(False, **arguments), waited(True, **arguments)
    assert here.keys() == deferred.keys()
    assert here.get("body") == deferred.get("body") == ("the text" if include_body else None)
    assert [record["status"] for record in (here, deferred)] == ["delivered"] * 2


def test_a_deferred_body_that_is_gone_fails_the_task_for_good(emulator: Emulator):
    task = SendMessageOperator(task_id="task", to=TO, from_=FROM, body="x", include_body=True, wait_for_delivery=True)
    event = {"outcome": "reached", "sid": "SM" + "0" * 32, "status": "delivered"}
    with pytest.raises(AirflowFailException, match="20404"):
        task.execute_complete({}, event, {"sid": event["sid"]})  # type: ignore[arg-type,typeddict-item,unused-ignore]


def test_an_answer_that_makes_no_sense_is_waited_on(monkeypatch: pytest.MonkeyPatch):
    """It is sent by then: no retry would find another answer."""
    odd = {"sid": "SM" + "0" * 32, "status": "sent", "date_updated": "soon"}
    with Scripted(Answer(201, odd), Answer(200, odd), Answer(200, {**odd, "status": "delivered"})) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        told = waited(False, to=TO, from_=FROM, body="x", sent_grace=1)
    assert told["status"] == "delivered"
