"""What an alert says, whatever Airflow hands over and however long the names are."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_twilio.api.segments import count
from airflow_provider_twilio.notifications.alert import LETTERS, TAG, Alert
from tests.notifications.conftest import BASE, RUN, dag_context, deadline_context, task_context

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def one(text: str) -> bool:
    return count(text).segments == 1


def alert(**fields: object) -> Alert:
    return Alert(**{"dag_id": "orders", "run_id": "r1", "event": "failed", "when": NOON, **fields})  # type: ignore[arg-type]


def test_says_what_where_and_when_with_the_link():
    told = alert(task_id="load", map_index=3, try_number=3, tries=3, error="KeyError", link=f"{BASE}/dags/orders")
    assert told.fit(one) == (f"Airflow: orders.load[3] failed, try 3 of 3 (KeyError), 12:00 UTC {BASE}/dags/orders")


def test_names_the_run_where_there_is_no_link():
    assert alert(task_id="load").fit(one) == "Airflow: orders.load failed, run r1, 12:00 UTC."


def test_names_the_airflow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__API__INSTANCE_NAME", "Production (Łódź)")
    assert alert().fit(one).startswith("Production (Lodz): orders failed")


def test_gives_up_what_matters_least_first():
    link = f"{BASE}/dags/orders/runs/{RUN}/tasks/load_all"
    told = alert(task_id="load_all", try_number=3, tries=3, error="AirflowException", link=link)
    assert told.fit(one) == f"Airflow: orders.load_all failed, try 3 of 3, 12:00 UTC {link}"
    longer = alert(dag_id="a_rather_long_name_of_a_dag", task_id="and_a_task_that_is_long", link=link)
    assert longer.fit(one) == f"Airflow: a_rather_long_n..sk_that_is_long failed, 12:00 UTC {link}"
    longest = alert(dag_id="x" * 250, task_id="load_all", link=f"{BASE}/{'x' * 100}")
    assert longest.fit(one).startswith("Airflow: xxxx")
    assert longest.fit(one).endswith("xx.load_all failed, 12:00 UTC.")


def test_a_failure_for_good_before_the_last_try_promises_no_further_one():
    link = f"{BASE}/dags/orders/runs/{RUN}/tasks/load"
    told = {"task_id": "load", "try_number": 1, "tries": 3, "error": "Undelivered", "link": link}
    assert alert(**told).fit(one) == f"Airflow: orders.load failed (Undelivered), 12:00 UTC {link}"
    retried = alert(**told, event="failed, is retried", to_be_retried=True)
    assert retried.text.startswith("Airflow: orders.load failed, is retried, try 1 of 3 (Undelivered), ")


def test_a_question_keeps_the_link_that_answers_it():
    link = f"{BASE}/dags/orders/runs/{RUN[:29]}/tasks/approve/required_actions"
    told = alert(task_id="approve", event="asks", question="Ship version 7 of the " + "very long " * 9, link=link)
    text = told.fit(one)
    assert text.startswith("Airflow: orders.approve asks: Ship version 7")
    assert text.endswith(f"... {link}")


def test_notes_and_the_end_stay():
    told = alert(task_id="load", link=f"{BASE}/{'x' * 100}", error="KeyError")
    text = told.fit(one, UTC, "More are held back until 13:00 UTC.", end=" #BCDFGH")
    assert text == (
        "Airflow: orders.load failed (KeyError), run r1, 12:00 UTC. More are held back until 13:00 UTC. #BCDFGH"
    )


def test_is_within_its_segments_and_gsm_whatever_the_names_are():
    made = random.Random(7)
    characters = "abcdefghijklmnop_-.0123456789éżŁßøд漢字👍🏽€[]{}\n"

    def name() -> str:
        return "".join(made.choices(characters, k=made.choice([1, 10, 40, 250])))

    for _ in range(60):
        told = alert(
            dag_id=name(),
            task_id=made.choice([None, name()]),
            run_id=name(),
            error=made.choice(["", "E" * made.choice([5, 200])]),
            question=made.choice(["", name()]),
            link=made.choice(["", BASE + "/x" * made.choice([5, 60, 200])]),
        )
        for most in (1, 2):
            text = told.fit(lambda text, most=most: count(text).segments <= most, UTC, end=" #BCDFGH")  # type: ignore[misc]
            counted = count(text)
            assert (counted.encoding, counted.segments <= most) == ("GSM-7", True), text
            assert text.endswith(" #BCDFGH")


def test_reads_a_tasks_context():
    told = Alert.of(task_context(map_index=3))
    assert (told.name, told.event, told.try_number, told.tries) == ("orders.load[3]", "failed", 3, 3)
    assert told.error == "KeyError"
    assert told.link == f"{BASE}/dags/orders/runs/{RUN}/tasks/load/mapped/3"
    assert not told.to_be_retried


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ("up_for_retry", "failed, is retried"),
        ("success", "succeeded"),
        ("skipped", "was skipped"),
        (None, "failed"),  # killed: the DAG processor runs its callback
    ],
)
def test_tells_what_happened_by_the_tasks_state(state: str | None, what: str):
    told = Alert.of(task_context(state=state))
    assert (told.event, told.to_be_retried) == (what, state == "up_for_retry")


def test_tells_of_a_killed_task_whether_it_is_retried():
    tries = [Alert.of(task_context(state=None, try_number=number)) for number in (1, 2, 3)]
    assert [told.to_be_retried for told in tries] == [True, True, False]


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("task_failure", "failed"),
        ("success", "succeeded"),
        ("timed_out", "timed out"),
        ("all_tasks_deadlocked", "is deadlocked"),
    ],
)
def test_reads_a_dags_context(reason: str, what: str):
    poor, rich = Alert.of(dag_context(reason)), Alert.of({**task_context(), **dag_context(reason)})
    assert poor.fit(one).startswith(f"Airflow: orders {what}")
    assert (rich.name, rich.event, rich.task_id) == ("orders", what, None)
    assert rich.link == poor.link == f"{BASE}/dags/orders/runs/{RUN}"


def test_reads_a_deadlines_context():
    told = Alert.of(deadline_context())
    assert (told.name, told.event, told.run_id) == ("orders", "missed its deadline", RUN)
    assert told.link == f"{BASE}/dags/orders/runs/{RUN}"


def test_asks_a_human_with_the_deep_link():
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    approve = ApprovalOperator(task_id="approve", subject="Ship version 7?")
    context = task_context(task_id="approve", state=None, try_number=1, max_tries=0)
    context |= {"task": approve, "task_instance": context["ti"]}
    del context["exception"]
    told = Alert.of(context)
    page = f"{BASE}/dags/orders/runs/{RUN}/tasks/approve/required_actions"
    assert told.link == f"{page}?map_index=-1"
    assert told.text.startswith("Airflow: orders.approve asks: Ship version 7? http")
    assert told.answer("Approve").startswith(f"{page}?_options=")
    assert "Approve" in told.answer("Approve")


def test_leaves_the_link_out_where_airflow_has_no_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert Alert.of(task_context()).link == ""


def test_the_tag_stands_for_dag_task_and_what_happened():
    first = Alert.of(task_context())
    assert first.tag == Alert.of(task_context(map_index=7, run_id="another", try_number=1)).tag
    others = [
        Alert.of(task_context(task_id="other")),
        Alert.of(task_context(dag_id="other")),
        Alert.of(task_context(state="up_for_retry")),
        Alert.of(dag_context()),
    ]
    assert len({first.tag, *(other.tag for other in others)}) == 5
    assert set(first.tag) <= set(LETTERS)
    found = TAG.search(f"text #{first.tag}\n")
    assert found
    assert found[1] == first.tag
    assert not TAG.search("this is #URGENT")


def test_speaks_without_link_and_underscores():
    said = Alert.of(task_context(task_id="load_all_orders")).speech()
    assert "task load all orders of DAG orders failed, " in said
    assert "http" not in said


def test_a_context_of_nothing_still_says_something():
    assert Alert.of({}).fit(one).startswith("Airflow: something failed")
    assert Alert.of({"ti": SimpleNamespace(task_id="t", dag_id="d", run_id="r")}).name == "d.t"
