"""Requests as values: data, query, path and page size."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.accounts import Accounts
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.response import Response
from tests.support.responses import AC, FROM, SM, TO, first_page


def test_request_data_has_wire_names_in_order_without_none():
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


def test_request_query_encodes_date_ranges():
    request = first_page(
        Messages.list(
            to=TO,
            date_sent_after=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            date_sent_before=date(2026, 1, 31),
        )
    )
    assert (
        request.query() == "To=%2B14155550100&DateSent%3E=2025-12-31T23%3A00%3A00Z&DateSent%3C=2026-01-31&PageSize=1000"
    )


def test_request_query_encodes_unicode_and_spaces():
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
def test_request_template_is_account_path_root_path_or_url(path: str, template: str):
    assert Request("GET", path, Message).template == template


def test_request_is_comparable_hashable_and_picklable():
    request, same, other = (Messages.create(to=TO, body=body) for body in ("hi", "hi", "ho"))
    assert request == same
    assert request != other
    assert len({request, same, other}) == 2
    assert pickle.loads(pickle.dumps(request)) == request
    assert copy.deepcopy(request) == request


@pytest.mark.parametrize("show", [str, repr])
def test_request_repr_omits_parameters(show: Callable[[Any], str]):
    shown = show(Messages.create(to=TO, from_=FROM, body="secret words"))
    assert "POST /2010-04-01/Accounts/{AccountSid}/Messages.json" in shown
    assert not any(word in shown for word in (TO, FROM, "secret", "4155550100"))


def test_request_with_params_replaces_every_value_of_a_name():
    request = Messages.create(to=TO, body="hi", media_url=["https://a/1", "https://a/2"])
    changed = request.with_params(MediaUrl="https://b", From=FROM)
    assert changed.data == (("To", TO), ("Body", "hi"), ("MediaUrl", "https://b"), ("From", FROM))
    assert request.get("From") is None


def test_request_replace_keeps_other_fields():
    request: Request[Any] = Request("PUT", "a", NoContent, (("A", "1"),), {"b": 2}, False, ("C",), 3)
    assert not any(getattr(request, name) == default for name, default in Request._field_defaults.items())
    assert request.replace() == request
    other = request.replace(path="z", data=())
    assert (other.path, other.data) == ("z", ())
    assert other.replace(path=request.path, data=request.data) == request
    assert request.with_path("z").with_data(()) == other


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_request_query_round_trips_any_text(name: str, value: str):
    query = Request("POST", "a", NoContent, ((name, value), ("To", "+1 2"))).query()
    assert parse_qsl(query, keep_blank_values=True) == [(name, value), ("To", "+1 2")]
    assert query.isascii()


def test_request_is_idempotent_except_sends_and_purchases():
    not_idempotent: list[Request[Any]] = [
        Messages.create(to=TO, body="hi"),
        Calls.create(to=TO, url="https://example.com"),
        IncomingPhoneNumbers.create(phone_number=TO),
        Accounts.create(),
    ]
    idempotent: list[Request[Any]] = [
        Messages.update(SM, body=""),
        Messages.delete(SM),
        Messages.fetch(SM),
        Accounts.update(AC, status="active"),
        Calls.update("CA" + "0" * 32, status="completed"),
    ]
    assert not any(request.idempotent for request in not_idempotent)
    assert all(request.idempotent for request in idempotent)


@pytest.mark.parametrize(("size", "next_size"), [(1000, 100), (500, 100), (100, 20), (21, 20), (20, None), (1, None)])
def test_request_with_smaller_page_steps_down_to_none(size: int, next_size: int | None):
    smaller = first_page(Messages.list(to=TO, page_size=size)).with_smaller_page()
    assert (smaller and smaller.get("PageSize")) == (next_size and str(next_size))
    assert smaller is None or smaller.get("To") == TO


def test_request_without_page_size_has_no_smaller_page():
    assert Messages.fetch(SM).with_smaller_page() is None


def test_response_without_content_parses_to_none():
    assert NoContent.parse(Messages.delete(SM), Response(204, {}, b"")) is None
