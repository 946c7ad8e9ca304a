"""How things look on the wire: answers, errors, dates. Bodies and headers as captured from Twilio."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import msgspec

from airflow_provider_twilio.api.request import VERSION

JSON = "application/json"
BASE = f"/{VERSION}"


class Refused(Exception):
    """Say no as Twilio does: an HTTP status, a code, a message.

    https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions
    """

    def __init__(self, code: int, message: str, status: int = 400, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.detail = detail

    def answer(self) -> Answer:
        return Answer(error_body(self.code, self.message, self.status, self.detail), self.status)


def not_found(path: str) -> Refused:
    return Refused(20404, f"The requested resource {path} was not found", 404)


def error_body(code: int, message: str, status: int, detail: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code}
    if detail is not None:
        body["detail"] = detail
    body |= {"message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return body


@dataclass(slots=True)
class Answer:
    """Hold an answer before it is written: a JSON value, or bytes of another content type."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    sid: str | None = None
    """The resource that came to be, whose digits become the request's id."""

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        try:
            return msgspec.json.encode(self.body)
        except UnicodeEncodeError:  # half a character can only be written escaped
            return json.dumps(self.body, separators=(",", ":")).encode()


@lru_cache(maxsize=4096)
def _rfc2822(second: int) -> str:
    return formatdate(second).replace("-0000", "+0000")


def date(when: float | None) -> str | None:
    """Write a time as the 2010 API does: ``Thu, 24 Aug 2023 05:01:45 +0000``."""
    return None if when is None else _rfc2822(int(when))


@lru_cache(maxsize=1024)
def price(charged: float) -> str | None:
    """Write what was charged as Twilio does, which takes it off; None before anything was."""
    return f"-{charged:.5f}" if charged else None


@lru_cache(maxsize=1024)
def iso(second: int) -> str:
    """Write a time as the newer APIs do: ``2023-08-24T05:01:45Z``."""
    from datetime import datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
