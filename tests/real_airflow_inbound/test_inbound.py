"""Messages that come in, in a whole Airflow: over killed triggerers, with ten watchers, and as answers to questions.

TWILIO_TEST_INBOUND (24) sets how many messages come in at random moments over TWILIO_TEST_KILLS (1) kills of the
triggerer; 200 and 3 are what is promised.
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

MANY = int(os.environ.get("TWILIO_TEST_INBOUND", "24"))
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


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s till {what}"
        time.sleep(0.5)


def unpause(airflow: Airflow, *dag_ids: str) -> None:
    def known() -> bool:
        return set(dag_ids) <= {dag["dag_id"] for dag in airflow.api("GET", "dags", limit=100)["dags"]}

    wait_until(known, "the DAGs are known")
    for dag_id in dag_ids:
        airflow.unpause(dag_id)


def runs(airflow: Airflow, dag_id: str) -> list[str]:
    return [run["dag_run_id"] for run in airflow._pages(f"dags/{dag_id}/dagRuns", "dag_runs")]


def read_by(airflow: Airflow, dag_id: str, task: str) -> list[str]:
    """Give the SIDs that have been read, each as often as it was."""
    found: list[str] = []
    for run_id in runs(airflow, dag_id):
        if airflow.tasks(dag_id, run_id).get(task) == "success":
            told = airflow.xcom(dag_id, run_id, task)
            found += [entry["sid"] if isinstance(entry, dict) else entry for entry in told]
    return found


def test_every_message_is_read_once_over_killed_triggerers(airflow: Airflow, emulator: Emulator):
    unpause(airflow, "inbound_read")
    wait_until(lambda: emulator.journal.count("GET", "Messages.json"), "it is watched")
    sids: list[str] = []
    deleted = ""
    chance = random.Random(7)
    kills = {MANY * (number + 1) // (KILLS + 1) for number in range(KILLS)}
    for number in range(MANY):
        if number in kills:
            airflow.kill("triggerer")
            airflow.start("triggerer")
        emulator.quirks.set(list_lag=chance.choice((0, 0, 0, 4)))
        sids.append(emulator.receive_message(f"number {number}", from_=f"+1415555{number:04d}"))
        if number == MANY // 3:
            deleted = sids[-1]
            account = (emulator.account_sid, emulator.auth_token)
            url = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages/{deleted}.json"
            requests.delete(url, auth=account, timeout=10).raise_for_status()
        time.sleep(chance.uniform(0, 1.0))
    emulator.quirks.set(list_lag=0)
    wanted = set(sids) - {deleted}
    # A stranded event is made up for by the next one.
    until = time.monotonic() + PATIENCE
    while not wanted <= set(read_by(airflow, "inbound_read", "read")):
        assert time.monotonic() < until, f"{len(wanted - set(read_by(airflow, 'inbound_read', 'read')))} not read"
        time.sleep(5)
        if time.monotonic() > until - PATIENCE + 60:
            wanted.add(emulator.receive_message("one more", from_="+14155559999"))
            sids.append("")
    counts = Counter(read_by(airflow, "inbound_read", "read"))
    assert set(counts) == wanted
    assert set(counts.values()) == {1}
    events = airflow.api("GET", "assets/events", limit=100)["asset_events"]
    told = [sid for event in events for sid in event["extra"]["payload"]["sids"]]
    print(
        f"{MANY} messages, {KILLS} kills: {len(counts)} read once in {len(runs(airflow, 'inbound_read'))} runs;"
        f" {len(events)} events told {len(told)} SIDs, {len(set(told))} of them different"
    )


def test_clearing_a_run_reads_again_what_it_had_read(airflow: Airflow, emulator: Emulator):
    run_id = next(run for run in runs(airflow, "inbound_read") if airflow.xcom("inbound_read", run, "read"))
    before = [message["sid"] for message in airflow.xcom("inbound_read", run_id, "read")]
    airflow.clear("inbound_read", run_id)
    assert airflow.wait("inbound_read", run_id, PATIENCE).state == "success"
    assert [message["sid"] for message in airflow.xcom("inbound_read", run_id, "read")] == before


def test_ten_watchers_cost_one_poll(airflow: Airflow, emulator: Emulator):
    dags = [f"inbound_watch_{number}" for number in range(10)]
    unpause(airflow, *dags)
    wait_until(lambda: "10 watchers" in airflow.output("triggerer") or _watched(airflow) >= 11, "all are watched")
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
    print(f"ten watchers, and one more: {len(asked)} requests in 12 s at an interval of 2 s")


def _watched(airflow: Airflow) -> int:
    return len(set(re.findall(r"trigger ID (\d+) starting", airflow.output("triggerer"))))


def test_two_open_questions_get_each_its_own_answer_over_a_killed_triggerer(airflow: Airflow, emulator: Emulator):
    phone = "+14155550177"
    run_id = airflow.trigger("inbound_ask")
    for name in ("first", "second"):
        airflow.wait_for_task("inbound_ask", run_id, f"ask_{name}", "deferred", timeout=PATIENCE)
    airflow.kill("triggerer")
    bodies = " ".join(message["body"] or "" for message in emulator.messages)
    codes = dict(re.findall(r"Run the (\w+)\? Reply YES (\d{4})", bodies))
    emulator.receive_message("YES", from_=phone)  # names no code
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
    told = airflow.xcom("inbound_ask", run_id, "ask_second")
    assert (told["answer"], told["by"]) == ("no", "+1415•••0177")
    assert sum(m["to"] == phone for m in emulator.messages if m["direction"] != "inbound") == 2
