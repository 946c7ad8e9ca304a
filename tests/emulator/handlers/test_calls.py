from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, magic_numbers
from tests.emulator.conftest import Api

FORM = {"To": "+14155550100", "From": "+15005550006", "Twiml": "<Response><Say>Hello</Say></Response>"}


def dial(api: Api, **form: Any) -> dict[str, Any]:
    call = api.post("Calls.json", **(FORM | form))
    assert isinstance(call, dict)
    return call


def test_call_rings_talks_and_completes(emulator: Emulator, api: Api) -> None:
    call = dial(api, Twiml="<Response><Pause length='20'/></Response>")
    assert (call["status"], call["direction"], call["duration"]) == ("queued", "outbound-api", None)
    assert call["start_time"] is call["end_time"] is call["price"] is call["answered_by"] is None
    assert call["to_formatted"] == "(415) 555-0100"
    assert len(call["subresource_uris"]) == 9
    seen = ["queued"]
    for _ in range(240):
        emulator.clock.advance(0.1)
        status = api.get(f"Calls/{call['sid']}.json")["status"]
        if status != seen[-1]:
            seen.append(status)
    assert seen == ["queued", "ringing", "in-progress", "completed"]
    ended = api.get(f"Calls/{call['sid']}.json")
    assert (ended["duration"], ended["price"], ended["price_unit"]) == ("20", "-0.01400", "USD")
    duration = parsedate_to_datetime(ended["end_time"]) - parsedate_to_datetime(ended["start_time"])
    assert timedelta(seconds=19) <= duration <= timedelta(seconds=21)


@pytest.mark.parametrize("number", sorted(magic_numbers.CALL_BEHAVIORS))
def test_call_to_magic_number_follows_its_behavior(emulator: Emulator, api: Api, number: str) -> None:
    ring = magic_numbers.CALL_BEHAVIORS[number]
    sid = dial(api, To=number, MachineDetection="Enable")["sid"]
    emulator.clock.advance(hours=2)
    call = api.get(f"Calls/{sid}.json")
    assert call["status"] == ring.final_status
    assert call["answered_by"] == (ring.answered_by if ring.final_status == "completed" else None)
    assert (call["duration"] == "0") == (ring.final_status != "completed")


@pytest.mark.parametrize("number", sorted(magic_numbers.CALL_REJECTIONS))
def test_create_call_rejects_magic_numbers(api: Api, number: str) -> None:
    code, _, status = magic_numbers.CALL_REJECTIONS[number]
    assert api.error("POST", "Calls.json", FORM | {"To": number}) == (status, code)


def test_call_rings_until_timeout(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559106", Timeout=10)["sid"]
    emulator.clock.advance(12)
    assert api.get(f"Calls/{sid}.json")["status"] == "no-answer"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": None}, 21201),
        ({"From": None}, 21213),
        ({"Twiml": None}, 21205),
        ({"Url": "nowhere"}, 21205),
        ({"ApplicationSid": "AP1"}, 21218),
        ({"Twiml": "x" * 4001}, 20001),
        ({"To": "nobody"}, 21217),
        ({"From": "nobody"}, 21212),
        ({"From": "+14155550111"}, 21210),
        ({"Method": "PATCH"}, 21206),
        ({"StatusCallback": "nowhere"}, 21609),
        ({"StatusCallbackEvent": "sometimes"}, 21626),
        ({"RecordingStatusCallbackEvent": "sometimes"}, 20001),
        ({"Timeout": "601"}, 20001),
        ({"SendDigits": "abc"}, 21207),
        ({"To": "+8501234567"}, 21215),
    ],
)
def test_create_call_invalid_parameter_returns_twilio_code(api: Api, change: dict[str, Any], code: int) -> None:
    form = {name: value for name, value in (FORM | change).items() if value is not None}
    assert api.error("POST", "Calls.json", form) == (400, code)
    assert api.get("Calls.json")["calls"] == []


