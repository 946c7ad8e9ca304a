"""The sensor for a call's completion: the outcome and its message are the same in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.sensors.calls import CallCompletionSensor
from tests.sensors.conftest import MODES, Mode, Runner

PERSON, BUSY, NOBODY, NO_NUMBER, VOICEMAIL, CANCELED = (
    "+14155550100", "+15005559101", "+15005559102", "+15005559103", "+15005559104", "+15005559109",
)  # fmt: skip

OUTCOMES: list[tuple[str, dict[str, Any], str, str]] = [
    (PERSON, {}, "success", "completed"),
    (VOICEMAIL, {}, "success", "completed"),
    (BUSY, {}, "AirflowFailException", "call {sid} is busy: the line was busy"),
    (NOBODY, {}, "AirflowFailException", "call {sid} is no-answer: the call was not answered in time"),
    (
        NO_NUMBER,
        {},
        "AirflowFailException",
        "call {sid} is failed: the call could not be placed; the number may not exist",
    ),
    (CANCELED, {}, "AirflowFailException", "call {sid} is canceled: the call was canceled before it was answered"),
    (BUSY, {"accept": ["busy", "no-answer"]}, "success", "busy"),
    (NOBODY, {"accept": ["busy", "no-answer"]}, "success", "no-answer"),
    (
        NO_NUMBER,
        {"accept": ["busy", "no-answer"]},
        "AirflowFailException",
        "call {sid} is failed: the call could not be",
    ),
    (PERSON, {"answered_by": "human"}, "success", "completed"),
    (VOICEMAIL, {"answered_by": ["machine_start", "fax"]}, "success", "completed"),
    (VOICEMAIL, {"answered_by": "human"}, "AirflowFailException", "call {sid} was answered by machine_start"),
    (BUSY, {"soft_fail": True}, "AirflowSkipException", "Skipping due to soft_fail is set to True."),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("already_ended", [True, False], ids=["already_ended", "ends_later"])
@pytest.mark.parametrize(("to", "options", "outcome", "expected"), OUTCOMES)
def test_call_sensor_final_status_ends_the_task(
    run: Runner,
    emulator: Emulator,
    to: str,
    options: dict[str, Any],
    outcome: str,
    expected: str,
    mode: Mode,
    already_ended: bool,
):
    emulator.clock.freeze()
    call = TwilioHook().calls.create(
        to=to, from_=emulator.phone_number, twiml="<Response/>", machine_detection="Enable", ring_timeout=20
    )

    def change() -> None:
        emulator.clock.advance(minutes=5)

    if already_ended:
        change()
    ended, result = run(CallCompletionSensor, mode, call_sid=str(call.sid), change=change, **options)
    assert ended == outcome
    if outcome == "success":
        assert result["status"] == expected
    else:
        assert result.startswith(expected.format(sid=call.sid))


@pytest.mark.parametrize("mode", MODES)
def test_call_sensor_answered_by_without_detection_fails(run: Runner, emulator: Emulator, mode: Mode):
    call = TwilioHook().calls.create(to=PERSON, from_=emulator.phone_number, twiml="<Response/>")
    emulator.clock.advance(minutes=5)
    ended, result = run(CallCompletionSensor, mode, call_sid=str(call.sid), answered_by="human")
    assert (ended, result) == ("AirflowFailException", f"call {call.sid} was answered by an unknown party")


@pytest.mark.parametrize("mode", MODES)
def test_call_sensor_call_in_progress_at_deadline_times_out(run: Runner, emulator: Emulator, mode: Mode):
    call = TwilioHook().calls.create(to="+15005559105", from_=emulator.phone_number, twiml="<Response/>")
    emulator.clock.advance(minutes=5)
    ended, result = run(CallCompletionSensor, mode, call_sid=str(call.sid), timeout=0.5)
    assert ended == "AirflowSensorTimeout"
    assert result == f"{call.sid} had no final status at the deadline: its last status is in-progress"


def test_call_sensor_accept_of_other_status_raises_at_parse_time():
    with pytest.raises(BadParameter, match="accept"):
        CallCompletionSensor(task_id="wait", call_sid="{{ x }}", accept=["ringing"])
