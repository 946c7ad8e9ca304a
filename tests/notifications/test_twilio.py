"""The notifier against the emulator, blocking and asynchronous."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.notifications.twilio import NotificationFailed, TwilioNotifier, send_twilio_notification
from tests.notifications.conftest import BASE, RUN, Logged, Notify, dag_context, deadline_context, task_context
from tests.support.scripted import ScriptedResponse, ScriptedServer, Stall

TO, ALSO = "+14155550101", "+14155550102"
OWNED = "+15005550006"
SERVICE = f"MG{'a' * 32}"


class RecordingNotifier(BaseNotifier):
    """A notifier of another package that has no asynchronous mode."""

    notified: list[Any] = []

    def __init__(self, name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def notify(self, context: Any) -> None:
        if self.name == "broken":
            raise RuntimeError("no network to +14155550199")
        self.notified.append((self.name, context["run_id"]))


@pytest.fixture(autouse=True)
def _reset_recording_notifier() -> None:
    RecordingNotifier.notified = []


def bodies(emulator: Emulator, to: str = TO) -> list[str]:
    return [message["body"] for message in emulator.messages if message["to"] == to]


def send_burst(notify: Notify, emulator: Emulator, count: int, **options: Any) -> None:
    for index in range(count):
        notify(TwilioNotifier(to=TO, **options), task_context(map_index=index))


# ---------------------------------------------------------------- text and templates


def test_send_twilio_notification_is_alias_of_notifier():
    assert send_twilio_notification is TwilioNotifier


@pytest.mark.parametrize("context", [task_context, dag_context, deadline_context])
def test_notifier_by_default_sends_one_segment_and_reads_nothing(
    emulator: Emulator, notify: Notify, context: Callable[[], dict[str, Any]]
):
    notify(TwilioNotifier(to=TO), context())
    (body,) = bodies(emulator)
    assert body.startswith("Airflow: orders")
    assert f"{BASE}/dags/orders/runs/{RUN}" in body
    assert (count(body).encoding, count(body).segments) == ("GSM-7", 1)
    assert [entry.method for entry in emulator.journal] == ["POST"]


def test_notifier_renders_each_context_separately(emulator: Emulator, notify: Notify):
    notifier = TwilioNotifier(to="{{ ti.xcom or '+14155550101' }}", body="{{ alert.name }} {{ ti.map_index }}")
    for index in (1, 2):
        context = task_context(map_index=index)
        context["ti"].xcom = None
        notify(notifier, context)
    assert bodies(emulator) == ["orders.load[1] 1", "orders.load[2] 2"]


@pytest.mark.parametrize("context", [task_context, dag_context, deadline_context])
def test_notifier_templates_have_same_names_in_every_context(
    emulator: Emulator, notify: Notify, context: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", f"{TO}, {ALSO}")
    body = "{{ alert.dag_id }} {{ run_id }} {{ dag_run.run_id }} {{ alert.link }}"
    notify(TwilioNotifier(to="{{ var.value.oncall }}", body=body), context())
    (first,), (second,) = bodies(emulator), bodies(emulator, ALSO)
    assert first == second
    assert first.startswith(f"orders {RUN} {RUN} {BASE}/dags/orders/runs/")


@pytest.mark.parametrize("name", ["ti.task_id", "dag.doc_md.strip()", "nope", "var.value.nope", "1 / 0"])
def test_notifier_body_with_missing_name_falls_back_to_default_text(
    emulator: Emulator, notify: Notify, name: str, logged: Logged
):
    notify(TwilioNotifier(to=TO, body=f"It is {{{{ {name} }}}}"), deadline_context())
    assert bodies(emulator)[0].startswith("Airflow: orders missed its deadline")
    assert "Cannot render body, sending the default text instead" in logged()


def test_notifier_recipient_with_missing_name_raises(emulator: Emulator, notify: Notify):
    with pytest.raises(NotificationFailed, match=r"to cannot be rendered .UndefinedError: 'nope' is undefined"):
        notify(TwilioNotifier(to="{{ nope }}"), task_context())


def test_notifier_body_is_shortened_to_limit_only(emulator: Emulator, notify: Notify):
    long = "word " * 500 + "https://wiki.example/runbook"
    notify(TwilioNotifier(to=TO, body=long), task_context())
    notify(TwilioNotifier(to=TO, body=long, max_segments=2), task_context())
    notify(TwilioNotifier(to=TO, body="é😀" * 100, max_segments=1), task_context())
    whole, short, unicode = bodies(emulator)
    assert 1580 < len(whole) <= 1600
    assert whole.endswith("word... https://wiki.example/runbook")
    assert (count(short).segments, short.endswith("word... https://wiki.example/runbook")) == (2, True)
    assert (count(unicode).segments, unicode.endswith("...")) == (1, True)


def test_notifier_with_content_sid_sends_rendered_variables(emulator: Emulator, notify: Notify):
    content = f"HX{'b' * 32}"
    notify(
        TwilioNotifier(
            to=f"whatsapp:{TO}",
            from_=f"whatsapp:{OWNED}",
            content_sid=content,
            content_variables={"1": "{{ alert.name }}", "2": "{{ nope }}"},
        ),
        task_context(),
    )
    (entry,) = emulator.journal.find("POST", "Messages.json", ContentSid=content)
    variables = str(entry.params["ContentVariables"])
    assert '"1": "orders.load"' in variables
    assert '"2": "Airflow: orders.load failed' in variables


def test_notifier_with_call_reads_alert_out(emulator: Emulator, notify: Notify):
    notify(TwilioNotifier(to=TO, call=True, voice="Polly.Joanna", language="en-GB"), task_context())
    notify(TwilioNotifier(to=TO, call=True, body="Wake \x1bup & look <{{ ti.task_id }}>"), task_context())
    first, second = (emulator.transcript(call["sid"])[0] for call in emulator.calls)
    assert first.startswith("Airflow alert. task load of DAG orders failed")
    assert second == "Wake up & look <load>"
    assert 'voice="Polly.Joanna"' in str(emulator.journal.find("POST", "Calls.json")[0].params["Twiml"])


@pytest.mark.parametrize("call", [False, True])
def test_notifier_masks_secrets(emulator: Emulator, notify: Notify, call: bool, monkeypatch: pytest.MonkeyPatch):
    from airflow.sdk.log import mask_secret

    mask_secret("another-password")
    body = f"{{{{ conn.twilio_default.password }}}}, {quote('another-password')}, {emulator.auth_token}"
    notify(TwilioNotifier(to=TO, body=body, call=call), task_context())
    text = emulator.transcript(emulator.calls[0]["sid"])[0] if call else bodies(emulator)[0]
    assert text == "***, ***, ***"


# ---------------------------------------------------------------- recipients, errors and fallbacks


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
        (f"{__name__}.RecordingNotifier", {"name": "other"}),
        [f"{__name__}.RecordingNotifier", {"name": "other"}],  # a list, as JSON delivers it
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


# ---------------------------------------------------------------- dedupe_window and max_per_hour


def test_notifier_with_dedupe_window_sends_same_alert_once(emulator: Emulator, notify: Notify):
    send_burst(notify, emulator, 3, dedupe_window=timedelta(minutes=30))
    assert len(bodies(emulator)) == 1
    notify(TwilioNotifier(to=TO, dedupe_window=1800), task_context(task_id="other"))
    notify(TwilioNotifier(to=ALSO, dedupe_window=1800), task_context())
    assert (len(bodies(emulator)), len(bodies(emulator, ALSO))) == (2, 1)
    emulator.clock.advance(minutes=31)
    send_burst(notify, emulator, 2, dedupe_window=1800.0)
    assert len(bodies(emulator)) == 3
    for body in bodies(emulator):
        assert count(body).segments == 1
        assert re.search(r" #\w{6}$", body)


def test_notifier_with_max_per_hour_limits_and_announces(emulator: Emulator, notify: Notify, logged: Logged):
    began = emulator.clock.utc
    send_burst(notify, emulator, 6, max_per_hour=3)
    first, second, third = bodies(emulator)
    assert "held back" not in first + second
    until = {f"{began + timedelta(hours=1, minutes=late):%H:%M} UTC" for late in (0, 1)}
    assert any(f"More are held back until {time}." in third for time in until)
    assert "Not notifying +1415•••0101: 3 alerts in the past hour; holding back until" in logged()
    assert [entry.method for entry in emulator.journal].count("GET") == 6

    emulator.clock.advance(hours=1, minutes=1)
    send_burst(notify, emulator, 2, max_per_hour=3)
    fourth, fifth = bodies(emulator)[3:]
    assert re.search(r"Since \d\d:\d\d UTC some may have been held back\.", fourth)
    assert "held back" not in fifth
    assert all(count(body).segments == 1 for body in bodies(emulator))


def test_notifier_body_carries_limit_notice(emulator: Emulator, notify: Notify):
    send_burst(notify, emulator, 2, max_per_hour=1, body="It failed. " * 40, max_segments=1)
    (body,) = bodies(emulator)
    assert re.fullmatch(r"It failed\..*\.\.\. More are held back until \d\d:\d\d UTC\. #\w{6}", body)
    assert count(body).segments == 1


def test_notifier_after_simultaneous_burst_announces_limit(emulator: Emulator, notify: Notify):
    for index in range(5):  # five at the same instant: each read an empty history
        notify(TwilioNotifier(to=TO, dedupe_window=1), task_context(task_id=f"load{index}"))
    assert "held back" not in "".join(bodies(emulator))
    for index in range(2):
        notifier = TwilioNotifier(to=TO, max_per_hour=3)
        notifier.burst_window = 0.01
        notify(notifier, task_context(map_index=index))
    assert len(bodies(emulator)) == 6
    assert "More are held back until" in bodies(emulator)[-1]


def test_notifier_recognizes_earlier_calls_by_to_and_from(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, call=True, max_per_hour=1), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context(task_id="other"))
    assert [call["to"] for call in emulator.calls] == [TO, ALSO]
    assert "More are held back until" in emulator.transcript(emulator.calls[0]["sid"])[0]


def test_notifier_recognizes_content_templates_by_to_and_from(emulator: Emulator, notify: Notify):
    sent: dict[str, Any] = {"from_": f"whatsapp:{OWNED}", "content_sid": f"HX{'b' * 32}", "max_per_hour": 2}
    for _ in range(4):
        notify(TwilioNotifier(to=f"whatsapp:{TO}", **sent), task_context())
    assert len(emulator.messages) == 2


def test_notifier_limits_ignore_other_messages(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, body="Your parcel has been shipped"), task_context())
    send_burst(notify, emulator, 1, max_per_hour=1, dedupe_window=600)
    assert len(bodies(emulator)) == 4


def test_notifier_without_readable_history_sends(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(100, status=503, method="GET")
    notify(TwilioNotifier(to=TO, max_per_hour=1), deadline_context())
    assert len(bodies(emulator)) == 1
    assert "Cannot read earlier alerts from Twilio, holding none back" in logged()


# ---------------------------------------------------------------- quiet hours


def current_quiet_hours() -> tuple[str, str, str]:
    """Return quiet hours that have begun and continue for hours."""
    now = datetime.now(UTC)
    return (f"{now - timedelta(hours=2):%H:%M}", f"{now + timedelta(hours=5):%H:%M}", "UTC")


def test_notifier_in_quiet_hours_holds_back(emulator: Emulator, notify: Notify, logged: Logged):
    notify(TwilioNotifier(to=TO, quiet_hours=current_quiet_hours()), task_context())
    notify(TwilioNotifier(to=TO, quiet_hours=current_quiet_hours(), call=True), task_context())
    assert not emulator.journal.find("POST")
    assert "Not notifying +1415•••0101: quiet hours until" in logged()
    start, end, zone = current_quiet_hours()
    notify(TwilioNotifier(to=TO, quiet_hours=(end, start, zone)), task_context())
    assert len(bodies(emulator)) == 1


@pytest.mark.parametrize("source", ["parameter", "connection"])
def test_notifier_in_quiet_hours_schedules_with_messaging_service(
    emulator: Emulator, notify: Notify, source: str, monkeypatch: pytest.MonkeyPatch
):
    services = "https://messaging.twilio.com/v1/Services"
    sid = TwilioHook().request("POST", services, {"FriendlyName": "alerts"})["sid"]
    (number,) = emulator.numbers
    TwilioHook().request("POST", f"{services}/{sid}/PhoneNumbers", {"PhoneNumberSid": number["sid"]})
    options: dict[str, Any] = {"quiet_hours": current_quiet_hours(), "max_per_hour": 2, "to": TO}
    if source == "parameter":
        options["messaging_service_sid"] = sid
    else:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?messaging_service_sid={sid}")
    for _ in range(4):
        notify(TwilioNotifier(**options), task_context())
    first, second = emulator.messages  # both are due at the same time, so the limit allows two
    assert (first["status"], second["status"]) == ("scheduled", "scheduled")
    (entry, _) = emulator.journal.find("POST", "Messages.json", ScheduleType="fixed")
    assert str(entry.params["SendAt"])[11:16] == options["quiet_hours"][1]
    assert "More are held back until" in second["body"]


# ---------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"to": []}, "to is a list"),
        ({"to": ""}, "to"),
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
        ({"call": True, "messaging_service_sid": SERVICE}, "messaging_service_sid is given with call=True"),
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


def test_notifier_outside_task_limits_retries(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer(ScriptedResponse(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=TO, from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (2, 1)


def test_notifier_outside_task_after_failure_does_not_retry(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer(ScriptedResponse(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=[TO, ALSO], from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (3, 2)  # the second recipient's history is not retried


def test_notifier_outside_task_leaves_time_for_fallback(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    notifier = TwilioNotifier(to=[TO, ALSO], from_=OWNED, fallback=RecordingNotifier())
    notifier.time_budget = 3
    with ScriptedServer(Stall(4), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed, match="the time budget of the notifier is used up"):
            notify(notifier, dag_context())
        assert server.count("POST") == 1
    assert RecordingNotifier.notified == [("", RUN)]
