"""Call operations: paths, parameters and checks."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_twilio.api.calls import COMPLETED, FAILED, FINAL, Call, Calls
from airflow_provider_twilio.api.errors import BadParameter

CA, AP, BY = (kind + "0" * 32 for kind in ("CA", "AP", "BY"))
TO, FROM, URL = "+14155550100", "+14155550199", "https://example.com/twiml"


def test_create_call_sends_arguments_and_requires_a_caller():
    request = Calls.create(
        to=TO,
        from_=FROM,
        url=URL,
        status_callback_event=["ringing", "completed"],
        async_amd=True,
        record=False,
        ring_timeout=30,
    )
    assert request.template == "/2010-04-01/Accounts/{AccountSid}/Calls.json"
    assert request.data == (
        ("To", TO),
        ("From", FROM),
        ("Url", URL),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "completed"),
        ("Timeout", "30"),
        ("Record", "false"),
        ("AsyncAmd", "true"),
    )
    assert request.requires_one_of == ("From",)
    assert request.idempotent is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "url or twiml or application_sid is missing: pass url, twiml or application_sid"),
        ({"url": URL, "twiml": "<Response/>"}, "url and twiml are mutually exclusive: pass one of them"),
        ({"url": URL, "application_sid": AP}, "url and application_sid are mutually exclusive"),
        ({"twiml": "<Response/>", "application_sid": AP}, "twiml and application_sid are mutually exclusive"),
        ({"twiml": "<Response>"}, "twiml is not well-formed XML"),
        ({"twiml": f"<Response>{'x' * 4000}</Response>"}, "twiml has 4021 characters: Twilio accepts at most 4000"),
        ({"url": URL, "ring_timeout": 601}, "ring_timeout is 601: use 1 to 600 seconds"),
        ({"url": URL, "ring_timeout": 0}, "ring_timeout is 0"),
        ({"url": URL, "send_digits": "1" * 33}, "send_digits has 33 keys: Twilio accepts at most 32"),
        ({"url": URL, "send_digits": "12,34"}, "send_digits contains characters that are not phone keys"),
        ({"url": URL, "send_digits": 1234}, "send_digits contains characters"),
        (
            {"url": URL, "send_digits": "1", "machine_detection": "Enable"},
            "send_digits and machine_detection are mutually exclusive: pass one of them",
        ),
        ({"url": URL, "method": "PUT"}, "method is not an allowed value.*GET, POST"),
        ({"url": URL, "status_callback_method": "get"}, "status_callback_method is not an allowed value"),
        ({"url": URL, "byoc": CA}, "byoc is a SID of the wrong type"),
        ({"url": URL, "machine_detection_silence_timeout": 100}, "use 2000 to 10000 milliseconds"),
        ({"url": URL, "machine_detection_speech_threshold": 7000}, "use 1000 to 6000 milliseconds"),
        ({"url": URL, "machine_detection_speech_end_threshold": 1}, "use 500 to 5000 milliseconds"),
    ],
)
def test_create_call_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        Calls.create(to=TO, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"application_sid": AP},
        {"twiml": "<Response><Hangup/></Response>"},
        {"url": URL, "send_digits": "W1234#*ABCDw" + "0" * 20},
        {"url": URL, "ring_timeout": 600, "byoc": BY},
    ],
)
def test_create_call_accepts_valid_arguments(arguments: dict[str, Any]):
    assert Calls.create(to=TO, **arguments).method == "POST"


def test_update_call_sends_status_or_twiml():
    assert Calls.update(CA, status="completed").data == (("Status", "completed"),)
    assert Calls.update(CA, status="canceled").path == f"Calls/{CA}.json"
    assert Calls.update(CA, url=URL, method="GET").data == (("Url", URL), ("Method", "GET"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "status or url or twiml or status_callback or time_limit is missing"),
        ({"url": URL, "twiml": "<Response/>"}, "url and twiml are mutually exclusive"),
        ({"status": "busy"}, "status is not an allowed value.*canceled, completed"),
        ({"twiml": "<Response>"}, "twiml is not well-formed XML"),
    ],
)
def test_update_call_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        Calls.update(CA, **arguments)


def test_list_calls_filters_by_time_status_and_parent():
    listing = Calls.list(
        status="in-progress",
        parent_call_sid=CA,
        start_time=date(2026, 1, 31),
        end_time_after=datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=2))),
        end_time_before=date(2026, 2, 1),
    )
    request = listing.first_page()
    assert request is not None
    assert request.query() == (
        f"ParentCallSid={CA}&Status=in-progress&StartTime=2026-01-31&EndTime%3E=2026-01-30T23%3A00%3A00Z"
        "&EndTime%3C=2026-02-01&PageSize=1000"
    )


def test_call_record_parses_numbers():
    call = Call({"duration": "15", "queue_time": "1000", "price": "-0.01300", "start_time": None, "end_time": ""})
    assert (call.duration, call.queue_time, str(call.price)) == (15, 1000, "-0.01300")
    assert (call.start_time, call.end_time, call.answered_by) == (None, None, None)


def test_call_statuses_are_disjoint():
    assert not COMPLETED & FAILED
    assert COMPLETED | FAILED == FINAL
