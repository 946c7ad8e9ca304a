"""The base class of the sensors: templates, the default of ``deferrable``, and the check before a deferral."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.polling import blocking
from airflow_provider_twilio.sensors.calls import CallCompletionSensor
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor
from tests.sensors.conftest import TaskInstance

SENSORS = [(MessageDeliverySensor, "message_sid", "SM" + "0" * 32), (CallCompletionSensor, "call_sid", "CA" + "0" * 32)]


def run_once(sensor: Any, context: Any) -> Any:
    return sensor.execute(context)


@pytest.mark.parametrize(("sensor_type", "name", "sid"), SENSORS)
def test_wait_sensors_render_templates(sensor_type, name, sid):
    sensor = sensor_type(
        task_id="wait", **{name: "{{ sid }}", "twilio_conn_id": "{{ conn }}", "account_sid": "{{ account }}"}
    )
    sensor.render_template_fields({"sid": sid, "conn": "other", "account": "AC" + "0" * 32})
    assert (getattr(sensor, name), sensor.twilio_conn_id, sensor.account_sid) == (sid, "other", "AC" + "0" * 32)


@pytest.mark.parametrize(("sensor_type", "name", "sid"), SENSORS)
def test_wait_sensors_literal_sid_of_other_type_raises_at_parse_time(sensor_type, name, sid):
    with pytest.raises(BadParameter, match=f"{name} is a SID of the wrong type"):
        sensor_type(task_id="wait", **{name: "RE" + "0" * 32})
    with pytest.raises(BadParameter, match="account_sid"):
        sensor_type(task_id="wait", **{name: sid, "account_sid": sid})


@pytest.mark.parametrize(("sensor_type", "name", "sid"), SENSORS)
def test_wait_sensors_partial_checks_its_literals(sensor_type, name, sid):
    with pytest.raises(BadParameter, match=f"{name} is not a SID"):
        sensor_type.partial(task_id="wait", **{name: "bad"})
    with pytest.raises(BadParameter, match="account_sid"):
        sensor_type.partial(task_id="wait", account_sid=sid)
    sensor_type.partial(task_id="wait", **{name: "{{ sid }}"}).expand(account_sid=[None])
    sensor_type.partial(task_id="wait").expand(**{name: [sid, "bad"]})  # only known when the task runs


def test_call_sensor_accept_of_unknown_status_raises(emulator: Emulator):
    with pytest.raises(BadParameter, match="accept"):
        CallCompletionSensor.partial(task_id="wait", accept=["bust"])
    sensor = CallCompletionSensor(task_id="wait", call_sid="CA" + "0" * 32)
    sensor.accept = ["bust"]  # as at run time, where a mapped value is not checked on construction
    with pytest.raises(AirflowFailException, match="accept"):
        run_once(sensor, {})


@pytest.mark.parametrize("default", [True, False])
def test_wait_sensors_deferrable_defaults_to_airflow_setting(default: bool):
    code = (
        "from airflow_provider_twilio.sensors.messages import MessageDeliverySensor as S;"
        "a, b = S(task_id='a', message_sid='SM'+32*'0'), S(task_id='b', message_sid='SM'+32*'0', deferrable=False);"
        "print(a.deferrable, b.deferrable)"
    )
    env = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(default)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [str(default), "False"]


def test_message_sensor_deferrable_checks_once_before_deferral(emulator: Emulator):
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
    # The trigger polls once more at its deadline; Airflow gives up later, if no triggerer runs it.
    assert caught.value.timeout is not None
    assert 155 < caught.value.timeout.total_seconds() <= 160


def test_message_sensor_context_without_task_instance_succeeds(emulator: Emulator):
    sid = str(TwilioHook().messages.create(to="+14155550100", from_=emulator.phone_number, body="x").sid)
    emulator.clock.advance(10)
    assert run_once(MessageDeliverySensor(task_id="wait", message_sid=sid), {})["status"] == "delivered"


@pytest.mark.parametrize(("sensor_type", "name", "sid"), SENSORS)
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("rendered", [None, "None"])  # from an XCom, and from a template
def test_wait_sensors_dry_run_without_sid_succeed_at_once(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sensor_type, name, sid, deferrable, rendered
):
    def wait() -> Any:
        sensor = sensor_type(task_id="wait", deferrable=deferrable, **{name: "{{ sid }}"})
        setattr(sensor, name, rendered)
        return run_once(sensor, {})

    with pytest.raises(AirflowFailException, match=name):
        wait()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    assert wait() == {"sid": None, "status": "dry-run"}
    assert emulator.journal.count() == 0


@contextmanager
def signal_handler(sensor: Any) -> Iterator[None]:
    """Handle a signal as Airflow handles SIGTERM."""
    before = signal.signal(signal.SIGALRM, lambda *_: sensor.on_kill())
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize("option", [None, "soft_fail", "never_fail", "silent_fail"])
@pytest.mark.parametrize(("sensor_type", "name", "sid"), SENSORS)
def test_wait_sensors_on_kill_during_poke_fails_the_task(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sensor_type, name, sid, option, mode
):
    """A worker that shuts down must not skip the downstream tasks."""
    checks: list[str] = []

    def check_once(spec: Any, *_: Any) -> None:
        checks.append(spec.sid)
        signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(blocking, "check_once", check_once)
    options: dict[str, Any] = {option: True} if option else {}
    sensor = sensor_type(task_id="wait", mode=mode, poke_interval=0.05, timeout=0.2, **{name: sid}, **options)
    with signal_handler(sensor), pytest.raises(AirflowException, match=f"Stopped waiting for {sid}") as caught:
        run_once(sensor, {"ti": TaskInstance()})
    assert type(caught.value) is AirflowException
    assert checks == [sid]
    sensor.on_kill()  # outside of the wait it does nothing
