"""Sending once in a task: retries, Clear, twins, and Airflow without a state store."""

from __future__ import annotations

import hashlib
import json
import timeit
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, AirflowSkipException
from airflow_provider_twilio._airflow.send_once import default_key
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import NotSent
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators._base.send_once import SendOnceOperator
from airflow_provider_twilio.operators.accounts import CreateAccountOperator
from airflow_provider_twilio.operators.calls import CreateCallOperator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.operators.phone_numbers import PurchaseNumberOperator
from airflow_provider_twilio.runtime.idempotency.fingerprint import MATCHERS

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"
SEND: dict[str, Any] = {"to": TO, "from_": FROM, "body": "The nightly load has failed."}


class Store:
    """Airflow's accessor of the task state store."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values.get(key, "null")) or default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class Instance:
    """A task instance of a run, over its tries, as far as the context shows it.

    :param run: the XComs of the run, shared by its task instances.
    """

    def __init__(self, run: dict[Any, Any], map_index: int = -1, retries: int = 3, *, store: bool = True) -> None:
        self.run, self.map_index, self.task_id = run, map_index, "send"
        self.dag = SimpleNamespace(tasks=[SimpleNamespace(task_id="send", operator_class=SendMessageOperator)])
        self.task = SimpleNamespace(retries=retries, dag=self.dag)
        self.max_tries, self.try_number = retries, 0
        self.start_date = self.begun = datetime.now(UTC)
        self.store = Store() if store else None

    def xcom_push(self, key: str, value: Any) -> None:
        self.run[self.task_id, self.map_index, key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: Any = None, *, key: str = "return_value") -> Any:
        return [value for (task_id, _, of), value in self.run.items() if task_id in task_ids and of == key]

    def clear(self) -> None:
        """Do what Airflow does when a user clears it."""
        self.max_tries = self.try_number + self.task.retries

    def context(self) -> dict[str, Any]:
        """Begin the next try."""
        self.try_number += 1
        self.start_date = datetime.now(UTC)
        for place in [place for place in self.run if place[:2] == (self.task_id, self.map_index)]:
            del self.run[place]
        found = {"ti": self, "dag_run": SimpleNamespace(start_date=self.begun)}
        return {**found, "task_state_store": self.store} if self.store else found


def published(instance: Instance) -> list[Any]:
    return [value for (_, _, key), value in instance.run.items() if key == "twilio_sid"]


@pytest.fixture
def quick(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Let the connection's time-out be short, and what is retried come soon."""
    uri = f"{emulator.connection_uri}/?timeout=0.5&retry_max_wait=0.01"
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", uri)
    return emulator


def test_a_retry_does_not_send_and_a_clear_does(run: Run, emulator: Emulator):
    instance = Instance({})
    first = run(SendMessageOperator, instance.context(), **SEND)
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == first["sid"]
    instance.clear()
    second = run(SendMessageOperator, instance.context(), **SEND)
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == second["sid"]
    assert [first["sid"], second["sid"]] == [message["sid"] for message in emulator.messages]


def test_a_task_that_waits_for_its_retry_does_not_send_when_its_sibling_is_cleared(run: Run, emulator: Emulator):
    xcoms: dict[Any, Any] = {}
    one, other = Instance(xcoms, 0), Instance(xcoms, 1)
    sids = [run(SendMessageOperator, instance.context(), **SEND)["sid"] for instance in (one, other)]
    other.clear()
    sids.append(run(SendMessageOperator, other.context(), **SEND)["sid"])
    assert run(SendMessageOperator, one.context(), **SEND)["sid"] == sids[0]
    assert sids == [message["sid"] for message in emulator.messages]


def test_a_clear_can_be_told_to_skip(run: Run, emulator: Emulator):
    instance = Instance({})
    run(SendMessageOperator, instance.context(), on_clear="skip", **SEND)
    instance.clear()
    run(SendMessageOperator, instance.context(), on_clear="skip", **SEND)
    assert len(emulator.messages) == 1


