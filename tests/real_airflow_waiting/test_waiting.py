"""Waiting in a real Airflow: many tasks at once, dying and stalled triggerers, errors at Twilio, and users who stop it.

TWILIO_TEST_RECIPIENTS (20) and TWILIO_TEST_OUTAGE_SECONDS (15) set the size. The documented figures are for 300 and 60.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.triggers.base import BaseTrigger

from airflow_provider_twilio.emulator import Emulator, serve
from tests.real_airflow import Airflow, send

pytestmark = [pytest.mark.real_airflow, pytest.mark.slow]

RECIPIENTS = int(os.environ.get("TWILIO_TEST_RECIPIENTS", "20"))
OUTAGE_SECONDS = float(os.environ.get("TWILIO_TEST_OUTAGE_SECONDS", "15"))
PATIENCE = 240 + 6 * RECIPIENTS
DAGS = Path(__file__).parent / "dags"
NEEDS_ON_KILL = pytest.mark.skipif(
    not hasattr(BaseTrigger, "on_kill"), reason="triggers' on_kill came with Airflow 3.3"
)
HOURS = 3600 * 5


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """An emulator in which no record reaches its final status until its clock is advanced by hours."""
    with serve(speed=0.001) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(emulator: Emulator) -> Iterator[Airflow]:
    env = {
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
    }
    uri = f"{emulator.connection_uri}/?from_=%2B15005550006"
    with Airflow([DAGS], connections={"twilio_default": uri}, env=env) as running:
        yield running


@pytest.fixture(autouse=True)
def reset_emulator(emulator: Emulator) -> None:
    emulator.state.faults.clear()
    emulator.journal.clear()
    emulator.clock.reset()


class ManyWaits:
    """A run whose tasks all wait."""

    def __init__(self, airflow: Airflow, emulator: Emulator) -> None:
        self.airflow, self.emulator = airflow, emulator
        self.sent_before = len(emulator.messages)
        self.run_id = airflow.trigger("waiting_many", {"many": RECIPIENTS})
        wait_until(self.all_deferred, PATIENCE, "all tasks are deferred")

    @property
    def sids(self) -> list[str]:
        return [message["sid"] for message in self.emulator.messages[self.sent_before :]]

    def all_deferred(self) -> bool:
        tasks = self.airflow.tasks("waiting_many", self.run_id)
        assert "failed" not in tasks.values(), tasks
        return list(tasks.values()).count("deferred") == RECIPIENTS

    def deliver(self) -> None:
        for sid in self.sids:
            self.emulator.set_message_status(sid, "delivered")

    def end(self) -> None:
        """Deliver all messages, and check that each task succeeded in one try and sent one message."""
        self.deliver()
        run = self.airflow.wait("waiting_many", self.run_id, PATIENCE)
        assert run.state == "success", run.tasks
        sent = [entry for entry in self.airflow.task_instances("waiting_many", self.run_id) if entry["map_index"] >= 0]
        assert {(entry["state"], entry["try_number"]) for entry in sent} == {("success", 1)}
        assert self.emulator.journal.count("POST", "Messages.json") == len(self.sids) == len(sent) == RECIPIENTS


def wait_until(condition: Callable[[], Any], seconds: float, condition_text: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s until {condition_text}"
        time.sleep(0.5)


def gets_by_cycle(emulator: Emulator, since: float) -> list[int]:
    """Return the number of GETs in each polling cycle. GETs of a cycle are less than a second apart."""
    times = [entry.time for entry in emulator.journal.find("GET", since=since)]
    counts = [1] if times else []
    for earlier, later in itertools.pairwise(times):
        if later - earlier > 1:
            counts.append(0)
        counts[-1] += 1
    return counts


def test_waiting_many_deferred_tasks_take_few_requests(airflow: Airflow, emulator: Emulator):
    waiting = ManyWaits(airflow, emulator)
    while_starting = gets_by_cycle(emulator, 0)
    since = emulator.clock.now()
    time.sleep(12)
    counts = gets_by_cycle(emulator, since)
    assert 2 <= len(counts) <= 6
    assert max(while_starting + counts) <= 12
    waiting.end()
    by_sid = emulator.journal.count("GET", "/Messages/")
    # One fetch on the worker, and in each cycle a few that are not worth a page.
    assert by_sid <= RECIPIENTS + 3 * len(gets_by_cycle(emulator, 0))
    print(
        f"{RECIPIENTS} recipients: GETs a cycle while they start {while_starting},"
        f" while all are deferred {counts}; by SID {by_sid}"
    )


def test_waiting_survives_a_killed_triggerer(airflow: Airflow, emulator: Emulator):
    waiting = ManyWaits(airflow, emulator)
    airflow.kill("triggerer", signal.SIGKILL)
    airflow.start("triggerer")
    waiting.end()


def test_waiting_survives_errors_at_twilio(airflow: Airflow, emulator: Emulator):
    waiting = ManyWaits(airflow, emulator)
    end = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < end:
        emulator.state.faults.clear()
        emulator.fail_next(1000, status=500, method="GET")
        time.sleep(OUTAGE_SECONDS / 6)
        emulator.state.faults.clear()
        emulator.fail_next(1000, status=429, retry_after=2, method="GET")
        time.sleep(OUTAGE_SECONDS / 6)
    rejected = [entry for entry in emulator.journal.find("GET") if entry.fault]
    emulator.state.faults.clear()
    assert rejected
    assert waiting.all_deferred()
    waiting.end()
    print(f"{len(rejected)} requests failed in {OUTAGE_SECONDS:.0f} s")


# ---------------------------------------------------------------- links


def test_log_link_shows_while_the_task_is_deferred(airflow: Airflow, emulator: Emulator):
    run_id = airflow.trigger("waiting_one")
    for name in ("send", "wait"):
        if name == "wait":
            emulator.clock.advance(HOURS)  # the first task ends, and the second finds the message delivered
            airflow.wait("waiting_one", run_id, PATIENCE)
        else:
            airflow.wait_for_task("waiting_one", run_id, name, "deferred", timeout=PATIENCE)
        path = f"dags/waiting_one/dagRuns/{run_id}/taskInstances/{name}/links"
        sid = emulator.messages[-1]["sid"]
        assert airflow.api("GET", path)["extra_links"] == {"Twilio log": f"{emulator.url}/#{sid}"}


# ---------------------------------------------------------------- stopping by users


@pytest.fixture(scope="module")
def service(emulator: Emulator) -> str:
    services = f"{emulator.url}/messaging.twilio.com/v1/Services"
    with requests.Session() as api:
        api.auth = (emulator.account_sid, emulator.auth_token)
        service = api.post(services, {"FriendlyName": "tests"}, timeout=10).json()
        member = {"PhoneNumberSid": emulator.numbers[0]["sid"]}
        api.post(f"{services}/{service['sid']}/PhoneNumbers", member, timeout=10).raise_for_status()
    return str(service["sid"])


class Scheduled:
    """A run that waits for three scheduled messages."""

    tasks = ("alone", "mapped[0]", "mapped[1]")

    def __init__(self, airflow: Airflow, emulator: Emulator, service: str) -> None:
        self.airflow, self.emulator = airflow, emulator
        self.run_id = airflow.trigger("waiting_scheduled", {"service": service})
        for task in self.tasks:
            airflow.wait_for_task("waiting_scheduled", self.run_id, task, "deferred", timeout=PATIENCE)
        self.sids = [self._sid(task) for task in self.tasks]
        wait_until(lambda: self.count_in_logs("starting") == 3, PATIENCE, "the triggerer runs the triggers")

    def _sid(self, task: str) -> str:
        address = self.airflow.xcom("waiting_scheduled", self.run_id, task, "twilio_log_link")
        return str(address).rpartition("#")[2]

    def count_in_logs(self, text: str) -> int:
        """Count the lines with a text in the tasks' logs."""
        logs = [self.airflow.log("waiting_scheduled", self.run_id, task) for task in self.tasks]
        return sum(text in line for log in logs for line in log.splitlines())

    def statuses(self) -> list[str]:
        status = {message["sid"]: message["status"] for message in self.emulator.messages}
        return [status[sid] for sid in self.sids]


