"""Tests of reading settings from a connection: its fields, its extras, and the errors for invalid ones."""

from __future__ import annotations

import json
import pickle
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.client.extras import BadConnection
from airflow_provider_twilio.client.prepare import build_url
from airflow_provider_twilio.client.regions import EDGES, LEGACY_REGIONS
from airflow_provider_twilio.client.settings import Basic, OAuth, Settings, is_loopback

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


def read_settings(*args: Any, **extras: Any) -> Settings:
    return Settings.from_connection(connection(*args, **extras))


# ---------------------------------------------------------------- credentials and account


def test_settings_account_sid_and_auth_token():
    settings = read_settings()
    assert settings.account_sid == ACCOUNT
    assert settings.auth == Basic(ACCOUNT, "secret")
    assert settings == Settings(ACCOUNT, Basic(ACCOUNT, "secret"), conn_id="t")
    assert (settings.timeout, settings.validate, settings.verify, settings.dry_run) == (60, True, True, False)


def test_settings_api_key_with_account_sid():
    settings = read_settings(KEY, account_sid=ACCOUNT)
    assert (settings.account_sid, settings.auth) == (ACCOUNT, Basic(KEY, "secret"))


def test_settings_oauth_with_account_sid():
    settings = read_settings("OQ" + "e" * 32, auth_type="oauth", account_sid=ACCOUNT)
    assert (settings.account_sid, settings.auth) == (ACCOUNT, OAuth("OQ" + "e" * 32, "secret"))


def test_settings_account_sid_overrides_login():
    assert read_settings(account_sid=SUBACCOUNT).account_sid == SUBACCOUNT
    settings = Settings.from_connection(connection(account_sid=ACCOUNT), SUBACCOUNT)
    assert (settings.account_sid, settings.auth) == (SUBACCOUNT, Basic(ACCOUNT, "secret"))


@pytest.mark.parametrize(
    ("fields", "extras", "expected"),
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
def test_settings_invalid_login_names_field_and_remedy(fields, extras, expected):
    with pytest.raises(BadConnection) as caught:
        read_settings(*fields, **extras)
    assert str(caught.value).startswith("connection t, ")
    for part in expected:
        assert part in str(caught.value)
    for value in fields:
        assert not value or value not in str(caught.value)


def test_settings_invalid_account_sid_argument_raises():
    with pytest.raises(ValueError, match="expected an account SID, AC…, got a call SID"):
        Settings.from_connection(connection(), "CA" + "a" * 32)


# ---------------------------------------------------------------- extras


@pytest.mark.parametrize(
    ("name", "suggestion"),
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
def test_extras_unknown_name_suggests_similar_one(name, suggestion):
    with pytest.raises(BadConnection, match=f"extra {name} is unknown: did you mean {suggestion}\\?"):
        read_settings(**{name: "x"})


def test_extras_unknown_name_lists_all():
    with pytest.raises(BadConnection, match=r"the extras are account_sid, auth_type, .*allow_insecure"):
        read_settings(zzzzz=1)


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
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
        ("allowed_recipients", "+1415; +44\n client:test-* +49,", ("+1415", "+44", "client:test-*", "+49")),
        ("allowed_recipients", ["+1415, +44"], ("+1415", "+44")),
        ("allowed_recipients", ["client:a b"], ("client:a b",)),
        ("allowed_recipients", ["+", "+1[2-9]*", "*", "eve", "sip:*@corp.example", "whatsapp:+1415*"], None),
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
def test_extras_are_parsed_from_json_and_strings(name, value, parsed):
    settings = read_settings(**{name: value})
    field = "defaults" if name in ("from_", "messaging_service_sid") else name
    assert getattr(settings, field) == (tuple(value) if parsed is None else parsed)


@pytest.mark.parametrize(
    "name", ["timeout", "retries", "verify", "from_", "proxy", "allowed_recipients", "dry_run", "cert"]
)
@pytest.mark.parametrize("empty", [None, ""])
def test_extras_empty_value_is_ignored(name, empty):
    assert read_settings(**{name: empty}) == read_settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
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
        ("allowed_recipients", " , ;", "at least one prefix or pattern"),
        ("allowed_recipients", '["+1415"', "a list of strings"),
        ("proxy", "socks5://proxy:1080", "http://user:password@host:3128"),
        ("proxy", "http://proxy:99999", "http://user:password@host:3128"),
        ("proxy", "http://", "http://user:password@host:3128"),
        ("allowed_recipients", "+1415,1415", "entry 2 has no leading +"),
        ("allowed_recipients", " 1415", "write + as %2B"),
        ("allowed_recipients", ["+1 415"], "characters other than + and digits"),
        ("allowed_recipients", ["(415)*"], "no leading +"),
        ("allowed_recipients", ["+1-415-*"], "characters other than + and digits"),
        ("allowed_recipients", ["+\uff11415"], "characters other than + and digits"),
        ("allowed_recipients", ["+0171"], "a country code"),
        ("allowed_recipients", ["+1415555012345678"], "more than 15 digits"),
        ("allowed_recipients", ["whatsapp:"], "whatsapp:*"),
        ("allowed_recipients", ["whatsapp:+1415"], "leave out the channel"),
        ("allowed_recipients", ["whatsapp:1415*"], "no leading +"),
        ("from_", " 14155550100", "write + as %2B"),
        ("from_", " 49151", "write + as %2B"),
        ("from_", "whatsapp: 14155550100", "write + as %2B"),
        ("from_", " ", "write + as %2B"),
        ("region", "not a name", "ie1"),
        ("edge", "x.evil.example/", "ie1"),
    ],
)
def test_extras_invalid_value_names_extra_and_remedy(name, value, expected):
    with pytest.raises(BadConnection, match=f"extra {name} ") as caught:
        read_settings(**{name: value})
    assert expected in str(caught.value)


