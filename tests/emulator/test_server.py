from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, serve
from tests.emulator.conftest import Api


def test_serve_accepts_connections_only_inside_with() -> None:
    with serve() as emulator:
        assert requests.get(emulator.url, timeout=5).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(emulator.url, timeout=5)


def test_emulators_of_one_process_are_independent() -> None:
    with serve() as one, serve() as other:
        Api(one, (one.account_sid, one.auth_token)).send()
        assert (len(one.messages), len(other.messages)) == (1, 0)
        assert one.port != other.port


def test_emulator_connection_uri_and_json_match(emulator: Emulator) -> None:
    parts = urlsplit(emulator.connection_uri)
    assert (parts.scheme, parts.hostname, parts.port) == ("twilio", "127.0.0.1", emulator.port)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (emulator.account_sid, emulator.auth_token)
    assert json.loads(emulator.connection_json) == {
        "conn_type": "twilio",
        "login": emulator.account_sid,
        "password": emulator.auth_token,
        "host": "127.0.0.1",
        "port": emulator.port,
    }


def test_journal_finds_and_counts_requests(emulator: Emulator, api: Api) -> None:
    api.send(body="one")
    api.get("Messages.json", **{"DateSent>": "2026-01-01"})
    assert [(e.method, e.status) for e in emulator.journal] == [("POST", 201), ("GET", 200)]
    assert emulator.journal[0].params["Body"] == "one"
    assert emulator.journal[1].query_string == "DateSent%3E=2026-01-01"
    assert emulator.journal.count("POST", "Messages", Body="one") == 1
    assert emulator.journal.count("POST", "Messages", Body="two") == 0


def test_serve_rejects_port_in_use(emulator: Emulator) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(port=emulator.port)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_command_prints_connection_and_stops_cleanly(kind: signal.Signals) -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0", "--speed", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(5)]
            assert time.monotonic() - started < 10
            address = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
            assert address is not None
            assert requests.get(address[0], timeout=5).headers["content-type"] == "text/html; charset=utf-8"
            assert f"{urlsplit(address[0]).netloc}" in lines[2]
            assert "twilio://" in lines[2]
            assert json.loads(lines[3].partition("{")[1] + lines[3].partition("{")[2])["conn_type"] == "twilio"
            process.send_signal(kind)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_command_stops_despite_repeated_signals() -> None:
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert "Twilio emulator" in process.stdout.readline()
            until = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < until:
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGTERM)
                time.sleep(0.0001)
            assert process.returncode == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_response_date_follows_emulator_clock(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert api("GET", "Messages.json").headers["Date"] == "Sat, 31 Jan 2026 12:00:00 GMT"
