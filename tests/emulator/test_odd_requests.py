"""Send generated requests to every route for a while.

No response may have status 5xx or a traceback.

Requests of the control API leave faults, quirks and the clock in unusual states. The Twilio API and the page must
respond nevertheless, unless a fault replaces the response.

The test takes 20 s, or the number of seconds in the environment variable EMULATOR_ODD_SECONDS, which `.ci/run` sets.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import re
import time
from base64 import b64encode
from collections import Counter, deque
from itertools import cycle
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest

from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.emulator.app import ACCOUNT_ROUTES, MESSAGING_ROUTES, RESOURCE_ROUTES
from airflow_provider_twilio.emulator.faults import Fault, Quirks
from tests.emulator.test_app import NAMES, SAMPLE_VALUES

SECONDS = float(os.environ.get("EMULATOR_ODD_SECONDS", "20"))
MAX_REQUESTS = 20_000
"""Number of requests after which the test stops on a busy machine, even if few of them succeeded."""
METHODS = ["GET"] * 4 + ["POST"] * 6 + ["DELETE"] * 2 + ["PUT", "PATCH", "HEAD", "OPTIONS", "get", "QUERY"]
ACCOUNT = "/2010-04-01/Accounts"
TYPES = [
    *["application/x-www-form-urlencoded"] * 6, "application/json", "multipart/form-data; boundary=x", "text/plain",
    "application/x-www-form-urlencoded; charset=utf-16", "", "²",
]  # fmt: skip
EXTREME_VALUES = [
    "9" * 400, "-" + "9" * 30, "x" * 70_000, "1e999", "nan", "\0", "\ud800", "%", "+", "%00", "é" * 2000, "\r\n: x",
]  # fmt: skip
ODD_PAIRS = [
    ("Contains", "%" * 15 + "9"), ("Contains", "%1" * 7), ("PhoneNumber", "%" * 19 + "3"),
    ("PageSize", "0" * 11 + "15000"), ("PageSize", "0" * 11 + "1" + "9" * 20),
]  # fmt: skip
"""Names with values that are unusual for them."""
JSON_VALUES: list[Any] = [
    None, [], "x", 1e308, 10**400, -1, {}, {"a": {}}, True, "+14155550100", "2026-01-01", ["x"], "1#", {"To": 1},
    float("nan"), 0, 5, 1.5, 429, 1e9, 1e12, 10**20, "\r\n: x", "\ud800", "POST", "http://[", ["http://["],
    ["http://example.com/a.png"], ["javascript:x"], {"To": "x"}, [["To", "x"]], "2026-01-01T00:00:00Z",
    "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "last", "none", "delivered", False,
]  # fmt: skip
ORIGINS = ["http://[", "null", "", "http://evil.example", "²", "http://127.0.0.1:99999999"]
HOSTS = ["[", "evil.example", "", "²", "localhost:x"]
PAGE_PATHS = ["/", "/?phone=%2B14155550100&journal=1", "/_emulator/inbox/live?phone=%2B14155550100"]
INVALID_FIELDS: dict[str, Any] = {
    "media": ["http://["],
    "error_code": 10**20,
    "code": 10**20,
    "advance": 1e12,
    "self": 1,
}
"""An invalid value for each of these fields."""
STATEFUL_ROUTES = ["faults", "quirks", "clock", "messages", "statuses"]
"""Routes of the control API with a lasting effect."""
FAULTS: list[dict[str, Any]] = [
    {"status": 429}, {"accept_then_status": 503}, {"html": True}, {"drop": True}, {"cut": True}, {"stall": 0},
]  # fmt: skip


class RequestGenerator:
    """Generates random requests: method, path, body and headers."""

    def __init__(self, emulator: Emulator, rng: random.Random) -> None:
        self.emulator = emulator
        self.rng = rng
        routes = emulator._application.control.routes
        self.control_paths = sorted({name for _, name in routes if name != "reset"})
        self.names = [*NAMES, *Fault.__slots__, *Quirks.__slots__]

    def value(self) -> str:
        rng = self.rng
        choice = rng.randrange(5)
        if choice == 0:
            return rng.choice(EXTREME_VALUES)
        if choice == 1:
            return "".join(chr(rng.randrange(1, 0x2FFF)) for _ in range(rng.randrange(20)))
        return rng.choice(SAMPLE_VALUES)

    def pairs(self) -> bytes:
        rng = self.rng
        parts = []
        for _ in range(rng.randrange(7)):
            name = rng.choice(NAMES) if rng.random() < 0.9 else self.value()
            value = rng.randbytes(rng.randrange(40)) if rng.random() < 0.1 else self.value().encode(errors="replace")
            if rng.random() < 0.05:
                name, text = rng.choice(ODD_PAIRS)
                value = text.encode()
            parts.append(f"{quote(name, errors='replace')}={quote_from_bytes(value)}")
        if parts and rng.random() < 0.2:
            parts += parts[:1] * 3
        return rng.choice(["&", "&", "&", ";", "&&"]).join(parts).encode()

    def sid(self, resource: str | None = None) -> str:
        resource = resource or self.rng.choice(["messages", "calls", "numbers", "recordings", "services"])
        known = [record.sid for record in getattr(self.emulator.state.main, resource)]
        odd = ["SM" + "0" * 32, "US", "XX", "..", "%2e%2e", "a" * 3000, "%ff", "", "CA²"]
        return self.rng.choice(known) if known and self.rng.random() < 0.8 else self.rng.choice(odd)

    def path(self) -> str:
        rng = self.rng
        choice = rng.randrange(20)
        if choice == 0:
            return "/" + quote("".join(rng.choice("/.%²ab") for _ in range(rng.randrange(30))))
        if choice == 1:
            return f"{ACCOUNT}{rng.choice(['', '/'])}{rng.choice(sorted(ACCOUNT_ROUTES))}.json".replace(
                "{}", quote(self.sid(), safe="%")
            )
        if choice == 2:
            path = f"/messaging.twilio.com/v1/{rng.choice(sorted(MESSAGING_ROUTES))}"
        else:
            owner = self.emulator.account_sid if rng.random() < 0.95 else quote(self.sid(), safe="%")
            path = f"{ACCOUNT}/{owner}/{rng.choice(sorted(RESOURCE_ROUTES))}{'.json' if rng.random() < 0.95 else ''}"
        if rng.random() < 0.8:
            path = path.replace("AvailablePhoneNumbers/{}", "AvailablePhoneNumbers/US")
        while "{}" in path:
            path = path.replace("{}", quote(self.sid(), safe="%"), 1)
        return path

    def request(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Return a request to the Twilio API."""
        rng = self.rng
        path, body = self.path(), b""
        method = rng.choice(METHODS)
        if rng.random() < 0.5 or method in ("GET", "DELETE"):
            path += f"?{self.pairs().decode()}"
        if method == "POST" or rng.random() < 0.1:
            body = self.pairs() if rng.random() < 0.9 else rng.randbytes(rng.randrange(300))
        secret = f"{self.emulator.account_sid}:{self.emulator.auth_token}" if rng.random() < 0.97 else self.value()
        authorization = f"Basic {b64encode(secret.encode(errors='replace')).decode()}"
        if rng.random() < 0.02:
            authorization = rng.choice(["Basic", "Basic ²", "Bearer x", "x", "Basic ////"])
        return (
            method,
            path,
            body,
            {"Authorization": authorization, "Content-Type": rng.choice(TYPES)} | self.origin_headers(),
        )

    def page(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Return a request for the inbox."""
        return "GET", self.rng.choice(PAGE_PATHS), b"", {}

    def fields(self, path: str) -> tuple[dict[str, Any], list[str]]:
        """Return a valid body for a route of the control API.

        Also return the names of the fields to replace by unusual values.
        """
        rng = self.rng
        ends = {"from": "+14155550100", "to": self.emulator.phone_number}
        return {
            "faults": (rng.choice(FAULTS), [*Fault.__slots__, "self"]),
            "quirks": ({}, [*Quirks.__slots__, "self"]),
            "clock": ({}, ["advance", "freeze"]),
            "messages": (ends | {"body": "x"}, ["from", "to", "body", "media"]),
            "calls": (ends, ["from", "to"]),
            "statuses": ({"sid": self.sid("messages"), "status": "failed"}, ["sid", "status", "error_code"]),
            "verified": ({"number": "+14155550100"}, ["number", "account_sid"]),
        }.get(path, ({}, [*self.names, "digits", "sid"]))

    def control(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Return a request to the control API."""
        rng = self.rng
        path = rng.choice([*self.control_paths, *STATEFUL_ROUTES * 4, "calls//digits", "nothing"])
        body_fields, names = self.fields(path)
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            name = rng.choice(names) if rng.random() < 0.9 else rng.choice(self.names)
            body_fields = body_fields | {
                name: INVALID_FIELDS[name] if name in INVALID_FIELDS and rng.random() < 0.3 else rng.choice(JSON_VALUES)
            }
        body = json.dumps(body_fields if rng.random() < 0.9 else rng.choice(JSON_VALUES)).encode()
        if rng.random() < 0.05:
            body = rng.choice([b"{", b"[" * 100_000, b"\xff", b"{}" * 9, rng.randbytes(50)])
        headers = {"Content-Type": "application/json" if rng.random() < 0.9 else "text/plain"} | self.origin_headers()
        query = f"?{self.pairs().decode()}" if rng.random() < 0.2 else ""
        path = path.replace("{}", quote(self.sid(), safe="%"))
        return rng.choice(["POST"] * 9 + METHODS), f"/_emulator/{path}{query}", body, headers

    def origin_headers(self) -> dict[str, str]:
        """Return, now and then, headers with an unusual origin or host."""
        rng = self.rng
        headers = {"Origin": rng.choice(ORIGINS)} if rng.random() < 0.03 else {}
        return headers | ({"Host": rng.choice(HOSTS)} if rng.random() < 0.03 else {})


ROUND = [
    None, *[RequestGenerator.request] * 8, *[RequestGenerator.control] * 2, *[RequestGenerator.request] * 4,
    RequestGenerator.page,
]  # fmt: skip
"""The requests of a round. None removes all faults and quirks."""


def send(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path[:60_000], skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def restore(emulator: Emulator) -> None:
    emulator.state.faults.clear()
    emulator.quirks.set(**{name: getattr(Quirks(), name) for name in Quirks.__slots__})


def remove_delays(emulator: Emulator) -> None:
    """Remove the faults and quirks that would only make the test slow."""
    emulator.quirks.set(latency=0, jitter=0)
    if any(fault.stall or fault.accept_then_stall for fault in emulator.state.faults.pending):
        emulator.state.faults.clear()


def test_emulator_withstands_generated_requests(caplog: pytest.LogCaptureFixture) -> None:
    seed = random.randrange(1 << 32)
    statuses: Counter[int] = Counter()
    latest: deque[str] = deque(maxlen=len(ROUND))
    with serve(speed=100) as emulator, caplog.at_level(logging.ERROR):
        generator = RequestGenerator(emulator, random.Random(seed))
        deadline = time.monotonic() + SECONDS
        for make in cycle(ROUND):
            if time.monotonic() > deadline and (statuses[201] > 5 or statuses.total() > MAX_REQUESTS):
                break
            if make is None:
                restore(emulator)
                continue
            request = make(generator)
            latest.append(f"{request[0]} {request[1][:500]} {request[2][:500]!r} {request[3]}")
            description = f"seed {seed}: " + "\n".join(latest)
            previous_total = emulator.journal.total
            try:
                status, content = send(emulator.port, *request)
            except (http.client.HTTPException, ConnectionError):
                status, content = 0, b""  # a fault may close the connection
            statuses[status] += 1
            remove_delays(emulator)
            assert b"Traceback" not in content, description
            assert not caplog.records, f"{description}: {caplog.text}"
            if emulator.journal.total > previous_total and len(emulator.journal) and emulator.journal[-1].fault:
                continue
            assert 0 < status < 500 or status == 501, f"{description}: {content[:500]!r}"
            # Errors of the HTTP server, the page and the control API do not have Twilio's form.
            if status >= 400 and request[0] != "HEAD" and not re.match(r"/(\?|$)|/_emulator", request[1]):
                if content == b"Invalid HTTP request received.":
                    continue
                response = json.loads(content)
                assert {"code", "message", "more_info", "status"} <= set(response), description
                assert response["status"] == status, description
            if len(emulator.state.main.messages) > 2000:
                emulator.reset()
    assert statuses[201] > 5
    assert statuses[400] > 20
    assert statuses[404] > 20
