"""The REST conventions: what goes onto the wire, what is read from it, and what an operation is."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.accounts import Account, Accounts, Balance
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter, OutcomeUnknown, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.operation import Resource, definition, operation
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Field, Record, is_sid
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.api.usage import UsageRecord
from airflow_provider_twilio.api.values import utc_text, wire_name, wire_value, wire_values

AC, OTHER, SM = "AC" + "0" * 32, "AC" + "1" * 32, "SM" + "a" * 32
TO, FROM = "+14155550100", "+14155550199"


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers, raw)


def first(listing: Listing[Any]) -> Request[Page[Any]]:
    request = listing.first_page()
    assert request is not None
    return request


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("to", "To"),
        ("from_", "From"),
        ("media_url", "MediaUrl"),
        ("date_sent_after", "DateSent>"),
        ("date_sent_before", "DateSent<"),
        ("start_time", "StartTime"),
        ("start", "StartDate"),
        ("end", "EndDate"),
        ("transfer_to_account_sid", "AccountSid"),
        ("async_amd", "AsyncAmd"),
        ("in_lata", "InLata"),
    ],
)
def test_names_are_spelt_as_twilio_does(ours: str, theirs: str):
    assert wire_name(ours) == theirs


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("naïve ☃ 👍", "naïve ☃ 👍"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (415, "415"),
        (1.5, "1.5"),
        (0.0000001, "0.0000001"),
        (Decimal("0.0075"), "0.0075"),
        (Decimal("1E-7"), "0.0000001"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 8, 5, 9, 999, tzinfo=UTC), "2026-01-31T08:05:09Z"),
        (datetime(2026, 1, 31, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-30T19:00:00Z"),
        (datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")), "2026-07-01T16:00:00Z"),
        (pendulum.datetime(2026, 3, 29, 2, 30, tz="Europe/Berlin"), "2026-03-29T01:30:00Z"),
        ({"1": "Ärger", "n": None}, '{"1": "Ärger", "n": null}'),
    ],
)
def test_a_value_is_written_as_twilio_reads_it(value: Any, text: str):
    assert wire_value("x", value) == text


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (datetime(2026, 1, 1), "send_at is a datetime without a time zone"),  # noqa: DTZ001
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), "send_at is out of the calendar's range"),
        (b"bytes", "send_at is of type bytes"),
        ({"set"}, "send_at is of type set"),
        (object(), "send_at is of type object"),
        (float("nan"), "send_at is nan"),
        (Decimal("Infinity"), "send_at is Infinity"),
        ({"x": float("inf")}, "send_at holds what JSON can't"),
        ({"x": {1, 2}}, "send_at holds what JSON can't"),
        ("half \ud83d", "send_at has half a character at 5"),
        ({"x": "\ud83d"}, "send_at has half a character"),
    ],
)
def test_a_value_that_cannot_be_written_is_refused_by_name(value: Any, fault: str):
    with pytest.raises(BadParameter, match=fault):
        wire_value("send_at", value)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, []),
        ([], []),
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        (("a", 1, True), ["a", "1", "true"]),
    ],
)
def test_lists_are_repeated_and_none_is_left_out(value: Any, texts: list[str]):
    assert wire_values("x", value) == texts


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
        ("2026-01-31 08:00:00+02:00", "2026-01-31T06:00:00Z"),
        ("2026-01-31T08:00:00.123456-05:00", "2026-01-31T13:00:00Z"),
        ("-30days", "-30days"),
    ],
)
def test_times_that_templates_render_go_out_in_utc(text: str, wire: str):
    assert utc_text("x", text) == wire
    assert first(Messages.list(date_sent_after=text)).get("DateSent>") == wire  # type: ignore[arg-type]


def test_a_time_that_templates_render_without_a_zone_is_refused():
    with pytest.raises(BadParameter, match="date_sent_after is a datetime without a time zone"):
        Messages.list(date_sent_after="2026-01-31T08:00:00")  # type: ignore[arg-type]


@given(
    st.one_of(st.none(), st.text(), st.floats(), st.decimals(), st.dates(), st.datetimes(), st.binary(), st.integers())
)
def test_writing_a_value_gives_text_or_says_which_parameter_is_bad(value: Any):
    try:
        texts = wire_values("name", value)
    except BadParameter as error:
        texts = [error.parameter]
        assert error.parameter == "name"  # noqa: PT017 (most values raise nothing)
    "".join(texts).encode()


# ---------------------------------------------------------------- requests


def test_a_request_holds_twilios_names_in_order_without_what_is_none():
    request = Messages.create(
        to=TO,
        from_=FROM,
        body="hi",
        media_url=["https://a/1", "https://a/2"],
        smart_encoded=True,
        max_price=Decimal("0.1"),
    )
    assert request.method == "POST"
    assert request.template == "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    assert request.data == (
        ("To", TO),
        ("From", FROM),
        ("Body", "hi"),
        ("MediaUrl", "https://a/1"),
        ("MediaUrl", "https://a/2"),
        ("MaxPrice", "0.1"),
        ("SmartEncoded", "true"),
    )
    assert request.get("MediaUrl") == "https://a/1"
    assert request.get("StatusCallback") is None


def test_date_ranges_stand_in_the_raw_query_under_twilios_names():
    request = first(
        Messages.list(
            to=TO,
            date_sent_after=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            date_sent_before=date(2026, 1, 31),
        )
    )
    assert (
        request.query() == "To=%2B14155550100&DateSent%3E=2025-12-31T23%3A00%3A00Z&DateSent%3C=2026-01-31&PageSize=1000"
    )


def test_unicode_and_spaces_survive_the_query():
    request = Request("GET", "Messages.json", Message, (("Body", "a b&c=ü👍"),))
    assert request.query() == "Body=a%20b%26c%3D%C3%BC%F0%9F%91%8D"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("Messages.json", "/2010-04-01/Accounts/{AccountSid}/Messages.json"),
        ("/2010-04-01/Accounts.json", "/2010-04-01/Accounts.json"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com/v1/Services"),
    ],
)
def test_a_path_is_below_the_account_from_the_root_or_on_another_host(path: str, template: str):
    assert Request("GET", path, Message).template == template


def test_requests_are_values():
    one, same, other = (Messages.create(to=TO, body=body) for body in ("hi", "hi", "ho"))
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one


def test_a_listing_and_its_page_requests_pickle_with_all_they_hold():
    listing = Messages.list(to=TO, date_sent_after=date(2026, 1, 1), limit=7)
    request = first(listing)
    assert pickle.loads(pickle.dumps(listing)) == listing
    assert pickle.loads(pickle.dumps(request)) == request
    page = request.parser.parse(request, answer({"messages": [], "next_page_uri": "/2010-04-01/x.json?Page=1"}))
    assert pickle.loads(pickle.dumps(page)) == page


@pytest.mark.parametrize("show", [str, repr])
def test_a_request_is_shown_without_its_parameters(show: Callable[[Any], str]):
    shown = show(Messages.create(to=TO, from_=FROM, body="secret words"))
    assert "POST /2010-04-01/Accounts/{AccountSid}/Messages.json" in shown
    assert not any(word in shown for word in (TO, FROM, "secret", "4155550100"))


@pytest.mark.parametrize("show", [str, repr])
def test_an_answer_is_shown_without_its_body(show: Callable[[Any], str]):
    assert "secret" not in show(answer({"body": "secret words"}))


def test_replacing_takes_every_value_of_a_name_away():
    request = Messages.create(to=TO, body="hi", media_url=["https://a/1", "https://a/2"])
    changed = request.with_params(MediaUrl="https://b", From=FROM)
    assert changed.data == (("To", TO), ("Body", "hi"), ("MediaUrl", "https://b"), ("From", FROM))
    assert request.get("From") is None


def test_but_keeps_all_else():
    request: Request[Any] = Request("PUT", "a", NoContent, (("A", "1"),), {"b": 2}, False, ("C",), 3)
    assert not any(getattr(request, name) == default for name, default in Request._field_defaults.items())
    assert request.replace() == request
    other = request.replace(path="z", data=())
    assert (other.path, other.data) == ("z", ())
    assert other.replace(path=request.path, data=request.data) == request
    assert request.with_path("z").with_data(()) == other


def test_a_list_is_a_value():
    listing = Messages.list(to=TO, limit=5, page_size=3)
    same = pickle.loads(pickle.dumps(listing))
    assert (same, hash(same)) == (listing, hash(listing))
    assert listing.replace() == listing
    assert listing.replace(limit=4) == Messages.list(to=TO, limit=4, page_size=3) != listing
    assert listing.first_page() == same.first_page()
    with pytest.raises(BadParameter, match="page_size"):
        listing.replace(page_size=1001)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_form_is_written_so_that_it_is_read_the_same(name: str, value: str):
    written = Request("POST", "a", NoContent, ((name, value), ("To", "+1 2"))).query()
    assert parse_qsl(written, keep_blank_values=True) == [(name, value), ("To", "+1 2")]
    assert written.isascii()


def test_only_what_must_not_happen_twice_is_not_repeatable():
    dangerous: list[Request[Any]] = [
        Messages.create(to=TO, body="hi"),
        Calls.create(to=TO, url="https://example.com"),
        IncomingPhoneNumbers.create(phone_number=TO),
        Accounts.create(),
    ]
    harmless: list[Request[Any]] = [
        Messages.update(SM, body=""),
        Messages.delete(SM),
        Messages.fetch(SM),
        Accounts.update(AC, status="active"),
        Calls.update("CA" + "0" * 32, status="completed"),
    ]
    assert not any(request.idempotent for request in dangerous)
    assert all(request.idempotent for request in harmless)


@pytest.mark.parametrize(("size", "next_size"), [(1000, 100), (500, 100), (100, 20), (21, 20), (20, None), (1, None)])
def test_a_page_request_shrinks_until_it_cannot(size: int, next_size: int | None):
    smaller = first(Messages.list(to=TO, page_size=size)).with_smaller_page()
    assert (smaller and smaller.get("PageSize")) == (next_size and str(next_size))
    assert smaller is None or smaller.get("To") == TO


def test_what_has_no_pages_does_not_shrink():
    assert Messages.fetch(SM).with_smaller_page() is None


# ---------------------------------------------------------------- operations


class Client:
    """Keep what it was asked to send."""

    def send(self, request: Request[Any], /) -> Any:
        return ("sent", request)

    def iter_records(self, listing: Listing[Any], /) -> Any:
        return ("walked", listing)


def test_an_operation_builds_on_the_class_and_runs_on_a_client():
    bound: Any = Messages(Client())
    assert bound.create(to=TO, body="hi") == ("sent", Messages.create(to=TO, body="hi"))
    assert bound.list(to=TO) == ("walked", Messages.list(to=TO))


def test_an_operation_keeps_its_name_and_documentation():
    assert Messages.create.__name__ == "create"
    assert "Send a message" in (Messages.create.__doc__ or "")
    assert str(definition(Messages.create)) == "Messages.create"
    assert definition(Messages.create).wire_names["from_"] == "From"


def test_an_argument_before_the_star_is_not_sent():
    assert definition(Messages.update).wire_names == {"body": "Body", "status": "Status"}
    assert Messages.update(SM, body="").data == (("Body", ""),)


def test_a_default_that_would_be_sent_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="colour is sent, so it may only default to None"):

        class Paints(Resource[Any]):
            @operation
            @staticmethod
            def create(*, colour: str = "red") -> Request[Record]:
                return Request("POST", "Paints.json", Record)


def test_only_operations_have_a_definition():
    with pytest.raises(TypeError, match="is not an operation"):
        definition(print)


# ---------------------------------------------------------------- records

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


def test_a_record_is_twilios_dict_with_typed_properties():
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


def test_an_empty_text_is_a_text():
    assert Message(body="").body == ""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ("Sat, 31 Jan 2026 08:00:00 -0000", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_both_of_twilios_ways_to_write_a_time_are_read(text: str, time: datetime):
    assert Message(date_sent=text).date_sent == time


def test_numbers_are_exact_however_they_are_written():
    assert str(UsageRecord(price=0.1).price) == "0.1"
    assert str(UsageRecord(price="12.30000").price) == "12.30000"
    assert UsageRecord(start_date="2026-01-31").start_date == date(2026, 1, 31)
    assert IncomingPhoneNumber(beta=False).beta is False
    assert IncomingPhoneNumber(beta="false").beta is False


@pytest.mark.parametrize(
    ("record", "name", "said"),
    [
        (Message(price="cheap"), "price", r"Message.price is not a Decimal: got a str of length 5"),
        (Message(num_segments="two"), "num_segments", "Message.num_segments is not a int"),
        (Message(date_sent="soon"), "date_sent", "Message.date_sent is not a datetime"),
        (Message(date_sent=5), "date_sent", "Message.date_sent is not a datetime"),
        (Call(duration=[]), "duration", "Call.duration is not a int"),
    ],
)
def test_a_field_that_cannot_be_read_says_so_without_telling_it(record: Record, name: str, said: str):
    with pytest.raises(ValueError, match=said) as caught:
        getattr(record, name)
    assert "cheap" not in str(caught.value)
    assert f"record['{name}']" in str(caught.value)


def test_properties_are_read_only_and_say_where_to_write():
    with pytest.raises(AttributeError, match=r"read-only.*record\['status'\]"):
        Message(WIRE_MESSAGE).status = "failed"


def test_a_property_on_the_class_is_its_field():
    assert isinstance(Message.status, Field)


@pytest.mark.parametrize("show", [str, repr, "{}".format])
def test_a_record_shows_its_sid_and_status_only(show: Callable[[Any], str]):
    assert show(Message(WIRE_MESSAGE)) == f"<Message {SM} delivered>"
    assert show(Balance(balance="1.0")) == "<Balance>"


def test_an_account_is_read_without_its_token():
    wire = {"sid": AC, "auth_token": "secret", "status": "active"}
    read = Account.parse(Accounts.fetch(), answer(wire))
    assert read == {"sid": AC, "status": "active"}
    request = first(Accounts.list())
    assert request.parser.parse(request, answer({"accounts": [wire]})).records == [{"sid": AC, "status": "active"}]


@pytest.mark.parametrize("round_trip", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_records_survive_copies_and_pickles(round_trip: Callable[[Record], Record]):
    back = round_trip(Message(WIRE_MESSAGE))
    assert type(back) is Message
    assert back == WIRE_MESSAGE


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
def test_a_record_tells_when_it_cannot_be_the_answer(record: Record, fault: str | None):
    assert record.validation_error(AC) == fault


def test_a_number_just_given_away_may_belong_to_another_account():
    number = {"sid": "PN" + "0" * 32, "account_sid": OTHER}
    kept = IncomingPhoneNumbers.update(number["sid"], friendly_name="x")
    given_away = IncomingPhoneNumbers.update(number["sid"], transfer_to_account_sid=OTHER)
    assert kept.parser.parse(kept, answer(number)).validation_error(AC)
    assert given_away.parser.parse(given_away, answer(number)).validation_error(AC) is None
    assert given_away.parser.parse(given_away, answer({})).validation_error(AC)
    assert given_away.get("AccountSid") == OTHER


@pytest.mark.parametrize(
    ("value", "kinds", "true"),
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
def test_sids_are_told_from_other_things(value: Any, kinds: tuple[str, ...], true: bool):
    assert is_sid(value, kinds) is true


# ---------------------------------------------------------------- answers that can't be read

UNREADABLE = [
    (b"", "an empty body"),
    (b"<!DOCTYPE html><html>Bad gateway</html>", "an HTML page of 39 bytes"),
    (b"<html>", "an HTML page of 6 bytes"),
    (b"<?xml version='1.0'?><TwilioResponse/>", "XML of 38 bytes"),
    (b'{"sid": "SM12', r"JSON that is cut or broken \(13 bytes\)"),
    (b"\xff\xfe", "2 bytes of text/plain"),
    (b"[" * 100_000, "JSON that is cut or broken"),
]


@pytest.mark.parametrize(("body", "shape"), UNREADABLE)
def test_an_unreadable_answer_is_told_by_its_shape(body: bytes, shape: str):
    response = Response(200, {"content-type": "text/plain; charset=x", "twilio-request-id": "RQ1"}, body)
    with pytest.raises(ServerError, match=rf"GET /2010.*answered 200 with {shape}.*\(request RQ1\)") as caught:
        Message.parse(Messages.fetch(SM), response)
    assert (caught.value.status, caught.value.request_id) == (200, "RQ1")
    page = first(Messages.list())
    with pytest.raises(ServerError, match=shape):
        page.parser.parse(page, response)


def test_an_unreadable_answer_to_a_send_leaves_its_outcome_unknown():
    with pytest.raises(OutcomeUnknown):
        Message.parse(Messages.create(to=TO, body="hi"), Response(201, {}, b"<html>"))


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"text"'])
def test_json_that_is_no_object_is_not_a_record(body: bytes):
    with pytest.raises(ServerError):
        Message.parse(Messages.fetch(SM), Response(200, {}, body))


def test_a_deleted_record_is_no_answer():
    assert NoContent.parse(Messages.delete(SM), Response(204, {}, b"")) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "none"},
        {"messages": [], "others": []},
        {"messages": ["text"]},
        {"messages": [None]},
        {"meta": {"key": "messages"}, "others": []},
        {"meta": {"key": "messages"}, "messages": None},
    ],
)
def test_an_object_without_records_is_not_a_page(body: dict[str, Any]):
    request = first(Messages.list())
    with pytest.raises(ServerError, match="an object without a list of records"):
        request.parser.parse(request, answer(body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["messages", "meta", "key", "next_page_uri", "next_page_url", "x"]), inner
            )
        ),
    )
)
def test_reading_any_json_gives_a_page_or_an_error_of_ours(body: Any):
    request = first(Messages.list())
    try:
        page = request.parser.parse(request, answer(body))
    except TwilioError:
        return
    assert all(isinstance(record, Message) for record in page.records)


# ---------------------------------------------------------------- lists


def pages(listing: Listing[Any], answers: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Walk a list as a client does; give the records and the queries that were asked."""
    found: list[Any] = []
    asked: list[str] = []
    request = listing.first_page()
    while request is not None:
        asked.append(request.query())
        page = request.parser.parse(request, answer(answers[request.get("Page") or "0"]))
        found += page.records
        request = page.next
    return found, asked


