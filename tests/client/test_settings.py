"""From a connection to settings: what each field and extra may be, and what is said of those that are wrong."""

from __future__ import annotations

import json
import pickle
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection

from airflow_provider_twilio.client.extras import BadConnection
from airflow_provider_twilio.client.prepare import build_url
from airflow_provider_twilio.client.settings import EDGES, Basic, OAuth, Settings, is_loopback

ACCOUNT = "AC" + "a" * 32
SUBACCOUNT = "AC" + "5" * 32
KEY = "SK" + "d" * 32
SERVICE = "MG" + "c" * 32


def connection(
    login: str | None = ACCOUNT,
    password: str | None = "secret",
    host: str | None = None,
    port: int | None = None,
    **extras: Any,
) -> Connection:
    return Connection(
        conn_id="t", conn_type="twilio", login=login, password=password, host=host, port=port, extra=json.dumps(extras)
    )


def settings(*args: Any, **extras: Any) -> Settings:
    return Settings.from_connection(connection(*args, **extras))


# ---------------------------------------------------------------- who


def test_an_auth_token():
    made = settings()
    assert made.account_sid == ACCOUNT
    assert made.auth == Basic(ACCOUNT, "secret")
    assert made == Settings(ACCOUNT, Basic(ACCOUNT, "secret"), conn_id="t")
    assert (made.timeout, made.validate, made.verify, made.dry_run) == (60, True, True, False)


def test_an_api_key():
    made = settings(KEY, account_sid=ACCOUNT)
    assert (made.account_sid, made.auth) == (ACCOUNT, Basic(KEY, "secret"))


def test_oauth():
    made = settings("OQ" + "e" * 32, auth_type="oauth", account_sid=ACCOUNT)
    assert (made.account_sid, made.auth) == (ACCOUNT, OAuth("OQ" + "e" * 32, "secret"))


def test_the_account_acted_on():
    assert settings(account_sid=SUBACCOUNT).account_sid == SUBACCOUNT
    made = Settings.from_connection(connection(account_sid=ACCOUNT), SUBACCOUNT)
    assert (made.account_sid, made.auth) == (SUBACCOUNT, Basic(ACCOUNT, "secret"))


@pytest.mark.parametrize(
    ("given", "extras", "told"),
    [
        (("",), {}, ["login is empty", "AC…", "SK…"]),
        ((None,), {}, ["login is empty"]),
        ((ACCOUNT, ""), {}, ["password is empty"]),
        ((ACCOUNT, None), {}, ["password is empty"]),
        ((KEY,), {}, ["extra account_sid is missing", "API key (SK…)", "AC…"]),
        (("OQ1",), {"auth_type": "oauth"}, ["extra account_sid is missing", "OAuth"]),
        (("+14155550123",), {}, ["login is a phone number", "from_"]),
        (("(415) 555-0123",), {}, ["login is a phone number"]),
        (("CA" + "a" * 32,), {}, ["login is the SID of a call", "AC…"]),
        ((SERVICE,), {}, ["login is the SID of a messaging service"]),
        (("me@example.com",), {}, ["neither an Account SID nor an API key SID", "auth_type to oauth"]),
        ((ACCOUNT[:-1],), {}, ["neither an Account SID", "32 hexadecimal digits"]),
        ((KEY,), {"account_sid": KEY}, ["extra account_sid is not an account SID"]),
    ],
)
def test_a_wrong_login(given, extras, told):
    with pytest.raises(BadConnection) as caught:
        settings(*given, **extras)
    assert str(caught.value).startswith("connection t, ")
    for part in told:
        assert part in str(caught.value)
    for value in given:
        assert not value or value not in str(caught.value)


def test_a_wrong_account_to_act_on():
    with pytest.raises(ValueError, match="expected an account SID, AC…, got a call SID"):
        Settings.from_connection(connection(), "CA" + "a" * 32)


# ---------------------------------------------------------------- extras


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("acount_sid", "account_sid"),
        ("accountSid", "account_sid"),
        ("time_out", "timeout"),
        ("allowed_recipient", "allowed_recipients"),
        ("dryrun", "dry_run"),
        ("Region", "region"),
        ("from", "from_"),
        ("messaging_service", "messaging_service_sid"),
        ("http-version", "http_version"),
        ("sender", "from_"),
        ("Phone_Number", "from_"),
        ("from_number", "from_"),
        ("auth_token", "the connection's password"),
    ],
)
def test_an_unknown_extra_names_the_nearest(wrong, near):
    with pytest.raises(BadConnection, match=f"extra {wrong} is unknown: did you mean {near}\\?"):
        settings(**{wrong: "x"})


