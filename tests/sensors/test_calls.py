"""A call's end is the same in every mode, to the word."""

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

ENDS: list[tuple[str, dict[str, Any], str, str]] = [
    (PERSON, {}, "success", "completed"),
    (VOICEMAIL, {}, "success", "completed"),
    (BUSY, {}, "AirflowFailException", "call {sid} is busy: the line was busy"),
    (NOBODY, {}, "AirflowFailException", "call {sid} is no-answer: nobody picked up in time"),
    (NO_NUMBER, {}, "AirflowFailException", "call {sid} is failed: it could not be placed; the number may not exist"),
    (CANCELED, {}, "AirflowFailException", "call {sid} is canceled: it was canceled before anybody picked up"),
    (BUSY, {"accept": ["busy", "no-answer"]}, "success", "busy"),
    (NOBODY, {"accept": ["busy", "no-answer"]}, "success", "no-answer"),
    (NO_NUMBER, {"accept": ["busy", "no-answer"]}, "AirflowFailException", "call {sid} is failed: it could not be"),
    (PERSON, {"answered_by": "human"}, "success", "completed"),
    (VOICEMAIL, {"answered_by": ["machine_start", "fax"]}, "success", "completed"),
    (VOICEMAIL, {"answered_by": "human"}, "AirflowFailException", "call {sid} was answered by machine_start"),
    (BUSY, {"soft_fail": True}, "AirflowSkipException", "Skipping due to soft_fail is set to True."),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize(("to", "options", "outcome", "words"), ENDS)
def test_each_end(
    run: Runner,
    emulator: Emulator,
    to: str,
    options: dict[str, Any],
    outcome: str,
    words: str,
    mode: Mode,
    at_once: bool,
):
    emulator.clock.freeze()
    call = TwilioHook().calls.create(
        to=to, from_=emulator.phone_number, twiml="<Response/>", machine_detection="Enable", ring_timeout=20
    )

    def change() -> None:
        emulator.clock.advance(minutes=5)

    if at_once:
        change()
    ended, told = run(CallCompletionSensor, mode, call_sid=str(call.sid), change=change, **options)
    assert ended == outcome
    if outcome == "success":
        assert told["status"] == words
    else:
        assert told.startswith(words.format(sid=call.sid))


@pytest.mark.parametrize("mode", MODES)
def test_nobody_knows_who_answered_without_detection(run: Runner, emulator: Emulator, mode: Mode):
    call = TwilioHook().calls.create(to=PERSON, from_=emulator.phone_number, twiml="<Response/>")
    emulator.clock.advance(minutes=5)
    ended, told = run(CallCompletionSensor, mode, call_sid=str(call.sid), answered_by="human")
    assert (ended, told) == ("AirflowFailException", f"call {call.sid} was answered by nobody knows whom")


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_goes_on_is_late(run: Runner, emulator: Emulator, mode: Mode):
    call = TwilioHook().calls.create(to="+15005559105", from_=emulator.phone_number, twiml="<Response/>")
    emulator.clock.advance(minutes=5)
    ended, told = run(CallCompletionSensor, mode, call_sid=str(call.sid), timeout=0.5)
    assert ended == "AirflowSensorTimeout"
    assert told == f"{call.sid} has not come to its end at its deadline: it is in-progress"


def test_a_status_that_cannot_be_accepted_is_refused_in_the_dag_file():
    with pytest.raises(BadParameter, match="accept"):
        CallCompletionSensor(task_id="wait", call_sid="{{ x }}", accept=["ringing"])
