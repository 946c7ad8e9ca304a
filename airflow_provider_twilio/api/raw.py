"""Any other operation of Twilio's, named by method and path: the door for what has no resource of its own here."""

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
    """Describe any request to Twilio.

    :param method: GET, POST, PUT, PATCH or DELETE.
    :param path: below the account (``Queues``), from the root (``/2010-04-01/Accounts/{AccountSid}/Queues.json``;
        ``{AccountSid}`` is filled in), or on another host of Twilio's (``https://messaging.twilio.com/v1/Services``).
    :param data: parameters in Twilio's own spelling; lists are repeated, times written in UTC.
    :param json: a JSON body instead, for the APIs that take one.
    :param idempotent: whether a POST or PATCH may be sent again when its outcome is unknown.
    :param max_segments: refuse a ``Body`` of more segments.
    """
    method = str(method).upper()
    if method not in METHODS:
        raise BadParameter("method", f"is {method!r}", f"give one of {', '.join(METHODS)}")
    if data is not None and json is not None and method != "GET":
        raise BadParameter("data and json", "are given together", "a request has one body: give a form or JSON")
    if json is not None:
        try:
            json_text.dumps(json, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise BadParameter("json", "holds what JSON can't", "give strings, numbers, booleans, None") from None
    return Request(
        method,
        _path(path),
        Record,
        _pairs(data),
        json=json,
        idempotent=idempotent or method in ("GET", "PUT", "DELETE"),
        max_segments=parse_int("max_segments", max_segments, 1),
    )


def raw_listing(path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Listing[Record]:
    """Describe any list of Twilio's, of the 2010 API or of a newer one.

    :param path: as for :func:`request`.
    :param data: filters in Twilio's own spelling; ``PageSize`` among them if 1000 is too many.
    :param limit: how many records at the most.
    """
    pairs = _pairs(data)
    size = next((value for name, value in pairs if name == "PageSize"), None)
    return Listing(
        _path(path),
        Record,
        tuple(pair for pair in pairs if pair[0] != "PageSize"),
        limit=limit,
        page_size=int(size) if size and size.isdecimal() else None,
    )


def _pairs(data: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    if data is None:
        return ()
    return tuple((name, text) for name, value in data.items() for text in wire_values(name, value))


def _path(path: str) -> str:
    if not path or path != str(path):
        raise BadParameter("path", "is empty or not a string", "give one such as 'Queues' or '/2010-04-01/…'")
    if "?" in path or "#" in path:
        raise BadParameter("path", "has a query", "give its parameters as data")
    last = path.rsplit("/", 1)[-1]
    if (path.startswith(f"/{VERSION}/") or ("/" not in path[:1] and "://" not in path)) and "." not in last:
        return path + ".json"
    return path
