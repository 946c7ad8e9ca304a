"""The text of an alert, from every context and with names of any length."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest

from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.notifications.alert import TAG_CHARACTERS, TAG_PATTERN, Alert, fits_segments
from tests.notifications.conftest import BASE, RUN, dag_context, deadline_context, task_context

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def fits_one_segment(text: str) -> bool:
    return count(text).segments == 1


def make_alert(**fields: object) -> Alert:
    return Alert(**{"dag_id": "orders", "run_id": "r1", "event": "failed", "when": NOON, **fields})  # type: ignore[arg-type]


def test_alert_text_names_task_event_and_time_with_link():
    alert = make_alert(task_id="load", map_index=3, try_number=3, tries=3, error="KeyError", link=f"{BASE}/dags/orders")
    assert alert.text_within(fits_one_segment) == (
        f"Airflow: orders.load[3] failed, try 3 of 3 (KeyError), 12:00 UTC {BASE}/dags/orders"
    )


def test_alert_text_without_link_names_run():
    assert make_alert(task_id="load").text_within(fits_one_segment) == "Airflow: orders.load failed, run r1, 12:00 UTC."


def test_alert_text_names_airflow_instance(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__API__INSTANCE_NAME", "Production (Łódź)")
    assert make_alert().text_within(fits_one_segment).startswith("Production (Lodz): orders failed")


def test_alert_text_drops_least_important_parts_first():
    link = f"{BASE}/dags/orders/runs/{RUN}/tasks/load_all"
    alert = make_alert(task_id="load_all", try_number=3, tries=3, error="AirflowException", link=link)
    assert alert.text_within(fits_one_segment) == f"Airflow: orders.load_all failed, try 3 of 3, 12:00 UTC {link}"
    longer = make_alert(dag_id="a_rather_long_name_of_a_dag", task_id="and_a_task_that_is_long", link=link)
    assert longer.text_within(fits_one_segment) == f"Airflow: a_rather_long_n..sk_that_is_long failed, 12:00 UTC {link}"
    longest = make_alert(dag_id="x" * 250, task_id="load_all", link=f"{BASE}/{'x' * 100}")
    assert longest.text_within(fits_one_segment).startswith("Airflow: xxxx")
    assert longest.text_within(fits_one_segment).endswith("xx.load_all failed, 12:00 UTC.")


def test_alert_text_of_permanent_failure_omits_number_of_tries():
    link = f"{BASE}/dags/orders/runs/{RUN}/tasks/load"
    fields = {"task_id": "load", "try_number": 1, "tries": 3, "error": "Undelivered", "link": link}
    assert (
        make_alert(**fields).text_within(fits_one_segment)
        == f"Airflow: orders.load failed (Undelivered), 12:00 UTC {link}"
    )
    retried = make_alert(**fields, event="failed, will retry", will_retry=True)
    assert retried.text.startswith("Airflow: orders.load failed, will retry, try 1 of 3 (Undelivered), ")


def test_alert_text_with_long_question_keeps_link():
    link = f"{BASE}/dags/orders/runs/{RUN[:29]}/tasks/approve/required_actions"
    alert = make_alert(task_id="approve", event="asks", question="Ship version 7 of the " + "very long " * 9, link=link)
    text = alert.text_within(fits_one_segment)
    assert text.startswith("Airflow: orders.approve asks: Ship version 7")
    assert text.endswith(f"... {link}")


def test_alert_text_keeps_notes_and_end():
    alert = make_alert(task_id="load", link=f"{BASE}/{'x' * 100}", error="KeyError")
    text = alert.text_within(fits_one_segment, UTC, "More are held back until 13:00 UTC.", end=" #BCDFGH")
    assert text == (
        "Airflow: orders.load failed (KeyError), run r1, 12:00 UTC. More are held back until 13:00 UTC. #BCDFGH"
    )


def test_alert_text_with_any_names_fits_segments_in_gsm7():
    rng = random.Random(7)
    characters = "abcdefghijklmnop_-.0123456789éżŁßøд漢字👍🏽€[]{}\n"

    def name() -> str:
        return "".join(rng.choices(characters, k=rng.choice([1, 10, 40, 250])))

    for _ in range(60):
        alert = make_alert(
            dag_id=name(),
            task_id=rng.choice([None, name()]),
            run_id=name(),
            error=rng.choice(["", "E" * rng.choice([5, 200])]),
            question=rng.choice(["", name()]),
            link=rng.choice(["", BASE + "/x" * rng.choice([5, 60, 200])]),
        )
        for max_segments in (1, 2):
            text = alert.text_within(partial(fits_segments, max_segments), UTC, end=" #BCDFGH")
            counted = count(text)
            assert (counted.encoding, counted.segments <= max_segments) == ("GSM-7", True), text
            assert text.endswith(" #BCDFGH")


def test_alert_from_task_context_has_task_and_link():
    alert = Alert.from_context(task_context(map_index=3))
    assert (alert.name, alert.event, alert.try_number, alert.tries) == ("orders.load[3]", "failed", 3, 3)
    assert alert.error == "KeyError"
    assert alert.link == f"{BASE}/dags/orders/runs/{RUN}/tasks/load/mapped/3"
    assert not alert.will_retry


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("up_for_retry", "failed, will retry"),
        ("success", "succeeded"),
        ("skipped", "was skipped"),
        (None, "failed"),  # a killed task, whose callback the DAG processor runs
    ],
)
def test_alert_from_task_context_derives_event_from_state(state: str | None, event: str):
    alert = Alert.from_context(task_context(state=state))
    assert (alert.event, alert.will_retry) == (event, state == "up_for_retry")


def test_alert_of_killed_task_knows_whether_another_try_follows():
    tries = [Alert.from_context(task_context(state=None, try_number=number)) for number in (1, 2, 3)]
    assert [alert.will_retry for alert in tries] == [True, True, False]


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        ("task_failure", "failed"),
        ("success", "succeeded"),
        ("timed_out", "timed out"),
        ("all_tasks_deadlocked", "is deadlocked"),
    ],
)
def test_alert_from_dag_context_has_run_and_reason(reason: str, event: str):
    small, full = Alert.from_context(dag_context(reason)), Alert.from_context({**task_context(), **dag_context(reason)})
    assert small.text_within(fits_one_segment).startswith(f"Airflow: orders {event}")
    assert (full.name, full.event, full.task_id) == ("orders", event, None)
    assert full.link == small.link == f"{BASE}/dags/orders/runs/{RUN}"


def test_alert_from_deadline_context_has_run():
    alert = Alert.from_context(deadline_context())
    assert (alert.name, alert.event, alert.run_id) == ("orders", "missed its deadline", RUN)
    assert alert.link == f"{BASE}/dags/orders/runs/{RUN}"


def test_alert_of_approval_has_question_and_response_link():
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    approve = ApprovalOperator(task_id="approve", subject="Ship version 7?")
    context = task_context(task_id="approve", state=None, try_number=1, max_tries=0)
    context |= {"task": approve, "task_instance": context["ti"]}
    del context["exception"]
    alert = Alert.from_context(context)
    page = f"{BASE}/dags/orders/runs/{RUN}/tasks/approve/required_actions"
    assert alert.link == f"{page}?map_index=-1"
    assert alert.text.startswith("Airflow: orders.approve asks: Ship version 7? http")
    assert alert.answer("Approve").startswith(f"{page}?_options=")
    assert "Approve" in alert.answer("Approve")


def test_alert_without_base_url_has_no_link(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert Alert.from_context(task_context()).link == ""


def test_alert_tag_identifies_dag_task_and_event():
    first = Alert.from_context(task_context())
    assert first.tag == Alert.from_context(task_context(map_index=7, run_id="another", try_number=1)).tag
    others = [
        Alert.from_context(task_context(task_id="other")),
        Alert.from_context(task_context(dag_id="other")),
        Alert.from_context(task_context(state="up_for_retry")),
        Alert.from_context(dag_context()),
    ]
    assert len({first.tag, *(other.tag for other in others)}) == 5
    assert set(first.tag) <= set(TAG_CHARACTERS)
    match = TAG_PATTERN.search(f"text #{first.tag}\n")
    assert match
    assert match[1] == first.tag
    assert not TAG_PATTERN.search("this is #URGENT")


def test_alert_speech_has_no_link_or_underscores():
    speech = Alert.from_context(task_context(task_id="load_all_orders")).speech()
    assert "task load all orders of DAG orders failed, " in speech
    assert "http" not in speech


def test_alert_from_empty_context_has_text():
    assert Alert.from_context({}).text_within(fits_one_segment).startswith("Airflow: something failed")
    assert Alert.from_context({"ti": SimpleNamespace(task_id="t", dag_id="d", run_id="r")}).name == "d.t"
