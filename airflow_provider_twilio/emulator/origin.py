"""The origin of requests: those of other sites are rejected.

The emulator accepts requests of programs and of its own page.

A browser lets the page of any site send requests to this machine, and the emulator's credentials are public. The Origin
header of such a request names the other site. If that site has pointed its own domain at this machine (DNS rebinding),
the Host header does.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from airflow_provider_twilio.emulator.destinations import is_private_name


def rejection_reason(listen_host: str, method: str, path: str, headers: dict[bytes, bytes]) -> str | None:
    """Return why a request is rejected; None if it is accepted.

    :param listen_host: The address or name that the emulator listens on.
    """
    host = headers.get(b"host", b"")
    if not _is_safe_host(host, listen_host):
        return "This Host is not served: use an IP address, localhost, or the name of a private network"
    if path == "/" and _is_navigation(method, headers):
        return None  # a link from another page, such as Airflow's, may open this page
    origin = headers.get(b"origin")
    is_foreign = origin is not None and origin not in (b"http://" + host, b"https://" + host)
    if is_foreign or headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
        return "Requests from other sites are rejected"
    return None


@lru_cache(maxsize=256)
def _is_safe_host(host: bytes, listen_host: str) -> bool:
    """Return whether no other site can point this host at the emulator.

    That is true for an IP address and for a private name.
    """
    try:
        name = urlsplit(f"//{host.decode('latin-1')}").hostname or ""
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return bool(name) and (name == listen_host.lower() or is_private_name(name))
    return True


def _is_navigation(method: str, headers: dict[bytes, bytes]) -> bool:
    """Return whether a browser opens the page as a document of its own.

    The linking site cannot read that document.
    """
    return method == "GET" and (
        headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    )
