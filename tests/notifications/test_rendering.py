"""The text that a notifier sends in every context: templates, shortening and secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.notifications.twilio import NotificationFailed, TwilioNotifier
from tests.notifications.conftest import (
    ALSO,
    BASE,
    OWNED,
    RUN,
    TO,
    Logged,
    Notify,
    bodies,
    dag_context,
    deadline_context,
    task_context,
)


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


def serialized_dag_context(*, native: bool = False) -> dict[str, Any]:
    """Return the context of a DAG's callback in ``dag.test()``, which holds a serialized DAG."""
    from airflow.serialization import serialized_objects

    module: Any = serialized_objects
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG  # the latter in Airflow 3.1
    context = native_dag_context() if native else dag_context()
    return context | {"dag": serialization.from_dict(serialization.to_dict(context["dag"]))}


@pytest.mark.parametrize("native", [False, True])
def test_notifier_with_serialized_dag_renders_templates(
    emulator: Emulator, notify: Notify, native: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", TO)
    context = serialized_dag_context(native=native)
    notify(TwilioNotifier(to="{{ var.value.oncall }}", body="{{ dag.dag_id }} {{ run_id }}"), context)
    notify(TwilioNotifier(to=ALSO, body="{{ macro_of_the_dag() }}"), context)
    assert bodies(emulator) == [f"orders {RUN}"]
    assert bodies(emulator, ALSO)[0].startswith("Airflow: orders failed")


def native_dag_context() -> dict[str, Any]:
    """Return the context of the callback of a DAG that renders native objects."""
    from airflow.sdk import DAG

    macros = {"none": None, "one": 1}
    dag = DAG("orders", schedule=None, render_template_as_native_obj=True, user_defined_macros=macros)
    return {"dag": dag, "run_id": RUN, "reason": "task_failure"}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ var.value.setting }}", "007"),
        ("{{ var.value.setting }}", "1e5"),
        ("{{ var.value.setting }}", "1_000"),
        ("{{ var.value.setting }}", "+1"),
        ("{{ var.value.setting }}", "'quoted'"),
        ("{{ var.value.setting }}", "[1,2]"),
        ("{{ var.value.setting }}", "{'a':1}"),
        ("{{ one }}", "1"),
        ("{{ [one] }}", "[1]"),
    ],
)
def test_notifier_in_native_dag_sends_body_as_written(
    emulator: Emulator, notify: Notify, template: str, value: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_SETTING", value)
    notify(TwilioNotifier(to=TO, body=template, from_="{{ none }}"), native_dag_context())
    assert bodies(emulator) == [value]


@pytest.mark.parametrize(
    "template",
    [
        "{{ var.value.oncall }}",
        ["{{ var.value.oncall }}"],
        "{{ [var.value.oncall] }}",
        "{{ var.value.oncall.split() }}",
        "{{ var.value.oncall.split() | map('trim') }}",
        "{{ var.value.oncall }},",
    ],
)
def test_notifier_in_native_dag_keeps_plus_of_recipient(
    emulator: Emulator, notify: Notify, template: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", TO)
    notify(TwilioNotifier(to=template, from_=f"{{{{ '{OWNED}' }}}}"), native_dag_context())
    assert len(bodies(emulator)) == 1


@pytest.mark.parametrize("context", [native_dag_context, dag_context])
def test_notifier_body_that_renders_blank_falls_back_to_default_text(
    emulator: Emulator, notify: Notify, context: Callable[[], dict[str, Any]], logged: Logged
):
    notify(TwilioNotifier(to=TO, body=" {{ '' }}\n"), context())
    assert bodies(emulator)[0].startswith("Airflow: orders failed")
    assert "The body is empty, sending the default text instead" in logged()


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
