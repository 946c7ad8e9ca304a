"""The URL, headers, body, proxy and TLS context of a request, shared by both clients."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_twilio import __version__
from airflow_provider_twilio.api.decoding import MAX_BODY_BYTES, BodyTooLarge, BodyUndecodable, decode_body
from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.outcomes import error_for_unreadable
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client.extras import BadConnection
from airflow_provider_twilio.client.prepare import PreparedRequest, build_url
from airflow_provider_twilio.client.settings import Settings

CHUNK_BYTES = 65_536
"""Maximum number of bytes of a response to read at once."""

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"airflow-provider-twilio/{__version__} (Python {platform.python_version()})",
}
FORM = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
JSON = {**HEADERS, "Content-Type": "application/json"}


def encode(prepared: PreparedRequest[Any], authorization: str | None) -> tuple[str, dict[str, str], bytes | None]:
    """Return the URL, headers and body of a prepared request."""
    request, url, headers, body = prepared.request, prepared.url, HEADERS, None
    if request.json is not None:
        headers, body = JSON, json.dumps(request.json, ensure_ascii=False).encode()
    elif request.method not in ("GET", "DELETE"):
        headers, body = FORM, request.query().encode("ascii")
    if request.data and headers is not FORM:
        url = f"{url}?{request.query()}"
    if authorization is not None and prepared.with_credentials:
        headers = {**headers, "Authorization": authorization}
    return url, headers, body


def check_size(
    prepared: PreparedRequest[Any], status: int, headers: Mapping[str, str], content: bytes | bytearray
) -> None:
    """Check that a response is not too large to be read into memory.

    :raises ServerError: If it is too large, and the request is idempotent.
    :raises OutcomeUnknown: If it is too large, and the request is not idempotent.
    """
    if len(content) > MAX_BODY_BYTES:
        raise _too_large(prepared, Response(status, headers, b""))


def decode(
    prepared: PreparedRequest[Any], status: int, headers: Mapping[str, str], content: bytes | bytearray
) -> Response:
    """Return a response with its decompressed body.

    :raises ServerError: If the body cannot be decompressed or is too large, and the request is idempotent.
    :raises OutcomeUnknown: If the same happens to a request that is not idempotent.
    """
    body = bytes(content)
    try:
        return Response(status, headers, decode_body(body, headers.get("content-encoding")))
    except BodyTooLarge:
        raise _too_large(prepared, Response(status, headers, b"")) from None
    except BodyUndecodable:
        shape = f"{len(body)} bytes that are not in their content encoding"
        raise error_for_unreadable(prepared.with_url, Response(status, headers, b""), shape) from None


def _too_large(prepared: PreparedRequest[Any], response: Response) -> TwilioError:
    shape = f"a body of more than {MAX_BODY_BYTES // 1024**2} MiB"
    return error_for_unreadable(prepared.with_url, response, shape)


def proxy(settings: Settings) -> str | None:
    """Return the proxy of the connection, or else of the environment. None for a base URL on this machine."""
    if settings.proxy or settings.is_local:
        return settings.proxy
    from urllib.request import getproxies, proxy_bypass

    target = urlsplit(build_url(settings, "/"))
    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or proxy_bypass(target.hostname or ""):
        return None
    url = url if "://" in url else f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise BadConnection(
            "the environment's proxy",
            f"is a {url.split(':')[0]} URL",
            f"set the extra proxy of the connection {settings.conn_id} to http://…",
        )
    return url


def ca_bundle(settings: Settings) -> str | None:
    """Return the CA bundle of the connection, of the environment, or else of certifi. None to verify nothing."""
    if not settings.verify:
        return None
    if isinstance(settings.verify, str):
        return settings.verify
    import certifi

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


def tls(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context for the connection's ``verify`` and ``cert``.

    :raises BadConnection: If a file cannot be loaded.
    """
    bundle = ca_bundle(settings)
    try:
        if bundle is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif os.path.isdir(bundle):
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise _load_error(settings, "verify", bundle, error) from None
    if settings.cert:
        try:
            context.load_cert_chain(*settings.cert)
        except OSError as error:
            raise _load_error(settings, "cert", ", ".join(settings.cert), error) from None
    return context


def _load_error(settings: Settings, extra: str, path: str | None, error: OSError) -> BadConnection:
    return BadConnection(
        f"connection {settings.conn_id}, extra {extra}",
        f"names a file that cannot be loaded ({path}: {type(error).__name__})",
        "give the path of a PEM file on this machine",
    )
