"""What goes out for a request, byte for byte the same from both clients."""

from __future__ import annotations

import json
import platform
from typing import Any

from airflow_provider_twilio import __version__
from airflow_provider_twilio.api.core import Request

HEADERS = {
    "Accept": "application/json",
    "User-Agent": f"airflow-provider-twilio/{__version__} (Python {platform.python_version()})",
}


def encode(request: Request[Any]) -> tuple[str, dict[str, str], bytes | None]:
    """Give the URL, headers and body of a resolved request."""
    url, headers = request.path, dict(HEADERS)
    if request.json is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(request.json, ensure_ascii=False).encode()
        return (f"{url}?{request.query()}" if request.data else url), headers, body
    if request.method in ("GET", "DELETE"):
        return (f"{url}?{request.query()}" if request.data else url), headers, None
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return url, headers, request.query().encode("ascii")
