"""What comes back from Twilio: an answer as it is on the wire, and a page of a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Response(NamedTuple):
    """Hold what came back: the status, the headers (found by lower-case names) and the bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        return self.headers.get("twilio-request-id")

    def json(self) -> Any:
        """Parse the body; None if it is not JSON."""
        import msgspec

        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # it is strict: a text cut in half a character is JSON to others
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def shape(self) -> str:
        """Tell what the body looks like, without quoting it."""
        start = self.body[:200].lstrip().lower()
        kind = self.headers.get("content-type", "no content type").split(";")[0]
        if not start:
            return "an empty body"
        if start.startswith((b"<!doctype html", b"<html")):
            return f"an HTML page of {len(self.body)} bytes"
        if start.startswith(b"<"):
            return f"XML of {len(self.body)} bytes"
        if start.startswith((b"{", b"[")):
            return f"JSON that is cut or broken ({len(self.body)} bytes)"
        return f"{len(self.body)} bytes of {kind}"

    def __repr__(self) -> str:
        return f"<Response {self.status}, {self.shape()}>"
