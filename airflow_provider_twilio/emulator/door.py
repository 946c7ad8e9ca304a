"""Whose requests are taken: those of programs, and of the emulator's own page.

A browser lets any site's page send requests to this machine, and the credentials are known to everybody. Such a page's
requests tell where it comes from by their Origin; or by their Host, if its site has made its own name lead here.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from airflow_provider_twilio.emulator.params import is_private_name


def refusal(own: str, method: str, path: str, headers: dict[bytes, bytes]) -> str | None:
    """Say why a request isn't taken; None if it is.

    :param own: the address or name that is listened on.
    """
    host = headers.get(b"host", b"")
    if not _leads_here(host, own):
        return "This Host is not served here: ask by address, by localhost, or by a private network's name"
    if path == "/" and _is_visit(method, headers):
        return None  # a link from another page, such as Airflow's, may lead here
    origin = headers.get(b"origin")
    foreign = origin is not None and origin not in (b"http://" + host, b"https://" + host)
    if foreign or headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
        return "Requests of another site are not taken"
    return None


@lru_cache(maxsize=256)
def _leads_here(host: bytes, own: str) -> bool:
    """Tell whether nobody else can make a host lead here: an address can't be made to."""
    try:
        name = urlsplit(f"//{host.decode('latin-1')}").hostname or ""
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return bool(name) and (name == own.lower() or is_private_name(name))
    return True


def _is_visit(method: str, headers: dict[bytes, bytes]) -> bool:
    """Tell whether a browser opens the page as a document of its own: whoever led there can't read it."""
    return method == "GET" and (
        headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    )
