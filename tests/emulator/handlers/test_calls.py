from __future__ import annotations

import wave
from datetime import timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, magic_numbers
from tests.emulator.conftest import Api

FORM = {"To": "+14155550100", "From": "+15005550006", "Twiml": "<Response><Say>Hello</Say></Response>"}


def dial(api: Api, **form: Any) -> dict[str, Any]:
    call = api.post("Calls.json", **(FORM | form))
    assert isinstance(call, dict)
    return call


def test_queued_rings_talks_and_ends(emulator: Emulator, api: Api) -> None:
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
    took = parsedate_to_datetime(ended["end_time"]) - parsedate_to_datetime(ended["start_time"])
    assert timedelta(seconds=19) <= took <= timedelta(seconds=21)


@pytest.mark.parametrize("number", sorted(magic_numbers.CALL_BEHAVIORS))
def test_magic_numbers(emulator: Emulator, api: Api, number: str) -> None:
    ring = magic_numbers.CALL_BEHAVIORS[number]
    sid = dial(api, To=number, MachineDetection="Enable")["sid"]
    emulator.clock.advance(hours=2)
    call = api.get(f"Calls/{sid}.json")
    assert call["status"] == ring.final_status
    assert call["answered_by"] == (ring.answered_by if ring.final_status == "completed" else None)
    assert (call["duration"] == "0") == (ring.final_status != "completed")


@pytest.mark.parametrize("number", sorted(magic_numbers.CALL_REJECTIONS))
def test_magic_refusals(api: Api, number: str) -> None:
    code, _, status = magic_numbers.CALL_REJECTIONS[number]
    assert api.refused("POST", "Calls.json", FORM | {"To": number}) == (status, code)


def test_rings_as_long_as_the_timeout(emulator: Emulator, api: Api) -> None:
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
def test_refused(api: Api, change: dict[str, Any], code: int) -> None:
    form = {name: value for name, value in (FORM | change).items() if value is not None}
    assert api.refused("POST", "Calls.json", form) == (400, code)
    assert api.get("Calls.json")["calls"] == []


