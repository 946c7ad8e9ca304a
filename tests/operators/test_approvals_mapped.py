"""What a NO does in a whole Airflow, where the question or the work is mapped."""

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
    """Run a DAG, have each phone answer, and give what became of the tasks."""
    with serve() as twilio:
        airflow.api("POST", "connections", {"connection_id": "approvals", **json.loads(twilio.connection_json)})

        def questions() -> dict[str, str]:
            sent = [message for message in twilio.messages if message["direction"] != "inbound"]
            return {message["to"]: re.findall(r"YES (\d{4})", message["body"])[0] for message in sent}

        def decide(dag_id: str, answers: dict[str, str]) -> dict[str, str]:
            twilio.reset()
            run_id = airflow.trigger(dag_id)
            airflow.until(lambda: questions().keys() == answers.keys(), 120, "all are asked")
            for phone, answer in answers.items():
                twilio.receive_message(f"{answer} {questions()[phone]}", from_=phone)
            return dict(airflow.wait(dag_id, run_id).tasks)

        yield decide
        airflow.api("DELETE", "connections/approvals")


def test_one_no_skips_what_is_behind_a_mapped_question(decide: Decide):
    told = decide("approvals_mapped", {FIRST: "yes", SECOND: "no"})
    assert sorted(state for name, state in told.items() if name != "deploy") == ["skipped", "success"]
    assert told["deploy"] == "skipped"


def test_a_mapped_question_that_all_approve_lets_the_work_run(decide: Decide):
    assert set(decide("approvals_mapped", {FIRST: "yes", SECOND: "yes"}).values()) == {"success"}


def test_in_a_mapped_group_each_answer_is_for_its_own_work(decide: Decide):
    assert decide("approvals_group", {FIRST: "yes", SECOND: "no"}) == {
        "each.ask[0]": "success",
        "each.deploy[0]": "success",
        "each.ask[1]": "skipped",
        "each.deploy[1]": "skipped",
    }


def test_a_no_skips_mapped_work(decide: Decide):
    assert set(decide("approvals_before", {FIRST: "no"}).values()) == {"skipped"}
