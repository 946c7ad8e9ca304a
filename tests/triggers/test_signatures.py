"""Conventions of the triggers: every documented parameter stands in the signature, with a type and a default."""

from __future__ import annotations

import inspect
import re

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_twilio.triggers.approvals import ApprovalTrigger
from airflow_provider_twilio.triggers.calls import CallCompletionTrigger
from airflow_provider_twilio.triggers.inbound import InboundMessageTrigger
from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger, MessageDeliveryTrigger

TRIGGERS = [ApprovalTrigger, BulkDeliveryTrigger, CallCompletionTrigger, InboundMessageTrigger, MessageDeliveryTrigger]


@pytest.mark.parametrize("trigger_type", TRIGGERS)
def test_trigger_signature_has_exactly_the_documented_parameters(trigger_type: type[BaseTrigger]):
    parameters = list(inspect.signature(vars(trigger_type)["__init__"]).parameters.values())[1:]
    documented = re.findall(r":param (\w+):", trigger_type.__doc__ or "")
    assert {parameter.name for parameter in parameters} == set(documented)
    for parameter in parameters:
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        assert parameter.annotation not in (parameter.empty, "Any")


@pytest.mark.parametrize("trigger_type", TRIGGERS)
def test_trigger_docstring_has_example_and_link(trigger_type: type[BaseTrigger]):
    docstring = trigger_type.__doc__ or ""
    assert ".. code-block:: python" in docstring
    assert "https://www.twilio.com/docs/" in docstring