def test_once_can_be_turned_off(run: Run, emulator: Emulator):
    instance = Instance({})
    for _ in range(2):
        run(SendMessageOperator, instance.context(), once=False, **SEND)
    assert len(emulator.messages) == 2
    assert instance.store is not None
    assert not instance.store.values
    assert not published(instance)


def test_what_was_sent_before_the_clear_is_not_taken_for_what_is_sent_after_it(run: Run, quick: Emulator):
    instance = Instance({})
    first = run(SendMessageOperator, instance.context(), **SEND)
    instance.clear()
    quick.fail_next(method="POST", status=500)
    second = run(SendMessageOperator, instance.context(), reconcile_timeout=0.5, **SEND)
    assert [first["sid"], second["sid"]] == [message["sid"] for message in quick.messages]


@pytest.mark.parametrize("fault", [{"accept_then_drop": True}, {"accept_then_status": 500}, {"status": 500}])
@pytest.mark.parametrize(
    ("kind", "arguments", "shelf"),
    [
        (SendMessageOperator, SEND, "messages"),
        (CreateCallOperator, {"to": TO, "from_": FROM, "say": "The nightly load has failed."}, "calls"),
    ],
    ids=["message", "call"],
)
def test_a_lost_answer_is_settled(
    run: Run, quick: Emulator, kind: Any, arguments: dict[str, Any], shelf: str, fault: dict[str, Any]
):
    quick.fail_next(method="POST", **fault)
    record = run(kind, Instance({}).context(), reconcile_timeout=0.5, **arguments)
    assert [record["sid"]] == [sent["sid"] for sent in getattr(quick, shelf)]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(PurchaseNumberOperator, {"area_code": 415}), (CreateAccountOperator, {"friendly_name": "Branch 7"})],
    ids=["number", "account"],
)
def test_what_costs_every_month_is_not_tried_twice(run: Run, quick: Emulator, kind: Any, arguments: dict[str, Any]):
    instance = Instance({})
    quick.fail_next(method="POST", accept_then_drop=True)
    record = run(kind, instance.context(), **arguments)
    assert run(kind, instance.context(), **arguments)["sid"] == record["sid"]
    other, another = (
        Instance({}),
        {"phone_number": "+14155550190"} if "area_code" in arguments else {"friendly_name": "8"},
    )
    quick.fail_next(method="POST", status=500)
    with pytest.raises(AirflowFailException, match="not sent again"):
        run(kind, other.context(), reconcile_timeout=0.1, **another)
    assert quick.journal.count("POST") == 2


def test_a_retry_of_a_purchase_searches_no_more(run: Run, emulator: Emulator):
    instance = Instance({})
    for _ in range(2):
        run(PurchaseNumberOperator, instance.context(), area_code=415)
    assert emulator.journal.count("GET", "Available") == 1


def test_errors_that_come_again_fail_at_once_and_others_do_not(run: Run, emulator: Emulator, monkeypatch: Any):
    emulator.fail_next(method="POST", status=400, code=21211)
    with pytest.raises(AirflowFailException, match="21211"):
        run(SendMessageOperator, Instance({}).context(), **SEND)
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri.rpartition(':')[0]}:1/?retries=0")
    with pytest.raises(NotSent):
        run(SendMessageOperator, Instance({}).context(), **SEND)


def test_who_has_opted_out_can_be_skipped(run: Run, emulator: Emulator):
    emulator.fail_next(2, method="POST", status=400, code=21610)
    with pytest.raises(AirflowFailException):
        run(SendMessageOperator, Instance({}).context(), **SEND)
    with pytest.raises(AirflowSkipException):
        run(SendMessageOperator, Instance({}).context(), skip_opted_out=True, **SEND)


@pytest.fixture
def service(emulator: Emulator) -> str:
    hook = TwilioHook()
    sid: str = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "news"})["sid"]
    (number,) = hook.incoming_phone_numbers.list()
    url = f"https://messaging.twilio.com/v1/Services/{sid}/PhoneNumbers"
    hook.request("POST", url, {"PhoneNumberSid": number["sid"]})
    return sid


