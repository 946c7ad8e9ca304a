"""The effect of a NO in a real Airflow, with mapped questions and mapped downstream tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_twilio.emulator import serve
from tests.real_airflow import Airflow

pytestmark = pytest.mark.real_airflow

FIRST, SECOND = "+14155550111", "+14155550122"
Decide = Callable[[str, dict[str, str]], dict[str, str]]


@pytest.fixture(scope="module")
def decide(airflow: Airflow) -> Iterator[Decide]:
    """Run a DAG, let each phone reply, and return the states of the tasks."""
    with serve() as emulator:
        airflow.api("POST", "connections", {"connection_id": "approvals", **json.loads(emulator.connection_json)})

        def questions() -> dict[str, str]:
            sent = [message for message in emulator.messages if message["direction"] != "inbound"]
            return {message["to"]: re.findall(r"YES (\d{8})", message["body"])[0] for message in sent}

        def decide(dag_id: str, answers: dict[str, str]) -> dict[str, str]:
            emulator.reset()
            run_id = airflow.trigger(dag_id)
            airflow.until(lambda: questions().keys() == answers.keys(), 120, "every question is sent")
            for phone, answer in answers.items():
                emulator.receive_message(f"{answer} {questions()[phone]}", from_=phone)
            return dict(airflow.wait(dag_id, run_id).tasks)

        yield decide
        airflow.api("DELETE", "connections/approvals")


def test_approvals_mapped_one_no_skips_downstream_tasks(decide: Decide):
    states = decide("approvals_mapped", {FIRST: "yes", SECOND: "no"})
    assert sorted(state for name, state in states.items() if name != "deploy") == ["skipped", "success"]
    assert states["deploy"] == "skipped"


def test_approvals_mapped_all_yes_runs_downstream_tasks(decide: Decide):
    assert set(decide("approvals_mapped", {FIRST: "yes", SECOND: "yes"}).values()) == {"success"}


def test_approvals_group_each_reply_decides_its_own_task(decide: Decide):
    assert decide("approvals_group", {FIRST: "yes", SECOND: "no"}) == {
        "each.ask[0]": "success",
        "each.deploy[0]": "success",
        "each.ask[1]": "skipped",
        "each.deploy[1]": "skipped",
    }


def test_approvals_before_no_skips_mapped_tasks(decide: Decide):
    assert set(decide("approvals_before", {FIRST: "no"}).values()) == {"skipped"}
