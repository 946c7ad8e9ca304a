"""Responses: JSON bodies, errors, dates and prices, in the form captured from Twilio."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import msgspec

from airflow_provider_twilio.api.request import VERSION

JSON = "application/json"
API_ROOT = f"/{VERSION}"


class ApiError(Exception):
    """An error response of the API: an error code, a message and an HTTP status.

    https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions
    """

    def __init__(self, code: int, message: str, status: int = 400, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.detail = detail

    def response(self) -> Response:
        return Response(error_body(self.code, self.message, self.status, self.detail), self.status)


def not_found(path: str) -> ApiError:
    return ApiError(20404, f"The requested resource {path} was not found", 404)


def unknown_operation(method: str, path: str) -> ApiError:
    """Return the error for an operation of Twilio that the emulator lacks.

    With 404, as for a missing record, a caller could take the record for deleted.
    """
    return ApiError(
        20501, f"This is no error of Twilio: the emulator does not know this operation, {method} {path}", 501
    )


def method_not_allowed() -> ApiError:
    return ApiError(20004, "Method not allowed", 405)


def error_body(code: int, message: str, status: int, detail: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code}
    if detail is not None:
        body["detail"] = detail
    body |= {"message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return body


@dataclass(slots=True)
class Response:
    """A response that is not encoded yet.

    Its body is a JSON value, or bytes of another content type.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    sid: str | None = None
    """The SID of a created resource, whose digits become the request id."""

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        try:
            return msgspec.json.encode(self.body)
        except UnicodeEncodeError:  # a lone surrogate can only be escaped
            return json.dumps(self.body, separators=(",", ":")).encode()


@lru_cache(maxsize=4096)
def _rfc2822(second: int) -> str:
    return formatdate(second).replace("-0000", "+0000")


def rfc2822_date(when: float | None) -> str | None:
    """Format a time as the 2010 API does: ``Thu, 24 Aug 2023 05:01:45 +0000``."""
    return None if when is None else _rfc2822(int(when))


@lru_cache(maxsize=1024)
def format_price(charged: float) -> str | None:
    """Format a price as Twilio does, as a negative amount; None if nothing was charged yet."""
    return f"-{charged:.5f}" if charged else None


@lru_cache(maxsize=1024)
def iso_date(second: int) -> str:
    """Format a time as the newer APIs do: ``2023-08-24T05:01:45Z``."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wire_name(name: str) -> str:
    """Return the name of a parameter as Twilio has it: ``sms_url`` is ``SmsUrl``."""
    return "".join(part.capitalize() for part in name.split("_"))
