"""The approval operator: asking once, branching on the outcome, and invalid parameters."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator

from airflow_provider_twilio._airflow.compat import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.approvals import ApproveBySmsOperator
from airflow_provider_twilio.runtime.polling.events import ApprovalEvent

OURS, PHONE = "+15005550006", "+14155550100"
ASK: dict[str, Any] = {"to": PHONE, "question": "Deploy v2.3?", "from_": OURS, "poll_interval": 0.2}


class Store:
    """A stand-in for Airflow's accessor of the task state store."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values.get(key, "null")) or default

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TaskInstance:
    """A stand-in for a task instance, across its tries."""

    dag_id, task_id, run_id, map_index, max_tries = "dag", "ask", "run", -1, 3

    def __init__(self) -> None:
        self.try_number = 1
        self.start_date = datetime.now(UTC)
        self.xcoms: dict[str, Any] = {}
        self.task: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, **_: Any) -> list[Any]:
        return []


class Asking:
    """A DAG that asks, with two downstream tasks."""

    def __init__(self, **arguments: Any) -> None:
        self.ti, self.store = TaskInstance(), Store()
        with DAG("dag", schedule=None):
            self.task = ApproveBySmsOperator(task_id="ask", **{**ASK, **arguments})
            self.task >> [BaseOperator(task_id="deploy"), BaseOperator(task_id="roll_back")]
        self.ti.task = self.task
        self.context: Any = {
            "ti": self.ti,
            "task_state_store": self.store,
            "dag_run": SimpleNamespace(start_date=self.ti.start_date),
        }
        self.skipped: list[str] = []

    def run(self, event: ApprovalEvent | None = None) -> Any:
        """Run a try, or resume with an event, and return the XCom."""
        try:
            if event is not None:
                return self.task.execute_complete(self.context, event)
            return self.task.execute(self.context)
        except Exception as error:
            if type(error).__name__ != "DownstreamTasksSkipped":
                raise
            self.skipped = sorted(task[0] if isinstance(task, tuple) else task for task in error.tasks)  # type: ignore[attr-defined]
            return self.ti.xcoms["return_value"]

    def defer(self) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as deferred:
            self.run()
        return deferred.value


def body(emulator: Emulator) -> str:
    return str(emulator.messages[-1]["body"])


def code(emulator: Emulator) -> str:
    return str(re.findall(r"YES (\d{8})", body(emulator))[0])


def reached(answer: Literal["yes", "no"]) -> ApprovalEvent:
    return {
        "sid": "SM" + "1" * 32,
        "outcome": "reached",
        "reason": None,
        "answer": answer,
        "reply_sid": "SM" + "2" * 32,
        "answered_at": "2026-01-31T08:00:00+00:00",
    }


TIMED_OUT: ApprovalEvent = {"sid": "SM" + "1" * 32, "outcome": "timeout", "reason": "not answered in time"}
UNREACHABLE: ApprovalEvent = {
    "sid": "SM" + "1" * 32,
    "outcome": "failed",
    "reason": "30003: the handset is unreachable",
}


def test_approval_question_has_reply_instructions(emulator: Emulator):
    Asking(deferrable=True, wait_timeout=1800).defer()
    assert re.fullmatch(r"Deploy v2\.3\? Reply YES (\d{8}) or NO \1 within 30 min", body(emulator))
    Asking(deferrable=True, code=False).defer()
    assert body(emulator) == "Deploy v2.3? Reply YES or NO within 1 h"


def test_approval_trigger_gets_phone_code_and_deadline(emulator: Emulator):
    trigger = Asking(deferrable=True).defer().trigger
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_twilio.triggers.approvals.ApprovalTrigger"
    assert (arguments["to"], arguments["from_"], arguments["code"]) == (PHONE, OURS, code(emulator))
    assert arguments["deadline"] - arguments["created"] == 3600


def test_approval_retry_sends_no_question_and_keeps_the_code(emulator: Emulator):
    asking = Asking(deferrable=True)
    first = asking.defer().trigger.serialize()
    asking.ti.try_number += 1
    assert asking.defer().trigger.serialize() == first
    assert emulator.journal.count("POST") == 1


def test_approval_retry_with_reply_ends_without_deferring(emulator: Emulator):
    """Airflow may fail a task whose wait ends at once, and would fail each retry likewise."""
    asking = Asking(deferrable=True)
    asking.defer()
    emulator.receive_message(f"no {code(emulator)}", from_=PHONE)
    asking.ti.try_number += 1
    result = asking.run()
    assert (result["answer"], asking.skipped) == ("no", ["deploy", "roll_back"])
    assert emulator.journal.count("POST") == 1


def test_approval_codes_differ_between_runs(emulator: Emulator):
    codes = set()
    for number in range(8):
        asking = Asking(deferrable=True)
        asking.ti.run_id = f"run {number}"
        codes.add(asking.defer().trigger.serialize()[1]["code"])
    assert len(codes) == 8
    assert all(10_000_000 <= int(one) <= 99_999_999 for one in codes)


def test_approval_cleared_task_asks_again_with_another_code(emulator: Emulator):
    asking = Asking(deferrable=True)
    first = asking.defer().trigger.serialize()[1]
    asking.ti.max_tries += 4
    second = asking.defer().trigger.serialize()[1]
    assert emulator.journal.count("POST") == 2
    assert first["code"] != second["code"]


