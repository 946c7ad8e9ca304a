"""Verification of webhooks: https://www.twilio.com/docs/usage/webhooks/webhooks-security.

Twilio signs each webhook's URL and form with a secret: the account's auth token or, if the header
:data:`SETTINGS_HEADER` says so, the secret of a shared key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"

SHA1, SHA256 = "HMAC_SHA1", "HMAC_SHA256"
_HASHES = {SHA1: hashlib.sha1, SHA256: hashlib.sha256}
_URL = re.compile(
    r"(?P<start>https?://(?:[^/?#@]*@)?)(?P<host>\[[^\]/?#]*\]|[^:/?#@]+)(?P<port>:[0-9]*)?(?P<rest>[/?].*)?",
    re.IGNORECASE | re.DOTALL,
)

Form = Mapping[str, Any] | Iterable[tuple[str, str]]


def signature(secret: str, url: str, form: Form | None = None, algorithm: str = SHA1) -> str:
    """Return the signature that Twilio sends with a webhook.

    :param secret: Auth token, or secret of the shared key.
    :param url: Full URL as Twilio requested it, with its query.
    :param form: Posted form, as pairs or as a mapping whose values may be lists. None for GET and JSON.
    :param algorithm: ``HMAC_SHA1`` (default) or ``HMAC_SHA256``.
    """
    signed = url + "".join(name + value for name, value in sorted(set(_pairs(form))))
    digest = hmac.new(secret.encode(), signed.encode(), _HASHES[algorithm]).digest()
    return base64.b64encode(digest).decode()


def valid(
    secret: str,
    url: str,
    received: str | None,
    *,
    form: Form | None = None,
    body: bytes | None = None,
    settings: str | None = None,
) -> bool:
    """Return whether Twilio signed a webhook. Invalid input is not an error but False.

    :param secret: Auth token, or secret of the shared key.
    :param url: Full URL as Twilio requested it: the one configured at Twilio, not one that a proxy has rewritten. It is
        checked with and without its port, since Twilio signs either.
    :param received: Received signature, the value of the header :data:`HEADER`.
    :param form: Posted form, as pairs or as a mapping whose values may be lists. A mapping must contain every value of
        a name that was posted more than once.
    :param body: Posted bytes, if they are not a form. The URL must contain their hash.
    :param settings: Value of the header :data:`SETTINGS_HEADER`, which names the algorithm.

    .. code-block:: python

        valid(auth_token, request.url, request.headers.get(HEADER), form=request.form)
    """
    try:
        return _valid(secret, url, received, form, body, settings)
    except (TypeError, ValueError, AttributeError):
        return False


def _valid(
    secret: str, url: str, received: str | None, form: Form | None, body: bytes | None, settings: str | None
) -> bool:
    algorithm = _algorithm(settings)
    parts = _URL.fullmatch(url.partition("#")[0])
    if not secret or not received or algorithm is None or parts is None or (form is not None and body):
        return False
    pairs = _pairs(form)
    hashes = parse_qs((parts["rest"] or "").partition("?")[2], keep_blank_values=True).get("bodySHA256", [])
    # The signature covers a form directly, and any other body through its hash in the URL.
    if not pairs and (body or hashes) and not _matches_hash(body or b"", hashes):
        return False
    origin, rest = parts["start"] + parts["host"], parts["rest"] or ""
    port = parts["port"] or (":443" if url[:5].lower() == "https" else ":80")
    # Both are always computed, so that timing does not reveal which one matched.
    matches = [
        hmac.compare_digest(signature(secret, origin + port_part + rest, pairs, algorithm).encode(), received.encode())
        for port_part in ("", port)
    ]
    return any(matches)


def _algorithm(settings: str | None) -> str | None:
    """Return the algorithm that the settings header names, or None if it is unknown."""
    if settings is None:
        return SHA1
    pairs = [part.partition("=") for part in settings.split(",")]
    named = [value.strip() for name, _, value in pairs if name.strip() == "algorithm"]
    return named[0] if len(named) == 1 and named[0] in _HASHES else None


def _matches_hash(body: bytes, hashes: list[str]) -> bool:
    expected = hashlib.sha256(body).hexdigest()
    return len(hashes) == 1 and hmac.compare_digest(expected.encode(), hashes[0].lower().encode())


def _pairs(form: Form | None) -> list[tuple[str, str]]:
    """Return the pairs of a form.

    :raises TypeError: When the value cannot be a form.
    """
    if form is None:
        return []
    pairs: list[tuple[str, str]] = []
    items: Any = form.items() if isinstance(form, Mapping) else form
    for name, value in items:
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs += [(name, item) for item in values]
    if not all(isinstance(item, str) for pair in pairs for item in pair):
        raise TypeError("a form contains strings only")
    return pairs
