"""What all operators share: what is checked when, and how a template's text is read."""

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


# ---------------------------------------------------------------- what is known when the DAG is parsed


@pytest.mark.parametrize(
    "literal", [None, "text", "", 5, 0.5, True, Decimal(1), ["a", "b"], {"1": "x"}, [], ["a", ["b"]]], ids=repr
)
def test_literals_are_known(literal: Any):
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
def test_the_rest_is_known_later(value: Any):
    assert resolve_literal(value) is UNRESOLVED


def test_an_xcomarg_is_known_later():
    with DAG("dag", schedule=None):
        output: Any = FetchBalanceOperator(task_id="balance").output
    assert type(output) is PlainXComArg
    assert resolve_literal(output) is UNRESOLVED
    assert resolve_literal(output["balance"]) is UNRESOLVED
    assert resolve_literal([output]) is UNRESOLVED


def test_literals_are_checked_when_the_dag_is_parsed():
    with pytest.raises(BadParameter, match=r"^to contains letters"):
        SendMessageOperator(task_id="send", to="+1415CALLME", body="x")
    with pytest.raises(BadParameter, match=r"^account_sid "):
        SendMessageOperator(task_id="send", to=TO, body="x", account_sid=MESSAGE)


def test_checking_changes_no_attribute():
    variables = {"1": "{{ ds }}"}
    task = SendMessageOperator(task_id="send", to="{{ to }}", content_sid="HX" + "a" * 32, content_variables=variables)
    assert task.to == "{{ to }}"  # type: ignore[attr-defined]
    assert task.content_variables is variables  # type: ignore[attr-defined]


def test_a_time_is_not_judged_when_the_dag_is_parsed(emulator: Emulator):
    """It may be right today and past tomorrow, and then the DAG could not even be imported."""
    past = {"schedule_type": "fixed", "send_at": "2020-01-01T00:00:00Z", "messaging_service_sid": "MG" + "a" * 32}
    task = SendMessageOperator(task_id="send", to=TO, body="x", **past)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="send_at is in the past"):
        task.execute({})  # type: ignore[arg-type,typeddict-item,unused-ignore]


# ---------------------------------------------------------------- what a template has rendered


