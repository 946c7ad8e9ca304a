"""An emulator that other machines can reach is no way into the network that it runs in."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, callback_transport, serve
from airflow_provider_twilio.emulator.credentials import AUTH_TOKEN, MAIN_KEY
from airflow_provider_twilio.emulator.params import is_callback_allowed
from tests.emulator.conftest import Api

FORBIDDEN_HOSTS = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "metadata.google.internal",
    "metadata.google.internal.",
]


class SecretServer:
    """A web server of the network, which counts its requests."""

    def __init__(self) -> None:
        self.request_count = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.request_count += 1
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"secret")

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def secret_server() -> Iterator[SecretServer]:
    server = SecretServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


def api_of(emulator: Emulator) -> Api:
    return Api(emulator, (emulator.account_sid, emulator.auth_token))


def receive_webhook_reply(emulator: Emulator, url: str) -> list[str]:
    """Return the bodies of the replies that a webhook sends to an inbound message."""
    api = api_of(emulator)
    api.post(f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json", SmsUrl=url)
    emulator.receive_message("hello", from_="+14155550100")
    for _ in range(50):
        api.get("Messages.json")
        if len(emulator.messages) > 1 or any(attempt.error for attempt in emulator.callbacks):
            break
        threading.Event().wait(0.02)
    return [message["body"] for message in emulator.messages if message["direction"] == "outbound-reply"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_serve_beyond_loopback_sends_no_callbacks(secret_server: SecretServer, host: str) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serve(host) as emulator:
        assert receive_webhook_reply(emulator, secret_server.url) == []
        api_of(emulator).send(StatusCallback=secret_server.url)
        emulator.clock.advance(10)
        api_of(emulator).get("Messages.json")
        assert emulator.callbacks == []
    assert secret_server.request_count == 0


def test_serve_beyond_loopback_ignores_callbacks_quirk_over_http(secret_server: SecretServer) -> None:
    with serve("0.0.0.0") as emulator:
        response = requests.post(f"{emulator.url}/_emulator/quirks", json={"callbacks": "local"}, timeout=5)
        assert response.status_code == 403
        assert "--callbacks" in response.json()["error"]
        assert requests.post(f"{emulator.url}/_emulator/quirks", json={"list_lag": 1}, timeout=5).status_code == 200
        requests.post(f"{emulator.url}/_emulator/reset", timeout=5)
        assert emulator.quirks.callbacks == "none"


def test_serve_beyond_loopback_sends_callbacks_when_switched_on(secret_server: SecretServer) -> None:
    with serve("0.0.0.0", callbacks="local") as emulator:
        emulator.reset()
        assert receive_webhook_reply(emulator, secret_server.url) == ["secret"]


def test_serve_beyond_loopback_has_random_credentials() -> None:
    with serve("0.0.0.0") as emulator, serve("0.0.0.0") as other:
        for auth in ((emulator.account_sid, AUTH_TOKEN), MAIN_KEY, (other.account_sid, other.auth_token)):
            assert Api(emulator, auth).error("GET", "Messages.json") == (401, 20003)
        assert Api(emulator, emulator.main_key).get("Messages.json")["messages"] == []
        assert emulator.auth_token in emulator.connection_uri
        assert emulator.auth_token in emulator.connection_json
        emulator.reset()
        assert api_of(emulator).get("Messages.json")["messages"] == []
        assert AUTH_TOKEN not in requests.get(emulator.url, timeout=5).text


def test_serve_beyond_loopback_shows_no_credentials() -> None:
    with serve("0.0.0.0") as emulator:
        client_id, client_secret = emulator.oauth_client
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        assert requests.post(f"{emulator.url}/oauth.twilio.com/v2/token", form, timeout=5).status_code == 200
        live = "/_emulator/inbox/live?journal=1"
        paths = ("/", "/_emulator/requests", live, f"{live}&journal_q=client_id={client_id}")
        pages = [requests.get(emulator.url + path, timeout=5).text for path in paths]
        assert [client_id in page for page in pages] == [False, True, True, True]
        assert not [page for page in pages if client_secret in page or emulator.auth_token in page]
        guess = requests.get(f"{emulator.url}{live}&journal_q=client_secret={client_secret[:4]}", timeout=5).text
        assert client_id not in guess


def test_serve_beyond_loopback_has_fixed_credentials_when_switched_on() -> None:
    with serve("0.0.0.0", credentials="fixed") as emulator:
        assert emulator.auth_token == AUTH_TOKEN
        assert api_of(emulator).get("Messages.json")["messages"] == []


def test_serve_on_loopback_keeps_callbacks_and_credentials() -> None:
    for host in ("127.0.0.1", "localhost"):
        with serve(host) as emulator:
            assert (emulator.quirks.callbacks, emulator.auth_token) == ("local", AUTH_TOKEN)
    with serve(credentials="random") as emulator:
        assert emulator.auth_token != AUTH_TOKEN


@pytest.mark.parametrize("options", [{"callbacks": "all"}, {"credentials": "public"}])
def test_serve_rejects_unknown_options(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        serve(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["local", "any"])
@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
def test_callbacks_never_go_to_link_local_or_metadata_address(policy: str, host: str) -> None:
    assert not is_callback_allowed(policy, f"http://{host}/latest/meta-data")
    assert not is_callback_allowed(policy, f"http://{host.upper()}:80/")


@pytest.mark.parametrize("policy", ["local", "any"])
@pytest.mark.parametrize("url", ["http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/"])
def test_callbacks_never_reach_other_notation_of_link_local_address(emulator: Emulator, policy: str, url: str) -> None:
    emulator.quirks.set(callbacks=policy)
    assert receive_webhook_reply(emulator, url) == []
    assert {attempt.error for attempt in emulator.callbacks} <= {"DestinationNotAllowed", "InvalidURL"}


@pytest.mark.parametrize(
    ("policy", "address"), [("local", "169.254.1.1"), ("any", "169.254.1.1"), ("local", "8.8.8.8")]
)
def test_callbacks_never_reach_name_of_forbidden_address(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, policy: str, address: str
) -> None:
    async def resolve(request: Any) -> list[str]:
        return [address]

    monkeypatch.setattr(callback_transport, "_resolve", resolve)
    emulator.quirks.set(callbacks=policy)
    assert receive_webhook_reply(emulator, "http://inventory.internal/") == []
    assert [attempt.error for attempt in emulator.callbacks] == ["DestinationNotAllowed"]


def test_callback_reaches_server_by_name(emulator: Emulator, secret_server: SecretServer) -> None:
    url = secret_server.url.replace("127.0.0.1", "localhost")
    assert receive_webhook_reply(emulator, url) == ["secret"]


@pytest.mark.parametrize(
    ("options", "credentials_are_public", "callbacks"),
    [([], False, "no address"), (["--callbacks", "local", "--credentials", "fixed"], True, "local addresses")],
)
def test_command_reports_exposure(options: list[str], credentials_are_public: bool, callbacks: str) -> None:
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0", "--host", "0.0.0.0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(6)]
            assert (AUTH_TOKEN in lines[2]) == credentials_are_public
            assert lines[5].startswith("Callbacks to")
            assert callbacks in lines[5]
            assert process.stderr.readline().startswith("Warning: other machines can reach this address")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
