from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api

INBOUND = {"from": "+14155550100", "to": "+15005550006", "body": "x"}


def control(emulator: Emulator, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    return requests.request(method, f"{emulator.url}/_emulator/{path}", json=body, headers=headers, timeout=5)


def test_control_requests_lists_and_clears_journal(emulator: Emulator, api: Api) -> None:
    api.send(body="one")
    api.error("GET", "Messages.json", {"PageSize": 5000})
    found = control(emulator, "GET", "requests").json()
    assert found["total"] >= 2
    assert [(entry["method"], entry["status"], entry["code"]) for entry in found["requests"]] == [
        ("POST", 201, None),
        ("GET", 400, 20007),
    ]
    assert {"method", "path", "status", "time"} <= set(found["requests"][0])
    assert len(control(emulator, "GET", "requests?method=POST&path=Messages&Body=one").json()["requests"]) == 1
    assert control(emulator, "GET", "requests?status=201&Body=two").json()["requests"] == []
    assert control(emulator, "GET", "requests?status=x").status_code == 400
    control(emulator, "DELETE", "requests")
    assert len(emulator.journal) == 0


def test_control_requests_contains_no_secret(emulator: Emulator, api: Api) -> None:
    api.send()
    assert emulator.auth_token not in control(emulator, "GET", "requests").text


def test_control_api_changes_all_parts_of_state(emulator: Emulator, api: Api) -> None:
    fault = {"status": 503, "method": "GET", "path": "Messages"}
    assert control(emulator, "POST", "faults", fault).json()["faults"][0]["name"] == "status 503"
    assert api("GET", "Messages.json").status_code == 503
    assert control(emulator, "POST", "quirks", {"list_lag": 3}).json()["list_lag"] == 3
    assert emulator.quirks.list_lag == 3
    sid = api.send()["sid"]
    control(emulator, "POST", "clock", {"advance": 60})
    assert api.get(f"Messages/{sid}.json")["status"] == "delivered"
    control(emulator, "POST", "statuses", {"sid": sid, "status": "undelivered", "error_code": 30003})
    assert api.get(f"Messages/{sid}.json")["error_code"] == 30003
    assert control(emulator, "POST", "messages", INBOUND).json()["direction"] == "inbound"
    assert control(emulator, "POST", "calls", INBOUND).json()["direction"] == "inbound"
    assert control(emulator, "GET", "state").json()["accounts"][0]["messages"] == 2
    assert control(emulator, "POST", "reset").json() == {"reset": True}
    assert emulator.messages == []
    assert emulator.quirks.list_lag == 0


def test_control_verified_applies_to_one_account(emulator: Emulator, api: Api) -> None:
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    sub = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
    offered = api.get("AvailablePhoneNumbers/US/Local.json")["available_phone_numbers"][0]["phone_number"]
    sub.post("IncomingPhoneNumbers.json", PhoneNumber=offered)
    emulator.quirks.set(trial=True)
    number = {"number": "+1 415 555 0100"}
    assert control(emulator, "POST", "verified", number).json() == {"verified": ["+14155550100"]}
    api.send()
    form = {"From": offered, "To": "+14155550100", "Body": "x"}
    assert sub.error("POST", "Messages.json", form) == (400, 21608)
    control(emulator, "POST", "verified", number | {"account_sid": sub.account_sid})
    sub.send(From=offered)
    call = {"Url": "http://example.com/", "To": "+14155550100"}
    assert sub.post("Calls.json", From="+14155550100", **call)["from"] == "+14155550100"
    with pytest.raises(ValueError, match="not a phone number"):
        emulator.verify("me")
    with pytest.raises(ValueError, match="there is no account"):
        emulator.verify("+14155550100", "AC1")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("faults", {"status": 99}, 400),
        ("faults", {"what": 1}, 400),
        ("faults", {"status": "500"}, 400),
        ("faults", [], 400),
        ("faults", {"status": 429, "path": 5}, 400),
        ("faults", {"status": 429, "params": ["To"]}, 400),
        ("faults", {"self": 1, "status": 429}, 400),
        ("quirks", {"list_lag": "long"}, 400),
        ("quirks", {"concurrency": 10**20}, 400),
        ("quirks", {"self": 1}, 400),
        ("clock", {"advance": -1}, 400),
        ("clock", {"advance": "x"}, 400),
        ("clock", {"freeze": "then"}, 400),
        ("clock", {"freeze": 1, "advance": 60}, 400),
        ("clock", {"freeze": "2026-01-01"}, 400),
        ("clock", {"advance": 1e300}, 400),
        ("clock", {"advance": 1e12}, 400),
        ("clock", {"advance": "nan"}, 400),
        ("clock", {"freeze": "1969-12-31T00:00:00+00:00"}, 400),
        ("clock", {"freeze": "9999-12-31T00:00:00+00:00"}, 400),
        ("clock", {"freeze": "2026-01-01T00:00:00+00:00", "advance": -1}, 400),
        ("clock", {"freeze": "2026-01-01T00:00:00+00:00", "advance": 1e12}, 400),
        ("clock", {"freeze": True, "advance": 1e12}, 400),
        ("messages", {"from": "me"}, 400),
        ("messages", {"from": "+14155550100", "to": "+14155559999", "body": ""}, 404),
        ("messages", INBOUND | {"media": ["http://["]}, 400),
        ("messages", INBOUND | {"media": ["javascript:alert(1)"]}, 400),
        ("messages", INBOUND | {"media": "http://example.com/a.png"}, 400),
        ("statuses", {"sid": "SM1", "status": "sent"}, 404),
        ("verified", {"number": 5}, 400),
        ("verified", {"number": "me"}, 400),
        ("verified", {"number": "+14155550100", "account_sid": "AC1"}, 404),
        ("nothing", {}, 404),
        ("state", {}, 405),
    ],
)
def test_control_invalid_request_changes_nothing(
    emulator: Emulator, api: Api, path: str, body: Any, status: int
) -> None:
    before = emulator.clock.utc
    response = control(emulator, "POST", path, body)
    assert (response.status_code, "error" in response.json()) == (status, True)
    assert api.get("Messages.json")["messages"] == []
    assert emulator.clock.utc == before
    assert requests.get(emulator.url, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("body", "hour", "frozen"),
    [
        ({"freeze": "2030-01-01T10:00:00+00:00"}, 10, True),
        ({"freeze": "2030-01-01T10:00:00+00:00", "advance": 7200}, 12, True),
        ({"freeze": True, "advance": 3600}, 11, True),
        ({"freeze": False, "advance": 3600}, 11, False),
        ({"advance": 3600}, 11, True),
    ],
)
def test_control_clock_advances_and_freezes(emulator: Emulator, body: Any, hour: int, frozen: bool) -> None:
    emulator.clock.freeze(datetime(2030, 1, 1, 10, tzinfo=UTC))
    clock = control(emulator, "POST", "clock", body).json()
    assert (datetime.fromisoformat(clock["now"]).hour, clock["frozen"]) == (hour, frozen)


@pytest.mark.parametrize("error", ["30003", 10**20, -1, True])
def test_control_statuses_rejects_invalid_error_code(emulator: Emulator, api: Api, error: Any) -> None:
    sid = api.send()["sid"]
    wrong = {"sid": sid, "status": "failed", "error_code": error}
    assert control(emulator, "POST", "statuses", wrong).status_code == 400
    assert api.get(f"Messages/{sid}.json")["status"] == "queued"


def test_inbox_page_escapes_message_bodies(emulator: Emulator, api: Api) -> None:
    api.send(body="<script>alert(1)</script>")
    page = requests.get(emulator.url, timeout=5)
    assert "<script>" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
