"""Inbound messages in a real Airflow: across killed triggerers, with ten watchers, and as replies to questions.

TWILIO_TEST_INBOUND (24) sets how many messages come in at random moments over TWILIO_TEST_KILLS (1) kills of the
triggerer; the documented figures are for 200 and 3.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow]

MESSAGE_COUNT = int(os.environ.get("TWILIO_TEST_INBOUND", "24"))
KILLS = int(os.environ.get("TWILIO_TEST_KILLS", "1"))
PATIENCE = 300.0
DAGS = Path(__file__).parent / "dags"
OURS = "+15005550006"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: Emulator) -> Iterator[Airflow]:
    env = {
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    }
    uri = f"{emulator.connection_uri}/?from_=%2B15005550006"
    with Airflow([DAGS], connections={"twilio_default": uri}, env=env) as running:
        yield running


def wait_until(condition: Callable[[], Any], condition_text: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s until {condition_text}"
        time.sleep(0.5)


def unpause(airflow: Airflow, *dag_ids: str) -> None:
    def all_parsed() -> bool:
        return set(dag_ids) <= {dag["dag_id"] for dag in airflow.api("GET", "dags", limit=100)["dags"]}

    wait_until(all_parsed, "the DAGs are parsed")
    for dag_id in dag_ids:
        airflow.unpause(dag_id)


def runs(airflow: Airflow, dag_id: str) -> list[str]:
    return [run["dag_run_id"] for run in airflow._pages(f"dags/{dag_id}/dagRuns", "dag_runs")]


def read_sids(airflow: Airflow, dag_id: str, task: str) -> list[str]:
    """Return the SIDs of all reads, with repetitions."""
    found: list[str] = []
    for run_id in runs(airflow, dag_id):
        if airflow.tasks(dag_id, run_id).get(task) == "success":
            messages = airflow.xcom(dag_id, run_id, task)
            found += [entry["sid"] if isinstance(entry, dict) else entry for entry in messages]
    return found


def test_inbound_messages_are_read_once_across_killed_triggerers(airflow: Airflow, emulator: Emulator):
    unpause(airflow, "inbound_read")
    wait_until(lambda: emulator.journal.count("GET", "Messages.json"), "the trigger polls")
    sids: list[str] = []
    deleted = ""
    generator = random.Random(7)
    kills = {MESSAGE_COUNT * (number + 1) // (KILLS + 1) for number in range(KILLS)}
    for number in range(MESSAGE_COUNT):
        if number in kills:
            airflow.kill("triggerer")
            airflow.start("triggerer")
        emulator.quirks.set(list_lag=generator.choice((0, 0, 0, 4)))
        sids.append(emulator.receive_message(f"number {number}", from_=f"+1415555{number:04d}"))
        if number == MESSAGE_COUNT // 3:
            deleted = sids[-1]
            account = (emulator.account_sid, emulator.auth_token)
            url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages/{deleted}.json"
            requests.delete(url, auth=account, timeout=10).raise_for_status()
        time.sleep(generator.uniform(0, 1.0))
    emulator.quirks.set(list_lag=0)
    expected = set(sids) - {deleted}
    # If Airflow holds an event back, the next message releases it.
    until = time.monotonic() + PATIENCE
    while not expected <= set(read_sids(airflow, "inbound_read", "read")):
        assert time.monotonic() < until, f"{len(expected - set(read_sids(airflow, 'inbound_read', 'read')))} not read"
        time.sleep(5)
        if time.monotonic() > until - PATIENCE + 60:
            expected.add(emulator.receive_message("one more", from_="+14155559999"))
            sids.append("")
    counts = Counter(read_sids(airflow, "inbound_read", "read"))
    assert set(counts) == expected
    assert set(counts.values()) == {1}
    events = airflow.api("GET", "assets/events", limit=100)["asset_events"]
    reported = [sid for event in events for sid in event["extra"]["payload"]["sids"]]
    print(
        f"{MESSAGE_COUNT} messages, {KILLS} kills: {len(counts)} read once"
        f" in {len(runs(airflow, 'inbound_read'))} runs;"
        f" {len(events)} events with {len(reported)} SIDs, {len(set(reported))} of them distinct"
    )


def test_inbound_cleared_run_reads_its_messages_again(airflow: Airflow, emulator: Emulator):
    run_id = next(run for run in runs(airflow, "inbound_read") if airflow.xcom("inbound_read", run, "read"))
    before = [message["sid"] for message in airflow.xcom("inbound_read", run_id, "read")]
    airflow.clear("inbound_read", run_id)
    assert airflow.wait("inbound_read", run_id, PATIENCE).state == "success"
    assert [message["sid"] for message in airflow.xcom("inbound_read", run_id, "read")] == before


def test_inbound_ten_watchers_share_one_poll(airflow: Airflow, emulator: Emulator):
    dags = [f"inbound_watch_{number}" for number in range(10)]
    unpause(airflow, *dags)
    wait_until(
        lambda: "10 watchers" in airflow.output("triggerer") or count_watchers(airflow) >= 11, "all triggers run"
    )
    time.sleep(8)
    sids = [emulator.receive_message(f"to {number}", from_="+14155550100") for number in range(10)]
    for dag_id, sid in zip(dags, sids, strict=True):
        wait_until(partial(runs, airflow, dag_id), f"{dag_id} has started")
        run_id = runs(airflow, dag_id)[0]
        airflow.wait(dag_id, run_id, PATIENCE)
        assert airflow.xcom(dag_id, run_id, "sids") == [sid]
    emulator.journal.clear()
    since = emulator.clock.now()
    time.sleep(12)
    asked = [entry for entry in emulator.journal.find("GET") if entry.time >= since]
    assert 3 <= len(asked) <= 7
    assert all(later.time - earlier.time > 1 for earlier, later in itertools.pairwise(asked))
    print(f"ten watchers and another one: {len(asked)} requests in 12 s at an interval of 2 s")


def count_watchers(airflow: Airflow) -> int:
    return len(set(re.findall(r"trigger ID (\d+) starting", airflow.output("triggerer"))))


def test_approvals_two_open_questions_get_their_own_replies_across_a_killed_triggerer(
    airflow: Airflow, emulator: Emulator
):
    phone = "+14155550177"
    run_id = airflow.trigger("inbound_ask")
    for name in ("first", "second"):
        airflow.wait_for_task("inbound_ask", run_id, f"ask_{name}", "deferred", timeout=PATIENCE)
    airflow.kill("triggerer")
    bodies = " ".join(message["body"] or "" for message in emulator.messages)
    codes = dict(re.findall(r"Run the (\w+)\? Reply YES (\d{8})", bodies))
    emulator.receive_message("YES", from_=phone)  # has no code
    emulator.receive_message(f"yes {codes['second']}", from_="+14155550178")  # another phone
    emulator.receive_message(f"no {codes['second']}", from_=phone)
    emulator.receive_message(f"Yes {codes['first']}.", from_=phone)
    airflow.start("triggerer")
    run = airflow.wait("inbound_ask", run_id, PATIENCE)
    assert run.tasks == {
        "ask_first": "success",
        "run_first": "success",
        "ask_second": "success",
        "run_second": "skipped",
    }
    result = airflow.xcom("inbound_ask", run_id, "ask_second")
    assert (result["answer"], result["by"]) == ("no", "+1415•••0177")
    assert sum(m["to"] == phone for m in emulator.messages if m["direction"] != "inbound") == 2
