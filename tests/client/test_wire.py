"""By which way a request goes out, for both clients alike: proxies, certificates, and what the environment says."""

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
from tests.support.scripted import Answer, Drop, Scripted, Stall

SID = "SM" + "b" * 32
FOUND = {"sid": SID, "account_sid": ACCOUNT, "status": "queued"}
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


# ---------------------------------------------------------------- proxies


class Proxy(Scripted):
    """Tunnel each CONNECT to one server, whatever host it names, or refuse it."""

    def __init__(self, target: int, *, refuse: bool = False) -> None:
        super().__init__(Answer(407 if refuse else 200), repeat=True)
        self.target = target
        self.refuse = refuse

    def _play(self, connection, answer):
        if self.refuse:
            return super()._play(connection, answer)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.target)) as onward:
            back = threading.Thread(target=self._pump, args=(onward, connection), daemon=True)
            back.start()
            self._pump(connection, onward)
            back.join(5)
        return False

    @staticmethod
    def _pump(source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_plain_http_goes_by_the_connections_proxy(run, server):
    """A proxy for plain http is asked for the whole address."""
    server.play(Answer(200, FOUND))
    proxy = server.url.replace("http://", "http://me:p%40ss@")
    run("http://gateway.invalid", proxy=proxy).send(Messages.fetch(SID))
    (request,) = server.requests
    assert request.target == f"http://gateway.invalid/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json"
    assert request.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


def test_https_goes_through_a_tunnel(run, trusted):
    with Scripted(Answer(200, FOUND), tls=trusted.server) as twilio, Proxy(twilio.port) as proxy:
        client = run("https://localhost", proxy=f"http://me:pass@127.0.0.1:{proxy.port}", verify=trusted.path)
        assert client.send(Messages.fetch(SID)).sid == SID
        (asked,) = proxy.requests
        assert (asked.method, asked.target) == ("CONNECT", "localhost:443")
        assert asked.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
        assert "authorization" not in asked.headers
        assert twilio.requests[0].headers["authorization"].startswith("Basic ")
        assert "proxy-authorization" not in twilio.requests[0].headers


def test_an_answer_that_is_lost_behind_a_proxy_is_not_sent_again(run, server):
    server.play(Drop())
    with pytest.raises(OutcomeUnknown):
        run("http://gateway.invalid", proxy=server.url, retries=2).send(
            Messages.create(to="+14155550123", from_="+14155550100", body="x")
        )
    assert server.count("POST") == 1


def test_a_proxy_that_refuses_has_sent_nothing(run):
    with Proxy(0, refuse=True) as proxy:
        client = run("https://gateway.invalid", proxy=f"http://me:pass@127.0.0.1:{proxy.port}", retries=0)
        with pytest.raises(NotSent) as caught:
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
    assert "pass" not in str(caught.value).replace("passed", "")


def test_a_proxy_that_says_nothing_has_sent_nothing(run):
    with Scripted(Stall()) as proxy:
        client = run("https://gateway.invalid", proxy=proxy.url, timeout=0.3, retries=0)
        began = time.monotonic()
        with pytest.raises(NotSent, match="timed out"):
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
        assert 0.3 <= time.monotonic() - began < 30
        assert [request.method for request in proxy.requests] == ["CONNECT"]


def test_a_server_that_says_nothing_before_tls_was_sent_nothing(run):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = run(f"https://127.0.0.1:{mute.getsockname()[1]}", timeout=0.3, retries=0)
        began = time.monotonic()
        with pytest.raises(NotSent, match="timed out"):
            client.send(Messages.create(to="+14155550123", from_="+14155550100", body="x"))
        assert 0.3 <= time.monotonic() - began < 30


def test_a_proxy_that_is_not_there(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotSent):
        run("https://gateway.invalid", proxy=f"http://127.0.0.1:{port}", retries=0).send(Messages.fetch(SID))


def test_the_environments_proxy(run, server, monkeypatch):
    server.play(Answer(200, FOUND))
    monkeypatch.setenv("http_proxy", server.url)
    run("http://gateway.invalid").send(Messages.fetch(SID))
    assert server.requests[0].target.startswith("http://gateway.invalid/")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_no_proxy_of_the_environment_to_this_machine(run, server, monkeypatch, variable):
    server.play(Answer(200, FOUND))
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    run(server.url, retries=0).send(Messages.fetch(SID))
    assert server.requests[0].target.startswith("/2010-04-01/")


def test_the_connections_proxy_goes_before_the_environments(run, server, monkeypatch):
    server.play(Answer(200, FOUND))
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
def test_which_proxy_the_environment_names(monkeypatch, environment, base, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wire.proxy(Settings(ACCOUNT, Basic(ACCOUNT, "x"), base=base)) == proxy


def test_a_proxy_that_neither_client_can_use_is_told(monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://p:1")
    with pytest.raises(BadConnection, match="socks5"):
        wire.proxy(Settings(ACCOUNT, Basic(ACCOUNT, "x")))


def test_no_netrc(run, server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.play(Answer(200, FOUND))
    client = run(server.url)
    client.send(Messages.fetch(SID))
    assert server.requests[0].headers["authorization"] == client.client.settings.auth.header


# ---------------------------------------------------------------- TLS


class Certificate:
    """A self-signed certificate for localhost, and its key, in one file; the server's side of TLS with it."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        certificate = made.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.path = str(folder / f"{name}.pem")
        self.key_path = str(folder / f"{name}.key")
        self.both_path = str(folder / f"{name}-both.pem")
        Path(self.path).write_bytes(certificate)
        Path(self.key_path).write_bytes(secret)
        Path(self.both_path).write_bytes(certificate + secret)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.path, self.key_path)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.fixture
def twilio(trusted):
    with Scripted(Answer(200, FOUND), repeat=True, tls=trusted.server) as server:
        yield server


def send():
    return Messages.create(to="+14155550123", from_="+14155550100", body="x")


def test_an_unknown_certificate_is_refused_before_anything_is_sent(run, twilio):
    with pytest.raises(NotSent):
        run(twilio.url, retries=0).send(send())
    assert twilio.requests == []


def test_a_known_certificate(run, twilio, trusted):
    assert run(twilio.url, verify=trusted.path).send(Messages.fetch(SID)).sid == SID


def test_a_certificate_of_another_name(run, twilio, trusted):
    with pytest.raises(NotSent):
        run(f"https://127.0.0.2:{twilio.port}", verify=trusted.path, retries=0).send(send())
    assert twilio.requests == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_not_verifying(run, twilio, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert run(twilio.url, verify=False).send(Messages.fetch(SID)).sid == SID


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_certificates(run, twilio, trusted, monkeypatch, variable):
    monkeypatch.setenv(variable, trusted.path)
    assert run(twilio.url).send(Messages.fetch(SID)).sid == SID


def test_the_connections_certificates_go_before_the_environments(run, twilio, trusted, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", Certificate(tmp_path, "other").path)
    assert run(twilio.url, verify=trusted.path).send(Messages.fetch(SID)).sid == SID


@pytest.mark.parametrize("files", [1, 2])
def test_a_client_certificate(run, trusted, tmp_path, files):
    mine = Certificate(tmp_path, "mine")
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(trusted.path, trusted.key_path)
    strict.verify_mode = ssl.CERT_REQUIRED
    strict.load_verify_locations(mine.path)
    cert = (mine.both_path,) if files == 1 else (mine.path, mine.key_path)
    with Scripted(Answer(200, FOUND), repeat=True, tls=strict) as server:
        assert run(server.url, verify=trusted.path, cert=cert).send(Messages.fetch(SID)).sid == SID
        with pytest.raises(TwilioError):
            run(server.url, verify=trusted.path, retries=0).send(Messages.fetch(SID))
        assert len(server.requests) == 1


@pytest.mark.parametrize("extra", ["verify", "cert"])
def test_files_that_cannot_be_loaded(run, twilio, tmp_path, extra):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(BadConnection, match=f"extra {extra} names a file that cannot be loaded"):
        run(twilio.url, **{extra: str(broken) if extra == "verify" else (str(broken),)}).send(send())
    assert twilio.requests == []


def test_plain_http_where_tls_is_spoken(run, server):
    """A wrong scheme ends in an error that names the request, and in no send."""
    with pytest.raises(TwilioError, match=r"POST .*/Messages\.json"):
        run(server.url.replace("http://", "https://"), retries=0, timeout=0.3).send(send())
    assert server.count("POST") == 0
