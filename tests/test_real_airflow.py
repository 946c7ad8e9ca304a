"""Tests of the harness that runs DAGs in a real Airflow."""

from __future__ import annotations

import psutil
import pytest

from tests.real_airflow import Airflow

pytestmark = pytest.mark.real_airflow


def test_harness_returns_states_xcoms_and_logs_of_a_run(airflow: Airflow) -> None:
    run_id = airflow.trigger("harness", {"asked": True})
    run = airflow.wait("harness", run_id)
    assert run.tasks == {"answer": "success", "rest": "success", "double[0]": "success", "double[1]": "success"}
    assert run.state == "success"
    assert airflow.xcom("harness", run_id, "answer") == {"conf": {"asked": True}, "answer": 42}
    assert airflow.xcom("harness", run_id, "double[1]") == 4
    assert "resting" in airflow.log("harness", run_id, "rest")

    airflow.clear("harness", run_id, "double[1]")
    assert airflow.wait("harness", run_id).state == "success"
    tries = {entry["map_index"]: entry["try_number"] for entry in airflow.task_instances("harness", run_id)}
    assert (tries[0], tries[1]) == (1, 2)


def test_harness_marks_deferred_task(airflow: Airflow) -> None:
    run_id = airflow.trigger("harness_long")
    airflow.wait_for_task("harness_long", run_id, "rest", "deferred")
    airflow.mark("harness_long", run_id, "rest", "failed")
    assert airflow.wait("harness_long", run_id).tasks == {"rest": "failed"}


def test_harness_restarts_killed_triggerer(airflow: Airflow) -> None:
    before = airflow.processes("triggerer")
    airflow.restart("triggerer")
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in before)
    run_id = airflow.trigger("harness")
    assert airflow.wait("harness", run_id).state == "success"
