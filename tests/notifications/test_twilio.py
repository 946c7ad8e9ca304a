"""The notifier against the emulator: recipients, errors, fallbacks and validation."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.notifications.twilio import NotificationFailed, TwilioNotifier, send_twilio_notification
from tests.notifications.conftest import (
    ALSO,
    OWNED,
    RUN,
    TO,
    Logged,
    Notify,
    RecordingNotifier,
    bodies,
    dag_context,
    deadline_context,
    task_context,
)


def test_send_twilio_notification_is_alias_of_notifier():
    assert send_twilio_notification is TwilioNotifier


def test_notifier_with_only_last_try_skips_retried_tries(emulator: Emulator, notify: Notify):
    notifier = TwilioNotifier(to=TO, only_last_try=True)
    notify(notifier, task_context(try_number=1, state="up_for_retry"))
    assert not emulator.messages
    notify(notifier, task_context(try_number=1, state="failed"))  # AirflowFailException: no other try follows
    notify(notifier, dag_context())
    assert len(emulator.messages) == 2


def test_notifier_tries_each_recipient_despite_errors(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.receive_message("STOP", from_=TO)
    with pytest.raises(NotificationFailed) as caught:
        notify(TwilioNotifier(to=[TO, ALSO, ALSO]), task_context())
    assert len(bodies(emulator, ALSO)) == 1
    assert list(caught.value.errors) == ["+1415•••0101"]
    assert "connection twilio_default" in str(caught.value)
    assert "OptedOut" in str(caught.value)
    assert TO not in str(caught.value) + logged()


def test_notifier_with_wrong_credentials_names_connection_and_runs_fallback(
    emulator: Emulator, notify: Notify, monkeypatch: pytest.MonkeyPatch, logged: Logged
):
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", emulator.connection_uri.replace(quote(emulator.auth_token), "wrong"))
    notifier = TwilioNotifier(to=TO, from_=OWNED, twilio_conn_id="broken", fallback=TwilioNotifier(to=ALSO, call=True))
    with pytest.raises(NotificationFailed, match=r"\(connection broken\): .*AuthenticationFailed"):
        notify(notifier, task_context())
    assert [call["to"] for call in emulator.calls] == [ALSO]
    assert "Fallback succeeded" in logged()
    assert not emulator.messages


@pytest.mark.parametrize(
    "recipients",
    [f"{TO}, {ALSO},", f"{TO}; {ALSO}", f"{TO}\n{ALSO}\n", f"{TO} {ALSO}", f'["{TO}", "{ALSO}"]', f",{TO},,{ALSO}"],
)
@pytest.mark.parametrize("listed", [False, True])
def test_notifier_with_any_recipient_separator_notifies_each_once(
    emulator: Emulator, notify: Notify, recipients: str, listed: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", recipients)
    template = "{{ var.value.oncall }}"
    notify(TwilioNotifier(to=[template] if listed else template, fallback=RecordingNotifier()), task_context())
    assert [message["to"] for message in emulator.messages] in ([TO, ALSO], [ALSO, TO])
    assert RecordingNotifier.notified == []


def test_notifier_with_invalid_recipient_notifies_others(emulator: Emulator, notify: Notify):
    with pytest.raises(NotificationFailed, match="to has no leading") as caught:
        notify(TwilioNotifier(to=f"{{{{ '{TO}; 4155550109; {ALSO}' }}}}"), task_context())
    assert len(caught.value.errors) == 1
    assert len(emulator.messages) == 2


@pytest.mark.parametrize("connection", [None, "twilio://AC:x@/"])
def test_notifier_with_invalid_connection_names_connection(
    emulator: Emulator, notify: Notify, connection: str | None, monkeypatch: pytest.MonkeyPatch
):
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_NONE", connection)
    with pytest.raises(NotificationFailed, match=r"\(connection none\): all recipients: .*none"):
        notify(TwilioNotifier(to=TO, twilio_conn_id="none"), task_context())


@pytest.mark.parametrize(
    "fallback",
    [
        RecordingNotifier("other"),
        (f"{RecordingNotifier.__module__}.RecordingNotifier", {"name": "other"}),
        [f"{RecordingNotifier.__module__}.RecordingNotifier", {"name": "other"}],  # a list, as JSON delivers it
    ],
    ids=["object", "path", "json"],
)
def test_notifier_accepts_any_notifier_as_fallback(emulator: Emulator, notify: Notify, fallback: Any):
    emulator.fail_next(10, status=503)
    notify(
        TwilioNotifier(to=TO, fallback=copy.deepcopy(fallback), on_error="log"), deadline_context() | {"run_id": RUN}
    )
    assert RecordingNotifier.notified == [("other", RUN)]


def test_notifier_reports_error_of_fallback(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(10, status=503)
    with pytest.raises(NotificationFailed) as caught:
        notify(TwilioNotifier(to=TO, fallback=RecordingNotifier("broken")), task_context())
    assert caught.value.__notes__ == ["The fallback failed, too: RuntimeError: no network to +1415•••0199"]
    assert "Fallback failed, too: RuntimeError" in logged()


def test_notifier_with_on_error_log_only_logs(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(10, status=503)
    notify(TwilioNotifier(to=TO, on_error="log"), task_context())
    assert "Notification failed (connection twilio_default): +1415•••0101: OutcomeUnknown" in logged()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"to": []}, "to is a list"),
        ({"to": ""}, "to"),
        ({"to": " ,; "}, "to is a list without a recipient"),
        ({"to": None}, "to is a NoneType"),
        ({"to": "4155550101"}, "to has no leading"),
        ({"to": [TO, "nobody"]}, "to contains letters"),
        ({"to": f"{TO}, 0"}, "to"),
        ({"to": [7]}, "to is of type int"),
        ({"from_": "12"}, "from_"),
        ({"messaging_service_sid": "MG1"}, "messaging_service_sid"),
        ({"content_sid": "x"}, "content_sid"),
        ({"content_sid": f"HX{'b' * 32}", "body": "text"}, "body and content_sid are mutually exclusive"),
        ({"content_variables": {"1": "x"}}, "content_sid is missing"),
        ({"content_variables": "{}", "content_sid": f"HX{'b' * 32}"}, "content_variables is not a mapping"),
        ({"call": True, "messaging_service_sid": f"MG{'a' * 32}"}, "messaging_service_sid is given with call=True"),
        ({"call": True, "max_segments": 1}, "max_segments is given with call=True"),
        ({"voice": "man"}, "voice and language are given without call=True"),
        ({"max_segments": 0}, "max_segments"),
        ({"max_per_hour": 0}, "max_per_hour"),
        ({"max_per_hour": "some"}, "max_per_hour"),
        ({"dedupe_window": 0}, "dedupe_window"),
        ({"dedupe_window": timedelta(0)}, "dedupe_window"),
        ({"dedupe_window": "an hour"}, "dedupe_window is not a number"),
        ({"quiet_hours": ("22:00", "07:00")}, "quiet_hours is not a sequence of three strings"),
        ({"on_error": "ignore"}, "on_error is not an allowed value"),
        ({"account_sid": "x"}, "account_sid"),
        ({"fallback": "somebody"}, "fallback is neither a notifier nor"),
        ({"fallback": ("no.such.Notifier", {})}, "fallback cannot be constructed from no.such.Notifier"),
        ({"fallback": ("datetime.datetime", {"year": 1, "month": 1, "day": 1})}, "fallback is a datetime"),
        ({"fallback": ("airflow_provider_twilio.notifications.twilio.TwilioNotifier", {"to": []})}, "to is a list"),
    ],
)
def test_notifier_with_invalid_literal_raises_at_construction(arguments: dict[str, Any], fault: str):
    with pytest.raises(BadParameter, match=re.escape(fault)):
        TwilioNotifier(**{"to": TO, **arguments})


def test_notifier_with_invalid_rendered_value_raises_at_notification(emulator: Emulator, notify: Notify):
    with pytest.raises(NotificationFailed, match="to has no leading"):
        notify(TwilioNotifier(to="{{ 4155550101 }}"), task_context())
    with pytest.raises(NotificationFailed, match="to is"):
        notify(TwilioNotifier(to="{{ '' }}"), task_context())
    notify(TwilioNotifier(to="{{ ['+14155550101', '+14155550102'] }}", from_="{{ '' }}"), task_context())
    assert len(emulator.messages) == 2


def test_notifier_docstring_describes_every_parameter():
    import inspect

    parameters = set(inspect.signature(TwilioNotifier).parameters) - {"kwargs"}
    text = inspect.getdoc(TwilioNotifier) or ""
    described = dict(re.findall(r":param (\w+): (.+?)(?=\n:param|\n:raises)", text, re.DOTALL))
    assert set(described) == parameters
    assert {name for name, description in described.items() if description.endswith("(templated)")} == set(
        TwilioNotifier.template_fields
    )
