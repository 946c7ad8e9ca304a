from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, app, serve
from airflow_provider_twilio.emulator.faults import Fault, parse_fault, parse_quirk
from tests.emulator.conftest import Api

FORM = {"To": "+14155550100", "From": "+15005550006", "Body": "x"}


def test_fail_next_affects_next_n_matching_requests(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(2, status=429, code=20429, retry_after=2, method="POST", path="Messages")
    assert api("GET", "Messages.json").status_code == 200
    for _ in range(2):
        response = api("POST", "Messages.json", FORM)
        assert (response.status_code, response.json()["code"], response.headers["Retry-After"]) == (429, 20429, "2")
    assert api("POST", "Messages.json", FORM).status_code == 201
    assert len(emulator.messages) == 1


def test_fail_next_skips_and_matches_parameters(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(status=503, params={"To": "+14155550111"}, skip=1)
    statuses = [
        api("POST", "Messages.json", FORM | {"To": f"+141555501{n}"}).status_code for n in ("00", "11", "11", "11")
    ]
    assert statuses == [201, 201, 503, 201]


@pytest.mark.parametrize(("fault", "made"), [({"drop": True}, 0), ({"accept_then_drop": True}, 1), ({"cut": True}, 1)])
def test_fault_closes_connection(emulator: Emulator, api: Api, fault: dict[str, Any], made: int) -> None:
    emulator.fail_next(**fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api("POST", "Messages.json", FORM)
    assert len(emulator.messages) == made
    assert emulator.journal[-1].fault == next(iter(fault))
    assert api("POST", "Messages.json", FORM).status_code == 201


def test_accept_then_stall_processes_before_waiting(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(accept_then_stall=5)
    with pytest.raises(requests.ReadTimeout):
        api.session.post(f"{emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json", data=FORM, timeout=0.3)
    assert len(emulator.messages) == 1


def test_stall_delays_response(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(stall=0.3)
    started = time.monotonic()
    assert api("POST", "Messages.json", FORM).status_code == 201
    assert time.monotonic() - started >= 0.3


def test_stall_processes_request_after_client_gave_up(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(stall=0.6)
    url = f"{emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json"
    started = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        api.session.post(url, data=FORM, timeout=0.1)
    while time.monotonic() - started < 0.5:
        assert emulator.messages == []
        time.sleep(0.05)
    while not emulator.messages:
        assert time.monotonic() - started < 10
        time.sleep(0.05)


def test_stall_discards_request_after_reset(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(stall=0.3)
    with pytest.raises(requests.ReadTimeout):
        api.session.post(f"{emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json", data=FORM, timeout=0.1)
    emulator.reset()
    time.sleep(0.5)
    assert emulator.messages == []


def test_emulator_stops_during_stall(caplog: pytest.LogCaptureFixture) -> None:
    with serve() as emulator:
        emulator.fail_next(stall=100)
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{emulator.url}/2010-04-01/Accounts.json", timeout=0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert caplog.records == []


def test_accept_then_status_processes_and_responds_with_status(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(accept_then_status=500)
    response = api("POST", "Messages.json", FORM)
    assert (response.status_code, response.json()["code"]) == (500, 20500)
    assert len(emulator.messages) == 1


def test_fault_html_and_empty_replace_body(emulator: Emulator, api: Api) -> None:
    emulator.fail_next(html=True)
    edge = api("GET", "Messages.json")
    assert (edge.status_code, edge.headers["content-type"]) == (502, "text/html")
    assert "Twilio-Request-Id" not in edge.headers
    emulator.fail_next(empty=True, status=200)
    assert api("GET", "Messages.json").content == b""
    emulator.fail_next(status=429, code=0)
    assert "code" not in api("GET", "Messages.json").json()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"status": 500, "drop": True},
        {"status": 99},
        {"status": True},
        {"status": 500.0},
        {"n": 0, "drop": True},
        {"n": 1.5, "drop": True},
        {"n": None, "drop": True},
        {"skip": -1, "drop": True},
        {"stall": -1},
        {"stall": "1"},
        {"stall": float("nan")},
        {"accept_then_stall": 1e6},
        {"accept_then_status": 600},
        {"drop": "yes"},
        {"status": 429, "code": 10**20},
        {"status": 429, "code": "20429"},
        {"status": 429, "retry_after": "1\r\nX: y"},
        {"status": 429, "retry_after": [1]},
        {"status": 429, "message": 5},
        {"status": 429, "method": 5},
        {"status": 429, "path": 5},
        {"status": 429, "params": {"To": 5}},
        {"status": 429, "params": [["To", "x"]]},
        {"html": 1},
    ],
)
def test_fault_rejects_invalid_values(emulator: Emulator, api: Api, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Fault(**wrong)
    request = {"data": json.dumps(wrong), "headers": {"Content-Type": "application/json"}}
    assert api("POST", "/_emulator/faults", **request).status_code == 400
    assert api("GET", "Messages.json").status_code == 200


def test_list_lag_hides_new_records_from_lists(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(list_lag=5)
    sid = api.send()["sid"]
    assert api.get("Messages.json")["messages"] == []
    assert api.get(f"Messages/{sid}.json")["sid"] == sid
    emulator.clock.advance(5)
    assert len(api.get("Messages.json")["messages"]) == 1


def test_fetch_lag_hides_new_sid(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(fetch_lag=1)
    sid = api.send()["sid"]
    assert api.error("GET", f"Messages/{sid}.json") == (404, 20404)
    emulator.clock.advance(1)
    assert api.get(f"Messages/{sid}.json")["sid"] == sid


def test_status_lag_shows_old_status(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(status_lag=10)
    sid = api.send()["sid"]
    emulator.clock.advance(5)
    assert api.get(f"Messages/{sid}.json")["status"] == "queued"
    emulator.clock.advance(10)
    assert api.get(f"Messages/{sid}.json")["status"] == "delivered"


def test_price_lag_delays_price(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(price_lag=86_400)
    api.send()
    emulator.clock.advance(hours=12)
    (message,) = api.get("Messages.json")["messages"]
    assert (message["status"], message["price"], message["price_unit"]) == ("delivered", None, None)
    emulator.clock.advance(hours=13)
    (message,) = api.get("Messages.json")["messages"]
    assert (message["price"], emulator.messages[0]["price"]) == ("-0.00830", "-0.00830")


def send_concurrently(count: int, *apis: Api) -> list[list[requests.Response]]:
    """Send concurrent requests from each client, and return the responses of each."""

    def send(api: Api) -> requests.Response:
        url = f"{api.emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages.json"
        return requests.get(url, auth=api.session.auth, timeout=10)

    with ThreadPoolExecutor(count * len(apis)) as pool:
        futures = [[pool.submit(send, api) for _ in range(count)] for api in apis]
        return [[future.result() for future in group] for group in futures]


@pytest.mark.parametrize("latency", [0, 0.5])
def test_concurrency_limits_requests_in_flight(emulator: Emulator, api: Api, latency: float, monkeypatch) -> None:
    # Ten clients in one process need some time to send their requests.
    monkeypatch.setattr(app, "MIN_CONCURRENT_TIME", 0.5)
    emulator.quirks.set(concurrency=2, latency=latency)
    (responses,) = send_concurrently(10, api)
    rejected = [response for response in responses if response.status_code == 429]
    assert len(responses) - len(rejected) >= 2
    assert rejected
    assert {response.json()["code"] for response in rejected} == {20429}
    assert {int(response.headers["Twilio-Concurrent-Requests"]) for response in rejected} == {3}
    assert max(float(response.headers["Twilio-Request-Duration"]) for response in rejected) < 0.5
    assert api.get("Messages.json")["messages"] == []


def test_concurrency_limit_is_per_account(emulator: Emulator, api: Api) -> None:
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    other = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
    key = Api(emulator, emulator.main_key)
    emulator.quirks.set(concurrency=4, latency=0.5)
    own, with_key, others = send_concurrently(4, api, key, other)
    assert {response.status_code for response in others} == {200}
    assert 429 in {response.status_code for response in own + with_key}


def test_concurrency_rejection_does_not_consume_fault(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(concurrency=0)
    emulator.fail_next(status=503)
    assert api.error("GET", "Messages.json") == (429, 20429)
    emulator.quirks.set(concurrency=1)
    assert api.error("GET", "Messages.json") == (503, 20503)


def test_quirks_set_rejects_invalid_values(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="there is no quirk 'lag'"):
        emulator.quirks.set(lag=1)
    with pytest.raises(ValueError, match="unsent cannot be"):
        emulator.quirks.set(unsent="middle", latency=3)
    assert emulator.quirks.latency == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("status=503", Fault(status=503)),
        ("status=429 retry_after=2 n=3 method=POST path=Messages skip=1",
         Fault(3, 429, retry_after=2, method="POST", path="Messages", skip=1)),
        ("accept_then_drop params.To=+14155550100", Fault(accept_then_drop=True, params={"To": "+14155550100"})),
        ("accept_then_drop=true", Fault(accept_then_drop=True)),
        ("status=500 message='try later'", Fault(status=500, message="try later")),
        ("status=429 retry_after='Wed, 21 Oct 2026 07:28:00 GMT'",
         Fault(status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")),
        ("stall=0.5", Fault(stall=0.5)),
    ],
)  # fmt: skip
def test_parse_fault_accepts_command_line_syntax(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "n=2", "status=x", "status=99", "what=1", "drop=maybe", "drop cut", "status='1"])
def test_parse_fault_rejects_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_fault(text)


@pytest.mark.parametrize(
    ("text", "quirks"),
    [
        ("list_lag=5", {"list_lag": 5}),
        ("latency=0.25", {"latency": 0.25}),
        ("trial=true", {"trial": True}),
        ("concurrency=none", {"concurrency": None}),
        ("callbacks=none", {"callbacks": "none"}),
        ("unsent=first", {"unsent": "first"}),
    ],
)
def test_parse_quirk_accepts_command_line_syntax(text: str, quirks: dict[str, Any]) -> None:
    assert parse_quirk(text) == quirks


@pytest.mark.parametrize("text", ["list_lag", "list_lag=long", "what=1", "trial=1", "concurrency=-1", "latency=nan"])
def test_parse_quirk_rejects_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_quirk(text)


def test_command_line_sets_faults_and_quirks() -> None:
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"]
    command += ["--fail", "status=503 method=GET", "--quirk", "trial=true", "--quirk", "unsent=last"]
    command += ["--verify", "+14155550100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            faults = requests.get(f"{url}/_emulator/faults", timeout=10).json()["faults"]
            assert [fault["name"] for fault in faults] == ["status 503"]
            quirks = requests.get(f"{url}/_emulator/quirks", timeout=10).json()
            assert (quirks["trial"], quirks["unsent"]) == (True, "last")
            messages = f"{url}/2010-04-01/Accounts/{Emulator.account_sid}/Messages.json"
            auth = (Emulator.account_sid, Emulator.auth_token)
            assert requests.post(messages, FORM, auth=auth, timeout=10).status_code == 201
            assert requests.post(messages, FORM | {"To": "+14155550101"}, auth=auth, timeout=10).json()["code"] == 21608
        finally:
            process.kill()
    failed = subprocess.run(
        [*command, "--fail", "status=1"], stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert failed.returncode == 2
    assert "status cannot be 1" in failed.stderr
    failed = subprocess.run([*command, "--verify", "me"], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert failed.returncode == 2
    assert "me is not a phone number" in failed.stderr
