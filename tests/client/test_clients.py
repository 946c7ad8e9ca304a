"""Both clients over a real socket: what is repeated, what never is, what an answer means, and what goes out."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_twilio.api import raw as other
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
from tests.support.scripted import Answer, Drop, Scripted, Stall, pages

SID = "SM" + "b" * 32
LIST = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
SENT = {"sid": SID, "account_sid": ACCOUNT, "status": "queued", "to": "+14155550123"}
TOO_MANY = {"code": 20429, "message": "Too Many Requests", "status": 429}


def send():
    return Messages.create(to="+14155550123", from_="+14155550100", body="hello")


def messages(first: int, count: int) -> list[dict[str, str]]:
    return [{"sid": f"SM{number:032x}", "account_sid": ACCOUNT} for number in range(first, first + count)]


# ---------------------------------------------------------------- what is repeated


@pytest.mark.parametrize("refusal", [TOO_MANY, {}, ""], ids=["20429", "no code", "empty"])
def test_a_send_refused_for_pace_is_sent_again(run, server, refusal):
    server.play(Answer(429, refusal), Answer(201, SENT))
    assert run(server.url).send(send()).sid == SID
    assert server.count("POST") == len(server.requests) == 2


def test_a_429_of_another_code_is_not_repeated(run, server):
    server.play(Answer(429, {"code": 63038, "message": "daily limit", "status": 429}))
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(send())
    assert caught.value.code == 63038
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer", [Answer(503), Answer(500), Answer(502, "<html>"), Drop()], ids=["503", "500", "html", "drop"]
)
def test_a_send_whose_answer_is_lost_goes_out_once(run, server, answer):
    server.play(answer)
    with pytest.raises(OutcomeUnknown):
        run(server.url).send(send())
    assert server.count("POST") == len(server.requests) == 1


@pytest.mark.parametrize("answer", [Answer(503), Answer(500), Answer(429, TOO_MANY), Drop(), Answer(200, "{", cut=0)])
def test_a_read_is_repeated(run, server, answer):
    server.play(answer, answer, Answer(200, SENT))
    assert run(server.url).send(Messages.fetch(SID)).sid == SID
    assert len(server.requests) == 3


def test_repeating_ends(run, server):
    server.play(*[Answer(503)] * 10)
    with pytest.raises(ServerError) as caught:
        run(server.url, retries=2).send(Messages.fetch(SID))
    assert caught.value.status == 503
    assert len(server.requests) == 3


def test_no_retries_is_one_try(run, server):
    server.play(Answer(503), Answer(200, SENT))
    with pytest.raises(ServerError):
        run(server.url, retries=0).send(Messages.fetch(SID))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_repeated(run, server, status):
    server.play(Answer(status, {"code": 20001, "message": "no", "status": status}))
    with pytest.raises(TwilioError) as caught:
        run(server.url).send(Messages.fetch(SID))
    assert caught.value.permanent
    assert len(server.requests) == 1


def test_any_other_post_is_repeated_only_if_it_may(run, server):
    server.play(Answer(503), Answer(503), Answer(200, {"ok": 1}))
    with pytest.raises(OutcomeUnknown):
        run(server.url).send(other.raw_request("POST", "Queues", {"FriendlyName": "q"}))
    assert run(server.url).send(other.raw_request("POST", "Queues", {"FriendlyName": "q"}, idempotent=True)) == {
        "ok": 1
    }
    assert len(server.requests) == 3


def test_a_connection_that_is_refused_is_tried_again(run, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(NotSent, match="the connection failed"):
        run(url, retries=2).send(send())
    assert [record.args[1:3] for record in caplog.records if "Retrying in" in record.message] == [(1, 2), (2, 2)]


def test_a_host_that_is_not_there(run):
    with pytest.raises(NotSent):
        run("https://nowhere.invalid", retries=0).send(send())


# ---------------------------------------------------------------- how long it waits


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_it_waits_as_long_as_it_is_asked_to(run, server, form):
    asked = "0.3" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.play(Answer(429, TOO_MANY, {"Retry-After": asked}), Answer(201, SENT))
    began = time.monotonic()
    run(server.url, retry_max_wait=10).send(send())
    assert 0.3 <= time.monotonic() - began < 3


def test_it_waits_no_longer_than_its_longest(run, server):
    server.play(Answer(503, headers={"Retry-After": "8"}), Answer(200, SENT))
    began = time.monotonic()
    run(server.url, retry_max_wait=0.2).send(Messages.fetch(SID))
    assert 0.2 <= time.monotonic() - began < 2


def test_a_stalled_socket_ends_at_the_time_out(run, server):
    server.play(Stall(), Stall())
    client = run(server.url, timeout=0.3, retries=0)
    for request, error in ((send(), OutcomeUnknown), (Messages.fetch(SID), ServerError)):
        began = time.monotonic()
        with pytest.raises(error, match="timed out") as caught:
            client.send(request)
        assert 0.3 <= time.monotonic() - began < 1.5
        assert "Messages" in str(caught.value)


async def test_waiting_for_a_turn_is_no_time_out(server):
    """Who shares a client with many may wait longer than a connection, or an answer, may take."""
    server.play(*[Answer(200, SENT, delay=0.15)] * 8)
    settings = Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url, timeout=1, retries=0)
    async with AsyncClient(settings, concurrency=1) as client:
        began = time.monotonic()
        assert await asyncio.gather(*(client.send(send()) for _ in range(8))) == [SENT] * 8
    assert time.monotonic() - began >= 8 * 0.15
    assert server.connections == 1


# ---------------------------------------------------------------- deleting


def test_a_delete_that_finds_nothing_after_a_lost_answer_is_done(run, server):
    server.play(Drop(), Answer(404, {"code": 20404, "message": "not found", "status": 404}))
    assert run(server.url).send(Messages.delete(SID)) is None
    assert server.count("DELETE") == 2


@pytest.mark.parametrize("before", [[], [Answer(429, TOO_MANY)]], ids=["at once", "after one that was refused"])
def test_a_delete_that_finds_nothing_of_its_own_is_told(run, server, before):
    server.play(*before, Answer(404, {"code": 20404, "message": "not found", "status": 404}))
    with pytest.raises(NotFound):
        run(server.url).send(Messages.delete(SID))


def test_a_delete_has_no_body(run, server):
    server.play(Answer(204))
    assert run(server.url).send(Messages.delete(SID)) is None
    assert server.requests[0].body == b""


# ---------------------------------------------------------------- ending

CALL = "CA" + "c" * 32
HANG_UP = Calls.update(CALL, status="completed")
CANCEL = Messages.update(SID, status="canceled")
OVER = Answer(400, {"code": 21220, "message": "Call is not in-progress. Cannot redirect.", "status": 400})
TOO_LATE = Answer(409, {"code": 30409, "message": "This message cannot be canceled", "status": 409})


def ended(sid, status):
    return {"sid": sid, "account_sid": ACCOUNT, "status": status}


@pytest.mark.parametrize("lost", [Drop(), Answer(503)], ids=["drop", "503"])
@pytest.mark.parametrize(
    ("change", "refusal", "found"),
    [
        (HANG_UP, OVER, ended(CALL, "completed")),
        (HANG_UP, OVER, ended(CALL, "canceled")),
        (Calls.update(CALL, status="canceled"), OVER, ended(CALL, "canceled")),
        (CANCEL, TOO_LATE, ended(SID, "canceled")),
    ],
    ids=["hung up", "hung up while it rang", "call canceled", "message canceled"],
)
def test_what_ends_something_has_done_so_where_its_answer_was_lost(run, server, lost, change, refusal, found):
    server.play(lost, refusal, Answer(503), Answer(200, found))
    record = run(server.url).send(change)
    assert (type(record), record) == (change.parser, found)
    assert [request.method for request in server.requests] == ["POST", "POST", "GET", "GET"]
    assert len({request.target for request in server.requests}) == 1


@pytest.mark.parametrize(
    ("change", "refusal", "found"),
    [
        (Calls.update(CALL, status="canceled"), OVER, ended(CALL, "completed")),
        (CANCEL, TOO_LATE, ended(SID, "sent")),
    ],
    ids=["call", "message"],
)
def test_what_has_ended_otherwise_is_told(run, server, change, refusal, found):
    server.play(Drop(), refusal, Answer(200, found))
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(change)
    assert caught.value.code in (21220, 30409)


@pytest.mark.parametrize(
    ("change", "before"),
    [
        (HANG_UP, []),
        (HANG_UP, [Answer(429, TOO_MANY)]),
        (Calls.update(CALL, url="https://example.com/voice"), [Drop()]),
    ],
    ids=["at once", "after one that was refused", "no end but new TwiML"],
)
def test_what_cannot_have_been_ended_before_is_told(run, server, change, before):
    server.play(*before, OVER)
    with pytest.raises(InvalidRequest) as caught:
        run(server.url).send(change)
    assert caught.value.code == 21220
    assert server.count("GET") == 0


# ---------------------------------------------------------------- bodies that aren't what they should be


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(200, ""), "empty body"),
        (Answer(200, "<!DOCTYPE html><p>maintenance", {"Content-Type": "text/html"}), "HTML page"),
        (Answer(200, "<?xml version='1.0'?><TwilioResponse/>", {"Content-Type": "application/xml"}), "XML"),
        (Answer(200, '{"sid": "SM'), "cut or broken"),
        (Answer(200, "null"), "instead of JSON"),
        (Answer(200, "ok", {"Content-Type": "text/plain"}), "text/plain"),
    ],
    ids=["empty", "html", "xml", "broken", "null", "text"],
)
@pytest.mark.parametrize("request_", [Messages.fetch(SID), send()], ids=["fetch", "send"])
def test_a_body_that_cannot_be_read_says_so(run, server, answer, told, request_):
    answer.headers = {**answer.headers, "Twilio-Request-Id": "RQ123"}
    server.play(answer)
    with pytest.raises(ServerError if request_.idempotent else OutcomeUnknown, match=told) as caught:
        run(server.url, retries=0).send(request_)
    assert "200" in str(caught.value)
    assert "RQ123" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_cut_body_names_the_request(run, server):
    server.play(Answer(200, SENT, cut=10))
    with pytest.raises(ServerError, match=f"GET .*/Messages/{SID}.json: no answer"):
        run(server.url, retries=0).send(Messages.fetch(SID))


def test_a_cut_body_of_a_send_leaves_its_outcome_unknown(run, server):
    server.play(Answer(201, SENT, cut=10))
    with pytest.raises(OutcomeUnknown, match="POST"):
        run(server.url).send(send())
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(run, server):
    with Scripted(Answer(200, SENT), repeat=True) as elsewhere:
        server.play(Answer(307, "", {"Location": f"{elsewhere.url}/"}))
        with pytest.raises(InvalidRequest, match="307"):
            run(server.url).send(Messages.fetch(SID))
        assert elsewhere.requests == []


def test_cookies_are_not_kept(run, server):
    server.play(Answer(200, SENT, {"Set-Cookie": "a=b; Path=/"}), Answer(200, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    client.send(Messages.fetch(SID))
    assert "cookie" not in server.requests[1].headers
    assert server.connections == 1


# ---------------------------------------------------------------- answers that aren't the one asked for


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"sid": "CA" + "b" * 32}, "SM or MM"), ({"sid": None}, "SM or MM"), ({"account_sid": "AC" + "9" * 32}, "AC999")],
    ids=["a call", "none", "another account"],
)
def test_an_answer_that_is_not_the_one_asked_for(run, server, changed, told):
    server.play(*[Answer(200, {**SENT, **changed})] * 3)
    with pytest.raises(ServerError, match=told):
        run(server.url, retries=0).send(Messages.fetch(SID))
    with pytest.raises(OutcomeUnknown, match=told):
        run(server.url, retries=0).send(send())
    assert run(server.url, validate=False).send(Messages.fetch(SID)) == {**SENT, **changed}


# ---------------------------------------------------------------- lists


def test_a_list_is_followed_to_its_end(run, server):
    server.play(*pages("messages", messages(0, 3), [], messages(3, 2), path=LIST))
    found = run(server.url).list(Messages.list())
    assert [message.sid for message in found] == [message["sid"] for message in messages(0, 5)]
    assert all(isinstance(message, Message) for message in found)
    assert [request.query for request in server.requests] == [
        "PageSize=1000",
        "PageSize=1000&Page=1&PageToken=PA0",
        "PageSize=1000&Page=2&PageToken=PA1",
    ]


def test_a_list_is_read_lazily(server):
    server.play(*pages("messages", messages(0, 3), messages(3, 2), path=LIST))
    with Client(Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=server.url)) as client:
        walk = client.messages.list()
        assert server.requests == []
        assert next(walk).sid == messages(0, 1)[0]["sid"]
        assert len(server.requests) == 1


@pytest.mark.parametrize(("limit", "requests"), [(0, 0), (2, 1), (3, 1), (4, 2), (9, 2)])
def test_a_limit_bounds_a_list_and_its_requests(run, server, limit, requests):
    server.play(*pages("messages", messages(0, 3), messages(3, 2), path=LIST))
    found = run(server.url).list(Messages.list(limit=limit))
    assert len(found) == min(limit, 5)
    assert len(server.requests) == requests
    if requests:
        assert server.requests[0].query == f"PageSize={limit}"


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/2010-04-01/Accounts/x/Messages.json",
        "//evil.example/Messages.json",
        "https://api.twilio.com.evil.example/Messages.json",
        "http://127.0.0.1:1/Messages.json",
        "https://user@api.twilio.com/Messages.json",
        "https://evil.example\\.twilio.com/Messages.json",
    ],
)
def test_a_next_page_on_another_host_is_refused(run, server, where):
    server.play(Answer(200, {"messages": messages(0, 1), "next_page_uri": where}))
    with pytest.raises(TwilioError, match="another host"):
        run(server.url).list(Messages.list())
    assert len(server.requests) == 1


def test_a_large_page_that_fails_is_asked_for_in_smaller_ones(run, server):
    failing = Answer(500, {"code": 20500, "message": "oops", "status": 500})
    first, second, last = pages("messages", messages(0, 2), messages(2, 2), messages(4, 1), path=LIST)
    server.play(failing, failing, first, failing, second, last)
    found = run(server.url).list(Messages.list())
    assert [message.sid for message in found] == [message["sid"] for message in messages(0, 5)]
    asked = [dict(pair.split("=") for pair in request.query.split("&")) for request in server.requests]
    assert [query["PageSize"] for query in asked] == ["1000", "100", "20", "1000", "100", "1000"]
    assert [query.get("PageToken") for query in asked] == [None, None, None, "PA0", "PA0", "PA1"]


def test_a_small_page_that_fails_is_asked_for_again(run, server):
    server.play(Answer(500), Answer(200, {"messages": messages(0, 1)}))
    assert len(run(server.url).list(Messages.list(limit=5))) == 1
    assert [request.query for request in server.requests] == ["PageSize=5", "PageSize=5"]


def test_a_page_that_fails_in_every_size_fails(run, server):
    server.play(*[Answer(500)] * 20)
    with pytest.raises(ServerError):
        run(server.url, retries=1).list(Messages.list())
    assert len(server.requests) == 4


def test_a_newer_api_pages_by_its_meta(run, server):
    path = "/messaging.twilio.com/v1/Services"
    sids = ["MG" + digit * 32 for digit in "123"]
    server.play(
        Answer(
            200,
            {
                "services": [{"sid": sids[0]}],
                "meta": {"key": "services", "next_page_url": f"{server.url}{path}?Page=1"},
            },
        ),
        Answer(
            200,
            {
                "services": [{"sid": sids[1]}],
                "meta": {"key": "services", "next_page_url": "https://messaging.twilio.com/v1/Services?Page=2"},
            },
        ),
        Answer(200, {"services": [{"sid": sids[2]}], "meta": {"key": "services", "next_page_url": None}}),
    )
    found = run(server.url).list(other.raw_listing("https://messaging.twilio.com/v1/Services"))
    assert [service["sid"] for service in found] == sids
    assert [request.target for request in server.requests] == [
        f"{path}?PageSize=1000",
        f"{path}?Page=1",
        f"{path}?Page=2",
    ]


# ---------------------------------------------------------------- what goes out


def test_the_request_on_the_wire(run, server):
    server.play(Answer(201, SENT))
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


def test_the_query_on_the_wire(run, server):
    server.play(Answer(200, {"messages": []}))
    run(server.url).list(
        Messages.list(to="+14155550123", date_sent_after=datetime(2026, 1, 1, 3, tzinfo=UTC), page_size=50)
    )
    assert server.requests[0].query == "To=%2B14155550123&DateSent%3E=2026-01-01T03%3A00%3A00Z&PageSize=50"


def test_json_on_the_wire(run, server):
    server.play(Answer(202, {"operationId": "x"}))
    request = other.raw_request("POST", "https://comms.twilio.com/v1/Messages", json={"content": {"text": "Grüße"}})
    assert run(server.url).send(request) == {"operationId": "x"}
    assert server.requests[0].path == "/comms.twilio.com/v1/Messages"
    assert server.requests[0].headers["content-type"] == "application/json"
    assert server.requests[0].body.decode() == '{"content": {"text": "Grüße"}}'


def test_a_path_is_encoded_once(run, server):
    server.play(Answer(200, {}), Answer(200, {}))
    client = run(server.url)
    client.send(other.raw_request("GET", "https://lookups.twilio.com/v2/PhoneNumbers/+14155550123"))
    client.send(other.raw_request("GET", "/v1/Maps/a b%20ü\r\nX: y"))
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
def test_no_request_leaves_for_another_host(run, server, path):
    with pytest.raises(BadParameter):
        run(server.url).send(other.raw_request("GET", path))
    assert server.requests == []


def test_a_sender_comes_from_the_connection_where_none_is_given(run, server):
    server.play(*[Answer(201, SENT)] * 2)
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


def test_a_stale_connection_is_not_reused(run, server):
    server.play(Answer(200, SENT, close=True), Answer(201, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    time.sleep(0.05)
    if hasattr(client, "loop"):  # a loop that runs sees the other end close
        client.loop.run(asyncio.sleep(0.01))
    assert client.send(send()).sid == SID
    assert server.connections == 2


def test_a_closed_client_opens_anew(run, server):
    server.play(Answer(200, SENT), Answer(200, SENT))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    if hasattr(client, "loop"):
        client.loop.run(client.client.close())
    else:
        client.client.close()
    assert client.send(Messages.fetch(SID)).sid == SID


def test_wrong_credentials(run, server):
    server.play(Answer(401, {"code": 20003, "message": "Authenticate", "status": 401}))
    with pytest.raises(AuthenticationFailed) as caught:
        run(server.url, conn_id="twilio_default").send(Messages.fetch(SID))
    assert caught.value.code == 20003
    assert "credentials are those of the connection twilio_default" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.requests) == 1


def test_later_is_not_at_once(run, server):
    """What Twilio refuses until something is complete is not repeated here: that may take minutes."""
    server.play(Answer(409, {"code": 20009, "message": "not complete", "status": 409}))
    with pytest.raises(RateLimited):
        run(server.url).send(Messages.delete(SID))
    assert len(server.requests) == 1
