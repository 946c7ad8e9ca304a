"""Reading inbound messages: each message by one run, across retries, cleared runs, and runs without new messages."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Variable

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators import inbound
from airflow_provider_twilio.operators.inbound import ReadInboundMessagesOperator

OURS, PHONE = "+15005550006", "+14155550100"


class Variables:
    """A stand-in for Airflow's Variables, in a dictionary."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[str, str] = {}
        self.writes = 0
        monkeypatch.setattr(Variable, "get", self.get)
        monkeypatch.setattr(Variable, "set", self.set)

    def get(self, key: str, default: Any = None, deserialize_json: bool = False) -> Any:
        assert deserialize_json
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
        assert serialize_json
        self.writes += 1
        self.values[key] = json.dumps(value, allow_nan=False)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    return Variables(monkeypatch)


def context(run_id: str, map_index: int = -1, run_after: datetime | None = None) -> Any:
    ti = SimpleNamespace(dag_id="dag", task_id="read", run_id=run_id, map_index=map_index)
    return {"ti": ti, "dag_run": SimpleNamespace(run_after=run_after)}


def read(run_id: str, *, map_index: int = -1, run_after: datetime | None = None, **arguments: Any) -> list[str]:
    task = ReadInboundMessagesOperator(task_id="read", **arguments)
    return [message["sid"] for message in task.execute(context(run_id, map_index, run_after))]


def receive(emulator: Emulator, body: str = "hello", from_: str = PHONE) -> str:
    return emulator.receive_message(body, from_=from_)


def test_read_inbound_each_message_is_read_by_one_run(emulator: Emulator):
    first = [receive(emulator), receive(emulator)]
    assert read("one") == first
    assert read("two") == []
    second = receive(emulator)
    assert read("three") == [second]


def test_read_inbound_retry_returns_the_messages_of_its_run(emulator: Emulator):
    first = receive(emulator)
    assert read("one") == [first]
    second = receive(emulator)
    assert read("one") == [first, second]
    assert read("two") == []


def test_read_inbound_cleared_run_returns_old_messages(emulator: Emulator, variables: Variables):
    first = receive(emulator)
    assert read("one", overlap=0, lookback=60) == [first]
    for number in range(2):
        time.sleep(1.1)
        later = receive(emulator)
        assert read(f"later {number}", overlap=0) == [later]
    assert read("one", overlap=0) == [first]
    TwilioHook().messages.delete(first)
    assert first not in read("one", overlap=0)


def test_read_inbound_stores_a_limited_number_of_runs(
    emulator: Emulator, variables: Variables, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbound, "KEPT_RUNS", 2)
    for number in range(4):
        receive(emulator)
        time.sleep(1)
        read(f"run {number}", overlap=0)
    assert len(json.loads(variables.values["twilio_inbound.dag.read"])["runs"]) <= 3


def test_read_inbound_late_message_is_read_once(emulator: Emulator):
    emulator.quirks.set(list_lag=2)
    late = receive(emulator)
    assert read("one") == []
    emulator.quirks.set(list_lag=0)
    assert read("two") == [late]
    assert read("three") == []


def test_read_inbound_filters_are_rendered(emulator: Emulator, run: Any):
    selected = receive(emulator, "YES please")
    receive(emulator, "no")
    receive(emulator, "yes", from_="+14155550101")
    found = run(
        ReadInboundMessagesOperator,
        {**context("one"), "ours": OURS, "phone": PHONE},
        to="{{ ours }}",
        from_="{{ phone }}",
        pattern="^yes",
    )
    assert [message["sid"] for message in found] == [selected]


def test_read_inbound_include_body_decides_on_bodies_in_xcom(emulator: Emulator):
    receive(emulator, "hello")
    [message] = ReadInboundMessagesOperator(task_id="read").execute(context("one"))
    assert (message["body"], message["from"], message["to"]) == ("hello", PHONE, OURS)
    [message] = ReadInboundMessagesOperator(task_id="read", include_body=False).execute(context("one"))
    assert "body" not in message


def test_read_inbound_outbound_messages_are_left_out(emulator: Emulator):
    TwilioHook().messages.create(to=PHONE, from_=OURS, body="hello")
    emulator.clock.advance(10)
    assert read("one") == []


def test_read_inbound_first_run_starts_lookback_before_it_was_due(emulator: Emulator):
    sid = receive(emulator)
    long_ago = datetime.fromtimestamp(time.time() - 5, UTC)
    emulator.clock.advance(600)
    after = receive(emulator)
    assert read("one", lookback=60, run_after=long_ago) == [sid, after]


def test_read_inbound_mapped_tasks_have_variables_of_their_own(emulator: Emulator, variables: Variables):
    sid = receive(emulator)
    assert read("one", map_index=0) == [sid]
    assert read("one", map_index=1) == [sid]
    assert read("two", map_index=1) == []
    assert set(variables.values) == {"twilio_inbound.dag.read.0", "twilio_inbound.dag.read.1"}


def test_read_inbound_long_variable_name_is_hashed(emulator: Emulator, variables: Variables):
    named = context("one")
    named["ti"].dag_id = "d" * 250
    ReadInboundMessagesOperator(task_id="read").execute(named)
    assert all(len(name) <= 250 for name in variables.values)


def test_read_inbound_run_without_new_messages_writes_no_variable(emulator: Emulator, variables: Variables):
    receive(emulator)
    read("one")
    writes = variables.writes
    assert read("two") == []
    assert variables.writes == writes


def test_read_inbound_max_active_tis_per_dag_defaults_to_one():
    assert ReadInboundMessagesOperator(task_id="read").max_active_tis_per_dag == 1
    assert ReadInboundMessagesOperator(task_id="read", max_active_tis_per_dag=3).max_active_tis_per_dag == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("to", "5005550006"), ("from_", "+1 415"), ("pattern", "("), ("lookback", -1), ("overlap", -1)]
    + [(name, value) for name in ("lookback", "overlap") for value in ("60", None)],
)
def test_read_inbound_bad_literal_raises_at_parse_time(name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        ReadInboundMessagesOperator(task_id="read", **{name: value})


@pytest.mark.parametrize("value", ["", "None", "5005550006"])
def test_read_inbound_bad_template_fails_without_request(emulator: Emulator, run: Any, value: str):
    with pytest.raises(AirflowFailException, match="to"):
        run(ReadInboundMessagesOperator, {**context("one"), "value": value}, to="{{ value }}")
    assert emulator.journal.count("GET") == 0


def test_read_inbound_stored_format_never_changes(emulator: Emulator, variables: Variables):
    """Every later release must read the Variable that a release has written. Change no name and no key here."""
    emulator.clock.freeze(datetime.fromtimestamp(1_750_000_000, UTC))
    sid = receive(emulator)
    emulator.clock.reset()
    stored = f'{{"after": 1750000000, "runs": {{"one": {{"{sid}": 1750000000.0}}}}}}'
    variables.values["twilio_inbound.dag.read"] = stored
    variables.values["twilio_inbound.dag.read.3"] = stored
    assert read("one") == [sid]
    assert read("two") == []
    assert read("two", map_index=3) == []
    new = receive(emulator)
    assert read("three", overlap=10**9) == [new]
    written = json.loads(variables.values["twilio_inbound.dag.read"])
    assert written.keys() == {"after", "runs"}
    assert written["runs"].keys() == {"one", "three"}
    assert written["runs"]["three"].keys() == {new}
