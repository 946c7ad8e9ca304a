"""The sensor for a message's delivery: the outcome and its message are the same in every mode."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.polling import blocking, shared, status
from airflow_provider_twilio.runtime.polling.events import EVENT_FIELDS
from airflow_provider_twilio.sensors.messages import MessageDeliverySensor
from tests.sensors.conftest import MODES, Mode, Runner

PAGE = "https://www.twilio.com/docs/api/errors"

# The message's status and error code, the sensor's options, and how the task ends with which message.
OUTCOMES: list[tuple[str, int | None, dict[str, Any], str, str]] = [
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
            f"message {{sid}} is failed: error 30001: the sender's message queue overflowed; resending can help."
            f" See {PAGE}/30001"
        ),
    ),
    (
        "undelivered",
        30006,
        {},
        "AirflowFailException",
        (
            f"message {{sid}} is undelivered: error 30006: the number is a landline, or its carrier is unreachable;"
            f" resending does not help. See {PAGE}/30006"
        ),
    ),
    (
        "undelivered",
        30006,
        {"resendable_codes": [30006]},
        "AirflowFailException",
        (
            f"message {{sid}} is undelivered: error 30006: the number is a landline, or its carrier is unreachable;"
            f" resending can help. See {PAGE}/30006"
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
    """A message that is in flight until a test sets its status."""
    hook = TwilioHook()
    return str(hook.messages.create(to="+15005559016", from_=emulator.phone_number, body="the secret text").sid)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("already_final", [True, False], ids=["already_final", "final_later"])
@pytest.mark.parametrize(("status", "code", "options", "outcome", "expected"), OUTCOMES)
def test_message_sensor_final_status_ends_the_task(
    run: Runner,
    emulator: Emulator,
    sid: str,
    status: str,
    code: int | None,
    options: dict[str, Any],
    outcome: str,
    expected: str,
    mode: Mode,
    already_final: bool,
):
    def change() -> None:
        emulator.set_message_status(sid, status, code)

    if already_final:
        change()
    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, change=change, **options)
    assert ended == outcome
    if outcome == "success":
        assert result["status"] == expected
        assert result["sid"] == sid
        assert set(result) <= {"sid", *EVENT_FIELDS}
    else:
        assert result.startswith(expected.format(sid=sid))
    assert "secret" not in str(result)
    assert run.ti.xcoms["twilio_log_link"] == f"{emulator.url}/#{sid}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("options", "outcome", "expected"),
    [
        ({}, "AirflowSensorTimeout", "{sid} had no final status at the deadline: its last status is sent"),
        ({"soft_fail": True}, "AirflowSkipException", "Skipping due to soft_fail is set to True."),
        ({"never_fail": True}, "AirflowSkipException", "Skipping due to never_fail is set to True."),
        ({"accept_sent": True}, "success", "sent"),
        (
            {"sent_grace": 3600},
            "AirflowSensorTimeout",
            "{sid} had no final status at the deadline: its last status is sent",
        ),
        ({"sent_grace": 0}, "success", "sent"),
    ],
)
def test_message_sensor_status_sent_at_deadline(
    run: Runner, emulator: Emulator, sid: str, options: dict[str, Any], outcome: str, expected: str, mode: Mode
):
    emulator.set_message_status(sid, "sent")
    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, timeout=0.5, **options)
    assert (ended, result["status"] if ended == "success" else result) == (outcome, expected.format(sid=sid))


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_canceled_scheduled_message_fails(run: Runner, emulator: Emulator, sid: str, mode: Mode):
    emulator.set_message_status(sid, "scheduled")
    ended, result = run(
        MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message_status(sid, "canceled")
    )
    assert (ended, result) == ("AirflowFailException", f"message {sid} is canceled")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_message_sensor_missing_message_fails(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, mode: Mode, soft_fail: bool
):
    monkeypatch.setattr(status, "NOT_FOUND_GRACE", 0.3)
    monkeypatch.setattr(blocking, "NOT_FOUND_GRACE", 0.3)
    monkeypatch.setattr(blocking, "RECHECK_DELAY", 0.01)
    missing = "SM" + "0" * 32
    ended, result = run(MessageDeliverySensor, mode, message_sid=missing, soft_fail=soft_fail)
    if soft_fail:
        assert ended == "AirflowSkipException"
    else:
        assert ended == "AirflowFailException"
        assert result.startswith(f"{missing} does not exist: GET /2010-04-01/")
        assert "code 20404" in result
    assert emulator.journal.count("GET", status=404) >= 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fault", [{"status": 429, "retry_after": 0.1}, {"status": 500}, {"status": 503}, {"drop": True}], ids=str
)
def test_message_sensor_server_errors_are_survived(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode, fault: dict[str, Any]
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "/?retries=0")
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    emulator.fail_next(4, **fault)
    ended, _ = run(
        MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message_status(sid, "delivered")
    )
    assert ended == "success"


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_server_errors_do_not_extend_the_deadline(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "/?retries=0")
    monkeypatch.setattr(shared, "MAX_BACKOFF", 0.1)
    emulator.fail_next(10_000, status=503)
    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, timeout=0.6)
    assert ended == "AirflowSensorTimeout"
    assert result.startswith(f"{sid} had no final status at the deadline: GET /2010-04-01/")


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_rejected_credentials_fail_without_retry(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    monkeypatch.setattr("airflow_provider_twilio.runtime.polling.shared.AUTH_PATIENCE", 0.0)

    def change() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri.replace("e1e1", "0000", 1))
        emulator.fail_next(100, status=401)

    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, change=change)
    assert ended == "AirflowFailException"
    assert result.startswith("AuthenticationFailed: GET /2010-04-01/")


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_rotated_credentials_continue(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    """The connection has the new token some time after Twilio has."""
    monkeypatch.setattr(shared, "MAX_AUTH_BACKOFF", 0.1)
    wrong = emulator.connection_uri.replace(":" + emulator.auth_token, ":" + "0" * 32, 1)
    assert wrong != emulator.connection_uri
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", wrong)

    def change() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        emulator.set_message_status(sid, "delivered")

    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, change=change)
    assert (ended, result["status"] if ended == "success" else result) == ("success", "delivered")


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_message_sensor_rejected_credentials_fail_at_the_deadline(
    run: Runner, emulator: Emulator, sid: str, mode: Mode
):
    emulator.fail_next(10_000, status=401)
    ended, result = run(MessageDeliverySensor, mode, message_sid=sid, timeout=0.6)
    assert ended == "AirflowSensorTimeout"
    assert result.startswith(f"{sid} had no final status at the deadline: GET /2010-04-01/")


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_template_without_sid_fails_without_request(run: Runner, emulator: Emulator, mode: Mode):
    ended, result = run(MessageDeliverySensor, mode, message_sid="{{ as rendered }}")
    assert ended == "AirflowFailException"
    assert "message_sid" in result
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("mode", MODES)
def test_message_sensor_unknown_status_continues(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, sid: str, mode: Mode
):
    from airflow_provider_twilio.emulator.models.message import STATUSES

    monkeypatch.setattr("airflow_provider_twilio.emulator.control.STATUSES", (*STATUSES, "teleported"))
    emulator.set_message_status(sid, "teleported")
    ended, result = run(
        MessageDeliverySensor, mode, message_sid=sid, change=lambda: emulator.set_message_status(sid, "delivered")
    )
    assert (ended, result["status"]) == ("success", "delivered")