@pytest.fixture
def scheduled(airflow: Airflow, emulator: Emulator, service: str) -> Scheduled:
    return Scheduled(airflow, emulator, service)


@NEEDS_ON_KILL
def test_mark_failed_cancels_the_scheduled_message(airflow: Airflow, scheduled: Scheduled):
    assert scheduled.statuses() == ["scheduled"] * 3
    airflow.mark("waiting_scheduled", scheduled.run_id, "alone", "failed")
    airflow.mark("waiting_scheduled", scheduled.run_id, "mapped[1]", "failed")
    wait_until(lambda: scheduled.statuses() == ["canceled", "scheduled", "canceled"], 90, "the messages are canceled")
    airflow.mark("waiting_scheduled", scheduled.run_id, "mapped[0]", "success")
    airflow.wait("waiting_scheduled", scheduled.run_id, PATIENCE)
    time.sleep(5)
    assert scheduled.statuses() == ["canceled", "scheduled", "canceled"]


@NEEDS_ON_KILL
def test_clear_cancels_the_scheduled_message_and_sends_another(
    airflow: Airflow, emulator: Emulator, scheduled: Scheduled
):
    before = len(emulator.messages)
    airflow.clear("waiting_scheduled", scheduled.run_id, "mapped[0]")
    wait_until(lambda: scheduled.statuses() == ["scheduled", "canceled", "scheduled"], 90, "the message is canceled")
    wait_until(lambda: len(emulator.messages) == before + 1, PATIENCE, "another message is sent")
    assert emulator.messages[-1]["status"] == "scheduled"
    airflow.wait_for_task("waiting_scheduled", scheduled.run_id, "mapped[0]", "deferred", timeout=PATIENCE)
    for task in scheduled.tasks:
        airflow.mark("waiting_scheduled", scheduled.run_id, task, "failed")


