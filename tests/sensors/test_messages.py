"""A message's end is the same in every mode, to the word."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.polling import shared, status
from airflow_provider_twilio.runtime.polling.events import EVENT_FIELDS
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor
from airflow_provider_twilio.triggers import base
from tests.sensors.conftest import MODES, Mode, Runner

PAGE = "https://www.twilio.com/docs/api/errors"

# What the message comes to, how the task ends, and in which words.
ENDS: list[tuple[str, int | None, dict[str, Any], str, str]] = [
    ("delivered", None, {}, "success", "delivered"),
    ("read", None, {}, "success", "read"),
    ("received", None, {}, "success", "received"),
    ("canceled", None, {}, "AirflowFailException", "message {sid} is canceled"),
    ("partially_delivered", None, {}, "AirflowFailException", "message {sid} is partially_delivered"),
    (
        "failed",
        30001,
        {},
        "AirflowFailException",
        (
            f"message {{sid}} is failed: error 30001: the sender's queue overflowed; sending again can help."
            f" See {PAGE}/30001"
        ),
    ),
    (
        "undelivered",
        30006,
        {},
        "AirflowFailException",
        (
            f"message {{sid}} is undelivered: error 30006: the number is a landline, or its carrier can't be reached;"
            f" sending again does not help. See {PAGE}/30006"
        ),
    ),
    (
        "undelivered",
        30006,
        {"resendable_codes": [30006]},
        "AirflowFailException",
        (
            f"message {{sid}} is undelivered: error 30006: the number is a landline, or its carrier can't be reached;"
            f" sending again can help. See {PAGE}/30006"
        ),
    ),
    ("failed", 21610, {}, "AirflowFailException", "message {sid} is failed: error 21610: the recipient has opted out"),
    (
        "failed",
        21610,
        {"skip_opted_out": True},
        "AirflowSkipException",
        "message {sid} is failed: error 21610: the recipient has opted out",
    ),
    ("failed", 30001, {"skip_opted_out": True}, "AirflowFailException", "message {sid} is failed: error 30001"),
    ("undelivered", 30003, {"soft_fail": True}, "AirflowSkipException", "Skipping due to soft_fail is set to True."),
    ("undelivered", 30003, {"never_fail": True}, "AirflowSkipException", "Skipping due to never_fail is set to True."),
    ("undelivered", 30003, {"silent_fail": True}, "AirflowFailException", "message {sid} is undelivered"),
]


@pytest.fixture
def sid(emulator: Emulator) -> str:
    """A message that stays on its way until a test puts it into a status."""
    hook = TwilioHook()
    return str(hook.messages.create(to="+15005559016", from_=emulator.phone_number, body="the secret text").sid)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize(("status", "code", "options", "outcome", "words"), ENDS)
def test_each_end(
    run: Runner,
    emulator: Emulator,
    sid: str,
    status: str,
    code: int | None,
    options: dict[str, Any],
    outcome: str,
    words: str,
    mode: Mode,
    at_once: bool,
):
    def change() -> None:
        emulator.set_message(sid, status, code)

    if at_once:
        change()
    ended, told = run(MessageDeliverySensor, mode, message_sid=sid, change=change, **options)
    assert ended == outcome
    if outcome == "success":
        assert told["status"] == words
        assert told["sid"] == sid
        assert set(told) <= {"sid", *EVENT_FIELDS}
    else:
        assert told.startswith(words.format(sid=sid))
    assert "secret" not in str(told)
    assert run.ti.xcoms["twilio_log_link"] == f"{emulator.url}/#{sid}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("options", "outcome", "words"),
    [
        ({}, "AirflowSensorTimeout", "{sid} has not come to its end at its deadline: it is sent"),
        ({"soft_fail": True}, "AirflowSkipException", "Skipping due to soft_fail is set to True."),
        ({"never_fail": True}, "AirflowSkipException", "Skipping due to never_fail is set to True."),
        ({"accept_sent": True}, "success", "sent"),
        ({"sent_grace": 3600}, "AirflowSensorTimeout", "{sid} has not come to its end at its deadline: it is sent"),
        ({"sent_grace": 0}, "success", "sent"),
    ],
)
def test_a_message_that_stays_sent(
    run: Runner, emulator: Emulator, sid: str, options: dict[str, Any], outcome: str, words: str, mode: Mode
):
    emulator.set_message(sid, "sent")
    ended, told = run(MessageDeliverySensor, mode, message_sid=sid, timeout=0.5, **options)
    assert (ended, told["status"] if ended == "success" else told) == (outcome, words.format(sid=sid))


@pytest.mark.parametrize("mode", MODES)
def test_a_scheduled_message_that_is_canceled(run: Runner, emulator: Emulator, sid: str, mode: Mode):
    emulator.set_message(sid, "scheduled")
    ended, told = run(
        MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message(sid, "canceled")
    )
    assert (ended, told) == ("AirflowFailException", f"message {sid} is canceled")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_message_that_is_gone(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, mode: Mode, soft_fail: bool
):
    monkeypatch.setattr(status, "NOT_FOUND_GRACE", 0.3)
    monkeypatch.setattr(base, "NOT_FOUND_GRACE", 0.3)
    monkeypatch.setattr(base, "RECHECK_DELAY", 0.01)
    missing = "SM" + "0" * 32
    ended, told = run(MessageDeliverySensor, mode, message_sid=missing, soft_fail=soft_fail)
    if soft_fail:
        assert ended == "AirflowSkipException"
    else:
        assert ended == "AirflowFailException"
        assert told.startswith(f"{missing} is gone: GET /2010-04-01/")
        assert "code 20404" in told
    assert emulator.journal.count("GET", status=404) >= 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fault", [{"status": 429, "retry_after": 0.1}, {"status": 500}, {"status": 503}, {"drop": True}], ids=str
)
def test_trouble_passes(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode, fault: dict[str, Any]
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "/?retries=0")
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    emulator.fail_next(4, **fault)
    ended, _ = run(MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message(sid, "delivered"))
    assert ended == "success"


@pytest.mark.parametrize("mode", MODES)
def test_trouble_does_not_move_the_deadline(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "/?retries=0")
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    emulator.fail_next(10_000, status=503)
    ended, told = run(MessageDeliverySensor, mode, message_sid=sid, timeout=0.6)
    assert ended == "AirflowSensorTimeout"
    assert told.startswith(f"{sid} has not come to its end at its deadline: GET /2010-04-01/")


@pytest.mark.parametrize("mode", MODES)
def test_refused_credentials_fail_at_once(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    def change() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri.replace("e1e1", "0000", 1))
        emulator.fail_next(100, status=401)

    ended, told = run(MessageDeliverySensor, mode, message_sid=sid, change=change)
    assert ended == "AirflowFailException"
    assert told.startswith("AuthenticationFailed: GET /2010-04-01/")


@pytest.mark.parametrize("mode", MODES)
def test_a_template_that_gave_no_sid_fails_at_once(run: Runner, emulator: Emulator, mode: Mode):
    ended, told = run(MessageDeliverySensor, mode, message_sid="{{ as rendered }}")
    assert ended == "AirflowFailException"
    assert "message_sid" in told
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_status_is_waited_on(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    from airflow_provider_twilio.emulator import messages

    monkeypatch.setattr(messages, "STATUSES", (*messages.STATUSES, "teleported"))
    emulator.set_message(sid, "teleported")
    ended, told = run(
        MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message(sid, "delivered")
    )
    assert (ended, told["status"]) == ("success", "delivered")
