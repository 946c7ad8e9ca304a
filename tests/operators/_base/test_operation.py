"""Tests of the base class of the operators: checks of literals, rendered templates, results and mapping."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import PlainXComArg

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.templates import parse_rendered, resolve_literal
from airflow_provider_twilio.api.errors import BadParameter, ServerError
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators.accounts import FetchBalanceOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import (
    DeleteMessageOperator,
    FetchMessageOperator,
    ListMessagesOperator,
    SendMessageOperator,
    UpdateMessageOperator,
)
from airflow_provider_twilio.operators.phone_numbers import (
    PurchaseNumberOperator,
    SearchNumbersOperator,
    UpdateNumberOperator,
)
from airflow_provider_twilio.operators.twilio import TwilioRequestOperator

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"
MESSAGE, NUMBER, SUBACCOUNT = "SM" + "a" * 32, "PN" + "a" * 32, "AC" + "a" * 32


@pytest.mark.parametrize(
    "literal", [None, "text", "", 5, 0.5, True, Decimal(1), ["a", "b"], {"1": "x"}, [], ["a", ["b"]]], ids=repr
)
def test_resolve_literal_returns_literals(literal: Any):
    assert resolve_literal(literal) is literal


@pytest.mark.parametrize(
    "value",
    [
        "{{ ds }}",
        "{% if x %}a{% endif %}",
        "a{# note #}b",
        ["a", "{{ ds }}"],
        {"1": "{{ ds }}"},
        {"1": ["{{ ds }}"]},
        datetime(2026, 1, 1, tzinfo=UTC),
        date(2026, 1, 1),
        [date(2026, 1, 1)],
        object(),
        {"a", "b"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_resolve_literal_returns_unresolved_for_other_values(value: Any):
    assert resolve_literal(value) is UNRESOLVED


def test_resolve_literal_returns_unresolved_for_xcomarg():
    with DAG("dag", schedule=None):
        output: Any = FetchBalanceOperator(task_id="balance").output
    assert type(output) is PlainXComArg
    assert resolve_literal(output) is UNRESOLVED
    assert resolve_literal(output["balance"]) is UNRESOLVED
    assert resolve_literal([output]) is UNRESOLVED


def test_operator_checks_literals_at_parse_time():
    with pytest.raises(BadParameter, match=r"^to contains letters"):
        SendMessageOperator(task_id="send", to="+1415CALLME", body="x")
    with pytest.raises(BadParameter, match=r"^account_sid "):
        SendMessageOperator(task_id="send", to=TO, body="x", account_sid=MESSAGE)


def test_operator_stores_arguments_unchanged():
    variables = {"1": "{{ ds }}"}
    task = SendMessageOperator(task_id="send", to="{{ to }}", content_sid="HX" + "a" * 32, content_variables=variables)
    assert task.to == "{{ to }}"  # type: ignore[attr-defined]
    assert task.content_variables is variables  # type: ignore[attr-defined]


def test_operator_checks_times_at_run_time(emulator: Emulator):
    """A time can pass between the writing of a DAG and its parsing. The DAG must still be importable."""
    past = {"schedule_type": "fixed", "send_at": "2020-01-01T00:00:00Z", "messaging_service_sid": "MG" + "a" * 32}
    task = SendMessageOperator(task_id="send", to=TO, body="x", **past)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="send_at is in the past"):
        task.execute({})  # type: ignore[arg-type,typeddict-item,unused-ignore]


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        ("bool | None", "True", True),
        ("bool | None", "false", False),
        ("bool | None", " true\n", True),
        ("bool | str | None", "True", True),
        ("bool | str | None", "DetectMessageEnd", "DetectMessageEnd"),
        ("int | None", "5", 5),
        ("int | None", "-5", -5),
        ("int | str | None", "415", 415),
        ("int | str | None", "4x5", "4x5"),
        ("Sequence[str] | str | None", "['a', 'b']", ["a", "b"]),
        ("Sequence[str] | str | None", '["a", "b"]', ["a", "b"]),
        ("Sequence[str] | str | None", "('a', 'b')", ("a", "b")),
        ("Sequence[str] | str | None", "https://example.com/[1]", "https://example.com/[1]"),
        ("Mapping[str, Any] | str | None", "{'1': 'x'}", {"1": "x"}),
        ("Mapping[str, Any] | str | None", '{"1": true}', '{"1": true}'),
        ("str | None", "True", "True"),
        ("str | None", "5", "5"),
        ("str | None", "['a']", "['a']"),
        ("str | None", "", ""),
        ("date | None", "2026-01-01", "2026-01-01"),
        ("Decimal | str | None", "0.10", "0.10"),
    ],
)
def test_parse_rendered_returns_typed_value(annotation: str, text: str, expected: Any):
    value = parse_rendered("name", text, annotation)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize("annotation", ["str | None", "int | None", "Sequence[str] | None"])
def test_parse_rendered_rejects_string_none(annotation: str):
    with pytest.raises(BadParameter, match=r"^name is the string 'None'.*: leave the parameter out"):
        parse_rendered("name", "None", annotation)


@pytest.mark.parametrize(
    ("annotation", "expected"), [("bool | None", "true or false"), ("int | None", "a whole number")]
)
@pytest.mark.parametrize("text", ["yes", "", "1.5"])
def test_parse_rendered_rejects_string_of_wrong_type(annotation: str, expected: str, text: str):
    with pytest.raises(BadParameter, match=rf"^name is not {expected} .*: give {expected}$"):
        parse_rendered("name", text, annotation)


def test_parse_rendered_returns_other_values_unchanged():
    for value in (None, True, 5, ["a"], {"a": 1}, datetime(2026, 1, 1, tzinfo=UTC)):
        assert parse_rendered("name", value, "int | None") is value


def data(task: TwilioOperator) -> dict[str, str]:
    return dict(task._request().data)


def test_operator_request_has_rendered_booleans_numbers_and_lists():
    task = SendMessageOperator(
        task_id="send",
        to="{{ to }}",
        body="{{ n }} of {{ n }}",
        smart_encoded="{{ flag }}",
        validity_period="{{ n }}",
        media_url="{{ urls }}",
    )
    urls = ["https://example.com/a.png", "https://example.com/b.png"]
    task.render_template_fields({"to": TO, "flag": True, "n": 60, "urls": urls})  # type: ignore[arg-type,typeddict-item,typeddict-unknown-key,unused-ignore]
    assert task.smart_encoded == "True"  # type: ignore[attr-defined]
    assert task._request().data == (
        ("To", TO),
        ("Body", "60 of 60"),
        ("MediaUrl", urls[0]),
        ("MediaUrl", urls[1]),
        ("ValidityPeriod", "60"),
        ("SmartEncoded", "true"),
    )


def test_operator_omits_blank_strings_when_creating():
    sent = data(SendMessageOperator(task_id="send", to=TO, from_="", body="x", status_callback="", attempt=""))
    assert sent == {"To": TO, "Body": "x"}
    task = SendMessageOperator(task_id="send", to=TO, body="{{ '' }}")
    task.render_template_fields({})
    with pytest.raises(BadParameter, match=r"^body or media_url or content_sid is missing"):
        task._request()


def test_operator_clears_fields_with_empty_strings_when_updating():
    assert data(UpdateMessageOperator(task_id="redact", message_sid=MESSAGE, body="")) == {"Body": ""}
    assert data(UpdateNumberOperator(task_id="update", phone_number_sid=NUMBER, sms_url="")) == {"SmsUrl": ""}
    with pytest.raises(BadParameter, match=r"^voice_caller_id_lookup is not true or false"):
        UpdateNumberOperator(task_id="update", phone_number_sid=NUMBER, voice_caller_id_lookup="")._request()


def test_operator_rejects_blank_filters():
    with pytest.raises(BadParameter, match=r"^to is empty: leave it out to list all records"):
        ListMessagesOperator(task_id="list", to="")._request()
    with pytest.raises(BadParameter, match=r"^to is the string 'None'"):
        ListMessagesOperator(task_id="list", to="None")._request()
    with pytest.raises(BadParameter, match=r"^in_region is empty"):
        SearchNumbersOperator(task_id="list", country="US", in_region=" ")._request()
    task = SearchNumbersOperator(task_id="list", country="{{ '' }}")
    task.render_template_fields({})
    with pytest.raises(BadParameter, match=r"^country is "):
        task._request()


def test_operator_renders_connection_and_account(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", emulator.connection_uri)
    monkeypatch.delenv("AIRFLOW_CONN_TWILIO_DEFAULT")
    context = {"connection": "other", "account": emulator.account_sid}
    balance = run(FetchBalanceOperator, context, twilio_conn_id="{{ connection }}", account_sid="{{ account }}")
    assert balance["account_sid"] == emulator.account_sid
    with pytest.raises(AirflowFailException, match="account_sid"):
        run(FetchBalanceOperator, {}, twilio_conn_id="other", account_sid="{{ '' }}")


def test_operator_returns_record_list_or_sid(run: Run, emulator: Emulator):
    sent = run(SendMessageOperator, to=TO, from_=FROM, body="x")
    emulator.clock.advance(60)
    assert json.loads(json.dumps(run(FetchMessageOperator, message_sid=sent["sid"])))["sid"] == sent["sid"]
    listed = run(ListMessagesOperator)
    assert type(listed) is list
    assert [message["sid"] for message in listed] == [sent["sid"]]
    assert run(DeleteMessageOperator, message_sid=sent["sid"]) == sent["sid"]


class PushRecorder:
    """A task instance that records pushed XComs."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def test_operator_pushes_sid_as_xcom_of_its_own(emulator: Emulator):
    """Other tasks can then use ``send.output["sid"]``. Airflow calls ``post_execute`` without the result."""
    for operator, arguments, names in (
        (SendMessageOperator, {"to": TO, "from_": FROM, "body": "x"}, {"sid"}),
        (PurchaseNumberOperator, {"area_code": 415}, {"sid", "phone_number"}),
        (TwilioRequestOperator, {"method": "GET", "path": f"/2010-04-01/Accounts/{emulator.account_sid}"}, {"sid"}),
        (FetchBalanceOperator, {}, set()),
        (ListMessagesOperator, {}, set()),
    ):
        for do_xcom_push in (True, False):
            task = operator(task_id="task", do_xcom_push=do_xcom_push, **arguments)
            context: Any = {"ti": PushRecorder()}
            result = task.execute({})
            task.post_execute(context)
            assert context["ti"].xcoms == ({name: result[name] for name in names} if do_xcom_push else {})


