"""The door for all other operations: method, path and parameters as Twilio writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api import raw as other
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import Record

ROOT = "/2010-04-01/Accounts/{AccountSid}"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("Queues", f"{ROOT}/Queues.json"),
        ("Queues.json", f"{ROOT}/Queues.json"),
        (f"{ROOT}/Queues", f"{ROOT}/Queues.json"),
        ("/v1/Services", "/v1/Services"),
        ("https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com/v1/Services"),
    ],
)
def test_a_path_of_the_2010_api_asks_for_json(path: str, template: str):
    assert other.raw_request("GET", path).template == template
    assert other.raw_listing(path).path.endswith(template.removeprefix(f"{ROOT}/"))


def test_parameters_go_out_as_they_are_spelt():
    data = {
        "FriendlyName": "q",
        "StartTime>": datetime(2026, 1, 1, tzinfo=UTC),
        "Tag": ["a", "b"],
        "On": True,
        "No": None,
    }
    assert other.raw_request("post", "Queues", data).data == (
        ("FriendlyName", "q"),
        ("StartTime>", "2026-01-01T00:00:00Z"),
        ("Tag", "a"),
        ("Tag", "b"),
        ("On", "true"),
    )


@pytest.mark.parametrize(
    ("method", "again"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
def test_a_post_is_not_repeated_unless_told_so(method: str, again: bool):
    assert other.raw_request(method, "Queues").idempotent is again
    assert other.raw_request(method, "Queues", idempotent=True).idempotent is True


def test_a_body_may_be_json():
    request = other.raw_request("POST", "https://content.twilio.com/v1/Content", json={"friendly_name": "x"})
    assert (request.json, request.data, request.parser) == ({"friendly_name": "x"}, (), Record)


def test_a_list_keeps_its_filters_and_page_size():
    listing = other.raw_listing("Queues", {"Status": "x", "PageSize": 20}, limit=50)
    assert (listing.data, listing.page_size, listing.limit) == ((("Status", "x"),), 20, 50)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "FETCH"}, "method is 'FETCH': use one of GET, POST"),
        ({"path": ""}, "path is empty"),
        ({"path": "Queues?x=1"}, "path contains a query or fragment: pass its parameters as data"),
        ({"path": "Queues#x"}, "path contains a query"),
        ({"data": {"x": 1}, "json": {}}, "data and json are mutually exclusive"),
        ({"json": {"x": {1}}}, "json contains a value that JSON cannot represent"),
        ({"json": {"x": float("nan")}}, "json contains a value that JSON cannot represent"),
        ({"json": {"x": "\ud83d"}}, "json contains a value that JSON cannot represent"),
        ({"data": {"Start": datetime(2026, 1, 1)}}, "Start is a datetime without a time zone"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_sent_is_refused(arguments: dict[str, Any], said: str):
    with pytest.raises(BadParameter, match=said):
        other.raw_request(**({"method": "POST", "path": "Queues"} | arguments))