def test_extras_invalid_sender_names_connection_and_extra():
    with pytest.raises(ValueError, match="connection t, extra from_ contains spaces"):
        read_settings(from_="+1 415 555 0100")
    with pytest.raises(ValueError, match="connection t, extra messaging_service_sid is a SID of the wrong type"):
        read_settings(messaging_service_sid=ACCOUNT)


@pytest.mark.parametrize("extra", ["{timeout: 5}", "[]", '"x"', "timeout=5"])
def test_extras_not_a_json_object_raises(extra):
    """Airflow treats it as an empty extra, which would lose `allowed_recipients` and `dry_run`."""
    invalid = connection()
    object.__setattr__(invalid, "extra", extra)
    with pytest.raises(BadConnection, match="extra is not a JSON object"):
        Settings.from_connection(invalid)


@pytest.mark.parametrize("extra", [None, "", " ", "{}"])
def test_extras_may_be_missing(extra):
    bare = connection()
    object.__setattr__(bare, "extra", extra)
    assert Settings.from_connection(bare) == read_settings()


def test_extras_accept_http_version():
    assert read_settings(http_version="1.1") == read_settings()


def test_extras_empty_allowed_recipients_allow_all():
    assert read_settings(allowed_recipients=[]).allowed_recipients == ()


# ---------------------------------------------------------------- connections as a URI


def test_settings_from_uri(monkeypatch):
    uri = (
        f"twilio://{ACCOUNT}:se%2Fcret@127.0.0.1:8765/?timeout=5&dry_run=false&retries=2&validate=no"
        f"&allowed_recipients={quote('+1415,+44')}&from_={quote('+14155550100')}"
    )
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)
    settings = Settings.from_connection(Connection.get("by_uri"))
    assert settings == Settings(
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


def test_settings_from_uri_without_host(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", f"twilio://{ACCOUNT}:token@/?timeout=5")
    settings = Settings.from_connection(Connection.get("by_uri"))
    assert (settings.base, settings.timeout, settings.auth.secret) == (None, 5, "token")


def test_settings_from_uri_with_url_as_host(monkeypatch):
    host = quote("http://127.0.0.1:8765", safe="")
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", f"twilio://{ACCOUNT}:token@{host}/")
    assert Settings.from_connection(Connection.get("by_uri")).base == "http://127.0.0.1:8765"


# ---------------------------------------------------------------- base URL, region and edge


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
def test_settings_base_url_from_host_and_port(host, port, base):
    assert read_settings(host=host, port=port).base == base


@pytest.mark.parametrize("host", ["http://gateway.corp", "http://10.0.0.1:8765", "http://localhost.evil.example"])
def test_settings_plain_http_requires_allow_insecure(host):
    with pytest.raises(BadConnection, match=r"neither https nor on this machine.*allow_insecure"):
        read_settings(host=host)
    assert read_settings(host=host, allow_insecure="true").base == host


@pytest.mark.parametrize(
    "host", ["ftp://x", "https://", "https://x?y=1", "https://me:pass@x", "https://x#y", "https://x:y", "a b", "[::1"]
)
def test_settings_invalid_host_raises(host):
    with pytest.raises(BadConnection, match="host is not a base URL"):
        read_settings(host=host)


def test_loopback_hosts_are_recognized():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "a.localhost")))
    assert not any(map(is_loopback, ("10.0.0.1", "localhost.com", "", "mylocalhost", "::2")))