def test_an_extra_like_none_lists_them():
    with pytest.raises(BadConnection, match=r"the extras are account_sid, auth_type, .*allow_insecure"):
        settings(zzzzz=1)


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("timeout", 5, 5.0),
        ("timeout", "2.5", 2.5),
        ("retries", 0, 0),
        ("retries", "7", 7),
        ("retries", 2.0, 2),
        ("retry_max_wait", "10", 10.0),
        ("validate", False, False),
        ("validate", "false", False),
        ("validate", "True", True),
        ("dry_run", "1", True),
        ("dry_run", "no", False),
        ("verify", "false", False),
        ("verify", True, True),
        ("verify", __file__, __file__),
        ("cert", __file__, (__file__,)),
        ("cert", [__file__, __file__], (__file__, __file__)),
        ("cert", f"{__file__}, {__file__}", (__file__, __file__)),
        ("allowed_recipients", "+1415, +44", ("+1415", "+44")),
        ("allowed_recipients", ["+1415"], ("+1415",)),
        ("allowed_recipients", '["+1415", "+44"]', ("+1415", "+44")),
        ("proxy", "proxy.corp:3128", "http://proxy.corp:3128"),
        ("proxy", "https://me:pass@proxy.corp", "https://me:pass@proxy.corp"),
        ("from_", "+14155550100", (("From", "+14155550100"),)),
        ("from_", "ACME", (("From", "ACME"),)),
        ("from_", "WhatsApp:+14155550100", (("From", "whatsapp:+14155550100"),)),
        ("messaging_service_sid", SERVICE, (("MessagingServiceSid", SERVICE),)),
    ],
)
def test_extras_as_json_and_as_text(name, given, read):
    made = settings(**{name: given})
    field = "defaults" if name in ("from_", "messaging_service_sid") else name
    assert getattr(made, field) == read


@pytest.mark.parametrize(
    "name", ["timeout", "retries", "verify", "from_", "proxy", "allowed_recipients", "dry_run", "cert"]
)
@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_extra_is_none(name, empty):
    assert settings(**{name: empty}) == settings()


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("timeout", "soon", "a number"),
        ("timeout", 0, "above 0"),
        ("timeout", -1, "above 0"),
        ("timeout", True, "a number"),
        ("timeout", "nan", "a number"),
        ("timeout", "inf", "a number"),
        ("timeout", 1e12, "no more than a day"),
        ("timeout", [1], "a number"),
        ("retries", 1.5, "a whole number"),
        ("retries", -1, "a whole number, 0 or more"),
        ("retries", "inf", "a number"),
        ("validate", "maybe", "true or false"),
        ("validate", 1, "true or false"),
        ("dry_run", "yes please", "true or false"),
        ("verify", "/nowhere.pem", "on this machine"),
        ("cert", "/nowhere.pem", "on this machine"),
        ("cert", [__file__] * 3, "a certificate and its key"),
        ("account_sid", 5, "a string"),
        ("auth_type", "bearer", "basic or oauth"),
        ("http_version", "2", "1.1"),
        ("allowed_recipients", [1], "a list of strings"),
        ("allowed_recipients", '["+1415"', "a list of strings"),
        ("proxy", "socks5://proxy:1080", "http://user:password@host:3128"),
        ("proxy", "http://proxy:99999", "http://user:password@host:3128"),
        ("proxy", "http://", "http://user:password@host:3128"),
        ("region", "not a name", "ie1"),
        ("edge", "x.evil.example/", "ie1"),
    ],
)
def test_a_wrong_extra(name, given, told):
    with pytest.raises(BadConnection, match=f"extra {name} ") as caught:
        settings(**{name: given})
    assert told in str(caught.value)


def test_a_wrong_sender():
    with pytest.raises(ValueError, match="from_ contains spaces"):
        settings(from_="+1 415 555 0100")
    with pytest.raises(ValueError, match="messaging_service_sid is a SID of the wrong kind"):
        settings(messaging_service_sid=ACCOUNT)


@pytest.mark.parametrize("extra", ["{timeout: 5}", "[]", '"x"', "timeout=5"])
def test_an_extra_that_is_no_json_object_is_told(extra):
    """Airflow takes it for an empty one, which would lose `allowed_recipients` and `dry_run`."""
    broken = connection()
    object.__setattr__(broken, "extra", extra)
    with pytest.raises(BadConnection, match="extra is not a JSON object"):
        Settings.from_connection(broken)


@pytest.mark.parametrize("extra", [None, "", " ", "{}"])
def test_no_extra(extra):
    bare = connection()
    object.__setattr__(bare, "extra", extra)
    assert Settings.from_connection(bare) == settings()


def test_http_version_has_one_value():
    assert settings(http_version="1.1") == settings()


def test_an_empty_list_of_allowed_recipients_is_none():
    assert settings(allowed_recipients=[]).allowed_recipients == ()


# ---------------------------------------------------------------- as a URI


