"""Requests and responses for tests of the pure API."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_twilio.api.errors import TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.outcomes import error_from_response
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response

AC, OTHER, SM = "AC" + "0" * 32, "AC" + "1" * 32, "SM" + "a" * 32
TO, FROM = "+14155550100", "+14155550199"


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    """Return a response with this JSON body; bytes are the body as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers, raw)


def first_page(listing: Listing[Any]) -> Request[Page[Any]]:
    """Return the request for the first page of a list."""
    request = listing.first_page()
    assert request is not None
    return request


def rejection(status: int, code: int | None = None, message: str = "No", **headers: str) -> Response:
    """Return Twilio's response to a request it rejects."""
    body = {"code": code, "message": message, "more_info": "", "status": status}
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()
    )


def error_for(request: Request[Any], response: Response) -> TwilioError:
    """Return the error that a response stands for."""
    error = error_from_response(request, response)
    assert error is not None
    return error
