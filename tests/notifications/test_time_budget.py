"""The time that a notifier and its fallbacks have in each place where Airflow runs callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from airflow_provider_twilio.notifications import time_budget
from airflow_provider_twilio.notifications.time_budget import compute_deadline, inherit_deadline, own_share
from airflow_provider_twilio.notifications.twilio import NotificationFailed, TwilioNotifier
from tests.notifications.conftest import (
    ALSO,
    OWNED,
    RUN,
    TO,
    Logged,
    Notify,
    RecordingNotifier,
    dag_context,
    deadline_context,
    task_context,
)
from tests.support.scripted import ScriptedResponse, ScriptedServer, Stall

CAP = 100.0


def success_context(seconds_ago: float) -> dict[str, Any]:
    """Return the context of the success callback of a task that ended this long ago."""
    context = task_context(state="success", end_date=datetime.now(UTC) - timedelta(seconds=seconds_ago))
    del context["exception"]
    return context


def running_context() -> dict[str, Any]:
    """Return the context of a task that notifies while it runs."""
    context = task_context(state="running", end_date=None)
    del context["exception"]
    return context


def budget(context: Mapping[str, Any], *, blocking: bool = True, max_seconds: float = CAP) -> float:
    return compute_deadline(context, max_seconds, blocking=blocking) - time.monotonic()


def budget_in_dag_processor(context: Mapping[str, Any]) -> float:
    """Return the budget of a notifier that the DAG processor calls."""
    namespace: dict[str, Any] = {"__name__": "airflow.dag_processing.processor", "budget": budget}
    exec("def run_callback(context):\n    return budget(context)", namespace)
    result: float = namespace["run_callback"](context)
    return result


@pytest.fixture
def process_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_budget, "_process_age", lambda: 10.0)


@pytest.mark.parametrize(
    ("context", "seconds"),
    [
        (task_context, 18),
        (partial(task_context, end_date=None), 18),
        (partial(success_context, 0), 18),
        (partial(success_context, 5), 13),
        (partial(success_context, 30), 0.5),
        (running_context, CAP),
        (dag_context, CAP),  # under dag.test(), which has no limit
        (deadline_context, CAP),
    ],
)
def test_compute_deadline_by_default_respects_overtime_of_task_only(
    context: Callable[[], dict[str, Any]], seconds: float
):
    assert budget(context()) == pytest.approx(seconds, abs=0.2)
    assert budget(context(), max_seconds=3) == pytest.approx(min(3, seconds), abs=0.2)
    assert budget(context(), blocking=False) == pytest.approx(CAP, abs=0.2)


@pytest.mark.parametrize(("overtime", "seconds"), [("60", 58), ("5", 4), ("1", 0.8), ("0", 0.5), ("7.5", 6)])
def test_compute_deadline_in_task_process_follows_configuration(
    overtime: str, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", overtime)
    assert budget(task_context()) == pytest.approx(seconds, abs=0.1)


@pytest.mark.usefixtures("process_age")
@pytest.mark.parametrize("context", [dag_context(), task_context(end_date=None), success_context(3)])
def test_compute_deadline_in_dag_processor_subtracts_age_of_process(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    assert budget_in_dag_processor(context) == pytest.approx(50 - 2 - 10, abs=0.1)
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "15")
    assert budget_in_dag_processor(context) == pytest.approx(3, abs=0.1)


@pytest.mark.usefixtures("process_age")
def test_compute_deadline_in_executor_follows_configuration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__CALLBACKS__CALLBACK_EXECUTION_TIMEOUT", "30")
    assert budget(deadline_context()) == pytest.approx(18, abs=0.1)


def test_process_age_counts_from_start_of_process():
    assert 0 < time_budget._process_age() < 24 * 3600


def test_compute_deadline_of_fallback_respects_inherited_deadline():
    with inherit_deadline(time.monotonic() + 2):
        assert budget(task_context()) == pytest.approx(2, abs=0.1)
    assert budget(task_context()) == pytest.approx(18, abs=0.1)


PATH = "airflow_provider_twilio.notifications.twilio.TwilioNotifier"


@pytest.mark.parametrize(
    ("fallback", "notifiers"),
    [
        (None, 1),
        (RecordingNotifier(), 2),
        (TwilioNotifier(to=TO), 2),
        (TwilioNotifier(to=TO, fallback=RecordingNotifier()), 3),
        ((PATH, {"to": TO}), 2),
        ([PATH, {"to": TO, "fallback": [PATH, {"to": TO}]}], 3),
    ],
)
def test_own_share_leaves_equal_time_to_each_fallback(fallback: Any, notifiers: int):
    now = time.monotonic()
    assert own_share(now + 12, fallback) - now == pytest.approx(12 / notifiers, abs=0.1)


@pytest.mark.parametrize("response", [Stall(10), ScriptedResponse(201, {"sid": "x" * 1000}, drip=0.1)])
@pytest.mark.parametrize("query", ["", f"?auth_type=oauth&account_sid=AC{'a' * 32}"])
def test_notifier_in_task_process_ends_before_overtime(
    notify: Notify, monkeypatch: pytest.MonkeyPatch, logged: Logged, response: Stall | ScriptedResponse, query: str
):
    monkeypatch.setenv("AIRFLOW__CORE__TASK_SUCCESS_OVERTIME", "5")
    last = RecordingNotifier("last")
    notifier = TwilioNotifier(
        to=[TO, ALSO], from_=OWNED, fallback=TwilioNotifier(to=TO, from_=OWNED, call=True, fallback=last)
    )
    notifier.time_budget = 5
    started = time.monotonic()
    with ScriptedServer(response, repeat=True) as server:
        uri = f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}/{query}"
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", uri)
        with pytest.raises(NotificationFailed):
            notify(notifier, task_context(end_date=datetime.now(UTC)))
        assert time.monotonic() - started < 5
        paths = [request.path.rpartition("/")[2] for request in server.requests]
        if query:
            assert set(paths) == {"token"}
        else:
            assert paths == ["Messages.json", "Calls.json"]
    assert RecordingNotifier.notified == [("last", RUN)]
    assert "Running the fallback" in logged()