def test_as_a_uri(monkeypatch):
    uri = (
        f"twilio://{ACCOUNT}:se%2Fcret@127.0.0.1:8765/?timeout=5&dry_run=false&retries=2&validate=no"
        f"&allowed_recipients={quote('+1415,+44')}&from_={quote('+14155550100')}"
    )
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)
    made = Settings.from_connection(Connection.get("by_uri"))
    assert made == Settings(
        ACCOUNT,
        Basic(ACCOUNT, "se/cret"),
        conn_id="by_uri",
        base="http://127.0.0.1:8765",
        timeout=5,
        retries=2,
        validate=False,
        defaults=(("From", "+14155550100"),),
        allowed_recipients=("+1415", "+44"),
    )


def test_as_a_uri_without_a_host(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", f"twilio://{ACCOUNT}:token@/?timeout=5")
    made = Settings.from_connection(Connection.get("by_uri"))
    assert (made.base, made.timeout, made.auth.secret) == (None, 5, "token")


def test_as_a_uri_with_an_address_as_host(monkeypatch):
    host = quote("http://127.0.0.1:8765", safe="")
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", f"twilio://{ACCOUNT}:token@{host}/")
    assert Settings.from_connection(Connection.get("by_uri")).base == "http://127.0.0.1:8765"


# ---------------------------------------------------------------- where


@pytest.mark.parametrize(
    ("host", "port", "base"),
    [
        (None, None, None),
        ("", None, None),
        ("https://api.twilio.com", None, None),
        ("api.twilio.com", 443, None),
        ("127.0.0.1", 8765, "http://127.0.0.1:8765"),
        ("127.0.0.1:8765", None, "http://127.0.0.1:8765"),
        ("localhost", 8765, "http://localhost:8765"),
        ("http://localhost:8765/", None, "http://localhost:8765"),
        ("emulator.localhost", 80, "http://emulator.localhost:80"),
        ("::1", 8765, "http://[::1]:8765"),
        ("[::1]", 8765, "http://[::1]:8765"),
        ("[::1]:8765", None, "http://[::1]:8765"),
        ("http://[::1]:8765", None, "http://[::1]:8765"),
        ("gateway.corp", None, "https://gateway.corp"),
        ("gateway.corp", 8443, "https://gateway.corp:8443"),
        ("https://gateway.corp:8443/twilio/", None, "https://gateway.corp:8443/twilio"),
        ("https://gateway.corp:8443", 9, "https://gateway.corp:8443"),
        ("HTTPS://Gateway.corp", None, "https://gateway.corp"),
        ("localhost.evil.example", None, "https://localhost.evil.example"),
    ],
)
def test_the_base_address(host, port, base):
    assert settings(host=host, port=port).base == base


@pytest.mark.parametrize("host", ["http://gateway.corp", "http://10.0.0.1:8765", "http://localhost.evil.example"])
def test_credentials_do_not_cross_the_network_in_the_open(host):
    with pytest.raises(BadConnection, match=r"neither https nor on this machine.*allow_insecure"):
        settings(host=host)
    assert settings(host=host, allow_insecure="true").base == host


@pytest.mark.parametrize(
    "host", ["ftp://x", "https://", "https://x?y=1", "https://me:pass@x", "https://x#y", "https://x:y", "a b", "[::1"]
)
def test_what_is_no_base_address(host):
    with pytest.raises(BadConnection, match="host is not a base URL"):
        settings(host=host)


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "a.localhost")))
    assert not any(map(is_loopback, ("10.0.0.1", "localhost.com", "", "mylocalhost", "::2")))


@pytest.mark.parametrize(("region", "edge"), EDGES.items())
def test_region_and_edge_complete_each_other(region, edge):
    made = settings(region=region)
    assert made == settings(edge=edge) == settings(region=region, edge=edge)
    assert build_url(made, "/x") == f"https://api.{edge}.{region}.twilio.com/x"
    assert build_url(made, "https://messaging.twilio.com/v1/Services") == (
        f"https://messaging.{edge}.{region}.twilio.com/v1/Services"
    )


def test_an_unknown_region_needs_its_edge():
    with pytest.raises(BadConnection, match="extra edge is missing, and the region zz9 is unknown"):
        settings(region="zz9")
    with pytest.raises(BadConnection, match="extra region is missing, and the edge atlantis is unknown"):
        settings(edge="atlantis")
    assert build_url(settings(region="zz9", edge="atlantis"), "/x") == "https://api.atlantis.zz9.twilio.com/x"


# ---------------------------------------------------------------- as values


def test_settings_compare_hash_and_pickle():
    made = settings(timeout=5)
    assert made == settings(timeout="5")
    assert hash(made) == hash(settings(timeout="5"))
    assert made != settings(timeout=6)
    assert pickle.loads(pickle.dumps(made)) == made


def test_the_secrets():
    assert settings(proxy="http://me:p%40ss@proxy:1").secrets == (
        "secret",
        Basic(ACCOUNT, "secret").header.removeprefix("Basic "),
        "p%40ss",
        "p@ss",
    )
    assert settings("OQ1", auth_type="oauth", account_sid=ACCOUNT).secrets == ("secret",)
