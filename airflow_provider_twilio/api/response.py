"""Twilio's responses, before they are parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


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

    def is_html(self) -> bool:
        """Return whether the body is an HTML page, as a proxy or a load balancer sends it."""
        start = self.body[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
            return True
        content_type = self.headers.get("content-type", "").lower()
        return content_type.startswith("text/html") and not start.startswith((b"{", b"[", b"<?xml"))

    def shape(self) -> str:
        """Describe the body without quoting it."""
        start = self.body[:200].lstrip()
        content_type = self.headers.get("content-type", "no content type").split(";")[0]
        if not start:
            return "an empty body"
        if self.is_html():
            return f"an HTML page of {len(self.body)} bytes"
        if start.startswith(b"<"):
            return f"XML of {len(self.body)} bytes"
        if start.startswith((b"{", b"[")):
            parsed = self.json()
            if parsed is None:
                return f"truncated or invalid JSON ({len(self.body)} bytes)"
            return f"a JSON {'object' if isinstance(parsed, dict) else 'list'} of {len(self.body)} bytes"
        return f"{len(self.body)} bytes of {content_type}"

    def __repr__(self) -> str:
        return f"<Response {self.status}, {self.shape()}>"
