"""Raw requests, by method and path, for resources that this package does not model."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from typing import Any

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import VERSION, Request
from airflow_provider_twilio.api.values import parse_int, wire_values

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def raw_request(
    method: str,
    path: str,
    data: Mapping[str, Any] | None = None,
    *,
    json: Any = None,
    idempotent: bool = False,
    max_segments: int | None = None,
) -> Request[Record]:
    """Build a request to any resource of Twilio.

    A GET that Twilio redirects to a file, such as media, deactivations and bulk exports, is followed without the
    credentials. It returns a record with ``content_type``, ``encoding`` (``utf-8`` or ``base64``) and ``content``,
    which is decompressed.

    :param method: HTTP method: GET, POST, PUT, PATCH or DELETE.
    :param path: Path below the account (``Queues``), from the root (``/2010-04-01/Accounts/{AccountSid}/Queues.json``,
        where the client fills in ``{AccountSid}``), or URL on another host of Twilio
        (``https://messaging.twilio.com/v1/Services``).
    :param data: Parameters, by Twilio's own names. A list repeats its parameter; times are converted to UTC.
    :param json: JSON body instead, for APIs that accept one.
    :param idempotent: Whether a POST or PATCH may be retried while its outcome is unknown. False by default.
    :param max_segments: Maximum number of segments of a ``Body`` parameter. A longer body is rejected before anything
        is sent.
    :raises BadParameter: When an argument is invalid. No request was sent.
    """
    method = str(method).upper()
    if method not in METHODS:
        raise BadParameter("method", f"is {method!r}", f"use one of {', '.join(METHODS)}")
    if data is not None and json is not None and method != "GET":
        raise BadParameter("data and json", "are mutually exclusive", "pass a form or a JSON body")
    if json is not None:
        try:
            json_text.dumps(json, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise BadParameter(
                "json",
                "contains a value that JSON cannot represent",
                "use strings, finite numbers, booleans, None, lists and mappings only",
            ) from None
    return Request(
        method,
        _path(path),
        Record,
        _form_data(data),
        json=json,
        idempotent=idempotent or method in ("GET", "PUT", "DELETE"),
        max_segments=parse_int("max_segments", max_segments, 1),
    )


def raw_listing(path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Listing[Record]:
    """Build a list request to any resource of Twilio, of the 2010 API or of a newer one.

    :param path: Path or URL of the list, as for :func:`raw_request`.
    :param data: Filters, by Twilio's own names. Set ``PageSize`` if 1,000 records per page are too many.
    :param limit: Maximum number of records to list. None lists all.
    :raises BadParameter: When an argument is invalid. No request was sent.
    """
    pairs = _form_data(data)
    size = next((value for name, value in pairs if name == "PageSize"), None)
    return Listing(
        _path(path),
        Record,
        tuple(pair for pair in pairs if pair[0] != "PageSize"),
        limit=limit,
        page_size=int(size) if size and size.isdecimal() else None,
    )


def _form_data(data: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    if data is None:
        return ()
    return tuple((name, text) for name, value in data.items() for text in wire_values(name, value))


def _path(path: str) -> str:
    if not path or path != str(path):
        raise BadParameter("path", "is empty or not a string", "pass a path such as 'Queues' or '/2010-04-01/…'")
    if "?" in path or "#" in path:
        raise BadParameter("path", "contains a query or fragment", "pass its parameters as data")
    last = path.rsplit("/", 1)[-1]
    if (path.startswith(f"/{VERSION}/") or ("/" not in path[:1] and "://" not in path)) and "." not in last:
        return path + ".json"
    return path