def test_approval_on_worker_returns_the_reply(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    asking = Asking(deferrable=False)
    approval_spec = asking.task._approval_spec

    def answer(*arguments: Any) -> Any:
        if emulator.messages:
            emulator.receive_message(f"yes {code(emulator)}", from_=PHONE)
        return approval_spec(*arguments)

    monkeypatch.setattr(asking.task, "_approval_spec", answer)  # the phone replies at once
    result = asking.run()
    assert (result["answer"], result["by"]) == ("yes", "+1415•••0100")
    assert result["reply_sid"] == emulator.messages[-1]["sid"]
    assert PHONE not in str(result)


def test_approval_service_chooses_the_sender(emulator: Emulator):
    hook = TwilioHook()
    service = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "ask"})["sid"]
    number = emulator.numbers[0]["sid"]
    hook.request("POST", f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers", {"PhoneNumberSid": number})
    trigger = Asking(from_=None, messaging_service_sid=service, deferrable=True).defer().trigger
    assert trigger.serialize()[1]["from_"] == OURS


# ---------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("event", "follow", "skipped"),
    [
        (reached("yes"), None, []),
        (reached("no"), None, ["deploy", "roll_back"]),
        (reached("yes"), {"no": "roll_back"}, ["roll_back"]),
        (reached("no"), {"no": "roll_back"}, ["deploy"]),
        (reached("yes"), {"yes": ["deploy"], "no": ["roll_back"]}, ["roll_back"]),
        (reached("no"), {"yes": "deploy"}, ["deploy", "roll_back"]),
        (TIMED_OUT, {"timeout": "roll_back"}, ["deploy"]),
        (UNREACHABLE, {"unreachable": ["roll_back"], "timeout": "deploy"}, ["deploy"]),
    ],
)
def test_approval_outcome_and_follow_choose_downstream_tasks(event: ApprovalEvent, follow: Any, skipped: list[str]):
    asking = Asking(follow=follow)
    result = asking.run(event)
    assert asking.skipped == skipped
    assert result["answer"] == event.get(
        "answer", {"timeout": "timeout", "failed": "unreachable"}.get(event["outcome"])
    )


def test_approval_mapped_no_skips_itself():
    asking = Asking()
    asking.ti.map_index = 0
    assert asking.run(reached("yes"))["answer"] == "yes"
    with pytest.raises(AirflowSkipException, match=r"the question to .*: no$"):
        asking.run(reached("no"))
    assert asking.ti.xcoms["return_value"]["answer"] == "no"


def test_approval_no_before_mapped_tasks_skips_itself():
    asking = Asking()
    with asking.task.dag:
        asking.task >> EmptyOperator.partial(task_id="work").expand(doc=["a", "b"])
    assert asking.run(reached("yes"))["answer"] == "yes"
    with pytest.raises(AirflowSkipException, match=r"the question to .*: no$"):
        asking.run(reached("no"))
    # This skips the tasks that are not mapped, whatever their trigger rule.
    assert asking.ti.xcoms["skipmixin_key"] == {"followed": []}


@pytest.mark.parametrize("downstream_mapped", [False, True])
def test_approval_follow_with_mapped_tasks_fails_without_question(emulator: Emulator, downstream_mapped: bool):
    asking = Asking(follow={"no": "roll_back"})
    if downstream_mapped:
        with asking.task.dag:
            asking.task >> EmptyOperator.partial(task_id="work").expand(doc=["a", "b"])
    else:
        asking.ti.map_index = 0
    with pytest.raises(
        AirflowFailException, match="follow is given, but the task or one directly downstream is mapped"
    ):
        asking.run()
    assert emulator.messages == []


@pytest.mark.parametrize(
    ("event", "message"), [(TIMED_OUT, "not answered in time"), (UNREACHABLE, "unreachable: 30003")]
)
def test_approval_outcome_without_follow_fails(event: ApprovalEvent, message: str):
    with pytest.raises(AirflowFailException, match=message):
        Asking(follow={"no": "roll_back"}).run(event)


@pytest.mark.parametrize("to", ["+15005559204", "+15005559201"])
def test_approval_rejected_question_is_unreachable(emulator: Emulator, to: str):
    with pytest.raises(AirflowFailException, match="unreachable"):
        Asking(to=to).run()
    result = Asking(to=to, follow={"unreachable": "roll_back"}).run()
    assert (result["answer"], result["sid"]) == ("unreachable", None)


def test_approval_dry_run_fails(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    with pytest.raises(AirflowFailException, match="dry run: no question was sent"):
        Asking().run()
    assert emulator.messages == []


def test_approval_rejected_credentials_fail_in_spite_of_follow(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    uri = emulator.connection_uri.replace(emulator.auth_token, "f" * 32)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", uri)
    with pytest.raises(AirflowFailException, match="AuthenticationFailed"):
        Asking(follow={"unreachable": "roll_back"}).run()


# ---------------------------------------------------------------- invalid parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to", "4155550100"),
        ("question", ""),
        ("from_", "ALERTS"),
        ("follow", {"maybe": "deploy"}),
        ("wait_timeout", 0),
        ("wait_timeout", 8 * 86_400),
        ("wait_timeout", 1.5),
        ("wait_timeout", "1800"),
        ("wait_timeout", None),
        ("poll_interval", 0),
        ("poll_interval", "30"),
        ("poll_interval", None),
        ("messaging_service_sid", "SM" + "0" * 32),
    ],
)
def test_approval_bad_literal_raises_at_parse_time(name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        ApproveBySmsOperator(task_id="ask", **{**ASK, name: value})


def test_approval_alphanumeric_sender_of_connection_fails(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?from_=ALERTS")
    with pytest.raises(AirflowFailException, match="alphanumeric"):
        Asking(to="+491511234567", from_=None).run()
    assert emulator.journal.count("POST") == 0


def test_approval_empty_question_fails_before_the_send(emulator: Emulator, run: Any):
    context = Asking().context
    with pytest.raises(AirflowFailException, match="question"):
        run(ApproveBySmsOperator, {**context, "text": ""}, **{**ASK, "question": "{{ text }}"})
    assert emulator.journal.count("POST") == 0
