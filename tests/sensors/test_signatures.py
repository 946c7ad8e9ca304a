"""Conventions of the sensors: every documented parameter stands in the signature, with a type."""

from __future__ import annotations

import inspect
import re

import pytest
from airflow.sdk import BaseSensorOperator

from airflow_provider_twilio.sensors.accounts import BalanceSensor
from airflow_provider_twilio.sensors.calls import CallCompletionSensor
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

SENSORS = [BalanceSensor, CallCompletionSensor, MessageDeliverySensor]
AIRFLOW_PARAMETERS = {"poke_interval", "timeout", "mode", "soft_fail", "never_fail"}
"""Parameters that the docstrings of the sensors call Airflow's own."""


@pytest.mark.parametrize("sensor_type", SENSORS)
def test_sensor_signature_has_exactly_the_documented_parameters(sensor_type: type[BaseSensorOperator]):
    parameters = list(inspect.signature(vars(sensor_type)["__init__"]).parameters.values())[1:]
    *own, further = parameters
    assert further.annotation == "Unpack[SensorParameters]"
    assert {parameter.name for parameter in own} == set(re.findall(r":param (\w+):", sensor_type.__doc__ or ""))
    for parameter in own:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.annotation not in (parameter.empty, "Any")


@pytest.mark.parametrize("sensor_type", SENSORS)
def test_sensor_docstring_names_only_parameters_that_airflow_has(sensor_type: type[BaseSensorOperator]):
    docstring = sensor_type.__doc__ or ""
    assert all(f"``{name}" in docstring for name in AIRFLOW_PARAMETERS)
    assert inspect.signature(BaseSensorOperator).parameters.keys() >= AIRFLOW_PARAMETERS


@pytest.mark.parametrize("sensor_type", SENSORS)
def test_sensor_docstring_has_example_and_link(sensor_type: type[BaseSensorOperator]):
    docstring = sensor_type.__doc__ or ""
    assert ".. code-block:: python" in docstring
    assert "https://www.twilio.com/docs/" in docstring