def test_hang_up_cancel_and_redirect(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105")["sid"]
    redirect = {"Twiml": "<Response><Pause length='7'/></Response>"}
    assert api.refused("POST", f"Calls/{sid}.json", redirect) == (400, 21220)
    assert api.refused("DELETE", f"Calls/{sid}.json") == (409, 20009)
    emulator.clock.advance(60)
    assert api.post(f"Calls/{sid}.json", Status="canceled")["status"] == "in-progress"
    assert api.post(f"Calls/{sid}.json", **redirect)["status"] == "in-progress"
    emulator.clock.advance(3)
    ended = api.post(f"Calls/{sid}.json", Status="completed")
    assert (ended["status"], 60 < int(ended["duration"]) < 64) == ("completed", True)
    assert api.refused("POST", f"Calls/{sid}.json", {"Status": "completed"}) == (400, 21220)
    assert api("DELETE", f"Calls/{sid}.json").status_code == 204
    assert api.refused("GET", f"Calls/{sid}.json") == (404, 20404)
    other = dial(api)["sid"]
    assert api.post(f"Calls/{other}.json", Status="canceled")["status"] == "canceled"
    assert api.refused("POST", f"Calls/{other}.json", {}) == (400, 20001)


def test_time_limit(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105", TimeLimit=30)["sid"]
    emulator.clock.advance(40)
    assert api.get(f"Calls/{sid}.json")["duration"] == "30"


def test_list_filters(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(emulator.clock.utc.replace(hour=12))  # no day may end while a call rings
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
    assert api.refused("GET", "Calls.json", {"StartTime<": "soon"}) == (400, 20001)
    assert api.refused("GET", "Calls.json", {"Status": "talking"}) == (400, 20001)


def test_recordings(emulator: Emulator, api: Api) -> None:
    call = dial(api, To="+15005559105", Record="true")
    assert api.get("Recordings.json")["recordings"] == []
    emulator.clock.advance(10)
    recording = api.get("Recordings.json", CallSid=call["sid"])["recordings"][0]
    assert (recording["status"], recording["source"]) == ("in-progress", "OutboundAPI")
    assert api.refused("DELETE", f"Recordings/{recording['sid']}.json") == (409, 20009)
    second = api.post(f"Calls/{call['sid']}/Recordings.json")
    assert (second["source"], second["channels"]) == ("StartCallRecordingAPI", 2)
    api.post(f"Calls/{call['sid']}/Recordings/{second['sid']}.json", Status="stopped")
    api.post(f"Calls/{call['sid']}.json", Status="completed")
    emulator.clock.advance(5)
    done = api.get(f"Recordings/{recording['sid']}.json")
    assert (done["status"], done["price"]) == ("completed", "-0.00250")
    assert len(api.get(f"Calls/{call['sid']}/Recordings.json")["recordings"]) == 2
    assert api("DELETE", f"Recordings/{recording['sid']}.json").status_code == 204
    assert api.refused("GET", f"Recordings/{recording['sid']}.json") == (404, 20404)
    kept = api.get(f"Recordings/{recording['sid']}.json", IncludeSoftDeleted="true")
    assert kept["status"] == "deleted"
    emulator.clock.advance(days=41)
    assert api("GET", f"Recordings/{recording['sid']}.json", {"IncludeSoftDeleted": "true"}).status_code == 404


def test_a_recording_is_found_below_its_own_call_only(emulator: Emulator, api: Api) -> None:
    call, other = dial(api, To="+15005559105", Record="true")["sid"], dial(api)["sid"]
    emulator.clock.advance(10)
    recording = api.get("Recordings.json")["recordings"][0]["sid"]
    for parent in (other, "CA" + "0" * 32):
        for method in ("GET", "POST", "DELETE"):
            path = f"Calls/{parent}/Recordings/{recording}.json"
            assert api.refused(method, path, {"Status": "stopped"}) == (404, 20404)
    assert api.post(f"Calls/{call}/Recordings/{recording}.json", Status="stopped")["call_sid"] == call
    assert api("DELETE", f"Calls/{call}/Recordings/{recording}.json").status_code == 204


def test_a_recording_sounds_of_silence_once_it_is_there(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105", Record="true")["sid"]
    emulator.clock.advance(10)
    recording = api.get("Recordings.json")["recordings"][0]
    path = recording["media_url"].removeprefix(emulator.url)
    assert api.refused("GET", path) == (404, 20404)
    api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(10)
    for address in (path, f"{path}.wav"):
        with wave.open(BytesIO(api("GET", address).content)) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (8000, 8000)
            assert set(sound.readframes(8000)) == {0}
    assert api.refused("GET", f"{path}.ogg") == (404, 20404)


@pytest.mark.parametrize(("behavior", "seconds"), [(None, "14"), ("silence", "14"), ("skip", "6")])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_pause_is_silent_or_left_out(
    emulator: Emulator, api: Api, behavior: str | None, seconds: str, goes_on: bool
) -> None:
    sid = dial(api, To="+15005559105")["sid"]
    emulator.clock.advance(10)
    recording = api.post(f"Calls/{sid}/Recordings.json", RecordingTrack="inbound")
    path = f"Calls/{sid}/Recordings/{recording['sid']}.json"
    assert recording["track"] == "inbound"
    assert api.refused("POST", path, {"Status": "paused", "PauseBehavior": "loud"}) == (400, 20001)
    emulator.clock.advance(3 if goes_on else 6)
    assert api.post(path, Status="paused", PauseBehavior=behavior)["status"] == "paused"
    emulator.clock.advance(8)
    if goes_on:
        assert api.post(path, Status="in-progress")["status"] == "in-progress"
        emulator.clock.advance(3)
    api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(10)
    assert api.get(path)["duration"] == seconds


def test_what_was_to_come_after_the_time_limit_does_not_come(emulator: Emulator, api: Api) -> None:
    document = "<Response><Pause length='20'/><Record/><Dial>+14155550111</Dial></Response>"
    sids = [dial(api, Twiml=document, TimeLimit=limit)["sid"] for limit in (10, 22)]
    later = dial(api, Twiml=document)["sid"]
    emulator.clock.advance(5)
    api.post(f"Calls/{later}.json", TimeLimit=10)
    emulator.clock.advance(hours=1)
    assert [call["sid"] for call in api.get("Calls.json")["calls"]] == [later, *reversed(sids)]
    (recording,) = api.get("Recordings.json")["recordings"]
    assert (recording["call_sid"], recording["duration"]) == (sids[1], "2")


def test_what_a_call_says(emulator: Emulator, api: Api) -> None:
    sid = dial(api, Twiml="<Response><Gather><Say>Press one</Say></Gather><Hangup/><Say>Never</Say></Response>")["sid"]
    assert emulator.transcript(sid) == ("Press one",)
    broken = dial(api, Twiml="<Response><Say>")["sid"]
    assert "application error" in emulator.transcript(broken)[0]
