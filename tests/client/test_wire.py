"""Tests of proxies, certificates and environment variables, for both clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_twilio.api.errors import NotSent, OutcomeUnknown, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.client import wire
from airflow_provider_twilio.client.extras import BadConnection
from airflow_provider_twilio.client.settings import Basic, Settings
from tests.client.conftest import ACCOUNT
from tests.support.scripted import Drop, ScriptedResponse, ScriptedServer, Stall

SID = "SM" + "b" * 32
RECORD = {"sid": SID, "account_sid": ACCOUNT, "status": "queued"}
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


# ---------------------------------------------------------------- proxies


class Proxy(ScriptedServer):
    """A proxy that tunnels each CONNECT to one server, whatever its host, or rejects it."""

    def __init__(self, target: int, *, reject: bool = False) -> None:
        super().__init__(ScriptedResponse(407 if reject else 200), repeat=True)
        self.target = target
        self.reject = reject

    def _respond(self, connection, response):
        if self.reject:
            return super()._respond(connection, response)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.target)) as upstream:
            responses = threading.Thread(target=self._pump, args=(upstream, connection), daemon=True)
            responses.start()
            self._pump(connection, upstream)
            responses.join(5)
        return False

    @staticmethod
    def _pump(source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_proxy_of_connection_receives_plain_http_request(run, server):
    """Requests to a proxy for plain HTTP contain the whole URL."""
    server.play(ScriptedResponse(200, RECORD))
    proxy = server.url.replace("http://", "http://me:p%40ss@")
    run("http://gateway.invalid", proxy=proxy).send(Messages.fetch(SID))
    (request,) = server.requests
    assert request.target == f"http://gateway.invalid/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json"
    assert request.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


def test_proxy_tunnels_https_request(run, trusted):
    with ScriptedServer(ScriptedResponse(200, RECORD), tls=trusted.server) as twilio, Proxy(twilio.port) as proxy:
        client = run("https://localhost", proxy=f"http://me:pass@127.0.0.1:{proxy.port}", verify=trusted.path)
        assert client.send(Messages.fetch(SID)).sid == SID
        (connect,) = proxy.requests
        assert (connect.method, connect.target) == ("CONNECT", "localhost:443")
        assert connect.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
        assert "authorization" not in connect.headers
        assert twilio.requests[0].headers["authorization"].startswith("Basic ")
        assert "proxy-authorization" not in twilio.requests[0].headers


def test_proxy_loses_response_does_not_retry_message(run, server):
    server.play(Drop())
    with pytest.raises(OutcomeUnknown):
        run("http://gateway.invalid", proxy=server.url, retries=2).send(
            Messages.create(to="+14155550123", from_="+14155550100", body="x")
        )
    assert server.count("POST") == 1


def test_proxy_rejects_tunnel_raises_not_sent(run):
    with Proxy(0, reject=True) as proxy:
        client = run("https://gateway.invalid", proxy=f"http://me:pass@127.0.0.1:{proxy.port}", retries=0)
        with pytest.raises(NotSent) as caught:
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
    assert "pass" not in str(caught.value).replace("passed", "")


def test_proxy_without_response_raises_not_sent(run):
    with ScriptedServer(Stall()) as proxy:
        client = run("https://gateway.invalid", proxy=proxy.url, timeout=0.3, retries=0)
        started = time.monotonic()
        with pytest.raises(NotSent, match="timed out"):
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
        assert 0.3 <= time.monotonic() - started < 30
        assert [request.method for request in proxy.requests] == ["CONNECT"]


def test_tls_handshake_timeout_raises_not_sent(run):
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        client = run(f"https://127.0.0.1:{silent_server.getsockname()[1]}", timeout=0.3, retries=0)
        started = time.monotonic()
        with pytest.raises(NotSent, match="timed out"):
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
        assert 0.3 <= time.monotonic() - started < 30


def test_proxy_refuses_connection_raises_not_sent(run):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotSent):
        run("https://gateway.invalid", proxy=f"http://127.0.0.1:{port}", retries=0).send(Messages.fetch(SID))


def test_proxy_of_environment_is_used(run, server, monkeypatch):
    server.play(ScriptedResponse(200, RECORD))
    monkeypatch.setenv("http_proxy", server.url)
    run("http://gateway.invalid").send(Messages.fetch(SID))
    assert server.requests[0].target.startswith("http://gateway.invalid/")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_proxy_of_environment_is_not_used_for_loopback(run, server, monkeypatch, variable):
    server.play(ScriptedResponse(200, RECORD))
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    run(server.url, retries=0).send(Messages.fetch(SID))
    assert server.requests[0].target.startswith("/2010-04-01/")


def test_proxy_of_connection_overrides_environment(run, server, monkeypatch):
    server.play(ScriptedResponse(200, RECORD))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    run("http://gateway.invalid", proxy=server.url, retries=0).send(Messages.fetch(SID))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("environment", "base", "proxy"),
    [
        ({}, None, None),
        ({"https_proxy": "http://p:1"}, None, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, None, "http://p:1"),
        ({"http_proxy": "http://p:1"}, None, None),
        ({"all_proxy": "http://p:1"}, None, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "twilio.com"}, None, None),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com"}, None, "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://gateway.corp", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://localhost:1", None),
    ],
)
def test_proxy_follows_environment_variables(monkeypatch, environment, base, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wire.proxy(Settings(ACCOUNT, Basic(ACCOUNT, "x"), base=base)) == proxy


def test_proxy_with_unsupported_scheme_raises_bad_connection(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://p:1")
    with pytest.raises(BadConnection, match="socks5"):
        wire.proxy(Settings(ACCOUNT, Basic(ACCOUNT, "x")))


def test_client_ignores_netrc(run, server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.play(ScriptedResponse(200, RECORD))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    assert server.requests[0].headers["authorization"] == client.client.settings.auth.header


# ---------------------------------------------------------------- TLS


class Certificate:
    """A self-signed certificate for localhost with its key, as files, and a TLS context for a server."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        built = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        certificate = built.public_bytes(serialization.Encoding.PEM)
        private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.path = str(folder / f"{name}.pem")
        self.key_path = str(folder / f"{name}.key")
        self.both_path = str(folder / f"{name}-both.pem")
        Path(self.path).write_bytes(certificate)
        Path(self.key_path).write_bytes(private_key)
        Path(self.both_path).write_bytes(certificate + private_key)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.path, self.key_path)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.fixture
