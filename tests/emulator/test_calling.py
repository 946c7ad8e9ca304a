"""Calls that gather keys, fetch documents, dial, and report their progress."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api
from tests.emulator.test_callbacks import Receiver

MENU = (
    "<Response><Say>Press</Say><Gather {0}><Say>one or two</Say></Gather><Say>You pressed nothing</Say>"
    "<Pause length='2'/></Response>"
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def dial(api: Api, twiml: str | None = None, **form: Any) -> str:
    form = {"To": "+14155550100", "From": "+15005550006", **({"Twiml": twiml} if twiml else {}), **form}
    return str(api.post("Calls.json", **form)["sid"])


def call_with_gather(emulator: Emulator, api: Api, attributes: str) -> str:
    """Create a call, and advance to its Gather.

    The call is answered after 1.9 s, and the first word takes 1 s.
    """
    sid = dial(api, MENU.format(attributes))
    emulator.clock.advance(3.5)
    return sid


def test_gather_without_keys_continues_after_timeout(emulator: Emulator, api: Api) -> None:
    sid = call_with_gather(emulator, api, "timeout='4'")
    assert emulator.transcript(sid) == ("Press", "one or two", "You pressed nothing")
    emulator.clock.advance(60)
    assert api.get(f"Calls/{sid}.json")["duration"] == "9"  # 1 + 1.2 + 4, then 1.2 + 2


def test_gather_without_action_continues_document(emulator: Emulator, api: Api) -> None:
    sid = call_with_gather(emulator, api, "numDigits='2'")
    emulator.press_keys(sid, "1")
    assert emulator.transcript(sid)[:3] == ("Press", "one or two", "⌨ 1")
    emulator.clock.advance(1)
    emulator.press_keys(sid, "234")
    assert emulator.transcript(sid) == ("Press", "one or two", "⌨ 12", "You pressed nothing")
    with pytest.raises(ValueError, match="not waiting for keys"):
        emulator.press_keys(sid, "9")
    emulator.clock.advance(3)
    assert api.get(f"Calls/{sid}.json")["status"] == "in-progress"
    emulator.clock.advance(0.5)
    assert api.get(f"Calls/{sid}.json")["status"] == "completed"


@pytest.mark.parametrize(
    ("attributes", "keys", "heard"),
    [("", "12#", "12"), ("finishOnKey='*'", "1#*", "1#"), ("finishOnKey=''", "1#*", None), ("numDigits='1'", "5", "5")],
)
def test_gather_completes_on_finish_key_or_digit_count(
    emulator: Emulator, api: Api, attributes: str, keys: str, heard: str | None
) -> None:
    sid = call_with_gather(emulator, api, f"timeout='30' {attributes}")
    emulator.press_keys(sid, keys)
    assert f"⌨ {heard or keys}" in emulator.transcript(sid)
    assert accepts_key(emulator, sid) == (heard is None)


def accepts_key(emulator: Emulator, sid: str) -> bool:
    url = f"{emulator.url}/_emulator/calls/{sid}/digits"
    return requests.post(url, json={"digits": "1"}, timeout=5).status_code == 200


def test_gather_timeout_restarts_with_each_key(emulator: Emulator, api: Api) -> None:
    sid = call_with_gather(emulator, api, "timeout='4'")
    for _ in range(5):
        emulator.press_keys(sid, "7")
        emulator.clock.advance(3)
    assert accepts_key(emulator, sid)
    emulator.clock.advance(4.1)
    assert not accepts_key(emulator, sid)
    assert "⌨ 777771" in emulator.transcript(sid)


def test_gather_action_receives_keys_and_returns_next_document(
    emulator: Emulator, api: Api, receiver: Receiver
) -> None:
    receiver.response = b"<Response><Say>Thank you</Say><Pause length='5'/></Response>"
    sid = call_with_gather(emulator, api, f"action='{receiver.url}' numDigits='4'".replace("&", "&amp;"))
    emulator.press_keys(sid, "1234")
    receiver.wait(lambda: "Thank you" in emulator.transcript(sid))
    assert receiver.requests[0]["Digits"] == "1234"
    assert receiver.requests[0]["CallSid"] == sid
    assert emulator.transcript(sid) == ("Press", "one or two", "⌨ 1234", "Thank you")
    emulator.clock.advance(5)
    assert api.get(f"Calls/{sid}.json")["status"] == "in-progress"
    emulator.clock.advance(1.5)
    assert api.get(f"Calls/{sid}.json")["status"] == "completed"


def test_control_digits_presses_keys(emulator: Emulator, api: Api) -> None:
    sid = call_with_gather(emulator, api, "numDigits='1'")
    url = f"{emulator.url}/_emulator/calls/{{}}/digits"
    assert requests.post(url.format(sid), json={"digits": "x"}, timeout=5).status_code == 400
    assert requests.post(url.format("CA1"), json={"digits": "1"}, timeout=5).status_code == 404
    assert requests.get(url.format(sid), timeout=5).status_code == 405
    assert requests.post(url.format(sid), json={"digits": "1"}, timeout=5).json()["sid"] == sid
    assert requests.post(url.format(sid), json={"digits": "1"}, timeout=5).status_code == 409


def test_redirect_fetches_next_document(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Say>there</Say><Pause length='3'/></Response>"
    to = receiver.url.replace("&", "&amp;")
    sid = dial(api, f"<Response><Say>here</Say><Redirect>{to}</Redirect><Say>never</Say></Response>")
    assert emulator.transcript(sid) == ("here",)
    emulator.clock.advance(3.1)
    receiver.wait(lambda: emulator.transcript(sid) == ("here", "there"))
    emulator.clock.advance(60)
    assert api.get(f"Calls/{sid}.json")["duration"] == "5"


def test_redirect_to_disallowed_url_ends_call(emulator: Emulator, api: Api) -> None:
    sid = dial(api, "<Response><Say>here</Say><Redirect>http://example.com/</Redirect></Response>")
    emulator.clock.advance(60)
    assert api.get(f"Calls/{sid}.json")["duration"] == "1"


def test_dial_creates_child_call(emulator: Emulator, api: Api) -> None:
    sid = dial(api, "<Response><Say>wait</Say><Dial timeLimit='4'><Number>+14155550111</Number></Dial></Response>")
    assert [call["sid"] for call in emulator.calls] == [sid]
    emulator.clock.advance(3)
    child = api.get("Calls.json", ParentCallSid=sid)["calls"][0]
    assert (child["direction"], child["parent_call_sid"], child["to"]) == ("outbound-dial", sid, "+14155550111")
    assert child["from"] == emulator.phone_number
    emulator.clock.advance(60)
    assert api.get(f"Calls/{child['sid']}.json")["duration"] == "4"
    assert api.get(f"Calls/{sid}.json")["duration"] == "7"  # a word, ringing, and the conversation
    assert api.get("Calls.json", ParentCallSid=child["sid"])["calls"] == []


@pytest.mark.parametrize(("seconds", "status"), [(2, None), (3, "canceled"), (6, "completed")])
def test_dial_child_call_ends_with_parent(emulator: Emulator, api: Api, seconds: float, status: str | None) -> None:
    sid = dial(api, "<Response><Say>wait</Say><Dial>+14155550111</Dial></Response>")
    emulator.clock.advance(seconds)
    api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(30)
    children = api.get("Calls.json", ParentCallSid=sid)["calls"]
    assert [child["status"] for child in children] == ([] if status is None else [status])


def test_dial_action_receives_outcome(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Say>They are busy</Say></Response>"
    to = receiver.url.replace("&", "&amp;")
    sid = dial(api, f"<Response><Dial action='{to}'>+15005559101</Dial></Response>")
    emulator.clock.advance(10)
    receiver.wait(lambda: "They are busy" in emulator.transcript(sid))
    assert receiver.requests[0]["DialCallStatus"] == "busy"


def test_async_amd_callback_reports_who_answered(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    sid = dial(
        api, "<Response><Pause length='20'/></Response>", To="+15005559104", MachineDetection="Enable", AsyncAmd="true",
        AsyncAmdStatusCallback=receiver.url,
    )  # fmt: skip
    emulator.clock.advance(10)
    receiver.wait(lambda: bool(receiver.requests))
    assert receiver.requests[0]["AnsweredBy"] == "machine_start"
    assert (receiver.requests[0]["CallSid"], receiver.requests[0]["MachineDetectionDuration"]) == (sid, "3000")


@pytest.mark.parametrize("verb", [False, True])
def test_recording_callback_is_sent_once_completed(
    emulator: Emulator, api: Api, receiver: Receiver, verb: bool
) -> None:
    to = receiver.url.replace("&", "&amp;")
    if verb:
        twiml = f"<Response><Record maxLength='3' recordingStatusCallback='{to}'/><Pause length='60'/></Response>"
        sid = dial(api, twiml)
    else:
        sid = dial(
            api, "<Response><Pause length='60'/></Response>", Record="true", RecordingStatusCallback=receiver.url
        )
        emulator.clock.advance(5)
        api.post(f"Calls/{sid}.json", Status="completed")
    emulator.clock.advance(10)
    receiver.wait(lambda: bool(receiver.requests))
    recording = api.get("Recordings.json", CallSid=sid)["recordings"][0]
    assert receiver.requests[0]["RecordingSid"] == recording["sid"]
    assert receiver.requests[0]["RecordingDuration"] == recording["duration"] == "3"
    assert receiver.requests[0]["RecordingUrl"] == recording["media_url"]
    emulator.clock.advance(100)
    api.get(f"Calls/{sid}.json")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("started_by", ["Record", "verb", "later"])
def test_recording_callback_reports_requested_events(
    emulator: Emulator, api: Api, receiver: Receiver, started_by: str
) -> None:
    to, events = receiver.at("/recording"), "in-progress completed"
    form = {"RecordingStatusCallback": to, "RecordingStatusCallbackEvent": events, "RecordingTrack": "outbound"}
    document = "<Response><Pause length='5'/></Response>"
    if started_by == "verb":
        record = f"<Record recordingStatusCallback='{to}' recordingStatusCallbackEvent='{events}'/>"
        dial(api, f"<Response>{record}</Response>")
    elif started_by == "Record":
        dial(api, document, Record="true", **form)
    else:
        sid = dial(api, document)
        emulator.clock.advance(2)
        api.post(f"Calls/{sid}/Recordings.json", **form)
    emulator.clock.advance(3)
    receiver.wait(lambda: [params["RecordingStatus"] for params in receiver.requests] == ["in-progress"])
    emulator.clock.advance(20)
    receiver.wait(lambda: [params["RecordingStatus"] for params in receiver.requests] == ["in-progress", "completed"])
    assert {params["RecordingTrack"] for params in receiver.requests} == {
        "both" if started_by == "verb" else "outbound"
    }