def test_update_call_hangs_up_cancels_and_redirects(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105")["sid"]
    redirect = {"Twiml": "<Response><Pause length='7'/></Response>"}
    assert api.error("POST", f"Calls/{sid}.json", redirect) == (400, 21220)
    assert api.error("DELETE", f"Calls/{sid}.json") == (409, 20009)
    emulator.clock.advance(60)
    assert api.post(f"Calls/{sid}.json", Status="canceled")["status"] == "in-progress"
    assert api.post(f"Calls/{sid}.json", **redirect)["status"] == "in-progress"
    emulator.clock.advance(3)
    ended = api.post(f"Calls/{sid}.json", Status="completed")
    assert (ended["status"], 60 < int(ended["duration"]) < 64) == ("completed", True)
    assert api.error("POST", f"Calls/{sid}.json", {"Status": "completed"}) == (400, 21220)
    assert api("DELETE", f"Calls/{sid}.json").status_code == 204
    assert api.error("GET", f"Calls/{sid}.json") == (404, 20404)
    other = dial(api)["sid"]
    assert api.post(f"Calls/{other}.json", Status="canceled")["status"] == "canceled"
    assert api.error("POST", f"Calls/{other}.json", {}) == (400, 20001)


def test_call_ends_at_time_limit(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105", TimeLimit=30)["sid"]
    emulator.clock.advance(40)
    assert api.get(f"Calls/{sid}.json")["duration"] == "30"


def test_list_calls_filters_by_address_status_and_time(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(emulator.clock.utc.replace(hour=12))  # midnight must not pass while a call rings
    for number in ("+14155550100", "+15005559101"):
        dial(api, To=number)
        emulator.clock.advance(days=1)
    today = emulator.clock.utc.date()

    def listed(**filters: str) -> list[str]:
        return [call["to"] for call in api.get("Calls.json", **filters)["calls"]]

    assert listed() == ["+15005559101", "+14155550100"]
    assert listed(Status="busy") == ["+15005559101"]
    assert listed(To="+14155550100") == ["+14155550100"]
    assert listed(From=emulator.phone_number) == listed()
    assert listed(**{"StartTime>": str(today - timedelta(days=1))}) == ["+15005559101"]
    assert listed(**{"EndTime<": str(today - timedelta(days=2))}) == ["+14155550100"]
    assert api.error("GET", "Calls.json", {"StartTime<": "soon"}) == (400, 20001)
    assert api.error("GET", "Calls.json", {"Status": "talking"}) == (400, 20001)


def test_call_time_limit_discards_pending_recordings_and_dials(emulator: Emulator, api: Api) -> None:
    document = "<Response><Pause length='20'/><Record/><Dial>+14155550111</Dial></Response>"
    sids = [dial(api, Twiml=document, TimeLimit=limit)["sid"] for limit in (10, 22)]
    later = dial(api, Twiml=document)["sid"]
    emulator.clock.advance(5)
    api.post(f"Calls/{later}.json", TimeLimit=10)
    emulator.clock.advance(hours=1)
    assert [call["sid"] for call in api.get("Calls.json")["calls"]] == [later, *reversed(sids)]
    (recording,) = api.get("Recordings.json")["recordings"]
    assert (recording["call_sid"], recording["duration"]) == (sids[1], "2")


def test_transcript_follows_twiml(emulator: Emulator, api: Api) -> None:
    sid = dial(api, Twiml="<Response><Gather><Say>Press one</Say></Gather><Hangup/><Say>Never</Say></Response>")["sid"]
    assert emulator.transcript(sid) == ("Press one",)
    broken = dial(api, Twiml="<Response><Say>")["sid"]
    assert "application error" in emulator.transcript(broken)[0]


@pytest.mark.parametrize("asynchronous", ["false", "true"])
def test_create_call_with_send_digits_ignores_machine_detection(
    emulator: Emulator, api: Api, asynchronous: str
) -> None:
    form = {"MachineDetection": "Enable", "AsyncAmd": asynchronous, "AsyncAmdStatusCallback": "http://127.0.0.1:9/"}
    sid = dial(api, SendDigits="1234#", **form)["sid"]
    emulator.clock.advance(6)
    assert api.get(f"Calls/{sid}.json")["answered_by"] is None
    assert emulator.callbacks == []
