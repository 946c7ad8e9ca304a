"""Tests of both clients over a real socket: retries, responses, lists, and requests on the wire."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    BadParameter,
    InvalidRequest,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    TwilioError,
)
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from tests.client.conftest import ACCOUNT, TOKEN
from tests.support.scripted import Drop, ScriptedResponse, ScriptedServer, Stall, pages

SID = "SM" + "b" * 32
LIST = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
SENT = {"sid": SID, "account_sid": ACCOUNT, "status": "queued", "to": "+14155550123"}
TOO_MANY = {"code": 20429, "message": "Too Many Requests", "status": 429}


def send():
    return Messages.create(to="+14155550123", from_="+14155550100", body="hello")


def messages(first: int, count: int) -> list[dict[str, str]]:
    return [{"sid": f"SM{number:032x}", "account_sid": ACCOUNT} for number in range(first, first + count)]


# ---------------------------------------------------------------- retries


@pytest.mark.parametrize("rejection", [TOO_MANY, {}, ""], ids=["20429", "no code", "empty"])
def test_send_after_rate_limit_retries_message(run, server, rejection):
    server.play(ScriptedResponse(429, rejection), ScriptedResponse(201, SENT))
    assert run(server.url).send(send()).sid == SID
    assert server.count("POST") == len(server.requests) == 2


def test_send_429_with_another_code_is_not_retried(run, server):
    server.play(ScriptedResponse(429, {"code": 63038, "message": "daily limit", "status": 429}))
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(send())
    assert caught.value.code == 63038
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "response",
    [ScriptedResponse(503), ScriptedResponse(500), ScriptedResponse(502, "<html>"), Drop()],
    ids=["503", "500", "html", "drop"],
)
def test_send_message_without_response_is_not_retried(run, server, response):
    server.play(response)
    with pytest.raises(OutcomeUnknown):
        run(server.url).send(send())
    assert server.count("POST") == len(server.requests) == 1


@pytest.mark.parametrize(
    "response",
    [
        ScriptedResponse(503),
        ScriptedResponse(500),
        ScriptedResponse(429, TOO_MANY),
        Drop(),
        ScriptedResponse(200, "{", cut=0),
    ],
)
def test_send_retries_safe_request(run, server, response):
    server.play(response, response, ScriptedResponse(200, SENT))
    assert run(server.url).send(Messages.fetch(SID)).sid == SID
    assert len(server.requests) == 3


def test_send_stops_after_last_retry(run, server):
    server.play(*[ScriptedResponse(503)] * 10)
    with pytest.raises(ServerError) as caught:
        run(server.url, retries=2).send(Messages.fetch(SID))
    assert caught.value.status == 503
    assert len(server.requests) == 3


def test_send_without_retries_sends_one_request(run, server):
    server.play(ScriptedResponse(503), ScriptedResponse(200, SENT))
    with pytest.raises(ServerError):
        run(server.url, retries=0).send(Messages.fetch(SID))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_send_does_not_retry_rejection(run, server, status):
    server.play(ScriptedResponse(status, {"code": 20001, "message": "no", "status": status}))
    with pytest.raises(TwilioError) as caught:
        run(server.url).send(Messages.fetch(SID))
    assert caught.value.permanent
    assert len(server.requests) == 1


def test_send_raw_post_is_retried_only_if_idempotent(run, server):
    server.play(ScriptedResponse(503), ScriptedResponse(503), ScriptedResponse(200, {"ok": 1}))
    with pytest.raises(OutcomeUnknown):
        run(server.url).send(raw.raw_request("POST", "Queues", {"FriendlyName": "q"}))
    assert run(server.url).send(raw.raw_request("POST", "Queues", {"FriendlyName": "q"}, idempotent=True)) == {"ok": 1}
    assert len(server.requests) == 3


def test_send_retries_refused_connection(run, caplog):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(NotSent, match="the connection failed"):
        run(url, retries=2).send(send())
    assert [record.args[1:3] for record in caplog.records if "Retrying in" in record.message] == [(1, 2), (2, 2)]


def test_send_to_unknown_host_raises_not_sent(run):
    with pytest.raises(NotSent):
        run("https://nowhere.invalid", retries=0).send(send())


# ---------------------------------------------------------------- delays and timeouts


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_send_waits_for_retry_after(run, server, form):
    retry_after = "0.3" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.play(ScriptedResponse(429, TOO_MANY, {"Retry-After": retry_after}), ScriptedResponse(201, SENT))
    started = time.monotonic()
    run(server.url, retry_max_wait=10).send(send())
    assert 0.3 <= time.monotonic() - started < 3


def test_send_waits_at_most_retry_max_wait(run, server):
    server.play(ScriptedResponse(503, headers={"Retry-After": "8"}), ScriptedResponse(200, SENT))
    started = time.monotonic()
    run(server.url, retry_max_wait=0.2).send(Messages.fetch(SID))
    assert 0.2 <= time.monotonic() - started < 2


def test_send_on_stalled_socket_ends_at_timeout(run, server):
    server.play(Stall(), Stall())
    client = run(server.url, timeout=0.3, retries=0)
    for request, error in ((send(), OutcomeUnknown), (Messages.fetch(SID), ServerError)):
        started = time.monotonic()
        with pytest.raises(error, match="timed out") as caught:
            client.send(request)
        assert 0.3 <= time.monotonic() - started < 1.5
        assert "Messages" in str(caught.value)


async def test_async_client_waiting_for_free_connection_does_not_time_out(server):
    """With a shared client, waiting for a free connection may take longer than the timeout."""
    server.play(*[ScriptedResponse(200, SENT, delay=0.15)] * 8)
    settings = Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url, timeout=1, retries=0)
    async with AsyncClient(settings, concurrency=1) as client:
        started = time.monotonic()
        assert await asyncio.gather(*(client.send(send()) for _ in range(8))) == [SENT] * 8
    assert time.monotonic() - started >= 8 * 0.15
    assert server.connections == 1


# ---------------------------------------------------------------- deleting


def test_delete_not_found_after_lost_response_succeeds(run, server):
    server.play(Drop(), ScriptedResponse(404, {"code": 20404, "message": "not found", "status": 404}))
    assert run(server.url).send(Messages.delete(SID)) is None
    assert server.count("DELETE") == 2


@pytest.mark.parametrize(
    "earlier", [[], [ScriptedResponse(429, TOO_MANY)]], ids=["first attempt", "after a rate limit"]
)
def test_delete_not_found_without_lost_response_raises(run, server, earlier):
    server.play(*earlier, ScriptedResponse(404, {"code": 20404, "message": "not found", "status": 404}))
    with pytest.raises(NotFound):
        run(server.url).send(Messages.delete(SID))


def test_delete_sends_no_body(run, server):
    server.play(ScriptedResponse(204))
    assert run(server.url).send(Messages.delete(SID)) is None
    assert server.requests[0].body == b""


# ---------------------------------------------------------------- ending calls and messages

CALL = "CA" + "c" * 32
HANG_UP = Calls.update(CALL, status="completed")
CANCEL = Messages.update(SID, status="canceled")
CALL_ENDED = ScriptedResponse(
    400, {"code": 21220, "message": "Call is not in-progress. Cannot redirect.", "status": 400}
)
NOT_CANCELABLE = ScriptedResponse(409, {"code": 30409, "message": "This message cannot be canceled", "status": 409})


def record(sid, status):
    return {"sid": sid, "account_sid": ACCOUNT, "status": status}


@pytest.mark.parametrize("lost", [Drop(), ScriptedResponse(503)], ids=["drop", "503"])
@pytest.mark.parametrize(
    ("change", "rejection", "current"),
    [
        (HANG_UP, CALL_ENDED, record(CALL, "completed")),
        (HANG_UP, CALL_ENDED, record(CALL, "canceled")),
        (Calls.update(CALL, status="canceled"), CALL_ENDED, record(CALL, "canceled")),
        (CANCEL, NOT_CANCELABLE, record(SID, "canceled")),
    ],
    ids=["hung up", "hung up while it rang", "call canceled", "message canceled"],
)
def test_end_request_rejected_after_lost_response_succeeds(run, server, lost, change, rejection, current):
    server.play(lost, rejection, ScriptedResponse(503), ScriptedResponse(200, current))
    result = run(server.url).send(change)
    assert (type(result), result) == (change.parser, current)
    assert [request.method for request in server.requests] == ["POST", "POST", "GET", "GET"]
    assert len({request.target for request in server.requests}) == 1


@pytest.mark.parametrize(
    ("change", "rejection", "current"),
    [
        (Calls.update(CALL, status="canceled"), CALL_ENDED, record(CALL, "completed")),
        (CANCEL, NOT_CANCELABLE, record(SID, "sent")),
    ],
    ids=["call", "message"],
)
def test_end_request_with_another_final_status_raises(run, server, change, rejection, current):
    server.play(Drop(), rejection, ScriptedResponse(200, current))
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(change)
    assert caught.value.code in (21220, 30409)


@pytest.mark.parametrize(
    ("change", "earlier"),
    [
        (HANG_UP, []),
        (HANG_UP, [ScriptedResponse(429, TOO_MANY)]),
        (Calls.update(CALL, url="https://example.com/voice"), [Drop()]),
    ],
    ids=["first attempt", "after a rate limit", "new TwiML instead of an end"],
)
def test_end_request_rejected_without_lost_response_raises(run, server, change, earlier):
    server.play(*earlier, CALL_ENDED)
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(change)
    assert caught.value.code == 21220
    assert server.count("GET") == 0


# ---------------------------------------------------------------- unreadable responses


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (ScriptedResponse(200, ""), "empty body"),
        (ScriptedResponse(200, "<!DOCTYPE html><p>maintenance", {"Content-Type": "text/html"}), "HTML page"),
        (ScriptedResponse(200, "<?xml version='1.0'?><TwilioResponse/>", {"Content-Type": "application/xml"}), "XML"),
        (ScriptedResponse(200, '{"sid": "SM'), "truncated or invalid JSON"),
        (ScriptedResponse(200, "null"), "instead of JSON"),
        (ScriptedResponse(200, "ok", {"Content-Type": "text/plain"}), "text/plain"),
    ],
    ids=["empty", "html", "xml", "broken", "null", "text"],
)
@pytest.mark.parametrize("request_", [Messages.fetch(SID), send()], ids=["fetch", "send"])
def test_send_unreadable_body_raises_error_with_request_id(run, server, response, expected, request_):
    response.headers = {**response.headers, "Twilio-Request-Id": "RQ123"}
    server.play(response)
    with pytest.raises(ServerError if request_.idempotent else OutcomeUnknown, match=expected) as caught:
        run(server.url, retries=0).send(request_)
    assert "200" in str(caught.value)
    assert "RQ123" in str(caught.value)
    assert caught.value.__cause__ is None


def test_send_truncated_body_error_names_request(run, server):
    server.play(ScriptedResponse(200, SENT, cut=10))
    with pytest.raises(ServerError, match=f"GET .*/Messages/{SID}.json: no response"):
        run(server.url, retries=0).send(Messages.fetch(SID))


def test_send_message_with_truncated_body_raises_outcome_unknown(run, server):
    server.play(ScriptedResponse(201, SENT, cut=10))
    with pytest.raises(OutcomeUnknown, match="POST"):
        run(server.url).send(send())
    assert len(server.requests) == 1


def test_send_does_not_follow_redirect_of_operation(run, server):
    with ScriptedServer(ScriptedResponse(200, SENT), repeat=True) as elsewhere:
        server.play(ScriptedResponse(307, "", {"Location": f"{elsewhere.url}/"}))
        with pytest.raises(ServerError, match="307"):
            run(server.url, retries=0).send(Messages.fetch(SID))
        assert elsewhere.requests == []


def test_send_ignores_cookies(run, server):
    server.play(ScriptedResponse(200, SENT, {"Set-Cookie": "a=b; Path=/"}), ScriptedResponse(200, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    client.send(Messages.fetch(SID))
    assert "cookie" not in server.requests[1].headers
    assert server.connections == 1


# ---------------------------------------------------------------- responses with a wrong record


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"sid": "CA" + "b" * 32}, "SM or MM"), ({"sid": None}, "SM or MM"), ({"account_sid": "AC" + "9" * 32}, "AC999")],
    ids=["a call", "none", "another account"],
)
def test_send_response_with_wrong_record_raises(run, server, changes, expected):
    server.play(*[ScriptedResponse(200, {**SENT, **changes})] * 3)
    with pytest.raises(ServerError, match=expected):
        run(server.url, retries=0).send(Messages.fetch(SID))
    with pytest.raises(OutcomeUnknown, match=expected):
        run(server.url, retries=0).send(send())
    assert run(server.url, validate=False).send(Messages.fetch(SID)) == {**SENT, **changes}


# ---------------------------------------------------------------- lists


def test_iter_records_follows_all_pages(run, server):
    server.play(*pages("messages", messages(0, 3), [], messages(3, 2), path=LIST))
    records = run(server.url).list(Messages.list())
    assert [message.sid for message in records] == [message["sid"] for message in messages(0, 5)]
    assert all(isinstance(message, Message) for message in records)
    assert [request.query for request in server.requests] == [
        "PageSize=1000",
        "PageSize=1000&Page=1&PageToken=PA0",
        "PageSize=1000&Page=2&PageToken=PA1",
    ]


def test_iter_records_fetches_pages_lazily(server):
    server.play(*pages("messages", messages(0, 3), messages(3, 2), path=LIST))
    with Client(Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url)) as client:
        records = client.messages.list()
        assert server.requests == []
        assert next(records).sid == messages(0, 1)[0]["sid"]
        assert len(server.requests) == 1


@pytest.mark.parametrize(("limit", "requests"), [(0, 0), (2, 1), (3, 1), (4, 2), (9, 2)])
def test_iter_records_limit_bounds_records_and_requests(run, server, limit, requests):
    server.play(*pages("messages", messages(0, 3), messages(3, 2), path=LIST))
    records = run(server.url).list(Messages.list(limit=limit))
    assert len(records) == min(limit, 5)
    assert len(server.requests) == requests
    if requests:
        assert server.requests[0].query == f"PageSize={limit}"


@pytest.mark.parametrize(
    "next_page_uri",
    [
        "https://evil.example/2010-04-01/Accounts/x/Messages.json",
        "//evil.example/Messages.json",
        "https://api.twilio.com.evil.example/Messages.json",
        "http://127.0.0.1:1/Messages.json",
        "https://user@api.twilio.com/Messages.json",
        "https://evil.example\\.twilio.com/Messages.json",
    ],
)
def test_iter_records_rejects_next_page_on_another_host(run, server, next_page_uri):
    server.play(ScriptedResponse(200, {"messages": messages(0, 1), "next_page_uri": next_page_uri}))
    with pytest.raises(TwilioError, match="another host"):
        run(server.url).list(Messages.list())
    assert len(server.requests) == 1


def test_iter_pages_large_page_fails_requests_smaller_page(run, server):
    failing = ScriptedResponse(500, {"code": 20500, "message": "oops", "status": 500})
    first, second, last = pages("messages", messages(0, 2), messages(2, 2), messages(4, 1), path=LIST)
    server.play(failing, failing, first, failing, second, last)
    records = run(server.url).list(Messages.list())
    assert [message.sid for message in records] == [message["sid"] for message in messages(0, 5)]
    queries = [dict(pair.split("=") for pair in request.query.split("&")) for request in server.requests]
    assert [query["PageSize"] for query in queries] == ["1000", "100", "20", "1000", "100", "1000"]
    assert [query.get("PageToken") for query in queries] == [None, None, None, "PA0", "PA0", "PA1"]


def test_iter_pages_small_page_fails_is_retried(run, server):
    server.play(ScriptedResponse(500), ScriptedResponse(200, {"messages": messages(0, 1)}))
    assert len(run(server.url).list(Messages.list(limit=5))) == 1
    assert [request.query for request in server.requests] == ["PageSize=5", "PageSize=5"]


def test_iter_pages_page_fails_in_every_size_raises(run, server):
    server.play(*[ScriptedResponse(500)] * 20)
    with pytest.raises(ServerError):
        run(server.url, retries=1).list(Messages.list())
    assert len(server.requests) == 4


def test_iter_records_newer_api_follows_meta(run, server):
    path = "/messaging.twilio.com/v1/Services"
    sids = ["MG" + digit * 32 for digit in "123"]
    server.play(
        ScriptedResponse(
            200,
            {
                "services": [{"sid": sids[0]}],
                "meta": {"key": "services", "next_page_url": f"{server.url}{path}?Page=1"},
            },
        ),
        ScriptedResponse(
            200,
            {
                "services": [{"sid": sids[1]}],
                "meta": {"key": "services", "next_page_url": "https://messaging.twilio.com/v1/Services?Page=2"},
            },
        ),
        ScriptedResponse(200, {"services": [{"sid": sids[2]}], "meta": {"key": "services", "next_page_url": None}}),
    )
    records = run(server.url).list(raw.raw_listing("https://messaging.twilio.com/v1/Services"))
    assert [service["sid"] for service in records] == sids
    assert [request.target for request in server.requests] == [
        f"{path}?PageSize=1000",
        f"{path}?Page=1",
        f"{path}?Page=2",
    ]


# ---------------------------------------------------------------- requests on the wire


def test_wire_form_is_percent_encoded(run, server):
    server.play(ScriptedResponse(201, SENT))
    run(server.url).send(
        Messages.create(
            to="whatsapp:+14155550123",
            messaging_service_sid="MG" + "c" * 32,
            body="Grüße & 100 % 😀\n+1",
            media_url=["https://example.com/a.png", "https://example.com/b?c=d&e"],
        )
    )
    (request,) = server.requests
    assert request.target == LIST
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body.decode() == (
        f"To=whatsapp%3A%2B14155550123&MessagingServiceSid=MG{'c' * 32}"
        "&Body=Gr%C3%BC%C3%9Fe%20%26%20100%20%25%20%F0%9F%98%80%0A%2B1"
        "&MediaUrl=https%3A%2F%2Fexample.com%2Fa.png&MediaUrl=https%3A%2F%2Fexample.com%2Fb%3Fc%3Dd%26e"
    )
    assert request.headers["user-agent"].startswith("airflow-provider-twilio/")
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"].startswith("Basic ")


def test_wire_query_is_percent_encoded(run, server):
    server.play(ScriptedResponse(200, {"messages": []}))
    run(server.url).list(
        Messages.list(to="+14155550123", date_sent_after=datetime(2026, 1, 1, 3, tzinfo=UTC), page_size=50)
    )
    assert server.requests[0].query == "To=%2B14155550123&DateSent%3E=2026-01-01T03%3A00%3A00Z&PageSize=50"


def test_wire_json_is_utf8(run, server):
    server.play(ScriptedResponse(202, {"operationId": "x"}))
    request = raw.raw_request("POST", "https://comms.twilio.com/v1/Messages", json={"content": {"text": "Grüße"}})
    assert run(server.url).send(request) == {"operationId": "x"}
    assert server.requests[0].path == "/comms.twilio.com/v1/Messages"
    assert server.requests[0].headers["content-type"] == "application/json"
    assert server.requests[0].body.decode() == '{"content": {"text": "Grüße"}}'


def test_wire_path_is_encoded_once(run, server):
    server.play(ScriptedResponse(200, {}), ScriptedResponse(200, {}))
    client = run(server.url)
    client.send(raw.raw_request("GET", "https://lookups.twilio.com/v2/PhoneNumbers/+14155550123"))
    client.send(raw.raw_request("GET", "/v1/Maps/a b%20ü\r\nX: y"))
    assert server.requests[0].target == "/lookups.twilio.com/v2/PhoneNumbers/+14155550123"
    assert server.requests[1].target == "/v1/Maps/a%20b%20%C3%BC%0D%0AX:%20y"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/x",
        "http://api.twilio.com/x",
        "https://twilio.com.evil.example/x",
        "https://evil.example\\.twilio.com/x",
        "https://evil.example\\@api.twilio.com/x",
        "https://user:pass@api.twilio.com/x",
        "https://api.twilio.com:8443/x",
        "https://api.twilio.com:x/x",
        "ftp://api.twilio.com/x",
    ],
)
def test_send_to_another_host_raises_bad_parameter(run, server, path):
    with pytest.raises(BadParameter):
        run(server.url).send(raw.raw_request("GET", path))
    assert server.requests == []


def test_send_without_sender_uses_sender_of_connection(run, server):
    server.play(*[ScriptedResponse(201, SENT)] * 2)
    client = run(server.url, defaults=(("From", "+14155550100"),))
    client.send(Messages.create(to="+14155550123", body="hi"))
    client.send(send())
    assert b"From=%2B14155550100" in server.requests[0].body
    assert server.requests[1].body.count(b"From=") == 1
    with pytest.raises(BadParameter, match="from_"):
        run(server.url).send(Messages.create(to="+14155550123", body="hi"))
    with pytest.raises(BadParameter, match="from_"):
        run(server.url).send(Calls.create(to="+14155550123", url="https://example.com"))
    assert len(server.requests) == 2


def test_client_does_not_reuse_closed_connection(run, server):
    server.play(ScriptedResponse(200, SENT, close=True), ScriptedResponse(201, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    time.sleep(0.05)
    if hasattr(client, "loop"):  # The event loop must run to see that the server has closed the connection.
        client.loop.run(asyncio.sleep(0.01))
    assert client.send(send()).sid == SID
    assert server.connections == 2


def test_client_reopens_after_close(run, server):
    server.play(ScriptedResponse(200, SENT), ScriptedResponse(200, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    if hasattr(client, "loop"):
        client.loop.run(client.client.close())
    else:
        client.client.close()
    assert client.send(Messages.fetch(SID)).sid == SID


def test_send_wrong_credentials_error_names_connection(run, server):
    server.play(ScriptedResponse(401, {"code": 20003, "message": "Authenticate", "status": 401}))
    with pytest.raises(AuthenticationFailed) as caught:
        run(server.url, conn_id="twilio_default").send(Messages.fetch(SID))
    assert caught.value.code == 20003
    assert "credentials are those of the connection twilio_default" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.requests) == 1


def test_send_does_not_retry_incomplete_message(run, server):
    """Error 20009 means that the message is not complete yet. That may take minutes, so it is not retried."""
    server.play(ScriptedResponse(409, {"code": 20009, "message": "not complete", "status": 409}))
    with pytest.raises(RateLimited):
        run(server.url).send(Messages.delete(SID))
    assert len(server.requests) == 1
