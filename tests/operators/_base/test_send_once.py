"""Send a request once in a task: retries, Clear, siblings, and Airflow without a state store."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, AirflowSkipException
from airflow_provider_twilio.api.errors import NotSent, RateLimited
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators.accounts import CreateAccountOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.operators.phone_numbers import PurchaseNumberOperator
from airflow_provider_twilio.runtime.idempotency.fingerprint import MATCHERS
from tests.support.task_instance import Store, TaskInstance, published

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"
SEND: dict[str, Any] = {"to": TO, "from_": FROM, "body": "The nightly load has failed."}


@pytest.fixture
def fast_emulator(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return an emulator whose connection has a short timeout and short retry delays."""
    uri = f"{emulator.connection_uri}/?timeout=0.5&retry_max_wait=0.01"
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", uri)
    return emulator


def test_send_once_operator_retry_does_not_send_but_clear_does(run: Run, emulator: Emulator):
    instance = TaskInstance({})
    first = run(SendMessageOperator, instance.context(), **SEND)
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == first["sid"]
    instance.clear()
    second = run(SendMessageOperator, instance.context(), **SEND)
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == second["sid"]
    assert [first["sid"], second["sid"]] == [message["sid"] for message in emulator.messages]


def test_send_once_operator_awaiting_retry_ignores_clear_of_sibling(run: Run, emulator: Emulator):
    xcoms: dict[Any, Any] = {}
    one, other = TaskInstance(xcoms, 0), TaskInstance(xcoms, 1)
    sids = [run(SendMessageOperator, instance.context(), **SEND)["sid"] for instance in (one, other)]
    other.clear()
    sids.append(run(SendMessageOperator, other.context(), **SEND)["sid"])
    assert run(SendMessageOperator, one.context(), **SEND)["sid"] == sids[0]
    assert sids == [message["sid"] for message in emulator.messages]


def test_send_once_operator_on_clear_skip_does_not_send(run: Run, emulator: Emulator):
    instance = TaskInstance({})
    run(SendMessageOperator, instance.context(), on_clear="skip", **SEND)
    instance.clear()
    run(SendMessageOperator, instance.context(), on_clear="skip", **SEND)
    assert len(emulator.messages) == 1


def test_send_once_operator_once_false_sends_in_every_try(run: Run, emulator: Emulator):
    instance = TaskInstance({})
    for _ in range(2):
        run(SendMessageOperator, instance.context(), once=False, **SEND)
    assert len(emulator.messages) == 2
    assert instance.store is not None
    assert not instance.store.values
    assert not published(instance)


def test_send_once_operator_after_clear_ignores_earlier_record(run: Run, fast_emulator: Emulator):
    instance = TaskInstance({})
    first = run(SendMessageOperator, instance.context(), **SEND)
    instance.clear()
    fast_emulator.fail_next(method="POST", status=500)
    second = run(SendMessageOperator, instance.context(), reconcile_timeout=0.5, **SEND)
    assert [first["sid"], second["sid"]] == [message["sid"] for message in fast_emulator.messages]


@pytest.mark.parametrize("fault", [{"accept_then_drop": True}, {"accept_then_status": 500}, {"status": 500}])
@pytest.mark.parametrize(
    ("operator", "arguments", "records"),
    [
        (SendMessageOperator, SEND, "messages"),
        (CreateCallOperator, {"to": TO, "from_": FROM, "say": "The nightly load has failed."}, "calls"),
    ],
    ids=["message", "call"],
)
def test_send_once_operator_reconciles_lost_response(
    run: Run, fast_emulator: Emulator, operator: Any, arguments: dict[str, Any], records: str, fault: dict[str, Any]
):
    fast_emulator.fail_next(method="POST", **fault)
    record = run(operator, TaskInstance({}).context(), reconcile_timeout=0.5, **arguments)
    assert [record["sid"]] == [sent["sid"] for sent in getattr(fast_emulator, records)]


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [(PurchaseNumberOperator, {"area_code": 415}), (CreateAccountOperator, {"friendly_name": "Branch 7"})],
    ids=["number", "account"],
)
def test_send_once_operator_does_not_resend_purchases(
    run: Run, fast_emulator: Emulator, operator: Any, arguments: dict[str, Any]
):
    instance = TaskInstance({})
    fast_emulator.fail_next(method="POST", accept_then_drop=True)
    record = run(operator, instance.context(), **arguments)
    assert run(operator, instance.context(), **arguments)["sid"] == record["sid"]
    unsent = {"phone_number": "+14155550190"} if "area_code" in arguments else {"friendly_name": "8"}
    fast_emulator.fail_next(method="POST", status=500)
    with pytest.raises(AirflowFailException, match="not sent again"):
        run(operator, TaskInstance({}).context(), reconcile_timeout=0.1, **unsent)
    assert fast_emulator.journal.count("POST") == 2


