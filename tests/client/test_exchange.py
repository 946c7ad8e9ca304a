"""Tests of one exchange with a server: its deadline, the size of its response, and redirects."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from functools import cache, partial

import pytest

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.decoding import MAX_BODY_BYTES
from airflow_provider_twilio.api.errors import OutcomeUnknown, ServerError, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.client.prepare import prepare, prepare_redirect
from airflow_provider_twilio.client.settings import Basic, Settings
from tests.client.conftest import ACCOUNT, TOKEN
from tests.support.scripted import ScriptedResponse, ScriptedServer

compress = partial(gzip.compress, mtime=0)  # the same bytes in every process, which name the tests


SID = "SM" + "b" * 32
SENT = {"sid": SID, "account_sid": ACCOUNT, "status": "queued", "to": "+14155550123"}


def send():
    return Messages.create(to="+14155550123", from_="+14155550100", body="hello")


# ---------------------------------------------------------------- deadline


@pytest.mark.parametrize("request_", [send(), Messages.fetch(SID)], ids=["send", "fetch"])
def test_send_dripped_response_ends_at_timeout(run, server, request_):
    server.play(ScriptedResponse(200, {**SENT, "x": "y" * 1000}, drip=0.05))
    started = time.monotonic()
    with pytest.raises(ServerError if request_.idempotent else OutcomeUnknown, match="the request timed out"):
        run(server.url, timeout=0.6, retries=0).send(request_)
    assert 0.5 <= time.monotonic() - started < 20  # the whole response takes a minute


def test_send_after_timeout_uses_a_new_deadline(run, server):
    server.play(ScriptedResponse(200, SENT, drip=0.05), ScriptedResponse(200, SENT), ScriptedResponse(200, SENT))
    client = run(server.url, timeout=0.4, retries=0)
    with pytest.raises(ServerError, match="timed out"):
        client.send(Messages.fetch(SID))
    for pause in (0.5, 0):
        assert client.send(Messages.fetch(SID)) == SENT
        time.sleep(pause)


# ---------------------------------------------------------------- size and encoding


@cache
def bomb() -> bytes:
    """Return 160 MB of blanks, compressed to 160 kB."""
    return compress(b" " * 160_000_000)


@pytest.mark.parametrize("request_", [send(), Messages.fetch(SID)], ids=["send", "fetch"])
def test_send_response_that_decompresses_to_too_much_raises(run, server, request_):
    server.play(ScriptedResponse(200, bomb(), {"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        with pytest.raises(ServerError if request_.idempotent else OutcomeUnknown, match="more than 32 MiB"):
            run(server.url, retries=0).send(request_)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_send_large_response_raises(run, server):
    server.play(ScriptedResponse(200, b" " * (MAX_BODY_BYTES + 1)))
    with pytest.raises(ServerError, match="more than 32 MiB"):
        run(server.url, retries=0).send(Messages.fetch(SID))


RAW = json.dumps(SENT).encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", compress(RAW)),
        ("x-gzip", compress(RAW[:10]) + compress(RAW[10:])),
        ("deflate", zlib.compress(RAW)),
        ("deflate", zlib.compress(RAW)[2:-4]),
        ("identity", RAW),
        ("gzip, gzip", compress(compress(RAW))),
    ],
)
def test_send_decodes_content_encoding(run, server, encoding, body):
    server.play(ScriptedResponse(200, body, {"Content-Encoding": encoding}))
    assert run(server.url).send(Messages.fetch(SID)) == SENT
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(("encoding", "body"), [("gzip", RAW), ("gzip", compress(RAW)[:-9]), ("br", RAW)])
def test_send_wrong_content_encoding_raises(run, server, encoding, body):
    server.play(ScriptedResponse(200, body, {"Content-Encoding": encoding}))
    with pytest.raises(ServerError, match="not in their content encoding"):
        run(server.url, retries=0).send(Messages.fetch(SID))


# ---------------------------------------------------------------- redirects

DEACTIVATIONS = raw.raw_request("GET", "https://messaging.twilio.com/v1/Deactivations", {"Date": "2026-01-31"})
EXPORT = raw.raw_request("GET", "https://bulkexports.twilio.com/v1/Exports/Messages/Days/2026-01-31")
MEDIA = raw.raw_request("GET", f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1")
FILES = {
    "deactivations": (DEACTIVATIONS, b"+14155550123\n+14155550124\n", "utf-8", "+14155550123\n+14155550124\n"),
    "export": (EXPORT, compress(b'{"sid": "SM1"}\n{"sid": "SM2"}\n'), "utf-8", '{"sid": "SM1"}\n{"sid": "SM2"}\n'),
    "media": (MEDIA, b"\xff\xd8\xff", "base64", "/9j/"),
}


@pytest.mark.parametrize("in_body", [False, True], ids=["header", "body"])
@pytest.mark.parametrize(("request_", "file", "encoding", "content"), FILES.values(), ids=FILES)
def test_send_follows_redirect_without_credentials(run, server, request_, file, encoding, content, in_body):
    with ScriptedServer(ScriptedResponse(200, file, {"Content-Type": "x/y"})) as storage:
        url = f"{storage.url}/file?Signature=a%2Fb"
        server.play(
            ScriptedResponse(307, {"redirect_to": url} if in_body else "", {} if in_body else {"Location": url})
        )
        record = run(server.url).send(request_)
    assert record == {"content_type": "x/y", "encoding": encoding, "content": content}
    assert "authorization" in server.requests[0].headers
    assert "authorization" not in storage.requests[0].headers
    assert (storage.requests[0].method, storage.requests[0].target) == ("GET", "/file?Signature=a%2Fb")


def test_send_redirect_on_same_host_keeps_credentials(run, server):
    server.play(ScriptedResponse(302, "", {"Location": "/2010-04-01/other.json"}), ScriptedResponse(200, {"a": 1}))
    assert run(server.url).send(MEDIA) == {"a": 1}
    assert "authorization" in server.requests[1].headers


def test_send_redirects_in_a_circle_end(run, server):
    server.play(*[ScriptedResponse(307, "", {"Location": "/x"})] * 10)
    with pytest.raises(TwilioError, match="after 5 other redirects"):
        run(server.url).send(MEDIA)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x",
        "http://example.com/x",
        "https://api.twilio.com/x",
        "ftp://127.0.0.1/x",
        "https://a@127.0.0.1/",
    ],
)
def test_send_does_not_follow_redirect_away_from_this_machine(run, server, url):
    server.play(ScriptedResponse(307, "", {"Location": url}))
    with pytest.raises(TwilioError, match="The redirect was not followed"):
        run(server.url).send(MEDIA)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("base", "url", "followed"),
    [
        (None, "https://mms.twiliocdn.example/x", True),
        (None, "https://media.twilio.com/x", True),
        (None, "http://mms.twiliocdn.example/x", False),
        (None, "http://127.0.0.1/x", False),
        ("https://gw.corp", "https://media.twilio.com/x", False),
        ("https://gw.corp", "https://files.corp/x", True),
    ],
)
def test_prepare_redirect_requires_https_and_host_other_than_twilios(base, url, followed):
    settings = Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=base)
    prepared = prepare(settings, MEDIA)
    if followed:
        redirected = prepare_redirect(settings, prepared, url)
        assert (redirected.url, redirected.with_credentials) == (url, False)
    else:
        with pytest.raises(TwilioError, match="was not followed"):
            prepare_redirect(settings, prepared, url)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_send_does_not_follow_redirect_of_another_method(run, server, method):
    server.play(ScriptedResponse(307, "", {"Location": "/x"}))
    with pytest.raises(TwilioError, match="307") as caught:
        run(server.url, retries=0).send(raw.raw_request(method, "Queues"))
    assert not caught.value.permanent
    assert len(server.requests) == 1
