"""Privacy: no token, number or body in logs, exceptions and representations, at any level."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.prepare import prepare
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.privacy import mask, mask_logs
from tests.support.scripted import Drop, ScriptedResponse, ScriptedServer, Stall

ACCOUNT = "AC" + "a" * 32
TOKEN = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
SID = "SM" + "b" * 32
TO, FROM = "+14155550123", "+14155550100"
BODY = "the moon is full tonight"
SENT = {"sid": SID, "account_sid": ACCOUNT, "status": "queued", "to": TO, "from": FROM, "body": BODY}

# ---------------------------------------------------------------- masking


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+14155551234", "+1415•••1234"),
        ("to +14155551234.", "to +1415•••1234."),
        ("whatsapp:+14155551234", "whatsapp:+1415•••1234"),
        ("?To=%2B14155551234&x=1", "?To=+1415•••1234&x=1"),
        ("?To=%2b14155551234", "?To=+1415•••1234"),
        ("?To=14155551234&", "?To=1415•••1234&"),
        ("+1 (415) 555-1234 is no number", "+1415•••1234 is no number"),
        ("%2B1%20415%20555%201234", "+1415•••1234"),
        ("+1234567", "+12•••67"),
        ("'917000123456' is not valid", "'9170•••3456' is not valid"),
        ("/v2/PhoneNumbers/+14155551234?x", "/v2/PhoneNumbers/+1415•••1234?x"),
        ("+14155551234,+14155551235", "+1415•••1234,+1415•••1235"),
        ("+1\u00a0415\u202f555\u20071234 x", "+1415•••1234 x"),
        ("+1\u2011415\u2011555\u20111234", "+1415•••1234"),
        ("+1\u200b415\u2060555\u00ad1234", "+1415•••1234"),
        ("+49/171/1234567", "+4917•••4567"),
        ("+49 (0)171 / 1234567", "+4901•••4567"),
        ("%2B1%C2%A0415%E2%80%91555%2F1234", "+1415•••1234"),
        ("\uff0b14155551234", "+1415•••1234"),
        ("(415) 555-1234 is no number", "41•••34 is no number"),
        ("415.555.1234", "41•••34"),
        ("1-415-555-1234", "1415•••1234"),
        ("030/1234567", "03•••67"),
        ("tel:020 7946 0958", "tel:0207•••0958"),
        ("06 12 34 56 78", "06•••78"),
        ("8 (912) 345-67-89", "8912•••6789"),
        ("0049 171 1234567", "0049•••4567"),
    ],
)
def test_mask_replaces_numbers(text, masked):
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "SM" + "1234567890" * 3 + "12",
        "AC" + "1" * 32,
        "code 21211, 2026-11-23T15:30:00Z",
        "/2010-04-01/Accounts",
        "1 + 2 = 3",
        "http://127.0.0.1:8765",
        "http://192.168.100.200:8080",
        "12345",
        "2026-01-31 08:00:00",
        "01/02/2026 10:00",
        "31.01.2026 08:15",
        "2026-01-31/2026-02-28",
        "manual__2026-01-31T08:00:00+00:00",
        "0.123456789012",
        "took 1700000.123456 s",
        "21211: 19, 21408: 2",
    ],
)
def test_mask_keeps_text_without_numbers(text):
    assert mask(text) == text


@given(st.text(), st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.text())
def test_mask_of_any_text_contains_no_number(before, number, after):
    if not after[:1].isdigit():
        assert number not in mask(f"{before}{number}{after}")


def test_mask_logs_adds_one_filter_per_logger():
    logger = logging.getLogger("a.test.of.masking")
    for _ in range(3):
        mask_logs(logger.name)
    assert len(logger.filters) == 1


# ---------------------------------------------------------------- logs, exceptions, reprs

SCRIPTS = {
    "success": [ScriptedResponse(200, SENT)],
    "retried": [
        ScriptedResponse(429, {"code": 20429, "message": f"slower, {TO}", "status": 429}),
        ScriptedResponse(200, SENT),
    ],
    "rejected": [
        ScriptedResponse(
            400, {"code": 21211, "message": f"The 'To' number {TO} is not a valid phone number.", "status": 400}
        )
    ],
    "rejected with separators": [
        ScriptedResponse(
            400, {"errors": [{"code": 21211, "message": "(415)\u00a0555\u20110123 and +1/415/555/0123 are invalid"}]}
        )
    ],
    "rejected without +": [ScriptedResponse(400, {"code": 21211, "message": f"{TO[1:]} is not valid", "status": 400})],
    "unauthorized": [ScriptedResponse(401, {"code": 20003, "message": "Authenticate", "status": 401})],
    "server error": [ScriptedResponse(503)] * 2,
    "html": [ScriptedResponse(200, f"<html>{BODY}{TO}")] * 2,
    "wrong type": [ScriptedResponse(200, {**SENT, "sid": "CA" + "b" * 32})] * 2,
    "broken json": [ScriptedResponse(200, f'{{"body": "{BODY}", "to": "{TO}')] * 2,
    "truncated": [ScriptedResponse(200, SENT, cut=40)] * 2,
    "dropped": [Drop()] * 2,
    "stalled": [Stall()] * 2,
    "redirect": [ScriptedResponse(302, "", {"Location": f"https://example.com/?To={TO}"})],
}
REQUESTS: dict[str, Any] = {
    "send": Messages.create(to=TO, from_=FROM, body=BODY),
    "list": Messages.list(to=TO, from_=FROM).first_page(),
    "lookup": raw.raw_request("GET", f"https://lookups.twilio.com/v2/PhoneNumbers/{TO}", {"To": TO[1:]}),
    "json": raw.raw_request("POST", "/v1/Messages", json={"to": TO, "text": BODY}),
}


def blocking(settings, request):
    with Client(settings) as client:
        assert_no_secret(repr(client), repr(client._session))
        return client.send(request)


def asynchronous(settings, request):
    async def main():
        async with AsyncClient(settings) as client:
            assert_no_secret(repr(client), repr(client._session))
            return await client.send(request)

    return asyncio.run(main(), debug=True)


def assert_no_secret(*texts):
    for text in texts:
        for secret in (
            TOKEN,
            TO,
            TO[1:],
            "555\u20110123",
            "555/0123",
            FROM,
            BODY,
            BODY.replace(" ", "%20"),
            Basic(ACCOUNT, TOKEN).header[-20:],
        ):
            assert secret not in text


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("send", [blocking, asynchronous])
def test_clients_leak_nothing_in_logs_and_exceptions(caplog, send, request_, script):
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(*script) as server:
        settings = Settings(
            ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url, timeout=0.3, retries=1, retry_max_wait=0.01
        )
        try:
            send(settings, request_)
        except Exception as error:
            assert_no_secret(
                *traceback.format_exception(error), str(error), repr(error), repr(pickle.loads(pickle.dumps(error)))
            )
    assert server.requests
    assert caplog.records
    for record in caplog.records:
        assert_no_secret(record.getMessage(), record.exc_text or "", repr(record.args))
    assert_no_secret(caplog.text)


def test_clients_log_masked_urls(caplog):
    # Guards the test above: urllib3 does log URLs at DEBUG level.
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(ScriptedResponse(200, {"messages": []})) as server:
        blocking(Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url), REQUESTS["list"])
    assert "To=+1415•••0123" in caplog.text


def test_clients_leak_nothing_if_the_host_is_unreachable(caplog):
    caplog.set_level(logging.DEBUG)
    with ScriptedServer() as stopped:
        pass
    for send in (blocking, asynchronous):
        with pytest.raises(Exception, match="not sent") as caught:
            send(Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=stopped.url, retries=0), REQUESTS["list"])
        assert_no_secret(*traceback.format_exception(caught.value), caplog.text)


def test_reprs_leak_nothing():
    settings = Settings(
        ACCOUNT,
        Basic(ACCOUNT, TOKEN),
        proxy=f"http://me:{TOKEN}@p",
        defaults=(("From", FROM),),
        allowed_recipients=(TO,),
    )
    listing = Messages.list(to=TO)
    shown = [settings, settings.auth, listing, Response(200, {}, BODY.encode()), Message(SENT), *REQUESTS.values()]
    shown += [prepare(settings, request) for request in REQUESTS.values() if request.is_safe]
    for value in shown:
        assert_no_secret(repr(value), str(value), f"{value}", f"{[value]}")
