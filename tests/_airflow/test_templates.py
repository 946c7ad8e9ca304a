"""Tests of template fields in a DAG that renders native objects. Text must reach Twilio as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_twilio._airflow.templates import parse_rendered
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.notifications.alert import Alert
from airflow_provider_twilio.notifications.rendering import render_fields
from airflow_provider_twilio.notifications.twilio import TwilioNotifier
from airflow_provider_twilio.operators.bulk import SendMessagesOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.operators.retention import DeleteOldMessagesOperator
from airflow_provider_twilio.operators.twilio import TwilioRequestOperator
from airflow_provider_twilio.sensors.accounts import BalanceSensor
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor

TO, FROM, TEMPLATE = "+14155550101", "+15005550006", "HX" + "a" * 32
TEXTS = ["0", "00", "007", "+1", "1234#", "1.50", "1_000", "0x10", "1, 2", "(415)", "'x'", "True", "{'a': 1}", "5\n"]
"""Texts that Python would evaluate to another value."""


def render(operator: type[Any], context: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
    with DAG("dag", schedule=None, render_template_as_native_obj=True):
        task = operator(task_id="task", **arguments)
    task.render_template_fields(dict(context or {}))
    return task


def sent(operator: type[Any], context: Mapping[str, Any] | None = None, **arguments: Any) -> dict[str, str]:
    return dict(render(operator, context, **arguments)._request().data)


@pytest.mark.parametrize("text", TEXTS)
def test_text_rendering_native_body_stays_text(text: str):
    for body in (text, "{{ body }}", "{{ body[:1] }}{{ body[1:] }}"):
        data = sent(SendMessageOperator, {"body": text}, to=TO, from_=FROM, body=body)
        assert (data["To"], data["From"], data["Body"]) == (TO, FROM, text if body != text else text.rstrip("\n"))


def test_text_rendering_native_call_keeps_digits():
    data = sent(CreateCallOperator, {"pin": "0042#"}, to=TO, from_=FROM, say="1", send_digits="{{ pin }}")
    assert (data["To"], data["SendDigits"]) == (TO, "0042#")
    assert sent(CreateCallOperator, to=TO, from_=FROM, say="1", send_digits="1234#")["SendDigits"] == "1234#"


def test_text_rendering_native_content_variables_keep_zeros():
    for variables in ({"1": "{{ code }}", "2": "+1"}, '{"1": "{{ code }}", "2": "+1"}'):
        data = sent(
            SendMessageOperator, {"code": "00"}, to=TO, from_=FROM, content_sid=TEMPLATE, content_variables=variables
        )
        assert data["ContentVariables"].replace(": ", ":").replace(", ", ",") == '{"1":"00","2":"+1"}'


def test_text_rendering_native_request_keeps_numbers():
    task = render(TwilioRequestOperator, {"to": TO}, method="POST", path="/x", data={"To": "{{ to }}", "From": FROM})
    assert dict(task._request().data) == {"To": TO, "From": FROM}


def test_text_rendering_native_bulk_keeps_texts_and_objects():
    people = [{"to": TO, "name": "Ann"}]
    task = render(SendMessagesOperator, {"people": people}, recipients="{{ people }}", body="0042", from_=FROM)
    assert task._rendered_recipients() == people
    assert (task._rendered_option("body"), task._rendered_option("from_")) == ("0042", FROM)
    assert render(SendMessagesOperator, recipients=[TO, "007"], body="x").recipients == [TO, "007"]


def test_text_rendering_native_typed_parameters_are_converted():
    names = {"flag": "True", "seconds": "60", "urls": ["https://example.com/1"]}
    arguments = {"smart_encoded": "{{ flag }}", "validity_period": "{{ seconds }}", "media_url": "{{ urls }}"}
    data = sent(SendMessageOperator, names, to=TO, from_=FROM, body="{{ none }}", **arguments)
    assert data["SmartEncoded"] == "true"
    assert (data["ValidityPeriod"], data["MediaUrl"]) == ("60", "https://example.com/1")
    assert "Body" not in data


def test_text_rendering_native_number_names_the_parameter():
    """An XCom that is a number has lost its plus sign before the task sees it."""
    with pytest.raises(BadParameter, match=r"^to has no leading \+ \(11 characters.*\): write it in E\.164"):
        sent(SendMessageOperator, {"to": 14155550101}, to="{{ to }}", from_=FROM, body="x")
    assert sent(SendMessageOperator, {"n": 5}, to=TO, from_=FROM, body="{{ n }}")["Body"] == "5"


def test_text_rendering_native_composite_and_sensors_keep_text():
    task = render(DeleteOldMessagesOperator, days="365", twilio_conn_id="1")
    assert (task.days, task.twilio_conn_id) == ("365", "1")
    assert (
        render(MessageDeliverySensor, {"sid": "1e5"}, message_sid="{{ sid }}", twilio_conn_id="1").message_sid == "1e5"
    )
    assert render(BalanceSensor, {"least": "020"}, minimum="{{ least }}").minimum == "020"


@pytest.mark.parametrize("text", TEXTS)
def test_text_rendering_native_notifier_stays_text(text: str):
    dag = DAG("dag", schedule=None, render_template_as_native_obj=True)
    notifier = TwilioNotifier(to="{{ number }}", from_=FROM, body="{{ text }}")
    fields = render_fields(notifier, {"dag": dag, "number": TO, "text": text}, Alert.from_context({"dag": dag}))
    assert (fields["to"], fields["from_"], fields["body"]) == (TO, FROM, text)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("str | None", 5, "5"),
        ("str", 1.5, "1.5"),
        ("Sequence[str] | str | None", 5, "5"),
        ("str | None", True, True),
        ("int | str | None", 5, 5),
        ("Decimal | str | None", 0.5, 0.5),
        ("int | str | None", "007", "007"),
    ],
)
def test_parse_rendered_number_of_a_text_parameter_is_text(annotation: str, value: Any, expected: Any):
    parsed = parse_rendered("name", value, annotation)
    assert (parsed, type(parsed)) == (expected, type(expected))
