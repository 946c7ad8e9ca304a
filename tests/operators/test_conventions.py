"""Conventions of all operators: signatures, templates and documentation."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier, BaseOperator, BaseSensorOperator
from airflow.serialization import serialized_objects

from airflow_provider_twilio import operators
from airflow_provider_twilio._airflow.parameters import NotifierParameters, OperatorParameters, SensorParameters
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
# DAG authors import the modules whose names have no leading underscore.
MODULES = [
    importlib.import_module(f"{PACKAGE}.{file.stem}")
    for file in sorted(Path(operators.__file__).parent.glob("*.py"))
    if not file.stem.startswith("_")
]
OPERATORS = [
    operator
    for module in MODULES
    for name, operator in sorted(vars(module).items())
    if name.endswith("Operator") and not name.startswith("_") and operator.__module__ == module.__name__
]
# Modules that export all operators of a family, including those of other modules.
FAMILIES = {
    operator: module.__name__
    for module in (accounts, approvals, calls, inbound, messages, phone_numbers, twilio, usage)
    for operator in OPERATORS
    if operator in vars(module).values()
}
SINGLE = [operator for operator in OPERATORS if hasattr(operator, "operation")]  # operators that run one operation

# Resources with an operator for each operation. TwilioRequestOperator covers other operations.
COVERED: tuple[type[Resource[Any]], ...] = (
    Messages,
    Calls,
    IncomingPhoneNumbers,
    AvailablePhoneNumbers,
    Accounts,
    Balances,
)

# Parameters without effect at Twilio. The hook has them, the operators do not.
OMITTED = {"max_price", "force_delivery"}

# Defaults of operators that differ from those of their operations, with the reason.
OTHER_DEFAULTS = {
    "ReleaseNumberOperator": {"phone_number_sid": None},  # the number is an alternative
}

# Template fields of operators without a single operation, in addition to their `_extra_template_fields`.
TEMPLATE_FIELDS = {"TwilioRequestOperator": {"method", "path", "data", "json"}}

# The required parameters of each operator, as templates, so that they are only checked at run time.
REQUIRED: dict[str, dict[str, Any]] = {
    "SendMessageOperator": {"to": "{{ to }}", "body": "{{ body }}"},
    "SendMessagesOperator": {"recipients": "{{ path }}", "body": "{{ body }}"},
    "FetchMessageOperator": {"message_sid": "{{ sid }}"},
    "UpdateMessageOperator": {"message_sid": "{{ sid }}", "body": ""},
    "DeleteMessageOperator": {"message_sid": "{{ sid }}"},
    "CancelScheduledMessagesOperator": {"messaging_service_sid": "{{ sid }}"},
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
        f"{action}Operator": {"days": "{{ days }}", "apply": "{{ apply }}"}
        for action in ("RedactOldMessages", "DeleteOldMessages", "DeleteOldCalls", "DeleteOldRecordings")
    },
    "TwilioRequestOperator": {"method": "GET", "path": "{{ path }}", "data": {"Name": "{{ name }}"}},
}


def own_parameters(operator: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(operator.__init__).parameters)
    return {name: parameter for name, parameter in parameters.items() if name not in ("self", "kwargs")}


def operations(resource: type[Resource[Any]]) -> list[Definition]:
    found = [getattr(value, "definition", None) for value in vars(resource).values()]
    return [definition for definition in found if isinstance(definition, Definition)]


def test_operators_are_found_in_public_modules():
    assert len(OPERATORS) >= 34
    assert {"SendMessageOperator", "TwilioRequestOperator"} <= {operator.__name__ for operator in OPERATORS}
    assert {operator.__name__ for operator in OPERATORS if operator not in FAMILIES} == set()


@pytest.mark.parametrize(
    "operation", [operation for resource in COVERED for operation in operations(resource)], ids=str
)
def test_operation_has_operator(operation: Definition):
    assert [operator.__name__ for operator in SINGLE if operator.operation is operation]


@pytest.mark.parametrize("operator", SINGLE)
def test_operator_parameters_are_those_of_the_operation(operator: type[TwilioOperator]):
    expected = {
        name: parameter.default for name, parameter in operator.operation.parameters.items() if name not in OMITTED
    }
    expected |= OTHER_DEFAULTS.get(operator.__name__, {})
    parameters = own_parameters(operator)
    assert {name: parameters[name].default for name in expected} == expected
    additional = parameters.keys() - expected.keys() - set(operator._extra_template_fields)
    assert all(parameters[name].default is not inspect.Parameter.empty for name in additional)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_signature_has_every_parameter(operator: type[TwilioOperator]):
    """``**kwargs`` only contains parameters of BaseOperator."""
    assert {parameter.kind for parameter in own_parameters(operator).values()} <= {inspect.Parameter.KEYWORD_ONLY}
    assert {*operator._options, "twilio_conn_id", "account_sid"} <= set(own_parameters(operator))
    assert operator.__init__.__annotations__["kwargs"] == "Unpack[OperatorParameters]"


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_templates_every_parameter_of_twilio(operator: type[TwilioOperator]):
    if issubclass(operator, CompositeOperator):
        expected = set(own_parameters(operator)) - set(operator._options)
    elif hasattr(operator, "operation"):
        expected = set(operator.operation.parameters) - OMITTED
    else:
        expected = TEMPLATE_FIELDS.get(operator.__name__, set())
    assert isinstance(operator.template_fields, tuple)
    assert set(operator.template_fields) == {
        *expected,
        *operator._extra_template_fields,
        "twilio_conn_id",
        "account_sid",
    }
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_parameters_do_not_clash_with_airflow(operator: type[TwilioOperator]):
    clashes = {name for name in own_parameters(operator) if hasattr(BaseOperator(task_id="task"), name)}
    assert clashes == set()


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_helpers_are_private(operator: type[TwilioOperator]):
    names_of_airflow = {
        "execute",
        "execute_complete",
        "on_kill",
        "post_execute",
        "partial",
        "hook",
        "output",
        "operation",
    }
    public = {
        name
        for base in operator.__mro__
        if base.__module__.startswith(PACKAGE)
        for name, value in vars(base).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property | classmethod | cached_property))
    }
    assert public <= names_of_airflow


@pytest.mark.parametrize("operator", [TwilioOperator, *OPERATORS])
def test_operator_docstring_describes_every_parameter(operator: type[TwilioOperator]):
    text = inspect.getdoc(operator) or ""
    summary = text.split("\n")[0]
    verb = summary.split()[0].rstrip(",")
    assert summary.endswith(".")
    assert verb[0].isupper()
    assert not verb.endswith("s")  # "Send a message", not "Sends"
    descriptions = dict(re.findall(r":param (\w+): (.+?)(?=\n:|\n\n|\Z)", text, re.DOTALL))
    assert set(descriptions) == set(own_parameters(operator))
    templated = {name for name, description in descriptions.items() if description.endswith("(templated)")}
    assert templated == set(descriptions) & {*operator.template_fields, "twilio_conn_id", "account_sid"}
    assert operator is TwilioOperator or re.search(r"\n\nhttps://www\.twilio\.com/docs/\S+$", text)
    for description in descriptions.values():
        assert description[0].isupper() or description.startswith("`")
        assert re.search(r"\.( \(templated\))?$", " ".join(description.split()))


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_docstring_has_valid_example(operator: type[TwilioOperator]):
    """The example is a call of the operator, with parameters that exist, before the parameters' descriptions."""
    text = inspect.getdoc(operator) or ""
    prose, _, _ = text.partition("\n:param ")
    (example,) = re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", prose + "\n", re.MULTILINE)
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.cleandoc(example)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == operator.__name__
    ]
    assert calls
    known = {*own_parameters(operator), *OperatorParameters.__annotations__}
    assert {keyword.arg for call in calls for keyword in call.keywords} <= known


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_docstring_names_xcom(operator: type[TwilioOperator]):
    prose, _, _ = (inspect.getdoc(operator) or "").partition("\n:param ")
    assert "XCom" in prose


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_has_color_of_its_family(operator: type[TwilioOperator]):
    colors = {other.ui_color: FAMILIES[other] for other in OPERATORS}
    assert colors[operator.ui_color] == FAMILIES[operator]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", ["doc", "doc_md", "doc_json", "doc_yaml", "doc_rst"])
