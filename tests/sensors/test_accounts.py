"""Wait for money, against the emulator."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.sensors.accounts import BalanceSensor
from tests.sensors.conftest import TaskInstance


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_enough_is_success(emulator: Emulator, mode: str):
    sensor = BalanceSensor(task_id="wait", minimum="100", mode=mode)
    context: Any = {"ti": TaskInstance()}
    assert sensor.execute(context)["balance"] == "100.00"


def test_too_little_is_waited_out_and_so_are_failures(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sensor = BalanceSensor(task_id="wait", minimum=100.01)
    assert sensor.poke({}) is False
    emulator.fail_next(1, status=503)
    assert BalanceSensor(task_id="wait", minimum=1).poke({}) is False


def test_a_subaccount_is_refused_naming_its_parent(emulator: Emulator):
    sid = TwilioHook().accounts.create(friendly_name="shop").sid
    sensor = BalanceSensor(task_id="wait", minimum=1, account_sid=sid)
    with pytest.raises(Exception, match=f"subaccount {sid}.*its parent, {emulator.account_sid}"):
        sensor.poke({})


def test_bad_input_is_refused(emulator: Emulator):
    for minimum in ("", "lots", True):
        with pytest.raises(BadParameter, match="minimum is"):
            BalanceSensor(task_id="wait", minimum=minimum)
    assert BalanceSensor.template_fields == ("minimum", "twilio_conn_id", "account_sid")
