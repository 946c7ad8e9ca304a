"""Tests of the operators for single messages, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, RateLimited
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.messages import (
    DeleteMessageOperator,
    FetchMessageOperator,
    ListMessagesOperator,
    SendMessageOperator,
    UpdateMessageOperator,
)

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"
SERVICE, CONTENT, CALL = "MG" + "a" * 32, "HX" + "a" * 32, "CA" + "a" * 32


def time_after(**by: float) -> str:
    """Return a time in the future, in ISO 8601."""
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


SCHEDULED = {"to": TO, "body": "x", "messaging_service_sid": SERVICE, "schedule_type": "fixed"}

# Parameters, the expected error message, and whether the error is raised at parse time.
INVALID = [
    ({"body": "x", "to": ""}, "to is missing", True),
    ({"body": "x", "to": "14155550123"}, r"to has no leading \+", True),
    ({"body": "x", "to": "+1 415 555 0123"}, "to contains spaces", True),
    ({"body": "x", "to": "+1415CALLME"}, "to contains letters", True),
    ({"body": "x", "to": "client:joe"}, "to is a client: address", True),
    ({"body": "x", "to": TO, "from_": SERVICE}, "from_ is the SID of a messaging service", True),
    ({"body": "x", "to": TO}, "messaging_service_sid or from_ is missing", False),  # the connection may supply it
    ({"to": TO}, "body or media_url or content_sid is missing", True),
    ({"to": TO, "body": "x" * 1601}, "body has 1601 characters", True),
    ({"to": TO, "media_url": ["https://example.com"] * 11}, "media_url has 11 items", True),
    ({"to": TO, "body": "x", "messaging_service_sid": CALL}, "expected a messaging service SID.*a call SID", True),
    ({"to": TO, "body": "x", "content_variables": {"1": "y"}}, "content_sid is missing", True),
    ({"to": TO, "body": "x", "send_at": time_after(hours=1)}, "send_at and schedule_type are not both set", True),
    ({"to": TO, "body": "x", "schedule_type": "fixed"}, "send_at and schedule_type are not both set", True),
    ({"to": TO, "body": "x", "validity_period": 0}, "validity_period is 0", True),
    (
        {"to": TO, "body": "x", "from_": FROM, "schedule_type": "fixed", "send_at": time_after(hours=1)},
        "messaging_service_sid is missing",
        False,
    ),
    (
        {**SCHEDULED, "send_at": time_after(seconds=200)},
        "send_at is .* ahead",
        False,
    ),
    (
        {**SCHEDULED, "send_at": time_after(days=36)},
        "send_at is .* ahead",
        False,
    ),
]


@pytest.mark.parametrize(("arguments", "message", "at_parse"), INVALID)
def test_send_message_checks_literals_at_parse_time(arguments: dict[str, Any], message: str, at_parse: bool):
    if at_parse:
        with pytest.raises(BadParameter, match=message):
            SendMessageOperator(task_id="send", **arguments)
    else:
        SendMessageOperator(task_id="send", **arguments)


@pytest.mark.parametrize(("arguments", "message"), [(arguments, message) for arguments, message, _ in INVALID])
def test_send_message_with_invalid_parameters_fails_without_request(
    run_mapped: Run, emulator: Emulator, arguments: dict[str, Any], message: str
):
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(SendMessageOperator, **arguments)
    assert len(emulator.journal) == 0


@pytest.mark.parametrize(
    "address",
    ["whatsapp:+14155550123", "messenger:12345", "rcs:agent"],
)
def test_send_message_accepts_channel_addresses(address: str):
    SendMessageOperator(task_id="send", to=address, body="x")


@pytest.mark.parametrize("sender", ["72975", "ACME Shop", "whatsapp:+14155550100", "rcs:agent", "{{ var.value.from }}"])
def test_send_message_accepts_senders(sender: str):
    SendMessageOperator(task_id="send", to=TO, from_=sender, body="x")


def test_send_message_returns_record_without_body(run: Run, emulator: Emulator):
    record = run(
        SendMessageOperator,
        {"name": "Ada"},
        to=TO,
        from_=FROM,
        body="Hello {{ name }}",
        media_url=["https://example.com/a.png", "https://example.com/{{ name }}.png"],
        provide_feedback=True,
    )
    assert record["sid"].startswith("MM")
    assert record["status"] == "queued"
    assert "body" not in record
    assert emulator.journal[-1].params == {
        "To": TO,
        "From": FROM,
        "Body": "Hello Ada",
        "MediaUrl": ["https://example.com/a.png", "https://example.com/Ada.png"],
        "ProvideFeedback": "true",
    }


def test_send_message_with_include_body_returns_body(run: Run, emulator: Emulator):
    assert run(SendMessageOperator, to=TO, from_=FROM, body="x", include_body=True)["body"] == "x"


def test_send_message_encodes_content_variables_as_json(run: Run, emulator: Emulator):
    for variables in ({"1": "{{ name }}"}, "{{ variables }}", '{"1": "Ada"}'):
        task = SendMessageOperator(task_id="send", to=TO, content_sid=CONTENT, content_variables=variables)
        task.render_template_fields({"name": "Ada", "variables": {"1": "Ada"}})  # type: ignore[arg-type,typeddict-unknown-key,unused-ignore]
        assert task._request().get("ContentVariables") == '{"1": "Ada"}'


def test_message_operators_fetch_list_redact_and_delete(run: Run, emulator: Emulator):
    emulator.clock.freeze()
    sids = [run(SendMessageOperator, to=to, from_=FROM, body=to)["sid"] for to in (TO, "+14155550124")]
    assert run(FetchMessageOperator, message_sid=sids[0])["body"] == TO
    assert [record["sid"] for record in run(ListMessagesOperator, to="+14155550124")] == [sids[1]]
    assert len(run(ListMessagesOperator, limit="{{ 1 }}")) == 1

    with pytest.raises(RateLimited):  # its status is not final, so that a retry can succeed
        run(DeleteMessageOperator, message_sid=sids[0])
    emulator.clock.advance(60)
    assert run(UpdateMessageOperator, message_sid=sids[0], body="")["body"] == ""
    assert run(DeleteMessageOperator, message_sid=sids[0]) == sids[0]
    assert [record["sid"] for record in run(ListMessagesOperator)] == [sids[1]]


def test_list_messages_filters_by_date(run: Run, emulator: Emulator):
    run(
        ListMessagesOperator,
        {"ds": "2026-01-31"},
        date_sent_after="{{ ds }}",
        date_sent_before="{{ ds }}T12:00:00+05:00",
    )
    assert emulator.journal[-1].params == {
        "DateSent>": "2026-01-31",
        "DateSent<": "2026-01-31T07:00:00Z",
        "PageSize": "1000",
    }


def test_update_message_cancels_scheduled_message(run: Run, emulator: Emulator):
    client = SendMessageOperator(task_id="send", to=TO, body="x").hook
    service = client.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "s"})["sid"]
    number = next(client.incoming_phone_numbers.list())["sid"]
    client.request(
        "POST", f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers", {"PhoneNumberSid": number}
    )
    record = run(
        SendMessageOperator,
        to=TO,
        messaging_service_sid=service,
        body="x",
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
    )
    assert record["status"] == "scheduled"
    assert run(UpdateMessageOperator, message_sid=record["sid"], status="canceled")["status"] == "canceled"


@pytest.mark.parametrize(
    ("operator", "arguments", "message"),
    [
        (FetchMessageOperator, {"message_sid": "CA" + "a" * 32}, "expected a message SID, SM… or MM….*got a call SID"),
        (DeleteMessageOperator, {"message_sid": "SM123"}, "message_sid starts like a SID but has 5 characters"),
        (UpdateMessageOperator, {"message_sid": "SM" + "a" * 32}, "body or status is missing"),
        (UpdateMessageOperator, {"message_sid": "SM" + "a" * 32, "body": "x"}, "body is .*: pass body="),
    ],
)
def test_message_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


def test_delete_message_succeeds_if_earlier_try_deleted_it(run: Run, emulator: Emulator):
    sid = "SM" + "d" * 32
    context = {"ti": SimpleNamespace(try_number=2)}  # the first try was killed after its request
    assert run(DeleteMessageOperator, context, message_sid=sid) == sid
    with pytest.raises(AirflowFailException, match="20404"):
        run(DeleteMessageOperator, {"ti": SimpleNamespace(try_number=1)}, message_sid=sid)


def test_delete_message_in_dry_run_returns_status(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    sid = "SM" + "d" * 32
    assert run(DeleteMessageOperator, message_sid=sid) == {"sid": sid, "status": "dry-run"}
    assert not emulator.journal.count("DELETE")


@pytest.mark.parametrize("blank", ["", " "])
def test_send_message_with_blank_send_at_waits_for_delivery(run: Run, emulator: Emulator, blank: str):
    arguments = {"to": TO, "from_": FROM, "body": "x", "send_at": f"{{{{ '{blank}' }}}}", "schedule_type": "{{ '' }}"}
    record = run(SendMessageOperator, **arguments, wait_for_delivery=True, deferrable=False, poll_interval=0.05)
    assert record["status"] == "delivered"