def test_operator_keeps_documentation_of_user(operator: type[TwilioOperator], name: str):
    documentation: dict[str, Any] = {name: "Mine"}
    task = operator(task_id="task", **REQUIRED.get(operator.__name__, {}), **documentation)
    fields = ("doc", "doc_md", "doc_json", "doc_yaml", "doc_rst")
    assert {field: getattr(task, field) for field in fields} == {**dict.fromkeys(fields), name: "Mine"}


def test_parameter_types_cover_base_classes_of_airflow():
    accepted = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    assert accepted <= set(OperatorParameters.__annotations__)
    sensor = set(inspect.signature(BaseSensorOperator.__init__).parameters) - {"self", "kwargs"}
    assert sensor | set(OperatorParameters.__annotations__) == set(SensorParameters.__annotations__)
    assert set(inspect.signature(BaseNotifier).parameters) == set(NotifierParameters.__annotations__)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_survives_serialization(operator: type[TwilioOperator]):
    module: Any = serialized_objects
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG  # the latter in Airflow 3.1
    with DAG("dag", schedule=None) as dag:
        operator(task_id="task", twilio_conn_id="other", **REQUIRED.get(operator.__name__, {}))
    text = json.dumps(serialization.to_dict(dag))
    task = serialization.from_dict(json.loads(text)).get_task("task")
    assert task.task_type == operator.__name__
    assert set(task.template_fields) == set(operator.template_fields)
    assert task.ui_color == operator.ui_color
    assert task.twilio_conn_id == "other"
    for name, value in REQUIRED.get(operator.__name__, {}).items():
        assert getattr(task, name) == value