def test_send_once_operator_retried_purchase_does_not_search(run: Run, emulator: Emulator):
    instance = TaskInstance({})
    for _ in range(2):
        run(PurchaseNumberOperator, instance.context(), area_code=415)
    assert emulator.journal.count("GET", "Available") == 1


def test_send_once_operator_fails_without_retry_on_permanent_errors_only(
    run: Run, emulator: Emulator, monkeypatch: Any
):
    emulator.fail_next(method="POST", status=400, code=21211)
    with pytest.raises(AirflowFailException, match="21211"):
        run(SendMessageOperator, TaskInstance({}).context(), **SEND)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri.rpartition(':')[0]}:1/?retries=0")
    with pytest.raises(NotSent):
        run(SendMessageOperator, TaskInstance({}).context(), **SEND)


def test_send_once_operator_can_skip_opted_out_recipient(run: Run, emulator: Emulator):
    emulator.fail_next(2, method="POST", status=400, code=21610)
    with pytest.raises(AirflowFailException):
        run(SendMessageOperator, TaskInstance({}).context(), **SEND)
    with pytest.raises(AirflowSkipException):
        run(SendMessageOperator, TaskInstance({}).context(), skip_opted_out=True, **SEND)


@pytest.fixture
def service(emulator: Emulator) -> str:
    hook = TwilioHook()
    sid: str = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "news"})["sid"]
    (number,) = hook.incoming_phone_numbers.list()
    url = f"https://messaging.twilio.com/v1/Services/{sid}/PhoneNumbers"
    hook.request("POST", url, {"PhoneNumberSid": number["sid"]})
    return sid


def test_send_once_operator_finds_scheduled_message_after_its_time(run: Run, emulator: Emulator, service: str):
    instance = TaskInstance({})
    scheduled = {"to": TO, "body": "x", "messaging_service_sid": service, "schedule_type": "fixed"}
    ahead = (datetime.now(UTC) + timedelta(seconds=400)).isoformat()
    first = run(SendMessageOperator, instance.context(), **scheduled, send_at=ahead)
    near = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
    assert run(SendMessageOperator, instance.context(), **scheduled, send_at=near)["sid"] == first["sid"]


