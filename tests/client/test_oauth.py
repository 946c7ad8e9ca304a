"""Tests of OAuth: a token is shared, renewed before it expires, and renewed once after Twilio rejects it."""

from __future__ import annotations

import time
from collections import Counter
from urllib.parse import parse_qs

import pytest

from airflow_provider_twilio.api.errors import AuthenticationFailed, OutcomeUnknown, ServerError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client import oauth
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import OAuth, Settings
from airflow_provider_twilio.emulator import serve
from tests.client.conftest import ACCOUNT
from tests.support.scripted import Drop, ScriptedResponse, ScriptedServer, Stall

SID = "SM" + "b" * 32
RECORD = {"sid": SID, "account_sid": ACCOUNT, "status": "queued"}
TOKEN_PATH = "/oauth.twilio.com/v2/token"


class Issuer(ScriptedServer):
    """A server that issues tokens, and rejects requests with a revoked or unknown one."""

    expires_in = 3600
    wait = 0.0
    issued = 0
    revoked = 0

    def choose_response(self, request, scripted):
        if request.path == TOKEN_PATH:
            time.sleep(self.wait)
            self.issued += 1
            return ScriptedResponse(200, {"access_token": f"token-{self.issued}", "expires_in": self.expires_in})
        if request.headers["authorization"] != f"Bearer token-{self.issued}" or self.issued <= self.revoked:
            return ScriptedResponse(401, {"code": 20003, "message": "Authenticate", "status": 401})
        return scripted

    def request_counts(self):
        return Counter("token" if request.path == TOKEN_PATH else "other" for request in self.requests)


@pytest.fixture
def issuer():
    with Issuer(ScriptedResponse(200, RECORD), repeat=True) as server:
        yield server


@pytest.fixture
def client(run, issuer):
    return run(issuer.url, auth=OAuth("OQclient", "its secret"))


def test_token_request_sends_client_credentials(client, issuer):
    client.send(Messages.fetch(SID))
    token_request, message_request = issuer.requests
    assert (token_request.method, token_request.target) == ("POST", TOKEN_PATH)
    assert parse_qs(token_request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["OQclient"],
        "client_secret": ["its secret"],
    }
    assert "authorization" not in token_request.headers
    assert message_request.headers["authorization"] == "Bearer token-1"


def test_token_is_reused(client, issuer):
    for _ in range(3):
        client.send(Messages.fetch(SID))
    assert issuer.request_counts() == {"token": 1, "other": 3}


def test_token_is_shared_by_concurrent_requests(client, issuer):
    issuer.wait = 0.2
    assert client.together([Messages.fetch(SID)] * 20) == [RECORD] * 20
    assert issuer.request_counts() == {"token": 1, "other": 20}


def test_token_is_renewed_before_expiry(client, issuer):
    issuer.expires_in = 1
    client.send(Messages.fetch(SID))
    time.sleep(0.6)
    client.send(Messages.fetch(SID))
    assert [request.headers.get("authorization") for request in issuer.requests] == [
        None,
        "Bearer token-1",
        None,
        "Bearer token-2",
    ]


@pytest.mark.parametrize(
    ("expires_in", "renewed_after"),
    [(3600, 3540), (120, 60), (60, 30), (0, 0), (None, 0), ("3600", 3540), ("x", 0), (-5, 0)],
)
def test_token_expires_at_includes_margin(expires_in, renewed_after):
    assert oauth.Token({"access_token": "t", "expires_in": expires_in}).expires_at(1000.0) == 1000 + renewed_after


def test_token_revoked_is_renewed_once(client, issuer):
    client.send(Messages.fetch(SID))
    issuer.revoked = 1
    assert client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x")).sid == SID
    assert issuer.request_counts() == {"token": 2, "other": 3}


def test_token_revoked_is_renewed_once_for_concurrent_requests(client, issuer):
    client.send(Messages.fetch(SID))
    issuer.revoked = 1
    client.together([Messages.fetch(SID)] * 20)
    assert issuer.request_counts()["token"] == 2


def test_token_renewed_but_rejected_raises(client, issuer):
    issuer.revoked = 100
    with pytest.raises(AuthenticationFailed):
        client.send(Messages.fetch(SID))
    assert issuer.request_counts() == {"token": 2, "other": 2}


def test_token_request_is_retried_for_message(run, server):
    """Token requests are retried, even for a message: Twilio has not received it yet."""
    server.play(
        ScriptedResponse(503),
        Drop(),
        ScriptedResponse(200, {"access_token": "t", "expires_in": 60}),
        ScriptedResponse(201, RECORD),
    )
    client = run(server.url, auth=OAuth("OQclient", "its secret"))
    assert client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x")).sid == SID
    assert server.count("POST") == 4


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (ScriptedResponse(401, {"code": 20003, "message": "no", "status": 401}), AuthenticationFailed),
        (ScriptedResponse(200, {"token_type": "Bearer"}), ServerError),
        (ScriptedResponse(200, "<html>"), ServerError),
        (ScriptedResponse(503), ServerError),
    ],
)
def test_token_request_fails_raises_without_sending_message(run, server, response, error):
    server.play(*[response] * 2)
    client = run(server.url, auth=OAuth("OQclient", "its secret"), retries=0)
    with pytest.raises(error) as caught:
        client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
    assert not isinstance(caught.value, OutcomeUnknown)
    assert "its secret" not in str(caught.value)
    assert {request.path for request in server.requests} == {TOKEN_PATH}


def test_token_is_masked_and_absent_from_reprs(run, issuer):
    masked: list[str] = []
    client = run(issuer.url, auth=OAuth("OQclient", "its secret"), mask_secret=masked.append)
    client.send(Messages.fetch(SID))
    assert masked == ["token-1"]
    token = oauth.Token.parse(
        oauth.token_request(client.client.settings), Response(200, {}, b'{"access_token": "shh", "expires_in": 1}')
    )
    for shown in (token, client.client, client.client.settings, oauth.token_request(client.client.settings)):
        assert "shh" not in repr(shown) + str(shown)
        assert "its secret" not in repr(shown) + str(shown)


def test_client_with_settings_shares_token():
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)
        with Client(settings) as client:
            for _ in range(3):
                with client.with_settings(retries=0) as single:
                    single.send(Messages.create(to="+14155550123", from_=emulator.phone_number, body="x"))
        assert emulator.journal.count("POST", "/v2/token") == 1
        assert emulator.journal.count("POST", "/Messages.json") == 3


def test_token_of_emulator_is_renewed_after_revocation(run):
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)
        client = run(None, settings=settings)
        message = client.send(Messages.create(to="+14155550123", from_=emulator.phone_number, body="x"))
        emulator.state.tokens.clear()  # Revokes all tokens.
        assert client.send(Messages.fetch(message.sid)).sid == message.sid
        assert emulator.journal.count("POST", "/v2/token") == 2


def test_client_with_settings_requests_token_with_changed_timeout():
    with ScriptedServer(Stall(4), repeat=True) as server:
        auth = OAuth("OQclient", "its secret")
        settings = Settings(account_sid=ACCOUNT, auth=auth, base=server.url, timeout=3, retries=1)
        started = time.monotonic()
        with Client(settings).with_settings(timeout=0.3, retries=0) as client, pytest.raises(ServerError):
            client.send(Messages.fetch(SID))
        assert time.monotonic() - started < 2
        assert len(server.requests) == 1
