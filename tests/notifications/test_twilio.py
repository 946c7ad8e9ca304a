"""The notifier, called and awaited, against the emulator."""

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
from tests.support.scripted import Answer, Scripted, Stall

TO, ALSO = "+14155550101", "+14155550102"
OWNED = "+15005550006"
SERVICE = f"MG{'a' * 32}"


class Remembering(BaseNotifier):
    """A notifier of somebody else's, that can only be called."""

    told: list[Any] = []

    def __init__(self, name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def notify(self, context: Any) -> None:
        if self.name == "broken":
            raise RuntimeError("no network to +14155550199")
        self.told.append((self.name, context["run_id"]))


@pytest.fixture(autouse=True)
def _nobody_told() -> None:
    Remembering.told = []


def bodies(emulator: Emulator, to: str = TO) -> list[str]:
    return [message["body"] for message in emulator.messages if message["to"] == to]


def storm(notify: Notify, emulator: Emulator, number: int, **options: Any) -> None:
    for index in range(number):
        notify(TwilioNotifier(to=TO, **options), task_context(map_index=index))


# ---------------------------------------------------------------- what is said


def test_alias():
    assert send_twilio_notification is TwilioNotifier


@pytest.mark.parametrize("context", [task_context, dag_context, deadline_context])
def test_tells_by_one_segment_and_reads_nothing(
    emulator: Emulator, notify: Notify, context: Callable[[], dict[str, Any]]
):
    notify(TwilioNotifier(to=TO), context())
    (body,) = bodies(emulator)
    assert body.startswith("Airflow: orders")
    assert f"{BASE}/dags/orders/runs/{RUN}" in body
    assert (count(body).encoding, count(body).segments) == ("GSM-7", 1)
    assert [entry.method for entry in emulator.journal] == ["POST"]


def test_one_notifier_serves_many_contexts(emulator: Emulator, notify: Notify):
    notifier = TwilioNotifier(to="{{ ti.xcom or '+14155550101' }}", body="{{ alert.name }} {{ ti.map_index }}")
    for index in (1, 2):
        context = task_context(map_index=index)
        context["ti"].xcom = None
        notify(notifier, context)
    assert bodies(emulator) == ["orders.load[1] 1", "orders.load[2] 2"]


@pytest.mark.parametrize("context", [task_context, dag_context, deadline_context])
def test_templates_have_the_same_names_everywhere(
    emulator: Emulator, notify: Notify, context: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", f"{TO}, {ALSO}")
    body = "{{ alert.dag_id }} {{ run_id }} {{ dag_run.run_id }} {{ alert.link }}"
    notify(TwilioNotifier(to="{{ var.value.oncall }}", body=body), context())
    (told,), (also,) = bodies(emulator), bodies(emulator, ALSO)
    assert told == also
    assert told.startswith(f"orders {RUN} {RUN} {BASE}/dags/orders/runs/")


@pytest.mark.parametrize("name", ["ti.task_id", "dag.doc_md.strip()", "nope", "var.value.nope", "1 / 0"])
def test_a_name_that_is_missing_gives_the_default_text(emulator: Emulator, notify: Notify, name: str, logged: Logged):
    notify(TwilioNotifier(to=TO, body=f"It is {{{{ {name} }}}}"), deadline_context())
    assert bodies(emulator)[0].startswith("Airflow: orders missed its deadline")
    assert "body can't be rendered, the default text takes its place" in logged()


def test_a_recipient_that_can_not_be_rendered_is_an_error(emulator: Emulator, notify: Notify):
    with pytest.raises(NotificationFailed, match=r"to can't be rendered .UndefinedError: 'nope' is undefined"):
        notify(TwilioNotifier(to="{{ nope }}"), task_context())


def test_a_text_of_ones_own_is_whole_unless_told(emulator: Emulator, notify: Notify):
    long = "word " * 500 + "https://wiki.example/runbook"
    notify(TwilioNotifier(to=TO, body=long), task_context())
    notify(TwilioNotifier(to=TO, body=long, max_segments=2), task_context())
    notify(TwilioNotifier(to=TO, body="é😀" * 100, max_segments=1), task_context())
    whole, short, odd = bodies(emulator)
    assert 1580 < len(whole) <= 1600
    assert whole.endswith("word... https://wiki.example/runbook")
    assert (count(short).segments, short.endswith("word... https://wiki.example/runbook")) == (2, True)
    assert (count(odd).segments, odd.endswith("...")) == (1, True)


def test_whatsapp_takes_a_content_template(emulator: Emulator, notify: Notify):
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
    said = str(entry.params["ContentVariables"])
    assert '"1": "orders.load"' in said
    assert '"2": "Airflow: orders.load failed' in said


def test_a_call_reads_it_out(emulator: Emulator, notify: Notify):
    notify(TwilioNotifier(to=TO, call=True, voice="Polly.Joanna", language="en-GB"), task_context())
    notify(TwilioNotifier(to=TO, call=True, body="Wake \x1bup & look <{{ ti.task_id }}>"), task_context())
    first, second = (emulator.transcript(call["sid"])[0] for call in emulator.calls)
    assert first.startswith("Airflow alert. task load of DAG orders failed")
    assert second == "Wake up & look <load>"
    assert 'voice="Polly.Joanna"' in str(emulator.journal.find("POST", "Calls.json")[0].params["Twiml"])


@pytest.mark.parametrize("call", [False, True])
def test_a_secret_is_masked(emulator: Emulator, notify: Notify, call: bool, monkeypatch: pytest.MonkeyPatch):
    from airflow.sdk.log import mask_secret

    mask_secret("another-password")
    body = f"{{{{ conn.twilio_default.password }}}}, {quote('another-password')}, {emulator.auth_token}"
    notify(TwilioNotifier(to=TO, body=body, call=call), task_context())
    said = emulator.transcript(emulator.calls[0]["sid"])[0] if call else bodies(emulator)[0]
    assert said == "***, ***, ***"


# ---------------------------------------------------------------- who is told, and when not


def test_only_the_last_try_is_told(emulator: Emulator, notify: Notify):
    notifier = TwilioNotifier(to=TO, only_last_try=True)
    notify(notifier, task_context(try_number=1, state="up_for_retry"))
    assert not emulator.messages
    notify(notifier, task_context(try_number=1, state="failed"))  # AirflowFailException: no further try
    notify(notifier, dag_context())
    assert len(emulator.messages) == 2


def test_each_recipient_is_tried(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.receive_message("STOP", from_=TO)
    with pytest.raises(NotificationFailed) as caught:
        notify(TwilioNotifier(to=[TO, ALSO, ALSO]), task_context())
    assert len(bodies(emulator, ALSO)) == 1
    assert list(caught.value.errors) == ["+1415•••0101"]
    assert "connection twilio_default" in str(caught.value)
    assert "OptedOut" in str(caught.value)
    assert TO not in str(caught.value) + logged()


def test_wrong_credentials_name_the_connection_and_the_fallback_is_told(
    emulator: Emulator, notify: Notify, monkeypatch: pytest.MonkeyPatch, logged: Logged
):
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", emulator.connection_uri.replace(quote(emulator.auth_token), "wrong"))
    notifier = TwilioNotifier(to=TO, from_=OWNED, twilio_conn_id="broken", fallback=TwilioNotifier(to=ALSO, call=True))
    with pytest.raises(NotificationFailed, match=r"the connection broken: .*AuthenticationFailed"):
        notify(notifier, task_context())
    assert [call["to"] for call in emulator.calls] == [ALSO]
    assert "The fallback was told" in logged()
    assert not emulator.messages


@pytest.mark.parametrize("connection", [None, "twilio://AC:x@/"])
def test_a_connection_that_is_none_is_told_of(
    emulator: Emulator, notify: Notify, connection: str | None, monkeypatch: pytest.MonkeyPatch
):
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_NONE", connection)
    with pytest.raises(NotificationFailed, match=r"by the connection none: nobody: .*none"):
        notify(TwilioNotifier(to=TO, twilio_conn_id="none"), task_context())


@pytest.mark.parametrize(
    "fallback",
    [
        Remembering("other"),
        (f"{__name__}.Remembering", {"name": "other"}),
        [f"{__name__}.Remembering", {"name": "other"}],  # as JSON has it
    ],
    ids=["object", "path", "json"],
)
def test_any_notifier_may_be_the_fallback(emulator: Emulator, notify: Notify, fallback: Any):
    emulator.fail_next(10, status=503)
    notify(
        TwilioNotifier(to=TO, fallback=copy.deepcopy(fallback), on_error="log"), deadline_context() | {"run_id": RUN}
    )
    assert Remembering.told == [("other", RUN)]


def test_a_fallback_that_fails_is_told_of(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(10, status=503)
    with pytest.raises(NotificationFailed) as caught:
        notify(TwilioNotifier(to=TO, fallback=Remembering("broken")), task_context())
    assert caught.value.__notes__ == ["The fallback failed, too: RuntimeError: no network to +1415•••0199"]
    assert "The fallback failed, too: RuntimeError" in logged()


def test_an_error_may_only_be_logged(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(10, status=503)
    notify(TwilioNotifier(to=TO, on_error="log"), task_context())
    assert "Not told, by the connection twilio_default: +1415•••0101: OutcomeUnknown" in logged()


# ---------------------------------------------------------------- storms


def test_the_same_is_told_once_in_its_window(emulator: Emulator, notify: Notify):
    storm(notify, emulator, 3, dedupe_window=timedelta(minutes=30))
    assert len(bodies(emulator)) == 1
    notify(TwilioNotifier(to=TO, dedupe_window=1800), task_context(task_id="other"))
    notify(TwilioNotifier(to=ALSO, dedupe_window=1800), task_context())
    assert (len(bodies(emulator)), len(bodies(emulator, ALSO))) == (2, 1)
    emulator.clock.advance(minutes=31)
    storm(notify, emulator, 2, dedupe_window=1800.0)
    assert len(bodies(emulator)) == 3
    for body in bodies(emulator):
        assert count(body).segments == 1
        assert re.search(r" #\w{6}$", body)


def test_no_more_than_so_many_an_hour_and_each_end_says_so(emulator: Emulator, notify: Notify, logged: Logged):
    began = emulator.clock.utc
    storm(notify, emulator, 6, max_per_hour=3)
    first, second, third = bodies(emulator)
    assert "held back" not in first + second
    until = {f"{began + timedelta(hours=1, minutes=late):%H:%M} UTC" for late in (0, 1)}
    assert any(f"More are held back until {time}." in third for time in until)
    assert "is not told: there were 3 in an hour; held back until" in logged()
    assert [entry.method for entry in emulator.journal].count("GET") == 6

    emulator.clock.advance(hours=1, minutes=1)
    storm(notify, emulator, 2, max_per_hour=3)
    fourth, fifth = bodies(emulator)[3:]
    assert re.search(r"Since \d\d:\d\d UTC some may have been held back\.", fourth)
    assert "held back" not in fifth
    assert all(count(body).segments == 1 for body in bodies(emulator))


def test_a_text_of_ones_own_carries_the_notice(emulator: Emulator, notify: Notify):
    storm(notify, emulator, 2, max_per_hour=1, body="It failed. " * 40, max_segments=1)
    (body,) = bodies(emulator)
    assert re.fullmatch(r"It failed\..*\.\.\. More are held back until \d\d:\d\d UTC\. #\w{6}", body)
    assert count(body).segments == 1


def test_whoever_comes_after_a_burst_that_did_not_know_says_it(emulator: Emulator, notify: Notify):
    for index in range(5):  # five at one instant: each read an empty log
        notify(TwilioNotifier(to=TO, dedupe_window=1), task_context(task_id=f"load{index}"))
    assert "held back" not in "".join(bodies(emulator))
    for index in range(2):
        notifier = TwilioNotifier(to=TO, max_per_hour=3)
        notifier.burst_window = 0.01
        notify(notifier, task_context(map_index=index))
    assert len(bodies(emulator)) == 6
    assert "More are held back until" in bodies(emulator)[-1]


def test_calls_are_known_by_to_and_from(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, call=True, max_per_hour=1), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context())
    notify(TwilioNotifier(to=ALSO, call=True, dedupe_window=60), task_context(task_id="other"))
    assert [call["to"] for call in emulator.calls] == [TO, ALSO]
    assert "More are held back until" in emulator.transcript(emulator.calls[0]["sid"])[0]


def test_content_templates_are_known_by_to_and_from(emulator: Emulator, notify: Notify):
    sent: dict[str, Any] = {"from_": f"whatsapp:{OWNED}", "content_sid": f"HX{'b' * 32}", "max_per_hour": 2}
    for _ in range(4):
        notify(TwilioNotifier(to=f"whatsapp:{TO}", **sent), task_context())
    assert len(emulator.messages) == 2


def test_other_messages_are_no_alerts(emulator: Emulator, notify: Notify):
    for _ in range(3):
        notify(TwilioNotifier(to=TO, body="Your parcel is on its way"), task_context())
    storm(notify, emulator, 1, max_per_hour=1, dedupe_window=600)
    assert len(bodies(emulator)) == 4


def test_a_log_that_can_not_be_read_holds_nothing_back(emulator: Emulator, notify: Notify, logged: Logged):
    emulator.fail_next(100, status=503, method="GET")
    notify(TwilioNotifier(to=TO, max_per_hour=1), deadline_context())
    assert len(bodies(emulator)) == 1
    assert "Twilio's log can't be read, so nothing is held back" in logged()


# ---------------------------------------------------------------- quiet hours


def now_quiet() -> tuple[str, str, str]:
    """Give quiet hours that are on now, and for hours."""
    now = datetime.now(UTC)
    return (f"{now - timedelta(hours=2):%H:%M}", f"{now + timedelta(hours=5):%H:%M}", "UTC")


def test_in_quiet_hours_it_is_held_back(emulator: Emulator, notify: Notify, logged: Logged):
    notify(TwilioNotifier(to=TO, quiet_hours=now_quiet()), task_context())
    notify(TwilioNotifier(to=TO, quiet_hours=now_quiet(), call=True), task_context())
    assert not emulator.journal.find("POST")
    assert "+1415•••0101 is not told: it is quiet until" in logged()
    start, end, zone = now_quiet()
    notify(TwilioNotifier(to=TO, quiet_hours=(end, start, zone)), task_context())
    assert len(bodies(emulator)) == 1


@pytest.mark.parametrize("given", ["parameter", "connection"])
def test_in_quiet_hours_a_messaging_service_schedules_it(
    emulator: Emulator, notify: Notify, given: str, monkeypatch: pytest.MonkeyPatch
):
    services = "https://messaging.twilio.com/v1/Services"
    sid = TwilioHook().request("POST", services, {"FriendlyName": "alerts"})["sid"]
    (number,) = emulator.numbers
    TwilioHook().request("POST", f"{services}/{sid}/PhoneNumbers", {"PhoneNumberSid": number["sid"]})
    options: dict[str, Any] = {"quiet_hours": now_quiet(), "max_per_hour": 2, "to": TO}
    if given == "parameter":
        options["messaging_service_sid"] = sid
    else:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?messaging_service_sid={sid}")
    for _ in range(4):
        notify(TwilioNotifier(**options), task_context())
    first, second = emulator.messages  # they arrive together, so no more than two of them
    assert (first["status"], second["status"]) == ("scheduled", "scheduled")
    (entry, _) = emulator.journal.find("POST", "Messages.json", ScheduleType="fixed")
    assert str(entry.params["SendAt"])[11:16] == options["quiet_hours"][1]
    assert "More are held back until" in second["body"]


# ---------------------------------------------------------------- what is refused at once


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
        ({"content_sid": f"HX{'b' * 32}", "body": "text"}, "body and content_sid are given together"),
        ({"content_variables": {"1": "x"}}, "content_sid is missing"),
        ({"content_variables": "{}", "content_sid": f"HX{'b' * 32}"}, "content_variables is no mapping"),
        ({"call": True, "messaging_service_sid": SERVICE}, "messaging_service_sid is given with call=True"),
        ({"call": True, "max_segments": 1}, "max_segments is given with call=True"),
        ({"voice": "man"}, "voice and language are given without call=True"),
        ({"max_segments": 0}, "max_segments"),
        ({"max_per_hour": 0}, "max_per_hour"),
        ({"max_per_hour": "some"}, "max_per_hour"),
        ({"dedupe_window": 0}, "dedupe_window"),
        ({"dedupe_window": timedelta(0)}, "dedupe_window"),
        ({"dedupe_window": "an hour"}, "dedupe_window is not a number"),
        ({"quiet_hours": ("22:00", "07:00")}, "quiet_hours is not three texts"),
        ({"on_error": "ignore"}, "on_error is none of its values"),
        ({"account_sid": "x"}, "account_sid"),
        ({"fallback": "somebody"}, "fallback is neither"),
        ({"fallback": ("no.such.Notifier", {})}, "fallback can't be made of no.such.Notifier"),
        ({"fallback": ("datetime.datetime", {"year": 1, "month": 1, "day": 1})}, "fallback is a datetime"),
        ({"fallback": ("airflow_provider_twilio.notifications.twilio.TwilioNotifier", {"to": []})}, "to is a list"),
    ],
)
def test_what_is_literal_is_checked_when_the_dag_is_parsed(arguments: dict[str, Any], fault: str):
    with pytest.raises(BadParameter, match=re.escape(fault)):
        TwilioNotifier(**{"to": TO, **arguments})


def test_what_is_templated_is_checked_when_it_is_known(emulator: Emulator, notify: Notify):
    with pytest.raises(NotificationFailed, match="to has no leading"):
        notify(TwilioNotifier(to="{{ 4155550101 }}"), task_context())
    with pytest.raises(NotificationFailed, match="to is"):
        notify(TwilioNotifier(to="{{ '' }}"), task_context())
    notify(TwilioNotifier(to="{{ ['+14155550101', '+14155550102'] }}", from_="{{ '' }}"), task_context())
    assert len(emulator.messages) == 2


def test_every_parameter_is_described_and_twilios_are_templated():
    import inspect

    given = set(inspect.signature(TwilioNotifier).parameters) - {"kwargs"}
    text = inspect.getdoc(TwilioNotifier) or ""
    said = dict(re.findall(r":param (\w+): (.+?)(?=\n:param|\n:raises)", text, re.DOTALL))
    assert set(said) == given
    assert {name for name, words in said.items() if words.endswith("(templated)")} == set(
        TwilioNotifier.template_fields
    )


def test_a_wait_for_twilio_ends_before_the_dag_processor_does(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with Scripted(Answer(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=TO, from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (2, 1)


def test_trouble_with_one_recipient_shortens_the_wait_for_the_others(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    with Scripted(Answer(503, {}), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed):
            notify(TwilioNotifier(to=[TO, ALSO], from_=OWNED, max_per_hour=1), dag_context())
        assert (server.count("GET"), server.count("POST")) == (3, 2)  # the second one's log is not asked for again


def test_a_twilio_that_stalls_leaves_time_for_the_fallback(notify: Notify, monkeypatch: pytest.MonkeyPatch):
    notifier = TwilioNotifier(to=[TO, ALSO], from_=OWNED, fallback=Remembering())
    notifier.time_budget = 3
    with Scripted(Stall(4), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        with pytest.raises(NotificationFailed, match="not sent, no time is left"):
            notify(notifier, dag_context())
        assert server.count("POST") == 1
    assert Remembering.told == [("", RUN)]
