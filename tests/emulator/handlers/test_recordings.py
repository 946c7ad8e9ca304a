from __future__ import annotations

import wave
from io import BytesIO

import pytest

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api
from tests.emulator.handlers.test_calls import dial


def test_recording_is_created_completed_and_deleted(emulator: Emulator, api: Api) -> None:
    call = dial(api, To="+15005559105", Record="true")
    assert api.get("Recordings.json")["recordings"] == []
    emulator.clock.advance(10)
    recording = api.get("Recordings.json", CallSid=call["sid"])["recordings"][0]
    assert (recording["status"], recording["source"]) == ("in-progress", "OutboundAPI")
    assert api.error("DELETE", f"Recordings/{recording['sid']}.json") == (409, 20009)
    second = api.post(f"Calls/{call['sid']}/Recordings.json")
    assert (second["source"], second["channels"]) == ("StartCallRecordingAPI", 2)
    api.post(f"Calls/{call['sid']}/Recordings/{second['sid']}.json", Status="stopped")
    api.post(f"Calls/{call['sid']}.json", Status="completed")
    emulator.clock.advance(5)
    done = api.get(f"Recordings/{recording['sid']}.json")
    assert (done["status"], done["price"]) == ("completed", "-0.00250")
    assert len(api.get(f"Calls/{call['sid']}/Recordings.json")["recordings"]) == 2
    assert api("DELETE", f"Recordings/{recording['sid']}.json").status_code == 204
    assert api.error("GET", f"Recordings/{recording['sid']}.json") == (404, 20404)
    kept = api.get(f"Recordings/{recording['sid']}.json", IncludeSoftDeleted="true")
    assert kept["status"] == "deleted"
    emulator.clock.advance(days=41)
    assert api("GET", f"Recordings/{recording['sid']}.json", {"IncludeSoftDeleted": "true"}).status_code == 404


def test_recording_is_found_below_its_own_call_only(emulator: Emulator, api: Api) -> None:
    call, other = dial(api, To="+15005559105", Record="true")["sid"], dial(api)["sid"]
    emulator.clock.advance(10)
    recording = api.get("Recordings.json")["recordings"][0]["sid"]
    for parent in (other, "CA" + "0" * 32):
        for method in ("GET", "POST", "DELETE"):
            path = f"Calls/{parent}/Recordings/{recording}.json"
            assert api.error(method, path, {"Status": "stopped"}) == (404, 20404)
    assert api.post(f"Calls/{call}/Recordings/{recording}.json", Status="stopped")["call_sid"] == call
    assert api("DELETE", f"Calls/{call}/Recordings/{recording}.json").status_code == 204


def test_recording_content_is_silence_once_completed(emulator: Emulator, api: Api) -> None:
    sid = dial(api, To="+15005559105", Record="true")["sid"]
    emulator.clock.advance(10)
    recording = api.get("Recordings.json")["recordings"][0]
    path = recording["media_url"].removeprefix(emulator.url)
    assert api.error("GET", path) == (404, 20404)
    api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(10)
    for address in (path, f"{path}.wav"):
        with wave.open(BytesIO(api("GET", address).content)) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (8000, 8000)
            assert set(sound.readframes(8000)) == {0}
    assert api("GET", f"{path}.ogg").status_code == 501


@pytest.mark.parametrize(("behavior", "seconds"), [(None, "14"), ("silence", "14"), ("skip", "6")])
@pytest.mark.parametrize("resumes", [True, False])
def test_recording_pause_is_silent_or_skipped(
    emulator: Emulator, api: Api, behavior: str | None, seconds: str, resumes: bool
) -> None:
    sid = dial(api, To="+15005559105")["sid"]
    emulator.clock.advance(10)
    recording = api.post(f"Calls/{sid}/Recordings.json", RecordingTrack="inbound")
    path = f"Calls/{sid}/Recordings/{recording['sid']}.json"
    assert recording["track"] == "inbound"
    assert api.error("POST", path, {"Status": "paused", "PauseBehavior": "loud"}) == (400, 20001)
    emulator.clock.advance(3 if resumes else 6)
    assert api.post(path, Status="paused", PauseBehavior=behavior)["status"] == "paused"
    emulator.clock.advance(8)
    if resumes:
        assert api.post(path, Status="in-progress")["status"] == "in-progress"
        emulator.clock.advance(3)
    api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(10)
    assert api.get(path)["duration"] == seconds
