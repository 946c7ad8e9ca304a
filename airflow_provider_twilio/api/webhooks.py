"""Tell whether a webhook is Twilio's: https://www.twilio.com/docs/usage/webhooks/webhooks-security.

Twilio signs the address it was told to ask, and what it posts there, with a secret that only it and you know: the
account's auth token, or, where the request says so in :data:`SETTINGS_HEADER`, a shared key's secret.
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
    """Sign a webhook as Twilio does.

    :param secret: the auth token, or the shared key's secret.
    :param url: the whole address as Twilio asked it, with its query.
    :param form: what was posted as a form: pairs, or a mapping whose values may be lists. None for GET and JSON.
    :param algorithm: ``HMAC_SHA1``, or ``HMAC_SHA256``.
    """
    signed = url + "".join(name + value for name, value in sorted(set(_pairs(form))))
    digest = hmac.new(secret.encode(), signed.encode(), _HASHES[algorithm]).digest()
    return base64.b64encode(digest).decode()


def valid(
    secret: str,
    url: str,
    given: str | None,
    *,
    form: Form | None = None,
    body: bytes | None = None,
    settings: str | None = None,
) -> bool:
    """Tell whether a webhook is Twilio's. Whatever is in doubt is not, and nothing is raised.

    :param secret: the auth token, or the shared key's secret.
    :param url: the whole address as Twilio asked it: what you told Twilio, not what a proxy made of it. It is taken
        with and without its port, since Twilio signs both ways.
    :param given: the header :data:`HEADER`.
    :param form: what was posted as a form: pairs, or a mapping whose values may be lists. A mapping must hold every
        value of a name that was posted more than once.
    :param body: the bytes that were posted, where they are no form. Their hash must stand in the address.
    :param settings: the header :data:`SETTINGS_HEADER`, which names the algorithm.
    """
    try:
        return _valid(secret, url, given, form, body, settings)
    except (TypeError, ValueError, AttributeError):
        return False


def _valid(
    secret: str, url: str, given: str | None, form: Form | None, body: bytes | None, settings: str | None
) -> bool:
    algorithm = _algorithm(settings)
    parts = _URL.fullmatch(url.partition("#")[0])
    if not secret or not given or algorithm is None or parts is None or (form is not None and body):
        return False
    pairs = _pairs(form)
    hashes = parse_qs((parts["rest"] or "").partition("?")[2], keep_blank_values=True).get("bodySHA256", [])
    # A form is signed itself; a body only by the hash in the address. So what has a hash must have that body.
    if not pairs and (body or hashes) and not _hashed(body or b"", hashes):
        return False
    bare, rest = parts["start"] + parts["host"], parts["rest"] or ""
    port = parts["port"] or (":443" if url[:5].lower() == "https" else ":80")
    # Both are always reckoned, so that the time taken doesn't tell which one it was.
    found = [
        hmac.compare_digest(signature(secret, bare + middle + rest, pairs, algorithm).encode(), given.encode())
        for middle in ("", port)
    ]
    return any(found)


def _algorithm(settings: str | None) -> str | None:
    """Read the algorithm from the header that names it; None if it is one we don't know."""
    if settings is None:
        return SHA1
    pairs = [part.partition("=") for part in settings.split(",")]
    named = [value.strip() for name, _, value in pairs if name.strip() == "algorithm"]
    return named[0] if len(named) == 1 and named[0] in _HASHES else None


def _hashed(body: bytes, hashes: list[str]) -> bool:
    wanted = hashlib.sha256(body).hexdigest()
    return len(hashes) == 1 and hmac.compare_digest(wanted.encode(), hashes[0].lower().encode())


def _pairs(form: Form | None) -> list[tuple[str, str]]:
    """Give a form's pairs. What can't be a form is a TypeError."""
    if form is None:
        return []
    pairs: list[tuple[str, str]] = []
    items: Any = form.items() if isinstance(form, Mapping) else form
    for name, value in items:
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs += [(name, item) for item in values]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise TypeError("a form holds strings")
    return pairs
