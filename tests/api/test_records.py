"""Records: typed fields, validation and parsing."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api.accounts import Account, Accounts, Balance
from airflow_provider_twilio.api.calls import Call
from airflow_provider_twilio.api.errors import OutcomeUnknown, ServerError
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Field, Record, is_sid
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.api.usage import UsageRecord
from tests.support.responses import AC, FROM, OTHER, SM, TO, first_page, json_response

WIRE_MESSAGE = {
    "sid": SM,
    "account_sid": AC,
    "to": TO,
    "from": FROM,
    "body": "secret words",
    "status": "delivered",
    "num_segments": "2",
    "price": "-0.00750",
    "error_code": None,
    "messaging_service_sid": None,
    "date_sent": "Thu, 24 Aug 2023 05:01:45 +0000",
    "date_created": "Thu, 24 Aug 2023 07:01:45 +0200",
    "date_updated": "",
    "something_new": {"kept": True},
}


def test_record_is_a_dict_with_typed_properties():
    message = Message(WIRE_MESSAGE)
    assert message == WIRE_MESSAGE
    assert json.loads(json.dumps(message)) == WIRE_MESSAGE
    assert message["something_new"] == {"kept": True}
    assert message.from_ == FROM
    assert message.num_segments == 2
    assert message.price == Decimal("-0.00750")
    assert str(message.price) == "-0.00750"
    assert message.date_sent == datetime(2023, 8, 24, 5, 1, 45, tzinfo=UTC)
    assert message.date_created == message.date_sent
    assert message.date_sent is not None
    assert message.date_sent.add(hours=1).hour == 6
    assert message.date_updated is None
    assert message.error_code is None
    assert message.num_media is None
    assert message.messaging_service_sid is None


def test_record_field_keeps_an_empty_string():
    assert Message(body="").body == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ("Sat, 31 Jan 2026 08:00:00 -0000", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_record_field_parses_both_time_formats(text: str, expected: datetime):
    assert Message(date_sent=text).date_sent == expected


def test_record_field_parses_numbers_exactly():
    assert str(UsageRecord(price=0.1).price) == "0.1"
    assert str(UsageRecord(price="12.30000").price) == "12.30000"
    assert UsageRecord(start_date="2026-01-31").start_date == date(2026, 1, 31)
    assert IncomingPhoneNumber(beta=False).beta is False
    assert IncomingPhoneNumber(beta="false").beta is False


@pytest.mark.parametrize(
    ("record", "name", "message"),
    [
        (Message(price="cheap"), "price", r"Message.price is not a Decimal: got a str of length 5"),
        (Message(num_segments="two"), "num_segments", "Message.num_segments is not a int"),
        (Message(date_sent="soon"), "date_sent", "Message.date_sent is not a datetime"),
        (Message(date_sent=5), "date_sent", "Message.date_sent is not a datetime"),
        (Call(duration=[]), "duration", "Call.duration is not a int"),
    ],
)
def test_record_field_error_omits_the_value(record: Record, name: str, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(record, name)
    assert "cheap" not in str(caught.value)
    assert f"record['{name}']" in str(caught.value)


def test_record_field_is_read_only():
    with pytest.raises(AttributeError, match=r"read-only.*record\['status'\]"):
        Message(WIRE_MESSAGE).status = "failed"


def test_record_class_attribute_is_the_field():
    assert isinstance(Message.status, Field)


@pytest.mark.parametrize("show", [str, repr, "{}".format])
def test_record_repr_has_sid_and_status_only(show: Callable[[Any], str]):
    assert show(Message(WIRE_MESSAGE)) == f"<Message {SM} delivered>"
    assert show(Balance(balance="1.0")) == "<Balance>"


def test_record_parse_drops_the_auth_token():
    wire = {"sid": AC, "auth_token": "secret", "status": "active"}
    account = Account.parse(Accounts.fetch(), json_response(wire))
    assert account == {"sid": AC, "status": "active"}
    request = first_page(Accounts.list())
    page = request.parser.parse(request, json_response({"accounts": [wire]}))
    assert page.records == [{"sid": AC, "status": "active"}]


@pytest.mark.parametrize("round_trip", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_record_survives_copying_and_pickling(round_trip: Callable[[Record], Record]):
    copied = round_trip(Message(WIRE_MESSAGE))
    assert type(copied) is Message
    assert copied == WIRE_MESSAGE


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (Message(sid=SM, account_sid=AC), None),
        (Message(sid="MM" + "0" * 32, account_sid=AC), None),
        (Message(sid="CA" + "0" * 32, account_sid=AC), "has no SM or MM… SID"),
        (Message(account_sid=AC), "has no SM or MM… SID"),
        (Message(sid=None), "has no SM or MM… SID"),
        (Message(sid=SM, account_sid=OTHER), f"belongs to account {OTHER}, not {AC}"),
        (Account(sid=OTHER), None),
        (Balance(), None),
    ],
)
def test_record_validation_error_names_sid_or_account(record: Record, fault: str | None):
    assert record.validation_error(AC) == fault


def test_record_of_transferred_number_may_belong_to_another_account():
    number = {"sid": "PN" + "0" * 32, "account_sid": OTHER}
    updated = IncomingPhoneNumbers.update(number["sid"], friendly_name="x")
    transferred = IncomingPhoneNumbers.update(number["sid"], transfer_to_account_sid=OTHER)
    assert updated.parser.parse(updated, json_response(number)).validation_error(AC)
    assert transferred.parser.parse(transferred, json_response(number)).validation_error(AC) is None
    assert transferred.parser.parse(transferred, json_response({})).validation_error(AC)
    assert transferred.get("AccountSid") == OTHER


@pytest.mark.parametrize(
    ("value", "prefixes", "expected"),
    [
        (SM, (), True),
        (SM, ("SM", "MM"), True),
        (SM, ("CA",), False),
        (SM[:-1], (), False),
        (SM + "0", (), False),
        (SM.lower(), (), False),
        (SM[:-1] + "g", (), False),
        (None, (), False),
        (5, (), False),
    ],
)
def test_sid_format_requires_length_digits_and_prefix(value: Any, prefixes: tuple[str, ...], expected: bool):
    assert is_sid(value, prefixes) is expected


UNREADABLE = [
    (b"", "an empty body"),
    (b"<!DOCTYPE html><html>Bad gateway</html>", "an HTML page of 39 bytes"),
    (b"<html>", "an HTML page of 6 bytes"),
    (b"<?xml version='1.0'?><TwilioResponse/>", "XML of 38 bytes"),
    (b'{"sid": "SM12', r"truncated or invalid JSON \(13 bytes\)"),
    (b"\xff\xfe", "2 bytes of text/plain"),
    (b"[" * 100_000, "truncated or invalid JSON"),
]


@pytest.mark.parametrize(("body", "shape"), UNREADABLE)
def test_record_parse_describes_unreadable_body(body: bytes, shape: str):
    response = Response(200, {"content-type": "text/plain; charset=x", "twilio-request-id": "RQ1"}, body)
    with pytest.raises(ServerError, match=rf"GET /2010.*responded 200 with {shape}.*\(request RQ1\)") as caught:
        Message.parse(Messages.fetch(SM), response)
    assert (caught.value.status, caught.value.request_id) == (200, "RQ1")
    page = first_page(Messages.list())
    with pytest.raises(ServerError, match=shape):
        page.parser.parse(page, response)


def test_record_parse_of_unreadable_send_raises_outcome_unknown():
    with pytest.raises(OutcomeUnknown):
        Message.parse(Messages.create(to=TO, body="hi"), Response(201, {}, b"<html>"))


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"text"'])
def test_record_parse_rejects_json_that_is_not_an_object(body: bytes):
    with pytest.raises(ServerError):
        Message.parse(Messages.fetch(SM), Response(200, {}, body))
