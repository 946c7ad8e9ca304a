"""What the sensors share: templates, the default of deferrable, and one look on the worker before a deferral."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.sensors.calls import CallCompletionSensor
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor
from tests.sensors.conftest import TaskInstance

SENSORS = [(MessageDeliverySensor, "message_sid", "SM" + "0" * 32), (CallCompletionSensor, "call_sid", "CA" + "0" * 32)]


def run_once(sensor: Any, context: Any) -> Any:
    return sensor.execute(context)


@pytest.mark.parametrize(("kind", "name", "sid"), SENSORS)
def test_templates(kind, name, sid):
    sensor = kind(task_id="wait", **{name: "{{ sid }}", "twilio_conn_id": "{{ conn }}", "account_sid": "{{ account }}"})
    sensor.render_template_fields({"sid": sid, "conn": "other", "account": "AC" + "0" * 32})
    assert (getattr(sensor, name), sensor.twilio_conn_id, sensor.account_sid) == (sid, "other", "AC" + "0" * 32)


@pytest.mark.parametrize(("kind", "name", "sid"), SENSORS)
def test_a_literal_sid_of_the_wrong_kind_is_refused_in_the_dag_file(kind, name, sid):
    with pytest.raises(BadParameter, match=f"{name} is a SID of the wrong type"):
        kind(task_id="wait", **{name: "RE" + "0" * 32})
    with pytest.raises(BadParameter, match="account_sid"):
        kind(task_id="wait", **{name: sid, "account_sid": sid})


@pytest.mark.parametrize("default", [True, False])
def test_the_default_of_deferrable_is_configured(default: bool):
    code = (
        "from airflow_provider_twilio.sensors.messages import MessageDeliverySensor as S;"
        "a, b = S(task_id='a', message_sid='SM'+32*'0'), S(task_id='b', message_sid='SM'+32*'0', deferrable=False);"
        "print(a.deferrable, b.deferrable)"
    )
    env = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(default)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [str(default), "False"]


def test_one_look_and_one_fetch_of_the_connection_before_a_deferral(emulator: Emulator):
    sid = str(TwilioHook().messages.create(to="+15005559016", from_=emulator.phone_number, body="x").sid)
    emulator.journal.clear()
    sensor = MessageDeliverySensor(
        task_id="wait", message_sid=sid, deferrable=True, poke_interval=7, timeout=100, accept_sent=True
    )
    with pytest.raises(TaskDeferred) as caught:
        run_once(sensor, {"ti": TaskInstance()})
    assert emulator.journal.count() == 1
    path, arguments = caught.value.trigger.serialize()
    assert path == "airflow_provider_twilio.triggers.messages.MessageDeliveryTrigger"
    assert arguments["message_sid"] == sid
    assert arguments["poll_interval"] == 7
    assert arguments["accept_sent"] is True
    assert arguments["deadline"] == pytest.approx(arguments["created"] + 100)
    assert caught.value.timeout is None  # the deadline is the trigger's, which takes a last look there


def test_a_context_without_a_task_instance_will_do(emulator: Emulator):
    sid = str(TwilioHook().messages.create(to="+14155550100", from_=emulator.phone_number, body="x").sid)
    emulator.clock.advance(10)
    assert run_once(MessageDeliverySensor(task_id="wait", message_sid=sid), {})["status"] == "delivered"


@pytest.mark.parametrize(("kind", "name", "sid"), SENSORS)
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("nothing", [None, "None"])  # an XCom, and what a template makes of it
def test_what_a_dry_run_did_not_send_is_not_waited_for(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, kind, name, sid, deferrable, nothing
):
    def wait() -> Any:
        sensor = kind(task_id="wait", deferrable=deferrable, **{name: "{{ sid }}"})
        setattr(sensor, name, nothing)
        return run_once(sensor, {})

    with pytest.raises(AirflowFailException, match=name):
        wait()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    assert wait() == {"sid": None, "status": "dry-run"}
    assert emulator.journal.count() == 0