@pytest.mark.parametrize(("region", "edge"), EDGES.items())
def test_settings_region_implies_its_edge(region, edge):
    settings = read_settings(region=region)
    assert settings == read_settings(region=region, edge=edge)
    assert build_url(settings, "/x") == f"https://api.{edge}.{region}.twilio.com/x"
    assert (
        build_url(settings, "https://accounts.twilio.com/v1/x") == f"https://accounts.{edge}.{region}.twilio.com/v1/x"
    )


@pytest.mark.parametrize("edge", [*EDGES.values(), *LEGACY_REGIONS.values(), "ashburn-ix"])
def test_settings_edge_alone_implies_us1(edge):
    settings = read_settings(edge=edge)
    assert (settings.region, settings.edge) == ("us1", edge)
    assert build_url(settings, "/x") == f"https://api.{edge}.us1.twilio.com/x"


def test_settings_accept_another_edge_for_a_region():
    assert build_url(read_settings(region="ie1", edge="frankfurt"), "/x") == "https://api.frankfurt.ie1.twilio.com/x"


@pytest.mark.parametrize(("region", "edge"), LEGACY_REGIONS.items())
@pytest.mark.parametrize("both", [False, True])
def test_settings_legacy_region_raises_and_names_edge(region, edge, both):
    with pytest.raises(BadConnection, match=f"connection t, extra region is {region}, .*us1, ie1 or au1.* {edge}"):
        read_settings(region=region, **({"edge": edge} if both else {}))


def test_settings_edge_as_region_raises():
    with pytest.raises(BadConnection, match="extra region is dublin, which is an edge"):
        read_settings(region="dublin")


def test_settings_unknown_region_requires_edge():
    with pytest.raises(BadConnection, match="extra region is zz9, which is unknown, and the extra edge is missing"):
        read_settings(region="zz9")
    assert build_url(read_settings(region="zz9", edge="atlantis"), "/x") == "https://api.atlantis.zz9.twilio.com/x"


@pytest.mark.parametrize(
    ("region", "template", "product"),
    [
        ("ie1", "https://verify.twilio.com/v2/Services", "verify"),
        ("ie1", "https://bulkexports.twilio.com/v1/Exports", "bulkexports"),
        ("au1", "https://messaging.twilio.com/v1/Services", "messaging"),
        ("au1", "/2010-04-01/Accounts/{AccountSid}/Messages.json", "messaging"),
        (None, "https://verify.dublin.ie1.twilio.com/v2/Services", "verify"),
    ],
)
def test_build_url_product_missing_in_region_raises(region, template, product):
    settings = read_settings(**({"region": region} if region else {}))
    with pytest.raises(
        BadParameter, match=f"product {product}, which the region .* does not offer.* no request was sent"
    ):
        build_url(settings, template)


def test_build_url_product_of_region_is_accepted():
    url = build_url(read_settings(region="ie1"), "/2010-04-01/Accounts/{AccountSid}/Messages.json")
    assert url.startswith("https://api.dublin.ie1.twilio.com/")
    assert build_url(read_settings(region="au1"), "/2010-04-01/Accounts/{AccountSid}/Calls.json")


@pytest.mark.parametrize("secret", ["secret\n", " secret", "sec ret", "secret\u200b", "\ufeffsecret", "secret\t"])
def test_settings_password_with_blank_raises(secret):
    with pytest.raises(BadConnection, match=r"connection t, password .* blank, line break") as caught:
        read_settings(ACCOUNT, secret)
    assert "sec" not in str(caught.value)


def test_settings_from_uri_with_bare_plus_raises(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BARE_PLUS", f"twilio://{ACCOUNT}:secret@/?from_=+14155550100")
    with pytest.raises(BadConnection, match=r"connection bare_plus, extra from_ .*write . as %2B"):
        Settings.from_connection(Connection.get("bare_plus"))


# ---------------------------------------------------------------- settings as values


def test_settings_are_comparable_hashable_and_picklable():
    settings = read_settings(timeout=5)
    assert settings == read_settings(timeout="5")
    assert hash(settings) == hash(read_settings(timeout="5"))
    assert settings != read_settings(timeout=6)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_settings_secrets_include_header_and_proxy_password():
    assert read_settings(proxy="http://me:p%40ss@proxy:1").secrets == (
        "secret",
        Basic(ACCOUNT, "secret").header.removeprefix("Basic "),
        "p%40ss",
        "p@ss",
    )
    assert read_settings("OQ1", auth_type="oauth", account_sid=ACCOUNT).secrets == ("secret",)