@pytest.mark.parametrize(
    ("annotation", "text", "meant"),
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
def test_a_text_is_read_as_what_the_parameter_takes(annotation: str, text: str, meant: Any):
    read = parse_rendered("name", text, annotation)
    assert (read, type(read)) == (meant, type(meant))


@pytest.mark.parametrize("annotation", ["str | None", "int | None", "Sequence[str] | None"])
def test_the_text_none_is_refused(annotation: str):
    with pytest.raises(BadParameter, match=r"^name is the string 'None'.*: leave the parameter out"):
        parse_rendered("name", "None", annotation)


@pytest.mark.parametrize(("annotation", "wanted"), [("bool | None", "true or false"), ("int | None", "a whole number")])
@pytest.mark.parametrize("text", ["yes", "", "1.5"])
def test_a_text_of_the_wrong_kind_is_refused(annotation: str, wanted: str, text: str):
    with pytest.raises(BadParameter, match=rf"^name is not {wanted} .*: give {wanted}$"):
        parse_rendered("name", text, annotation)


def test_what_is_no_text_stays():
    for value in (None, True, 5, ["a"], {"a": 1}, datetime(2026, 1, 1, tzinfo=UTC)):
        assert parse_rendered("name", value, "int | None") is value


def data(task: TwilioOperator) -> dict[str, str]:
    return dict(task._request().data)


def test_rendered_booleans_numbers_and_lists_reach_the_wire():
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
    assert task.smart_encoded == "True"  # type: ignore[attr-defined]  # so that this test shows what it says
    assert task._request().data == (
        ("To", TO),
        ("Body", "60 of 60"),
        ("MediaUrl", urls[0]),
        ("MediaUrl", urls[1]),
        ("ValidityPeriod", "60"),
        ("SmartEncoded", "true"),
    )


def test_an_empty_text_is_left_out_where_something_is_made():
    sent = data(SendMessageOperator(task_id="send", to=TO, from_="", body="x", status_callback="", attempt=""))
    assert sent == {"To": TO, "Body": "x"}
    task = SendMessageOperator(task_id="send", to=TO, body="{{ '' }}")
    task.render_template_fields({})
    with pytest.raises(BadParameter, match=r"^body or media_url or content_sid is missing"):
        task._request()


def test_an_empty_text_empties_where_something_is_changed():
    assert data(UpdateMessageOperator(task_id="redact", message_sid=MESSAGE, body="")) == {"Body": ""}
    assert data(UpdateNumberOperator(task_id="update", phone_number_sid=NUMBER, sms_url="")) == {"SmsUrl": ""}
    with pytest.raises(BadParameter, match=r"^voice_caller_id_lookup is not true or false"):
        UpdateNumberOperator(task_id="update", phone_number_sid=NUMBER, voice_caller_id_lookup="")._request()


def test_an_empty_filter_is_refused():
    with pytest.raises(BadParameter, match=r"^to is empty: leave it out to list all"):
        ListMessagesOperator(task_id="list", to="")._request()
    with pytest.raises(BadParameter, match=r"^to is the string 'None'"):
        ListMessagesOperator(task_id="list", to="None")._request()
    with pytest.raises(BadParameter, match=r"^in_region is empty"):
        SearchNumbersOperator(task_id="list", country="US", in_region=" ")._request()
    task = SearchNumbersOperator(task_id="list", country="{{ '' }}")
    task.render_template_fields({})
    with pytest.raises(BadParameter, match=r"^country is "):
        task._request()


def test_the_connection_and_the_account_are_templated(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", emulator.connection_uri)
    monkeypatch.delenv("AIRFLOW_CONN_TWILIO_DEFAULT")
    context = {"connection": "other", "account": emulator.account_sid}
    balance = run(FetchBalanceOperator, context, twilio_conn_id="{{ connection }}", account_sid="{{ account }}")
    assert balance["account_sid"] == emulator.account_sid
    with pytest.raises(AirflowFailException, match="account_sid"):
        run(FetchBalanceOperator, {}, twilio_conn_id="other", account_sid="{{ '' }}")


# ---------------------------------------------------------------- what comes of it


def test_a_record_a_list_and_a_sid_go_to_xcom(run: Run, emulator: Emulator):
    sent = run(SendMessageOperator, to=TO, from_=FROM, body="x")
    emulator.clock.advance(60)
    assert json.loads(json.dumps(run(FetchMessageOperator, message_sid=sent["sid"])))["sid"] == sent["sid"]
    listed = run(ListMessagesOperator)
    assert type(listed) is list
    assert [message["sid"] for message in listed] == [sent["sid"]]
    assert run(DeleteMessageOperator, message_sid=sent["sid"]) == sent["sid"]


class Pushed:
    """A task instance that notes what is pushed."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def test_the_sid_goes_to_xcom_by_its_name_too(emulator: Emulator):
    """So that other tasks can take send.output["sid"]; Airflow calls post_execute, without the result."""
    for kind, arguments, names in (
        (SendMessageOperator, {"to": TO, "from_": FROM, "body": "x"}, {"sid"}),
        (PurchaseNumberOperator, {"area_code": 415}, {"sid", "phone_number"}),
        (TwilioRequestOperator, {"method": "GET", "path": f"/2010-04-01/Accounts/{emulator.account_sid}"}, {"sid"}),
        (FetchBalanceOperator, {}, set()),
        (ListMessagesOperator, {}, set()),
    ):
        for wanted in (True, False):
            task = kind(task_id="task", do_xcom_push=wanted, **arguments)
            context: Any = {"ti": Pushed()}
            answer = task.execute({})
            task.post_execute(context)
            assert context["ti"].xcoms == ({name: answer[name] for name in names} if wanted else {})


def test_what_airflow_stores_reads_back_the_same(run: Run, emulator: Emulator):
    where = "airflow.sdk.serde" if find_spec("airflow.sdk.serde") else "airflow.serialization.serde"  # in Airflow 3.1
    serde = import_module(where)
    run(SendMessageOperator, to=TO, from_=FROM, body="x")
    listed = run(ListMessagesOperator)
    assert serde.deserialize(json.loads(json.dumps(serde.serialize(listed)))) == listed


def test_an_error_that_would_come_again_fails_at_once(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AirflowFailException, match="NotFound"):
        run(FetchMessageOperator, message_sid=MESSAGE)
    emulator.fail_next(1, status=503, method="GET")
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retries=0")
    with pytest.raises(ServerError):
        run(FetchMessageOperator, message_sid=MESSAGE)


def test_no_log_line_tells_a_number_or_a_text(
    run: Run, emulator: Emulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    sent = run(SendMessageOperator, to=TO, from_=FROM, body="confidential")
    run(ListMessagesOperator)
    run(CreateCallOperator, to=TO, from_=FROM, say="confidential")
    told = caplog.text + "".join(capfd.readouterr())  # where Airflow's loggers write to depends on its version
    assert "confidential" not in told
    assert TO[1:] not in told
    assert sent["sid"] in told


# ---------------------------------------------------------------- default_args, partial, expand


def test_default_args_reach_every_level():
    arguments = {"from_": FROM, "twilio_conn_id": "other", "account_sid": SUBACCOUNT, "retries": 3}
    with DAG("dag", schedule=None, default_args=arguments):
        task = SendMessageOperator(task_id="send", to=TO, body="x")
        deletes = DeleteMessageOperator(task_id="delete", message_sid=MESSAGE)  # takes no from_
    assert (task.from_, task.twilio_conn_id, task.account_sid, task.retries) == (FROM, "other", SUBACCOUNT, 3)  # type: ignore[attr-defined]
    assert (deletes.twilio_conn_id, deletes.account_sid) == ("other", SUBACCOUNT)
    with (
        DAG("dag", schedule=None, default_args={"from_": "+1 415 555 0100"}),
        pytest.raises(BadParameter, match=r"^from_ contains spaces"),
    ):
        SendMessageOperator(task_id="send", to=TO, body="x")


def test_it_can_be_mapped(run: Run, emulator: Emulator):
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


def test_what_is_mapped_is_checked_when_it_runs(emulator: Emulator):
    with DAG("dag", schedule=None):
        mapped: Any = SendMessageOperator.partial(task_id="send", body="x").expand(to=[TO, "nobody"])
    task = mapped.unmap({"to": "nobody"})
    with pytest.raises(AirflowFailException, match=r"^BadParameter: to "):  # an error of __init__ would be retried
        task.execute({})
    with DAG("dag", schedule=None), pytest.raises(TypeError, match="too"):
        SendMessageOperator.partial(task_id="send", too="typo")


# ---------------------------------------------------------------- what the web UI shows of it


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
