"""Throw generated requests at every route for a while: the answer is Twilio's kind of 4xx, and never a traceback.

Faults, switches, clock and what phones send stay as odd requests of the control API have left them: Twilio's half and
the page answer all the same, except where a fault says otherwise.

For 20 s, or as many as the environment's EMULATOR_ODD_SECONDS says: `.ci/run` says two minutes.
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
from tests.emulator.test_app import NAMES, TELLING

SECONDS = float(os.environ.get("EMULATOR_ODD_SECONDS", "20"))
MOST = 20_000
"""So many requests at the most, on a busy machine, till some have been right."""
METHODS = ["GET"] * 4 + ["POST"] * 6 + ["DELETE"] * 2 + ["PUT", "PATCH", "HEAD", "OPTIONS", "get", "QUERY"]
ACCOUNT = "/2010-04-01/Accounts"
TYPES = [
    *["application/x-www-form-urlencoded"] * 6, "application/json", "multipart/form-data; boundary=x", "text/plain",
    "application/x-www-form-urlencoded; charset=utf-16", "", "²",
]  # fmt: skip
HUGE = [
    "9" * 400, "-" + "9" * 30, "x" * 70_000, "1e999", "nan", "\0", "\ud800", "%", "+", "%00", "é" * 2000, "\r\n: x",
]  # fmt: skip
TOGETHER = [
    ("Contains", "%" * 15 + "9"), ("Contains", "%1" * 7), ("PhoneNumber", "%" * 19 + "3"),
    ("PageSize", "0" * 11 + "15000"), ("PageSize", "0" * 11 + "1" + "9" * 20),
]  # fmt: skip
"""Names and values that are odd together."""
JSONS: list[Any] = [
    None, [], "x", 1e308, 10**400, -1, {}, {"a": {}}, True, "+14155550100", "2026-01-01", ["x"], "1#", {"To": 1},
    float("nan"), 0, 5, 1.5, 429, 1e9, 1e12, 10**20, "\r\n: x", "\ud800", "POST", "http://[", ["http://["],
    ["http://example.com/a.png"], ["javascript:x"], {"To": "x"}, [["To", "x"]], "2026-01-01T00:00:00Z",
    "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "last", "none", "delivered", False,
]  # fmt: skip
ORIGINS = ["http://[", "null", "", "http://evil.example", "²", "http://127.0.0.1:99999999"]
HOSTS = ["[", "evil.example", "", "²", "localhost:x"]
PAGES = ["/", "/?phone=%2B14155550100&journal=1", "/_emulator/inbox/live?phone=%2B14155550100"]
SHARP: dict[str, Any] = {"media": ["http://["], "error_code": 10**20, "code": 10**20, "advance": 1e12, "self": 1}
"""What each of these can't be."""
SETTING = ["faults", "quirks", "clock", "messages", "statuses"]
"""Ways of the control API whose effect lasts."""
KINDS: list[dict[str, Any]] = [
    {"status": 429}, {"accept_then_status": 503}, {"html": True}, {"drop": True}, {"cut": True}, {"stall": 0},
]  # fmt: skip


