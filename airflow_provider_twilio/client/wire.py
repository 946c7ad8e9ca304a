"""What goes out for a request, and by which way: the same from both clients."""

from __future__ import annotations

import json
import os
import platform
import ssl
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_twilio import __version__
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.settings import BadConnection, Settings

HEADERS = {
    "Accept": "application/json",
    "User-Agent": f"airflow-provider-twilio/{__version__} (Python {platform.python_version()})",
}
FORM = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
JSON = {**HEADERS, "Content-Type": "application/json"}


def encode(request: Request[Any], authorization: str | None) -> tuple[str, dict[str, str], bytes | None]:
    """Give the URL, headers and body of a resolved request."""
    url, headers, body = request.path, HEADERS, None
    if request.json is not None:
        headers, body = JSON, json.dumps(request.json, ensure_ascii=False).encode()
    elif request.method not in ("GET", "DELETE"):
        headers, body = FORM, request.query().encode("ascii")
    if request.data and headers is not FORM:
        url = f"{url}?{request.query()}"
    return url, headers if authorization is None else {**headers, "Authorization": authorization}, body


def proxy(settings: Settings) -> str | None:
    """Give the proxy to go through: the connection's, or the environment's; none to this machine."""
    if settings.proxy or settings.is_local:
        return settings.proxy
    from urllib.request import getproxies, proxy_bypass

    target = urlsplit(settings.url("/"))
    known = getproxies()
    found = known.get(target.scheme) or known.get("all")
    if not found or proxy_bypass(target.hostname or ""):
        return None
    found = found if "://" in found else f"http://{found}"
    if not found.startswith(("http://", "https://")):
        raise BadConnection(
            "the environment's proxy",
            f"is a {found.split(':')[0]} address",
            "set the connection's extra proxy to http://…",
        )
    return found


def ca_bundle(settings: Settings) -> str | None:
    """Give the file of certificates to trust: the connection's, the environment's, or certifi's; None to trust all."""
    if not settings.verify:
        return None
    if isinstance(settings.verify, str):
        return settings.verify
    import certifi

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


def tls(settings: Settings) -> ssl.SSLContext:
    """Make the TLS context of a connection's ``verify`` and ``cert``, and refuse files that can't be loaded."""
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
        raise _unloadable(settings, "verify", bundle, error) from None
    if settings.cert:
        try:
            context.load_cert_chain(*settings.cert)
        except OSError as error:
            raise _unloadable(settings, "cert", ", ".join(settings.cert), error) from None
    return context


def _unloadable(settings: Settings, extra: str, path: str | None, error: OSError) -> BadConnection:
    return BadConnection(
        f"connection {settings.conn_id}, extra {extra}",
        f"names what can't be loaded ({path}: {type(error).__name__})",
        "give the path of a PEM file that is on this machine",
    )