def twilio(trusted):
    with ScriptedServer(ScriptedResponse(200, RECORD), repeat=True, tls=trusted.server) as server:
        yield server


def send():
    return Messages.create(to="+14155550123", from_="+14155550100", body="x")


def test_tls_unknown_certificate_raises_not_sent(run, twilio):
    with pytest.raises(NotSent):
        run(twilio.url, retries=0).send(send())
    assert twilio.requests == []


def test_tls_accepts_certificate_of_ca_bundle(run, twilio, trusted):
    assert run(twilio.url, verify=trusted.path).send(Messages.fetch(SID)).sid == SID


def test_tls_certificate_of_another_host_raises_not_sent(run, twilio, trusted):
    with pytest.raises(NotSent):
        run(f"https://127.0.0.2:{twilio.port}", verify=trusted.path, retries=0).send(send())
    assert twilio.requests == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_tls_verify_false_accepts_any_certificate(run, twilio, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert run(twilio.url, verify=False).send(Messages.fetch(SID)).sid == SID


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_tls_uses_ca_bundle_of_environment(run, twilio, trusted, monkeypatch, variable):
    monkeypatch.setenv(variable, trusted.path)
    assert run(twilio.url).send(Messages.fetch(SID)).sid == SID


def test_tls_ca_bundle_of_connection_overrides_environment(run, twilio, trusted, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", Certificate(tmp_path, "other").path)
    assert run(twilio.url, verify=trusted.path).send(Messages.fetch(SID)).sid == SID


@pytest.mark.parametrize("files", [1, 2])
def test_tls_sends_client_certificate(run, trusted, tmp_path, files):
    client_certificate = Certificate(tmp_path, "client")
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(trusted.path, trusted.key_path)
    strict.verify_mode = ssl.CERT_REQUIRED
    strict.load_verify_locations(client_certificate.path)
    cert = (client_certificate.both_path,) if files == 1 else (client_certificate.path, client_certificate.key_path)
    with ScriptedServer(ScriptedResponse(200, RECORD), repeat=True, tls=strict) as server:
        assert run(server.url, verify=trusted.path, cert=cert).send(Messages.fetch(SID)).sid == SID
        with pytest.raises(TwilioError):
            run(server.url, verify=trusted.path, retries=0).send(Messages.fetch(SID))
        assert len(server.requests) == 1


@pytest.mark.parametrize("extra", ["verify", "cert"])
def test_tls_unreadable_file_raises_bad_connection(run, twilio, tmp_path, extra):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(BadConnection, match=f"extra {extra} names a file that cannot be loaded"):
        run(twilio.url, **{extra: str(broken) if extra == "verify" else (str(broken),)}).send(send())
    assert twilio.requests == []


def test_tls_to_plain_http_server_raises_without_request(run, server):
    """A wrong scheme raises an error that names the request. No request is sent."""
    with pytest.raises(TwilioError, match=r"POST .*/Messages\.json"):
        run(server.url.replace("http://", "https://"), retries=0, timeout=0.3).send(send())
    assert server.count("POST") == 0