class Thrower:
    """Make requests of one seed, each a plain text that http.client sends."""

    def __init__(self, emulator: Emulator, dice: random.Random) -> None:
        self.emulator = emulator
        self.dice = dice
        control = emulator._application.control.routes
        self.controls = sorted({name for _, name in control if name != "reset"})
        self.names = [*NAMES, *Fault.__slots__, *Quirks.__slots__]

    def value(self) -> str:
        dice = self.dice
        kind = dice.randrange(5)
        if kind == 0:
            return dice.choice(HUGE)
        if kind == 1:
            return "".join(chr(dice.randrange(1, 0x2FFF)) for _ in range(dice.randrange(20)))
        return dice.choice(TELLING)

    def pairs(self) -> bytes:
        dice = self.dice
        parts = []
        for _ in range(dice.randrange(7)):
            name = dice.choice(NAMES) if dice.random() < 0.9 else self.value()
            value = dice.randbytes(dice.randrange(40)) if dice.random() < 0.1 else self.value().encode(errors="replace")
            if dice.random() < 0.05:
                name, text = dice.choice(TOGETHER)
                value = text.encode()
            parts.append(f"{quote(name, errors='replace')}={quote_from_bytes(value)}")
        if parts and dice.random() < 0.2:
            parts += parts[:1] * 3
        return dice.choice(["&", "&", "&", ";", "&&"]).join(parts).encode()

    def sid(self, kind: str | None = None) -> str:
        kind = kind or self.dice.choice(["messages", "calls", "numbers", "recordings", "services"])
        known = [record.sid for record in getattr(self.emulator.state.main, kind)]
        odd = ["SM" + "0" * 32, "US", "XX", "..", "%2e%2e", "a" * 3000, "%ff", "", "CA²"]
        return self.dice.choice(known) if known and self.dice.random() < 0.8 else self.dice.choice(odd)

    def path(self) -> str:
        dice = self.dice
        kind = dice.randrange(20)
        if kind == 0:
            return "/" + quote("".join(dice.choice("/.%²ab") for _ in range(dice.randrange(30))))
        if kind == 1:
            return f"{ACCOUNT}{dice.choice(['', '/'])}{dice.choice(sorted(ACCOUNT_ROUTES))}.json".replace(
                "{}", quote(self.sid(), safe="%")
            )
        if kind == 2:
            path = f"/messaging.twilio.com/v1/{dice.choice(sorted(MESSAGING_ROUTES))}"
        else:
            owner = self.emulator.account_sid if dice.random() < 0.95 else quote(self.sid(), safe="%")
            path = f"{ACCOUNT}/{owner}/{dice.choice(sorted(RESOURCE_ROUTES))}{'.json' if dice.random() < 0.95 else ''}"
        if dice.random() < 0.8:
            path = path.replace("AvailablePhoneNumbers/{}", "AvailablePhoneNumbers/US")
        while "{}" in path:
            path = path.replace("{}", quote(self.sid(), safe="%"), 1)
        return path

    def request(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Make a request of Twilio's."""
        dice = self.dice
        path, body = self.path(), b""
        method = dice.choice(METHODS)
        if dice.random() < 0.5 or method in ("GET", "DELETE"):
            path += f"?{self.pairs().decode()}"
        if method == "POST" or dice.random() < 0.1:
            body = self.pairs() if dice.random() < 0.9 else dice.randbytes(dice.randrange(300))
        secret = f"{self.emulator.account_sid}:{self.emulator.auth_token}" if dice.random() < 0.97 else self.value()
        authorization = f"Basic {b64encode(secret.encode(errors='replace')).decode()}"
        if dice.random() < 0.02:
            authorization = dice.choice(["Basic", "Basic ²", "Bearer x", "x", "Basic ////"])
        return method, path, body, {"Authorization": authorization, "Content-Type": dice.choice(TYPES)} | self.site()

    def page(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Ask for the inbox."""
        return "GET", self.dice.choice(PAGES), b"", {}

    def told(self, path: str) -> tuple[dict[str, Any], list[str]]:
        """Give what this way of the control API takes, and the names of what can be odd in it."""
        dice = self.dice
        ends = {"from": "+14155550100", "to": self.emulator.phone_number}
        return {
            "faults": (dice.choice(KINDS), [*Fault.__slots__, "self"]),
            "quirks": ({}, [*Quirks.__slots__, "self"]),
            "clock": ({}, ["advance", "freeze"]),
            "messages": (ends | {"body": "x"}, ["from", "to", "body", "media"]),
            "calls": (ends, ["from", "to"]),
            "statuses": ({"sid": self.sid("messages"), "status": "failed"}, ["sid", "status", "error_code"]),
            "verified": ({"number": "+14155550100"}, ["number", "account_sid"]),
        }.get(path, ({}, [*self.names, "digits", "sid"]))

    def control(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Make a request of the control API."""
        dice = self.dice
        path = dice.choice([*self.controls, *SETTING * 4, "calls//digits", "nothing"])
        given, names = self.told(path)
        for _ in range(dice.choice([0, 1, 1, 1, 2])):
            name = dice.choice(names) if dice.random() < 0.9 else dice.choice(self.names)
            given = given | {name: SHARP[name] if name in SHARP and dice.random() < 0.3 else dice.choice(JSONS)}
        body = json.dumps(given if dice.random() < 0.9 else dice.choice(JSONS)).encode()
        if dice.random() < 0.05:
            body = dice.choice([b"{", b"[" * 100_000, b"\xff", b"{}" * 9, dice.randbytes(50)])
        headers = {"Content-Type": "application/json" if dice.random() < 0.9 else "text/plain"} | self.site()
        query = f"?{self.pairs().decode()}" if dice.random() < 0.2 else ""
        path = path.replace("{}", quote(self.sid(), safe="%"))
        return dice.choice(["POST"] * 9 + METHODS), f"/_emulator/{path}{query}", body, headers

    def site(self) -> dict[str, str]:
        """Say, now and then, where a request comes from."""
        dice = self.dice
        site = {"Origin": dice.choice(ORIGINS)} if dice.random() < 0.03 else {}
        return site | ({"Host": dice.choice(HOSTS)} if dice.random() < 0.03 else {})


ROUND = [
    None, *[Thrower.request] * 8, *[Thrower.control] * 2, *[Thrower.request] * 4, Thrower.page,
]  # fmt: skip
"""What is asked, over and over; None for all faults and switches off."""


def ask(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path[:60_000], skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def restore(emulator: Emulator) -> None:
    emulator.state.faults.clear()
    emulator.quirks.set(**{name: getattr(Quirks(), name) for name in Quirks.__slots__})


def hurry(emulator: Emulator) -> None:
    """Take away what would only make the test slow."""
    emulator.quirks.set(latency=0, jitter=0)
    if any(fault.stall or fault.accept_then_stall for fault in emulator.state.faults.pending):
        emulator.state.faults.clear()


def test_odd_requests(caplog: pytest.LogCaptureFixture) -> None:
    seed = random.randrange(1 << 32)
    statuses: Counter[int] = Counter()
    latest: deque[str] = deque(maxlen=len(ROUND))
    with serve(speed=100) as emulator, caplog.at_level(logging.ERROR):
        thrower = Thrower(emulator, random.Random(seed))
        ends = time.monotonic() + SECONDS
        for make in cycle(ROUND):
            if time.monotonic() > ends and (statuses[201] > 5 or statuses.total() > MOST):
                break
            if make is None:
                restore(emulator)
                continue
            request = make(thrower)
            latest.append(f"{request[0]} {request[1][:500]} {request[2][:500]!r} {request[3]}")
            told = f"seed {seed}: " + "\n".join(latest)
            asked = emulator.journal.total
            try:
                status, content = ask(emulator.port, *request)
            except (http.client.HTTPException, ConnectionError):
                status, content = 0, b""  # which a fault may do
            statuses[status] += 1
            hurry(emulator)
            assert b"Traceback" not in content, told
            assert not caplog.records, f"{told}: {caplog.text}"
            if emulator.journal.total > asked and len(emulator.journal) and emulator.journal[-1].fault:
                continue
            assert 0 < status < 500, f"{told}: {content[:500]!r}"
            # What the HTTP server itself refuses, the page and the control API aren't Twilio's to answer.
            if status >= 400 and request[0] != "HEAD" and not re.match(r"/(\?|$)|/_emulator", request[1]):
                if content == b"Invalid HTTP request received.":
                    continue
                answer = json.loads(content)
                assert {"code", "message", "more_info", "status"} <= set(answer), told
                assert answer["status"] == status, told
            if len(emulator.state.main.messages) > 2000:
                emulator.reset()
    assert statuses[201] > 5
    assert statuses[400] > 20
    assert statuses[404] > 20
