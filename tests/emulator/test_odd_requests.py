"""Throw generated requests at every route for a while: the answer is Twilio's kind of 4xx, and never a traceback.

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
from collections import Counter
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest

from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.emulator.app import OF_ACCOUNT, OF_ACCOUNTS, OF_MESSAGING
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
HUGE = ["9" * 400, "-" + "9" * 30, "x" * 70_000, "1e999", "nan", "\0", "\ud800", "%", "+", "%00", "é" * 2000, "\r\n: x"]
JSONS: list[Any] = [
    None, [], "x", 1e308, 10**400, -1, {}, {"a": {}}, True, "+14155550100", "2026-01-01", ["x"], "1#", {"To": 1},
    float("nan"),
]  # fmt: skip


class Thrower:
    """Make requests of one seed, each a plain text that http.client sends."""

    def __init__(self, emulator: Emulator, dice: random.Random) -> None:
        self.emulator = emulator
        self.dice = dice
        control = emulator._application.control.routes
        self.controls = sorted({name for _, name in control if name != "reset"})
        self.names = [*NAMES, *(field for field in Fault.__slots__), *Quirks.__slots__]

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
            parts.append(f"{quote(name, errors='replace')}={quote_from_bytes(value)}")
        if parts and dice.random() < 0.2:
            parts += parts[:1] * 3
        return dice.choice(["&", "&", "&", ";", "&&"]).join(parts).encode()

    def sid(self) -> str:
        world = self.emulator.world
        shelves = (
            world.main.messages,
            world.main.calls,
            world.main.numbers,
            world.main.recordings,
            world.main.services,
        )
        known = [record.sid for shelf in shelves for record in shelf]
        odd = ["SM" + "0" * 32, "US", "XX", "..", "%2e%2e", "a" * 3000, "%ff", "", "CA²"]
        return self.dice.choice(known) if known and self.dice.random() < 0.8 else self.dice.choice(odd)

    def path(self) -> str:
        dice = self.dice
        kind = dice.randrange(20)
        if kind == 0:
            return "/" + quote("".join(dice.choice("/.%²ab") for _ in range(dice.randrange(30))))
        if kind == 1:
            return f"{ACCOUNT}{dice.choice(['', '/'])}{dice.choice(sorted(OF_ACCOUNTS))}.json".replace(
                "{}", quote(self.sid(), safe="%")
            )
        if kind == 2:
            path = f"/messaging.twilio.com/v1/{dice.choice(sorted(OF_MESSAGING))}"
        else:
            owner = self.emulator.account_sid if dice.random() < 0.95 else quote(self.sid(), safe="%")
            path = f"{ACCOUNT}/{owner}/{dice.choice(sorted(OF_ACCOUNT))}{'.json' if dice.random() < 0.95 else ''}"
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
        return method, path, body, {"Authorization": authorization, "Content-Type": dice.choice(TYPES)}

    def control(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Make a request of the control API."""
        dice = self.dice
        path = dice.choice([*self.controls, "calls//digits", "nothing"])
        path = path.replace("{}", quote(self.sid(), safe="%"))
        names = [*self.names, "advance", "freeze", "from", "to", "body", "media", "sid", "status", "digits"]
        given = {dice.choice(names): dice.choice(JSONS) for _ in range(dice.randrange(4))}
        body = json.dumps(given if dice.random() < 0.8 else dice.choice(JSONS)).encode()
        if dice.random() < 0.1:
            body = dice.choice([b"{", b"[" * 100_000, b"\xff", b"{}" * 9, dice.randbytes(50)])
        headers = {"Content-Type": "application/json" if dice.random() < 0.9 else "text/plain"}
        query = f"?{self.pairs().decode()}" if dice.random() < 0.2 else ""
        return dice.choice(METHODS), f"/_emulator/{path}{query}", body, headers


def ask(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path[:60_000], skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_odd_requests(caplog: pytest.LogCaptureFixture) -> None:
    seed = random.randrange(1 << 32)
    statuses: Counter[int] = Counter()
    with serve(speed=100) as emulator, caplog.at_level(logging.ERROR):
        thrower = Thrower(emulator, random.Random(seed))
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends or (statuses[201] <= 5 and statuses.total() < MOST):
            ours = thrower.dice.random() < 0.15
            request = thrower.control() if ours else thrower.request()
            told = f"seed {seed}: {request[0]} {request[1][:500]} {request[2][:500]!r} {request[3]}"
            status, content = ask(emulator.port, *request)
            statuses[status] += 1
            assert status < 500, f"{told}: {content[:500]!r}"
            assert b"Traceback" not in content, told
            assert not caplog.records, f"{told}: {caplog.text}"
            if ours:
                emulator.world.faults.clear()
                emulator.quirks.set(**{name: getattr(Quirks(), name) for name in Quirks.__slots__})
                continue
            # What the HTTP server itself refuses, and the inbox at /, aren't Twilio's to answer.
            if status >= 400 and request[0] != "HEAD" and not re.match(r"/(\?|$)|/_emulator", request[1]):
                if content == b"Invalid HTTP request received.":
                    continue
                answer = json.loads(content)
                assert {"code", "message", "more_info", "status"} <= set(answer), told
                assert answer["status"] == status, told
            if len(emulator.world.main.messages) > 2000:
                emulator.reset()
    assert statuses[201] > 5
    assert statuses[400] > 20
    assert statuses[404] > 20