def test_send_once_operator_reports_retry_too_late_to_schedule(run: Run, fast_emulator: Emulator, service: str):
    instance = TaskInstance({})
    scheduled = {
        "to": TO,
        "body": "x",
        "messaging_service_sid": service,
        "schedule_type": "fixed",
        "reconcile_timeout": 0.1,
    }
    near = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
    with pytest.raises(AirflowFailException, match="send_at is"):
        run(SendMessageOperator, instance.context(), **scheduled, send_at=near)
    instance.clear()
    ahead = (datetime.now(UTC) + timedelta(seconds=400)).isoformat()
    fast_emulator.fail_next(2, method="POST", path="Messages", status=500)
    with pytest.raises(Exception, match="500"):
        run(SendMessageOperator, instance.context(), **scheduled, send_at=ahead)
    with pytest.raises(AirflowFailException, match=r"an earlier try did not send this request.*send_at is"):
        run(SendMessageOperator, instance.context(), **scheduled, send_at=near)
    assert not fast_emulator.messages


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (SendMessageOperator, {**SEND, "wait_for_delivery": True}),
        (CreateCallOperator, {"to": TO, "from_": FROM, "say": "Hello", "wait_for_completion": True}),
    ],
)
def test_send_once_operator_dry_run_does_not_wait(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, operator: Any, arguments: Any, deferrable: bool
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    result = run(operator, **arguments, deferrable=deferrable)
    assert (result["sid"], result["status"]) == (None, "dry-run")
    assert emulator.journal.count() == 0


def test_send_once_operator_without_store_finds_message_of_run(run: Run, emulator: Emulator):
    instance = TaskInstance({}, store=False)
    first = run(SendMessageOperator, instance.context(), **SEND)
    assert emulator.journal.count("GET") == 0
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == first["sid"]


def test_send_once_operator_without_store_sends_again_after_clear(run: Run, emulator: Emulator):
    instance = TaskInstance({}, store=False)
    for _ in range(2):
        run(SendMessageOperator, instance.context(), **SEND)
    instance.clear()
    run(SendMessageOperator, instance.context(), **SEND)
    assert len(emulator.messages) == 2


def test_send_once_operator_without_store_leaves_out_records_of_siblings(run: Run, emulator: Emulator):
    xcoms: dict[Any, Any] = {}
    one, other = TaskInstance(xcoms, 0, store=False), TaskInstance(xcoms, 1, store=False)
    sids = [run(SendMessageOperator, instance.context(), **SEND)["sid"] for instance in (one, other)]
    assert run(SendMessageOperator, one.context(), **SEND)["sid"] == sids[0]
    assert run(SendMessageOperator, other.context(), **SEND)["sid"] == sids[1]


@pytest.mark.parametrize("on_clear", ["resend", "skip"])
def test_send_once_operator_after_upgrade_to_store_does_not_send(run: Run, emulator: Emulator, on_clear: str):
    instance = TaskInstance({}, store=False)
    run(SendMessageOperator, instance.context(), on_clear=on_clear, **SEND)
    instance.store = Store()
    if on_clear == "skip":
        instance.clear()
    for _ in range(2):
        run(SendMessageOperator, instance.context(), on_clear=on_clear, **SEND)
    assert len(emulator.messages) == 1


@pytest.mark.parametrize("later_start", [False, True])
def test_send_once_operator_on_clear_skip_finds_message_after_state_is_deleted(
    run: Run, emulator: Emulator, later_start: bool
):
    """Airflow deletes the state of a successful task with ``[state_store] clear_on_success``."""
    instance = TaskInstance({})
    first = run(SendMessageOperator, instance.context(), on_clear="skip", **SEND)
    for _ in range(2):
        assert instance.store is not None
        instance.store.values.clear()
        instance.clear()
        context = instance.context()
        if later_start:  # a completed run gets a new start date, but keeps the time after which it may run
            emulator.clock.advance(3600)
            context["dag_run"] = SimpleNamespace(
                start_date=datetime.now(UTC) + timedelta(hours=1), run_after=instance.run_started
            )
        assert run(SendMessageOperator, context, on_clear="skip", **SEND)["sid"] == first["sid"]
    assert len(emulator.messages) == 1


@pytest.mark.parametrize(("on_unresolved", "sent"), [(None, 1), ("resend", 1), ("fail", 0)])
@pytest.mark.parametrize("on_clear", ["resend", "skip"])
def test_send_once_operator_without_state_and_record_follows_on_unresolved(
    run: Run, emulator: Emulator, on_clear: str, on_unresolved: Any, sent: int
):
    instance = TaskInstance({})
    instance.context()
    if on_clear == "skip":
        instance.clear()
    options = {"on_clear": on_clear, "on_unresolved": on_unresolved, "reconcile_timeout": 0.1}
    fails = pytest.raises(AirflowFailException, match="not sent again") if on_unresolved == "fail" else nullcontext()
    with fails:
        run(SendMessageOperator, instance.context(), **options, **SEND)
    assert len(emulator.messages) == sent


def test_send_once_operator_retry_after_failure_before_request_does_not_wait(run: Run, emulator: Emulator):
    """The first try failed before it stored anything, such as without a connection. A purchase is no exception."""
    instance = TaskInstance({})
    instance.context()
    started = time.monotonic()
    assert run(PurchaseNumberOperator, instance.context(), area_code=415)["sid"]
    assert time.monotonic() - started < 10


def test_send_once_operator_rejected_request_is_not_reconciled(run: Run, fast_emulator: Emulator):
    instance = TaskInstance({})
    fast_emulator.fail_next(10, method="POST", status=429)
    with pytest.raises(RateLimited):
        run(SendMessageOperator, instance.context(), **SEND)
    fast_emulator.state.faults.clear()
    run(SendMessageOperator, instance.context(), on_unresolved="fail", **SEND)
    assert len(fast_emulator.messages) == 1
    assert fast_emulator.journal.count("GET") == 0


def test_send_once_operator_rejected_after_search_is_sent_by_next_retry(run: Run, fast_emulator: Emulator):
    """The first try failed before it stored anything, and the second one was rejected: nothing was sent."""
    instance = TaskInstance({})
    instance.context()
    fast_emulator.fail_next(10, method="POST", status=429)
    with pytest.raises(RateLimited):
        run(PurchaseNumberOperator, instance.context(), area_code=415)
    fast_emulator.state.faults.clear()
    assert run(PurchaseNumberOperator, instance.context(), area_code=415)["sid"]


def test_send_once_operator_state_never_expires(run: Run, emulator: Emulator):
    never_expire = getattr(pytest.importorskip("airflow.sdk"), "NEVER_EXPIRE", None)

    class RecordingStore(Store):
        retentions: ClassVar[set[Any]] = set()

        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            self.retentions.add(retention)
            super().set(key, value)

    instance = TaskInstance({})
    instance.store = RecordingStore()
    run(SendMessageOperator, instance.context(), **SEND)
    assert RecordingStore.retentions == {never_expire}


def test_send_once_operator_terminated_while_reconciling_returns_record(run: Run, fast_emulator: Emulator):
    """On SIGTERM, Airflow calls ``on_kill`` in the main thread, and waits for the task to end."""
    operators: list[SendMessageOperator] = []
    signals: list[int] = []

    class Operator(SendMessageOperator):
        def execute(self, context: Any) -> Any:
            operators.append(self)
            return super().execute(context)

    def terminate(number: int, frame: Any) -> None:
        signals.append(number)
        operators[0].on_kill()

    fast_emulator.quirks.set(list_lag=3)
    fast_emulator.fail_next(method="POST", accept_then_drop=True)
    previous = signal.signal(signal.SIGTERM, terminate)
    timers = [threading.Timer(delay, os.kill, (os.getpid(), signal.SIGTERM)) for delay in (0.5, 1.5, 2.5)]
    try:
        for timer in timers:
            timer.start()
        record = run(Operator, TaskInstance({}).context(), reconcile_timeout=10, **SEND)
    finally:
        for timer in timers:
            timer.cancel()
        signal.signal(signal.SIGTERM, previous)
    assert signals
    assert [record["sid"]] == [message["sid"] for message in fast_emulator.messages]


def test_send_once_operator_reads_state_of_earlier_release(run: Run, emulator: Emulator):
    """The stored format may be extended, but this state must stay readable."""
    sid = run(SendMessageOperator, TaskInstance({}).context(), **SEND)["sid"]
    instance = TaskInstance({})
    instance.context()
    assert instance.store is not None
    instance.store.values = {"twilio_sid.3": f'{{"sid": "{sid}", "sent_at": "2026-01-02T03:04:05+00:00"}}'}
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == sid
    assert len(emulator.messages) == 1


def test_send_once_operator_publishes_sid_without_private_values(run: Run, emulator: Emulator):
    plain, mapped = TaskInstance({}), TaskInstance({}, 2)
    for instance in (plain, mapped):
        sid = run(SendMessageOperator, instance.context(), **SEND)["sid"]
        (entry,) = published(instance)
        assert (entry["sid"], entry["owner"]) == (sid, ["send", instance.map_index])
        stored = json.dumps([entry, instance.store.values if instance.store else None])
        assert not [private for private in (TO[1:], FROM[1:], "nightly", emulator.auth_token) if private in stored]


def test_send_once_operator_checks_options_in_dag_file():
    invalid: dict[str, Any]
    for invalid in ({"on_clear": "again"}, {"on_unresolved": "maybe"}):
        with pytest.raises(ValueError, match="use one of"):
            SendMessageOperator(task_id="send", **SEND | invalid)


def test_send_once_operator_is_base_of_all_creating_operators():
    for operator in (SendMessageOperator, CreateCallOperator, PurchaseNumberOperator, CreateAccountOperator):
        assert issubclass(operator, SendOnceOperator)
    assert len(MATCHERS) == 4