def test_what_was_scheduled_is_found_when_its_time_has_come(run: Run, emulator: Emulator, service: str):
    instance = Instance({})
    scheduled = {"to": TO, "body": "x", "messaging_service_sid": service, "schedule_type": "fixed"}
    ahead = (datetime.now(UTC) + timedelta(seconds=400)).isoformat()
    first = run(SendMessageOperator, instance.context(), **scheduled, send_at=ahead)
    near = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
    assert run(SendMessageOperator, instance.context(), **scheduled, send_at=near)["sid"] == first["sid"]


def test_a_retry_that_comes_too_late_to_schedule_says_so(run: Run, quick: Emulator, service: str):
    instance = Instance({})
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
    quick.fail_next(2, method="POST", path="Messages", status=500)
    with pytest.raises(Exception, match="500"):
        run(SendMessageOperator, instance.context(), **scheduled, send_at=ahead)
    with pytest.raises(AirflowFailException, match=r"an earlier try did not send this.*send_at is"):
        run(SendMessageOperator, instance.context(), **scheduled, send_at=near)
    assert not quick.messages


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (SendMessageOperator, {**SEND, "wait_for_delivery": True}),
        (CreateCallOperator, {"to": TO, "from_": FROM, "say": "Hello", "wait_for_completion": True}),
    ],
)
def test_a_dry_run_does_not_wait(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, kind: Any, arguments: Any, deferrable: bool
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?dry_run=true")
    told = run(kind, **arguments, deferrable=deferrable)
    assert (told["sid"], told["status"]) == (None, "dry-run")
    assert emulator.journal.count() == 0


# ---------------------------------------------------------------- Airflow 3.1 and 3.2


def test_without_a_store_a_retry_asks_what_the_run_has_sent(run: Run, emulator: Emulator):
    instance = Instance({}, store=False)
    first = run(SendMessageOperator, instance.context(), **SEND)
    assert emulator.journal.count("GET") == 0
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == first["sid"]


def test_without_a_store_a_cleared_task_sends_again(run: Run, emulator: Emulator):
    instance = Instance({}, store=False)
    for _ in range(2):
        run(SendMessageOperator, instance.context(), **SEND)
    instance.clear()
    run(SendMessageOperator, instance.context(), **SEND)
    assert len(emulator.messages) == 2


def test_without_a_store_a_mapped_retry_leaves_out_what_its_siblings_own(run: Run, emulator: Emulator):
    xcoms: dict[Any, Any] = {}
    one, other = Instance(xcoms, 0, store=False), Instance(xcoms, 1, store=False)
    sids = [run(SendMessageOperator, instance.context(), **SEND)["sid"] for instance in (one, other)]
    assert run(SendMessageOperator, one.context(), **SEND)["sid"] == sids[0]
    assert run(SendMessageOperator, other.context(), **SEND)["sid"] == sids[1]


@pytest.mark.parametrize("on_clear", ["resend", "skip"])
def test_what_was_sent_before_there_was_a_store_is_sent_again(run: Run, emulator: Emulator, on_clear: str):
    """So docs/upgrading.md says when to upgrade Airflow."""
    instance = Instance({}, store=False)
    run(SendMessageOperator, instance.context(), on_clear=on_clear, **SEND)
    instance.store = Store()
    if on_clear == "skip":
        instance.clear()
    for _ in range(2):
        run(SendMessageOperator, instance.context(), on_clear=on_clear, **SEND)
    assert len(emulator.messages) == 2


def test_what_an_earlier_release_has_stored_is_read(run: Run, emulator: Emulator):
    """Whoever changes what is stored has to go on reading this."""
    sid = run(SendMessageOperator, Instance({}).context(), **SEND)["sid"]
    instance = Instance({})
    instance.context()
    assert instance.store is not None
    instance.store.values = {"twilio_sid.3": f'{{"sid": "{sid}", "sent_at": "2026-01-02T03:04:05+00:00"}}'}
    assert run(SendMessageOperator, instance.context(), **SEND)["sid"] == sid
    assert len(emulator.messages) == 1


# ---------------------------------------------------------------- the XCom, and the hook


def test_the_sid_is_published_and_nothing_private_with_it(run: Run, emulator: Emulator):
    plain, mapped = Instance({}), Instance({}, 2)
    for instance in (plain, mapped):
        sid = run(SendMessageOperator, instance.context(), **SEND)["sid"]
        (entry,) = published(instance)
        assert (entry["sid"], entry["who"]) == (sid, ["send", instance.map_index])
        told = json.dumps([entry, instance.store.values if instance.store else None])
        assert not [private for private in (TO[1:], FROM[1:], "nightly", emulator.auth_token) if private in told]


def test_the_hook_sends_once_in_a_task(emulator: Emulator):
    instance, hook = Instance({}), TwilioHook()
    sids: list[list[str]] = []
    for _ in range(2):
        context = instance.context()
        sids.append([hook.send_once(context, Messages.create(**SEND | {"body": text})).sid or "" for text in "abab"])
    assert sids[0] == sids[1]
    assert [sids[0][0], sids[0][1]] == [message["sid"] for message in emulator.messages]
    call = hook.send_once(instance.context(), Calls.create(to=TO, from_=FROM, url="https://example.com"), key="alarm")
    again = hook.send_once(instance.context(), Calls.create(to=TO, from_=FROM, twiml="<Response/>"), key="alarm")
    assert [call["sid"], again["sid"]] == [emulator.calls[0]["sid"]] * 2
    assert len(emulator.calls) == 1


def test_the_hook_sends_once_though_the_connection_changes(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    """Neither another credential nor another default of the connection makes it another send."""
    instance, request = Instance({}), Messages.create(to=TO, body=SEND["body"])
    key, secret = emulator.main_key
    sids = []
    for login, password, sender in (
        (emulator.account_sid, emulator.auth_token, FROM),
        (key, secret, FROM),
        (emulator.account_sid, emulator.auth_token, "+15005550010"),
    ):
        extra = {"account_sid": emulator.account_sid, "from_": sender}
        fields = {"login": login, "password": password, "host": emulator.host, "port": emulator.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", json.dumps({"conn_type": "twilio", **fields}))
        sids.append(TwilioHook().send_once(instance.context(), request).sid)
    assert sids == [emulator.messages[0]["sid"]] * 3
    assert len(emulator.messages) == 1


def test_the_hook_tells_sends_apart_by_connection_account_and_kind(emulator: Emulator):
    request, other = Messages.create(**SEND), Messages.create(**SEND | {"to": "+14155550124"})
    settings = TwilioHook().client.settings
    names = {
        default_key(settings, request),
        default_key(settings, other),
        default_key(replace(settings, conn_id="another"), request),
        default_key(replace(settings, account_sid="AC" + "0" * 32), request),
        default_key(settings, request.replace(path="Calls.json")),
    }
    assert len(names) == 5
    assert {len(name) for name in names} == {24}


def test_what_a_send_says_is_no_quick_guess(emulator: Emulator):
    """Its name is read by whoever may see the task's XComs or its state; numbers are few enough to try them all."""
    settings, request, plain = TwilioHook().client.settings, Messages.create(**SEND), str(SEND).encode()
    naming = min(timeit.repeat(lambda: default_key(settings, request), number=1, repeat=5))
    hashing = min(timeit.repeat(lambda: hashlib.sha256(plain), number=1, repeat=5))
    assert naming > 1000 * hashing


def test_the_hook_fails_at_once_on_what_comes_again(emulator: Emulator):
    emulator.fail_next(method="POST", status=400, code=21211)
    with pytest.raises(AirflowFailException):
        TwilioHook().send_once(Instance({}).context(), Messages.create(**SEND))


def test_options_are_checked_in_the_dag_file():
    wrong: dict[str, Any]
    for wrong in ({"on_clear": "again"}, {"on_unresolved": "maybe"}):
        with pytest.raises(ValueError, match="give one of"):
            SendMessageOperator(task_id="send", **SEND | wrong)


def test_all_that_must_not_happen_twice_is_sent_once():
    for kind in (SendMessageOperator, CreateCallOperator, PurchaseNumberOperator, CreateAccountOperator):
        assert issubclass(kind, SendOnceOperator)
    assert len(MATCHERS) == 4
