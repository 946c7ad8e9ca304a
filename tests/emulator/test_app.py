"""Generated requests get responses in Twilio's form: never status 500, never a traceback."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.emulator.app import MESSAGING_ROUTES, RESOURCE_ROUTES
from tests.emulator.conftest import Api

NAMES = [
    "To",
    "From",
    "Body",
    "MessagingServiceSid",
    "MediaUrl",
    "ContentSid",
    "ContentVariables",
    "StatusCallback",
    "SendAt",
    "ScheduleType",
    "ValidityPeriod",
    "MaxPrice",
    "Status",
    "Url",
    "Twiml",
    "Timeout",
    "TimeLimit",
    "SendDigits",
    "Method",
    "PhoneNumber",
    "AreaCode",
    "FriendlyName",
    "AccountSid",
    "SmsUrl",
    "PageSize",
    "Page",
    "PageToken",
    "DateSent",
    "DateSent>",
    "DateSent<",
    "StartTime>",
    "EndTime<",
    "DateCreated<",
    "StartDate",
    "EndDate",
    "Category",
    "Contains",
    "NearLatLong",
    "NearNumber",
    "Distance",
    "Outcome",
    "PhoneNumberSid",
    "Record",
    "StatusCallbackEvent",
    "CallSid",
    "InRegion",
    "Beta",
    "IncludeSubaccounts",
    "MachineDetection",
]
SAMPLE_VALUES = [
    *[
        "+14155550100",
        "+15005550006",
        "+15005559101",
        "whatsapp:+14155550100",
        "true",
        "-1",
        "1",
        "50",
        "1001",
        "fixed",
        "canceled",
        "completed",
        "closed",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "-30days",
        "http://example.com",
        "http://[",
        "http://a:99999/",
        "415",
        "37.7,-122.4",
        "{}",
        "confirmed",
        "0001-01-01",
        "9999-12-31",
        "2026-01-01T00:00:00+25:00",
        "²",
        "１",
        "http://127.0.0.1:1/#rc=²",
    ],
    "",
    "<Response><Say>x</Say></Response>",
    "12/31/9999 23:59:59 PST",
    "MG" + "0" * 32,
    "[" * 2000,
]
VALUES = st.one_of(st.sampled_from(SAMPLE_VALUES), st.text(max_size=40))
PAIRS = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), VALUES), max_size=6)
TEMPLATES = sorted(RESOURCE_ROUTES) + sorted(f"/messaging.twilio.com/v1/{template}" for template in MESSAGING_ROUTES)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    template=st.sampled_from(TEMPLATES),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    pick=st.integers(0, 5),
    pairs=PAIRS,
    seconds=st.sampled_from([0, 0, 1, 30]),
)
def test_app_generated_request_gets_twilio_response(
    emulator: Emulator, api: Api, template: str, method: str, pick: int, pairs: Any, seconds: int
) -> None:
    if not emulator.messages:
        api.send()
        api.post("Calls.json", To="+14155550100", From=emulator.phone_number, Url="http://example.com/")
        api.post("/messaging.twilio.com/v1/Services", FriendlyName="x")
    emulator.clock.advance(seconds)
    known = [record["sid"] for records in (emulator.messages, emulator.calls, emulator.numbers) for record in records]
    path = template
    while "{}" in path:
        country = path.startswith("AvailablePhoneNumbers")
        path = path.replace("{}", "US" if country else known[pick % len(known)] if known else "SM" + "0" * 32, 1)
    response = api(method, path if path.startswith("/") else f"{path}.json", pairs)
    assert response.status_code < 500, response.text
    if response.status_code == 204:
        assert response.content == b""
    elif response.status_code >= 400:
        assert set(response.json()) >= {"code", "message", "more_info", "status"}
    else:
        assert isinstance(response.json(), dict)


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("Messages.json", b"\xff\xfe=%ff&To", "application/x-www-form-urlencoded"),
        ("Messages.json", b'{"To": "+14155550100"}', "application/json"),
        ("Messages.json", b"", "multipart/form-data; boundary=x"),
        ("Messages.json", b"x" * (9 * 1024 * 1024), "application/x-www-form-urlencoded"),
        ("Messages/%00.json", b"", "application/x-www-form-urlencoded"),
    ],
)
def test_app_malformed_body_or_path_gets_twilio_error(api: Api, path: str, body: bytes, content_type: str) -> None:
    response = api("POST", path, body, headers={"Content-Type": content_type})
    assert 400 <= response.status_code < 500
    assert response.json()["code"]


def test_app_truncated_body_creates_no_message(emulator: Emulator, api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)
    connection.putrequest("POST", f"/2010-04-01/Accounts/{api.account_sid}/Messages.json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"To=%2B14155550100&From=%2B15005550006&Body=x")
    connection.close()
    assert api.get("Messages.json")["messages"] == []