def numbered(*sids: int) -> list[dict[str, str]]:
    return [{"sid": f"SM{number:032d}"} for number in sids]


NEXT = "/2010-04-01/Accounts/AC1/Messages.json?DateSent%3E=2026-01-01&To=%2B1415&PageSize=2&Page={0}&PageToken=PA{0}"


def test_a_list_is_followed_to_the_end_of_its_last_page():
    answers = {
        "0": {"messages": numbered(1, 2), "next_page_uri": NEXT.format(1), "page": 0},
        "1": {"messages": numbered(), "next_page_uri": NEXT.format(2), "page": 1},
        "2": {"messages": numbered(3), "next_page_uri": None, "page": 2},
    }
    found, asked = pages(Messages.list(page_size=2), answers)
    assert found == numbered(1, 2, 3)
    assert asked[1] == "DateSent%3E=2026-01-01&To=%2B1415&PageSize=2&Page=1&PageToken=PA1"


@pytest.mark.parametrize(
    ("limit", "size", "count", "requests"),
    [
        (0, None, 0, 0),
        (1, "1", 1, 1),
        (2, "2", 2, 1),
        (3, "2", 3, 2),
        (4, "2", 4, 2),
        (9, "2", 4, 2),
        (None, "2", 4, 2),
    ],
)
def test_a_limit_bounds_records_page_size_and_requests(limit: int | None, size: str | None, count: int, requests: int):
    answers = {
        "0": {"messages": numbered(1, 2), "next_page_uri": NEXT.format(1)},
        "1": {"messages": numbered(3, 4), "next_page_uri": None},
    }
    listing = Messages.list(limit=limit, page_size=2)
    request = listing.first_page()
    assert (request and request.get("PageSize")) == size
    found, asked = pages(listing, answers)
    assert (len(found), len(asked)) == (count, requests)


