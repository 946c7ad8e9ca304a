"""Twilio's responses, before they are parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Response(NamedTuple):
    """A response: its status, its headers (by lower-case names) and the bytes of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """Twilio's ID of the request, if any."""
        return self.headers.get("twilio-request-id")

    def json(self) -> Any:
        """Parse the body as JSON. Return None if it is not JSON."""
        import msgspec

        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # msgspec rejects lone surrogates, which the standard library accepts
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def shape(self) -> str:
        """Describe the body without quoting it."""
        start = self.body[:200].lstrip().lower()
        content_type = self.headers.get("content-type", "no content type").split(";")[0]
        if not start:
            return "an empty body"
        if start.startswith((b"<!doctype html", b"<html")):
            return f"an HTML page of {len(self.body)} bytes"
        if start.startswith(b"<"):
            return f"XML of {len(self.body)} bytes"
        if start.startswith((b"{", b"[")):
            return f"truncated or invalid JSON ({len(self.body)} bytes)"
        return f"{len(self.body)} bytes of {content_type}"

    def __repr__(self) -> str:
        return f"<Response {self.status}, {self.shape()}>"
