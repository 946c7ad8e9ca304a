"""Conventions of all operators: signatures, templates, documentation."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
from airflow.serialization import serialized_objects

from airflow_provider_twilio import operators
from airflow_provider_twilio._airflow.parameters import OperatorParameters, SensorParameters
from airflow_provider_twilio.api.accounts import Accounts, Balances
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.operation import Definition, Resource
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.operators import (
    accounts,
    approvals,
    calls,
    inbound,
    messages,
    phone_numbers,
    twilio,
    usage,
)
from airflow_provider_twilio.operators._base.composite import CompositeOperator
from airflow_provider_twilio.operators._base.operation import TwilioOperator

PACKAGE = "airflow_provider_twilio.operators"
# A module without an underscore is what a DAG author imports.
MODULES = [
    importlib.import_module(f"{PACKAGE}.{file.stem}")
    for file in sorted(Path(operators.__file__).parent.glob("*.py"))
    if not file.stem.startswith("_")
]
OPERATORS = [
    kind
    for module in MODULES
    for name, kind in sorted(vars(module).items())
    if name.endswith("Operator") and not name.startswith("_") and kind.__module__ == module.__name__
]
# Modules that name all operators of a family, those of other modules included.
FAMILIES = {
    kind: module.__name__
    for module in (accounts, approvals, calls, inbound, messages, phone_numbers, twilio, usage)
    for kind in OPERATORS
    if kind in vars(module).values()
}
SINGLE = [kind for kind in OPERATORS if hasattr(kind, "operation")]  # those that run one operation

# Every operation of these resources has an operator; what has none goes by TwilioRequestOperator.
COVERED: tuple[type[Resource[Any]], ...] = (
    Messages,
    Calls,
    IncomingPhoneNumbers,
    AvailablePhoneNumbers,
    Accounts,
    Balances,
)

# Parameters without effect at Twilio: the hook has them, operators don't.
OMITTED = {"max_price", "force_delivery"}

# Where an operator's default is not its operation's, and why.
OTHER_DEFAULTS = {
    "ReleaseNumberOperator": {"phone_number_sid": None},  # or the number itself
}

# What is templated of those that run no one operation, beside their `_extra_template_fields`.
BY_HAND = {"TwilioRequestOperator": {"method", "path", "data", "json"}}

SID = "a" * 32
# The least that each takes, as templates, so that nothing is checked before it runs.
LEAST: dict[str, dict[str, Any]] = {
    "SendMessageOperator": {"to": "{{ to }}", "body": "{{ body }}"},
    "SendMessagesOperator": {"recipients": "{{ path }}", "body": "{{ body }}"},
    "FetchMessageOperator": {"message_sid": "{{ sid }}"},
    "UpdateMessageOperator": {"message_sid": "{{ sid }}", "body": ""},
    "DeleteMessageOperator": {"message_sid": "{{ sid }}"},
    "CreateCallOperator": {"to": "{{ to }}", "say": "{{ body }}"},
    "FetchCallOperator": {"call_sid": "{{ sid }}"},
    "UpdateCallOperator": {"call_sid": "{{ sid }}", "status": "completed"},
    "DeleteCallOperator": {"call_sid": "{{ sid }}"},
    "SearchNumbersOperator": {"country": "US"},
    "PurchaseNumberOperator": {"area_code": "{{ area }}"},
    "FetchNumberOperator": {"phone_number_sid": "{{ sid }}"},
    "UpdateNumberOperator": {"phone_number_sid": "{{ sid }}", "sms_url": ""},
    "ReleaseNumberOperator": {"phone_number": "{{ number }}"},
    "UpdateAccountOperator": {"target_account_sid": "{{ sid }}", "friendly_name": "{{ name }}"},
    "ApproveBySmsOperator": {"to": "{{ to }}", "question": "{{ question }}"},
    "EnsureNumberOperator": {"friendly_name": "{{ name }}", "country": "US"},
    "UpdateNumbersOperator": {"phone_numbers": "{{ numbers }}", "sms_url": "{{ url }}"},
    "FindIdleNumbersOperator": {"days": "{{ days }}"},
    "ReleaseNumbersOperator": {"phone_numbers": ["{{ number }}"], "apply": "{{ params.apply }}"},
    "SuspendAccountOperator": {"target_account_sid": "{{ sid }}", "friendly_name": "{{ name }}"},
    "ActivateAccountOperator": {"target_account_sid": "{{ sid }}", "friendly_name": "{{ name }}"},
    "CloseAccountOperator": {"target_account_sid": "{{ sid }}", "friendly_name": "{{ name }}"},
    "UsageReportOperator": {"start": "{{ ds }}", "end": "{{ ds }}", "path": "/tmp/{{ ds }}.csv"},
    **{
        f"{what}Operator": {"days": "{{ days }}", "apply": "{{ apply }}"}
        for what in ("RedactOldMessages", "DeleteOldMessages", "DeleteOldCalls", "DeleteOldRecordings")
    },
    "TwilioRequestOperator": {"method": "GET", "path": "{{ path }}", "data": {"Name": "{{ name }}"}},
}


def own_parameters(kind: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(kind.__init__).parameters)
    return {name: one for name, one in parameters.items() if name not in ("self", "kwargs")}


def operations(resource: type[Resource[Any]]) -> list[Definition]:
    found = [getattr(value, "definition", None) for value in vars(resource).values()]
    return [definition for definition in found if isinstance(definition, Definition)]


def test_operators_are_found():
    assert len(OPERATORS) >= 34
    assert {"SendMessageOperator", "TwilioRequestOperator"} <= {kind.__name__ for kind in OPERATORS}
    assert {kind.__name__ for kind in OPERATORS if kind not in FAMILIES} == set()


@pytest.mark.parametrize(
    "operation", [operation for resource in COVERED for operation in operations(resource)], ids=str
)
def test_operation_has_an_operator(operation: Definition):
    assert [kind.__name__ for kind in SINGLE if kind.operation is operation]


@pytest.mark.parametrize("kind", SINGLE)
def test_operator_parameters_are_those_of_the_operation(kind: type[TwilioOperator]):
    wanted = {name: one.default for name, one in kind.operation.parameters.items() if name not in OMITTED}
    wanted |= OTHER_DEFAULTS.get(kind.__name__, {})
    given = own_parameters(kind)
    assert {name: given[name].default for name in wanted} == wanted
    further = given.keys() - wanted.keys() - set(kind._extra_template_fields)
    assert all(given[name].default is not inspect.Parameter.empty for name in further)


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_signature_has_every_parameter(kind: type[TwilioOperator]):
    """No parameter hides in ``**kwargs``, which takes those of BaseOperator only."""
    assert {one.kind for one in own_parameters(kind).values()} <= {inspect.Parameter.KEYWORD_ONLY}
    assert {*kind._options, "twilio_conn_id", "account_sid"} <= set(own_parameters(kind))
    assert kind.__init__.__annotations__["kwargs"] == "Unpack[OperatorParameters]"


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_parameters_of_twilio_are_templated(kind: type[TwilioOperator]):
    if issubclass(kind, CompositeOperator):
        of_twilio = set(own_parameters(kind)) - set(kind._options)
    elif hasattr(kind, "operation"):
        of_twilio = set(kind.operation.parameters) - OMITTED
    else:
        of_twilio = BY_HAND.get(kind.__name__, set())
    assert isinstance(kind.template_fields, tuple)
    assert set(kind.template_fields) == {*of_twilio, *kind._extra_template_fields, "twilio_conn_id", "account_sid"}
    assert set(kind.template_fields_renderers) <= set(kind.template_fields)


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_parameters_do_not_clash_with_airflow(kind: type[TwilioOperator]):
    taken = {name for name in own_parameters(kind) if hasattr(BaseOperator(task_id="task"), name)}
    assert taken == set()


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_helpers_are_private(kind: type[TwilioOperator]):
    of_airflow = {"execute", "execute_complete", "on_kill", "post_execute", "partial", "hook", "output", "operation"}
    public = {
        name
        for base in kind.__mro__
        if base.__module__.startswith(PACKAGE)
        for name, value in vars(base).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property | classmethod | cached_property))
    }
    assert public <= of_airflow


@pytest.mark.parametrize("kind", [TwilioOperator, *OPERATORS])
def test_operator_docstring_describes_every_parameter(kind: type[TwilioOperator]):
    text = inspect.getdoc(kind) or ""
    first = text.split("\n")[0]
    word = first.split()[0].rstrip(",")
    assert first.endswith(".")
    assert word[0].isupper()
    assert not word.endswith("s")  # "Send a message", not "Sends"
    said = dict(re.findall(r":param (\w+): (.+?)(?=\n:|\n\n|\Z)", text, re.DOTALL))
    assert set(said) == set(own_parameters(kind))
    templated = {name for name, words in said.items() if words.endswith("(templated)")}
    assert templated == set(said) & {*kind.template_fields, "twilio_conn_id", "account_sid"}
    assert kind is TwilioOperator or re.search(r"\n\nhttps://www\.twilio\.com/docs/\S+$", text)


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_color_tells_its_family(kind: type[TwilioOperator]):
    colors = {other.ui_color: FAMILIES[other] for other in OPERATORS}
    assert colors[kind.ui_color] == FAMILIES[kind]


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("name", ["doc", "doc_md", "doc_json", "doc_yaml", "doc_rst"])
def test_operator_leaves_the_users_documentation_alone(kind: type[TwilioOperator], name: str):
    task = kind(task_id="task", **LEAST.get(kind.__name__, {}), **{name: "Mine"})
    fields = ("doc", "doc_md", "doc_json", "doc_yaml", "doc_rst")
    assert {field: getattr(task, field) for field in fields} == {**dict.fromkeys(fields), name: "Mine"}


def test_operator_parameters_type_names_those_of_base_operator():
    taken = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    assert taken <= set(OperatorParameters.__annotations__)
    sensor = set(inspect.signature(BaseSensorOperator.__init__).parameters) - {"self", "kwargs"}
    assert sensor | set(OperatorParameters.__annotations__) == set(SensorParameters.__annotations__)


@pytest.mark.parametrize("kind", OPERATORS)
def test_operator_survives_serialization(kind: type[TwilioOperator]):
    both: Any = serialized_objects
    serialization = getattr(both, "DagSerialization", None) or both.SerializedDAG  # the latter in Airflow 3.1
    with DAG("dag", schedule=None) as dag:
        kind(task_id="task", twilio_conn_id="other", **LEAST.get(kind.__name__, {}))
    text = json.dumps(serialization.to_dict(dag))
    task = serialization.from_dict(json.loads(text)).get_task("task")
    assert task.task_type == kind.__name__
    assert set(task.template_fields) == set(kind.template_fields)
    assert task.ui_color == kind.ui_color
    assert task.twilio_conn_id == "other"
    for name, value in LEAST.get(kind.__name__, {}).items():
        assert getattr(task, name) == value