def test_an_empty_filter_is_kept_from_page_to_page():
    listing = Messages.list()
    page = listing.parse(first(listing), answer({"messages": [], "next_page_uri": "/2010-04-01/x.json?To=&Page=1"}))
    assert page.next is not None
    assert page.next.data == (("To", ""), ("Page", "1"))


def test_the_largest_page_is_asked_for_by_default():
    assert first(Messages.list()).get("PageSize") == "1000"
    assert first(Messages.list(limit=5000)).get("PageSize") == "1000"
    assert first(Messages.list(limit=30)).get("PageSize") == "30"


def test_newer_apis_page_by_the_address_in_meta():
    listing = Listing("https://messaging.twilio.com/v1/Services", Record)
    request = first(listing)
    here = "https://messaging.twilio.com/v1/Services?PageSize=1000&Page=1&PageToken=DNMG"
    body = {"meta": {"key": "services", "next_page_url": here}, "services": [{"sid": "MG1"}], "links": ["x"]}
    page = listing.parse(request, answer(body))
    assert page.records == [{"sid": "MG1"}]
    assert page.next is not None
    assert page.next.template == "https://messaging.twilio.com/v1/Services"
    assert page.next.data == (("PageSize", "1000"), ("Page", "1"), ("PageToken", "DNMG"))
    assert listing.parse(request, answer(body | {"meta": {"key": "services", "next_page_url": None}})).next is None


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("Messages.json", "https://evil.example/2010-04-01/x.json"),
        ("Messages.json", "//evil.example/2010-04-01/x.json"),
        ("Messages.json", "http:evil"),
        ("https://messaging.twilio.com/v1/Services", "https://evil.example/v1/Services?Page=1"),
        ("https://messaging.twilio.com/v1/Services", "http://messaging.twilio.com/v1/Services?Page=1"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com.evil.example/"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com@evil.example/"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com:444/v1/Services"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.eviltwilio.com/v1/Services"),
        ("https://messaging.twilio.com/v1/Services", "https://content.twilio.com/v1/Services"),
        ("Messages.json", "https://messaging.twilio.com/v1/Services"),
    ],
)
def test_a_next_page_on_another_host_is_refused(path: str, where: str):
    listing = Listing(path, Record)
    body = {"meta": {"key": "services", "next_page_url": where}, "services": []}
    with pytest.raises(TwilioError, match="another host"):
        listing.parse(first(listing), answer(body))


def test_the_same_product_in_another_region_is_no_other_host():
    listing = Listing("https://messaging.twilio.com/v1/Services", Record)
    where = "https://messaging.dublin.ie1.twilio.com/v1/Services?Page=1"
    page = listing.parse(first(listing), answer({"meta": {"key": "services", "next_page_url": where}, "services": []}))
    assert page.next is not None


@pytest.mark.parametrize("limit", [-1, True, 1.5, "ten", "-1", "²", []])
def test_a_limit_that_is_no_count_is_refused(limit: Any):
    with pytest.raises(BadParameter, match="limit is"):
        Messages.list(limit=limit)


@pytest.mark.parametrize("size", [0, 1001, -1, "1001", True])
def test_a_page_size_twilio_does_not_take_is_refused(size: Any):
    with pytest.raises(BadParameter, match=r"page_size is .*1 to 1000"):
        Messages.list(page_size=size)


def test_a_limit_may_come_from_a_template():
    assert first(Messages.list(limit="25")).get("PageSize") == "25"  # type: ignore[arg-type]
