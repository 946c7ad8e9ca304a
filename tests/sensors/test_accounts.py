"""The sensor for an account's balance, against the emulator."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.polling import shared
from airflow_provider_twilio.sensors.accounts import BalanceSensor
from tests.sensors.conftest import TaskInstance


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_balance_sensor_sufficient_balance_succeeds(emulator: Emulator, mode: Literal["poke", "reschedule"]):
    sensor = BalanceSensor(task_id="wait", minimum="100", mode=mode)
    context: Any = {"ti": TaskInstance()}
    assert sensor.execute(context)["balance"] == "100.00"


def test_balance_sensor_low_balance_and_server_errors_continue(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    sensor = BalanceSensor(task_id="wait", minimum=100.01)
    assert sensor.poke({}) is False
    emulator.fail_next(1, status=503)
    assert BalanceSensor(task_id="wait", minimum=1).poke({}) is False


def test_balance_sensor_rejected_credentials_fail_after_some_minutes(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    sensor = BalanceSensor(task_id="wait", minimum=1)
    emulator.fail_next(2, status=401)
    assert sensor.poke({}) is False
    result: Any = sensor.poke({})
    assert result.is_done
    emulator.fail_next(2, status=401)
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.0)
    with pytest.raises(AirflowFailException, match="AuthenticationFailed"):
        sensor.poke({})


def test_balance_sensor_subaccount_fails_naming_its_parent(emulator: Emulator):
    sid = TwilioHook().accounts.create(friendly_name="shop").sid
    sensor = BalanceSensor(task_id="wait", minimum=1, account_sid=sid)
    with pytest.raises(Exception, match=f"subaccount {sid}.*its parent, {emulator.account_sid}"):
        sensor.poke({})


def test_balance_sensor_bad_minimum_raises(emulator: Emulator):
    for minimum in ("", "lots", True):
        with pytest.raises(BadParameter, match="minimum is"):
            BalanceSensor(task_id="wait", minimum=minimum)
        with pytest.raises(BadParameter, match="minimum is"):
            BalanceSensor.partial(task_id="wait", minimum=minimum)
    with pytest.raises(BadParameter, match="account_sid"):
        BalanceSensor.partial(task_id="wait", account_sid="SM" + "0" * 32)
    BalanceSensor.partial(task_id="wait").expand(minimum=[1, 2])
    assert BalanceSensor.template_fields == ("minimum", "twilio_conn_id", "account_sid")