def test_operator_result_survives_xcom_serialization(run: Run, emulator: Emulator):
    name = "airflow.sdk.serde" if find_spec("airflow.sdk.serde") else "airflow.serialization.serde"  # in Airflow 3.1
    serde = import_module(name)
    run(SendMessageOperator, to=TO, from_=FROM, body="x")
    listed = run(ListMessagesOperator)
    assert serde.deserialize(json.loads(json.dumps(serde.serialize(listed)))) == listed


def test_operator_permanent_error_fails_without_retry(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AirflowFailException, match="NotFound"):
        run(FetchMessageOperator, message_sid=MESSAGE)
    emulator.fail_next(1, status=503, method="GET")
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    with pytest.raises(ServerError):
        run(FetchMessageOperator, message_sid=MESSAGE)


def test_operator_logs_no_number_or_body(
    run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    sent = run(SendMessageOperator, to=TO, from_=FROM, body="confidential")
    run(ListMessagesOperator)
    run(CreateCallOperator, to=TO, from_=FROM, say="confidential")
    log = caplog.text + "".join(capfd.readouterr())  # the destination of Airflow's logs depends on its version
    assert "confidential" not in log
    assert TO[1:] not in log
    assert sent["sid"] in log


def test_operator_default_args_are_applied_and_checked():
    arguments = {"from_": FROM, "twilio_conn_id": "other", "account_sid": SUBACCOUNT, "retries": 3}
    with DAG("dag", schedule=None, default_args=arguments):
        task = SendMessageOperator(task_id="send", to=TO, body="x")
        delete = DeleteMessageOperator(task_id="delete", message_sid=MESSAGE)  # has no from_
    assert (task.from_, task.twilio_conn_id, task.account_sid, task.retries) == (FROM, "other", SUBACCOUNT, 3)  # type: ignore[attr-defined]
    assert (delete.twilio_conn_id, delete.account_sid) == ("other", SUBACCOUNT)
    with (
        DAG("dag", schedule=None, default_args={"from_": "+1 415 555 0100"}),
        pytest.raises(BadParameter, match=r"^from_ contains spaces"),
    ):
        SendMessageOperator(task_id="send", to=TO, body="x")


def test_operator_can_be_mapped(run: Run, emulator: Emulator):
    with DAG("dag", schedule=None, default_args={"from_": FROM}):
        mapped: Any = SendMessageOperator.partial(task_id="send", body="x").expand(to=[TO, "+14155550124"])
        by_kwargs: Any = SendMessageOperator.partial(task_id="each").expand_kwargs([{"to": TO, "body": "y"}])
    for to in (TO, "+14155550124"):
        mapped.unmap({"to": to}).execute({})
    by_kwargs.unmap({"to": TO, "body": "y"}).execute({})
    assert [(sent["to"], sent["body"]) for sent in emulator.messages] == [
        (TO, "x"),
        ("+14155550124", "x"),
        (TO, "y"),
    ]


def test_operator_checks_mapped_arguments_at_run_time(emulator: Emulator):
    with DAG("dag", schedule=None):
        mapped: Any = SendMessageOperator.partial(task_id="send", body="x").expand(to=[TO, "nobody"])
    task = mapped.unmap({"to": "nobody"})
    with pytest.raises(AirflowFailException, match=r"^BadParameter: to "):  # an error in __init__ would be retried
        task.execute({})
    with DAG("dag", schedule=None), pytest.raises(TypeError, match="too"):
        SendMessageOperator.partial(task_id="send", too="typo")


def test_operator_leaves_doc_md_alone():
    assert FetchMessageOperator(task_id="fetch", message_sid=MESSAGE).doc_md is None
    assert FetchMessageOperator(task_id="fetch", message_sid=MESSAGE, doc_md="mine").doc_md == "mine"


def test_operator_partial_checks_literals():
    with DAG("dag", schedule=None):
        with pytest.raises(BadParameter, match="to contains letters"):
            SendMessageOperator.partial(task_id="send", to="nobody")
        with pytest.raises(BadParameter, match="on_clear is not"):
            SendMessageOperator.partial(task_id="send", on_clear="again")
        with pytest.raises(BadParameter, match="poll_interval is 0"):
            SendMessageOperator.partial(task_id="send", poll_interval=0)
        with pytest.raises(BadParameter, match="account_sid is"):
            FetchMessageOperator.partial(task_id="fetch", account_sid=MESSAGE)
        with pytest.raises(TypeError, match="on_cler"):
            SendMessageOperator.partial(task_id="send", on_cler="skip")
        mapped = SendMessageOperator.partial(task_id="send", body="{{ body }}", from_="+15005550006").expand(to=["x"])
        assert mapped.task_id == "send"


def test_operator_default_args_reach_every_parameter():
    defaults = {"on_clear": "skip", "twilio_conn_id": "other", "retries": 3, "timeout": 5}
    with DAG("dag", schedule=None, default_args=defaults):
        task = SendMessageOperator(task_id="send", to="+14155550100", body="x")
    assert (task.on_clear, task.twilio_conn_id, task.retries) == ("skip", "other", 3)
