"""Raw requests and lists: method, path and parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.api import raw
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
def test_raw_request_appends_json_to_2010_api_paths(path: str, template: str):
    assert raw.raw_request("GET", path).template == template
    assert raw.raw_listing(path).path.endswith(template.removeprefix(f"{ROOT}/"))


def test_raw_request_sends_parameter_names_unchanged():
    data = {
        "FriendlyName": "q",
        "StartTime>": datetime(2026, 1, 1, tzinfo=UTC),
        "Tag": ["a", "b"],
        "On": True,
        "No": None,
    }
    assert raw.raw_request("post", "Queues", data).data == (
        ("FriendlyName", "q"),
        ("StartTime>", "2026-01-01T00:00:00Z"),
        ("Tag", "a"),
        ("Tag", "b"),
        ("On", "true"),
    )


@pytest.mark.parametrize(
    ("method", "idempotent"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
def test_raw_request_is_idempotent_by_method_or_argument(method: str, idempotent: bool):
    assert raw.raw_request(method, "Queues").idempotent is idempotent
    assert raw.raw_request(method, "Queues", idempotent=True).idempotent is True


def test_raw_request_accepts_a_json_body():
    request = raw.raw_request("POST", "https://content.twilio.com/v1/Content", json={"friendly_name": "x"})
    assert (request.json, request.data, request.parser) == ({"friendly_name": "x"}, (), Record)


def test_raw_listing_keeps_filters_and_page_size():
    listing = raw.raw_listing("Queues", {"Status": "x", "PageSize": 20}, limit=50)
    assert (listing.data, listing.page_size, listing.limit) == ((("Status", "x"),), 20, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_raw_request_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        raw.raw_request(**({"method": "POST", "path": "Queues"} | arguments))
