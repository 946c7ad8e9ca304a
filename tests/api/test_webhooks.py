"""Webhook signatures: Twilio's vectors are valid, doubtful requests are not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.webhooks import SHA1, SHA256, signature, valid

SECRET = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
SIGNED = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
BODY = b'{"property": "value", "boolean": true}'
BODY_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
JSON_URL = f"{URL}&bodySHA256={BODY_HASH}"
JSON_SIGNED = "a9nBmqA0ju/hNViExpshrM61xv4="


def test_valid_accepts_twilios_vectors():
    assert signature(SECRET, URL, FORM) == SIGNED
    assert valid(SECRET, URL, SIGNED, form=FORM)
    assert valid(SECRET, JSON_URL, JSON_SIGNED, body=BODY)
    assert hashlib.sha256(BODY).hexdigest() == BODY_HASH


@pytest.mark.parametrize(
    "form",
    [
        {"Sid": "CA123", "SidAccount": "AC123", "Digits": ["5678", "1234", "1234"]},
        {"Sid": ["CA123"], "SidAccount": ("AC123",), "Digits": {"1234", "5678"}},
        [("Digits", "5678"), ("Sid", "CA123"), ("Digits", "1234"), ("SidAccount", "AC123"), ("Digits", "1234")],
    ],
)
def test_signature_covers_every_value_of_a_name(form: Any):
    assert signature(SECRET, URL, form) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="
    assert valid(SECRET, URL, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", form=form)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        (URL.replace(".com", ".com:1234"), SIGNED),
        (URL.replace("https", "http").replace(".com", ".com:1234"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ],
)
def test_valid_accepts_url_with_and_without_port(url: str, signed: str):
    assert valid(SECRET, url, signed, form=FORM)


@pytest.mark.parametrize(
    ("url", "signed_as"),
    [
        ("https://u:p@example.com/x", "https://u:p@example.com:443/x"),
        ("https://u:p@example.com:8443/x", "https://u:p@example.com/x"),
        ("http://[::1]:8080/x?y=a:b", "http://[::1]/x?y=a:b"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://example.com", "https://example.com"),
        ("https://example.com?x=1", "https://example.com:443?x=1"),
        ("HTTPS://example.com/x", "HTTPS://example.com:443/x"),
        ("https://example.com/x#rc=2", "https://example.com/x"),
    ],
)
def test_valid_compares_the_rest_of_the_url_unchanged(url: str, signed_as: str):
    assert valid(SECRET, url, signature(SECRET, signed_as))


def test_signature_of_get_covers_the_url_only():
    assert valid(SECRET, URL, signature(SECRET, URL))
    assert valid(SECRET, URL, signature(SECRET, URL), body=b"")
    assert not valid(SECRET, URL + "&baz=3", signature(SECRET, URL))


def test_valid_accepts_sha256_if_the_settings_name_it():
    signed = signature("shared", URL, FORM, SHA256)
    settings = f"key=webhooks_sharedkey_1,algorithm={SHA256}"
    assert valid("shared", URL, signed, form=FORM, settings=settings)
    assert valid("shared", URL, signature("shared", URL, FORM), form=FORM, settings=f"key=x, algorithm = {SHA1}")
    assert not valid("shared", URL, signed, form=FORM)
    assert not valid("shared", URL, signature("shared", URL, FORM), form=FORM, settings=settings)


@pytest.mark.parametrize(
    "settings", ["", "key=x", "algorithm=", "algorithm=HMAC_MD5", f"algorithm={SHA1},algorithm={SHA256}"]
)
def test_valid_rejects_unknown_or_missing_algorithm(settings: str):
    for algorithm in (SHA1, SHA256):
        assert not valid("shared", URL, signature("shared", URL, FORM, algorithm), form=FORM, settings=settings)


DOUBTFUL: list[tuple[str, dict[str, Any]]] = [
    ("no signature", {"received": None}),
    ("an empty signature", {"received": ""}),
    ("another signature", {"received": "x" + SIGNED[1:]}),
    ("part of the signature", {"received": SIGNED[:-1]}),
    ("a longer signature", {"received": SIGNED + "="}),
    ("a signature beyond ASCII", {"received": "é" + SIGNED}),
    ("a signature of bytes", {"received": SIGNED.encode()}),
    ("a lone surrogate in the signature", {"received": "\ud83d"}),
    ("another secret", {"secret": "12346"}),
    ("no secret", {"secret": ""}),
    ("None for a secret", {"secret": None}),
    ("another host", {"url": URL.replace("mycompany", "other")}),
    ("another scheme", {"url": URL.replace("https", "http")}),
    ("another query", {"url": URL + "&baz=3"}),
    ("no scheme", {"url": "mycompany.com/myapp.php?foo=1&bar=2"}),
    ("no address", {"url": ""}),
    ("None for an address", {"url": None}),
    ("a parameter more", {"form": FORM | {"Evil": "1"}}),
    ("a parameter less", {"form": {name: FORM[name] for name in list(FORM)[1:]}}),
    ("another value", {"form": FORM | {"Digits": "9999"}}),
    ("no form", {"form": None}),
    ("an empty form", {"form": {}}),
    ("a form and a body", {"body": b"{}"}),
    ("a body instead of the form", {"form": None, "body": BODY}),
    ("a form of numbers", {"form": FORM | {"Digits": 1234}}),
    ("a form that is a text", {"form": "CallSid=CA123"}),
    ("a form that is a number", {"form": 5}),
]


@pytest.mark.parametrize(("case", "changed"), DOUBTFUL, ids=[case for case, _ in DOUBTFUL])
def test_valid_rejects_doubtful_requests(case: str, changed: dict[str, Any]):
    sound: dict[str, Any] = {"secret": SECRET, "url": URL, "received": SIGNED, "form": FORM}
    assert valid(**sound)
    assert not valid(**{**sound, **changed})


def test_valid_rejects_an_empty_secret():
    assert not valid("", URL, signature("", URL, FORM), form=FORM)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (JSON_URL, BODY + b" "),
        (JSON_URL, b""),
        (JSON_URL, None),
        (URL, BODY),
        (f"{JSON_URL}&bodySHA256={BODY_HASH}", BODY),
        (f"{JSON_URL}&bodySHA256={'0' * 64}", BODY),
        (f"{URL}&bodySHA256=", BODY),
        (f"{URL}&bodySHA256={'0' * 64}", BODY),
        (f"{URL}&bodysha256={BODY_HASH}", BODY),
        (f"{URL}#bodySHA256={BODY_HASH}", BODY),
    ],
)
def test_valid_compares_body_with_hash_in_signed_url(url: str, body: bytes | None):
    assert not valid(SECRET, url, signature(SECRET, url.partition("#")[0]), body=body)


def test_valid_does_not_treat_hashed_body_as_empty_form():
    assert not valid(SECRET, JSON_URL, JSON_SIGNED, form={})
    assert not valid(SECRET, JSON_URL, JSON_SIGNED)


def test_valid_accepts_the_hash_of_an_empty_body():
    url = f"{URL}&bodySHA256={hashlib.sha256(b'').hexdigest()}"
    assert valid(SECRET, url, signature(SECRET, url), body=b"")


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())), st.text(min_size=1), st.text())
def test_valid_accepts_exactly_what_signature_signs(form: dict[str, Any], secret: str, received: str):
    try:
        signed = signature(secret, URL, form)
    except UnicodeEncodeError:
        assert not valid(secret, URL, received, form=form)
        return
    assert valid(secret, URL, signed, form=form)
    assert valid(secret, URL, received, form=form) is (received == signed)