@NEEDS_ON_KILL
@pytest.mark.parametrize(("task", "state"), [("deferred", "deferred"), ("on_worker", "running")])
def test_clear_with_on_clear_skip_leaves_the_message(
    airflow: Airflow, emulator: Emulator, service: str, task: str, state: str
):
    """The message is canceled when its task is marked failed."""
    before = len(emulator.messages)
    run_id = airflow.trigger("waiting_resumed", {"service": service, "task": task})

    def statuses() -> list[str]:
        return [message["status"] for message in emulator.messages[before:]]

    def is_waiting(number: int) -> bool:
        """Return whether this try waits, by the state of the task and by its log."""
        [found] = [entry for entry in airflow.task_instances("waiting_resumed", run_id) if entry["task_id"] == task]
        logged = airflow.log("waiting_resumed", run_id, task).count(
            "starting" if task == "deferred" else "Waiting for SM"
        )
        return (found["state"], found["try_number"], logged) == (state, number, number)

    wait_until(lambda: is_waiting(1), PATIENCE, "the task waits")
    airflow.clear("waiting_resumed", run_id, task)
    wait_until(lambda: is_waiting(2), PATIENCE, "the task waits again")
    time.sleep(5)
    assert statuses() == ["scheduled"]
    airflow.mark("waiting_resumed", run_id, task, "failed")
    wait_until(lambda: statuses() == ["canceled"], 90, "the message is canceled")


@NEEDS_ON_KILL
def test_mark_failed_hangs_up(airflow: Airflow, emulator: Emulator):
    run_id = airflow.trigger("waiting_call")
    airflow.wait_for_task("waiting_call", run_id, "call", "deferred", timeout=PATIENCE)
    wait_until(
        lambda: "starting" in airflow.log("waiting_call", run_id, "call"), PATIENCE, "the triggerer runs the trigger"
    )
    emulator.clock.advance(HOURS)
    assert emulator.calls[-1]["status"] == "in-progress"
    airflow.mark("waiting_call", run_id, "call", "failed")
    wait_until(lambda: emulator.calls[-1]["status"] == "completed", 90, "the call is hung up")


@NEEDS_ON_KILL
def test_trigger_moved_to_another_triggerer_cancels_nothing(airflow: Airflow, emulator: Emulator, scheduled: Scheduled):
    """The first triggerer is suspended until the second runs the triggers, and then finds that they are not its own."""
    first = {airflow.processes("triggerer")[0].pid}
    try:
        send(signal.SIGSTOP, first)
        airflow.start("triggerer")
        wait_until(lambda: scheduled.count_in_logs("starting") >= 6, PATIENCE, "the second triggerer runs the triggers")
    finally:
        send(signal.SIGCONT, first)
    wait_until(lambda: scheduled.count_in_logs("invoking on_kill") >= 3, PATIENCE, "Airflow calls on_kill")
    time.sleep(5)
    assert scheduled.statuses() == ["scheduled"] * 3
    assert {airflow.tasks("waiting_scheduled", scheduled.run_id)[task] for task in scheduled.tasks} == {"deferred"}
    assert emulator.journal.count("POST") == 3
    for sid in scheduled.sids:
        emulator.set_message_status(sid, "delivered")
    emulator.clock.advance(HOURS)
    for task in scheduled.tasks:
        airflow.mark("waiting_scheduled", scheduled.run_id, task, "success")
    send(signal.SIGTERM, first)


# ---------------------------------------------------------------- dag.test


TWICE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("waiting", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for _ in range(2):
    print("STATE", module.one.test().state.value)
"""


def test_dag_test_runs_twice_in_one_process(tmp_path: Path):
    """Use a separate Airflow, in which nothing else runs."""
    with serve() as emulator:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW_CONN_TWILIO_DEFAULT": f"{emulator.connection_uri}/?from_=%2B15005550006",
        }

        def run(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, *command], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert done.returncode == 0, done.stderr[-3000:]
            return done.stdout

        run("-m", "airflow", "db", "migrate")
        states = [line for line in run("-c", TWICE, str(DAGS / "waiting.py")).splitlines() if line.startswith("STATE")]
        assert states == ["STATE success"] * 2
        assert [message["status"] for message in emulator.messages] == ["delivered"] * 2
