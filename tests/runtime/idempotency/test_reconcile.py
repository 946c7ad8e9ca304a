"""Reconcile an unknown outcome with Twilio's list: delayed, obfuscated, ambiguous or too long."""

from __future__ import annotations

import json

import pytest

from airflow_provider_twilio.api.errors import AmbiguousOutcome, OutcomeUnresolved
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.idempotency import reconcile
from airflow_provider_twilio.runtime.idempotency.send import send_once
from airflow_provider_twilio.runtime.state_store import NullStore
from tests.support.send_once import (
    ACCEPTED,
    LOST_RESPONSES,
    RESPONDED,
    STORED,
    TIMEOUT,
    Killed,
    Task,
    connection,
    message,
    sids,
)


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
@pytest.mark.parametrize("lag", [0, 20])
@pytest.mark.parametrize("fault", LOST_RESPONSES, ids=str)
def test_send_once_lost_response_is_reconciled_in_same_try(
    sender: Task, emulator: Emulator, fault: str, lag: float, unsent: str
):
    for body in ("The nightly load has failed. Again.", "something else"):  # earlier messages to the same recipient
        sender.run(message(body=body), key=body)
    sender.sleep(7200)
    emulator.quirks.set(list_lag=lag, unsent=unsent)
    emulator.fail_next(method="POST", **LOST_RESPONSES[fault])
    record = sender.run(message())
    assert len(sids(emulator)) == 3
    assert record["sid"] == sids(emulator)[-1]
    assert sender.run(message())["sid"] == record["sid"]


def test_send_once_response_after_timeout_is_reconciled(sender: Task, emulator: Emulator):
    emulator.fail_next(method="POST", accept_then_stall=1.0)
    record = sender.run(message(), client=sender.client(timeout=0.3))
    assert sids(emulator) == [record["sid"]]


def test_send_once_finds_queued_and_failed_messages(sender: Task, emulator: Emulator):
    emulator.quirks.set(unsent="last")
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED)
    (sid,) = sids(emulator)
    emulator.set_message_status(sid, "failed", 30008)
    assert sender.run(message())["sid"] == sid


def test_send_once_resends_only_after_timeout_and_reconcile_timeout(sender: Task, emulator: Emulator):
    emulator.fail_next(method="POST", status=500)
    started = sender.now()
    sender.run(message(), reconcile_timeout=30)
    posts = emulator.journal.find("POST")
    assert len(posts) == 2
    assert posts[1].time - started.timestamp() == pytest.approx(TIMEOUT + 30)
    polls = [entry.time for entry in emulator.journal.find("GET", "Messages")]
    assert len(polls) >= 5
    assert polls[-1] - started.timestamp() == pytest.approx(TIMEOUT + 30)


def test_send_once_does_not_resend_to_obfuscated_recipient(sender: Task, emulator: Emulator):
    emulator.fail_next(method="POST", status=500)
    with pytest.raises(OutcomeUnresolved, match="not sent again"):
        sender.run(message(address_retention="obfuscate"))
    assert sender.run(message(address_retention="obfuscate"), on_unresolved="resend")["sid"] == sids(emulator)[0]


def test_send_once_finds_message_of_earlier_process_still_sending(sender: Task, emulator: Emulator):
    """The supervisor of the earlier process is dead; the process sends after the next try has started."""
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    assert json.loads(sender.state["k"])["attempts"] == 1
    assert not sids(emulator)
    late: list[Message] = []
    original_sleep = sender.sleep

    def sleep(seconds: float) -> None:
        original_sleep(seconds)
        if not late and sender.counts["slept"] > 12:
            with Client(connection(emulator)) as other:
                late.append(other.send(message()))

    sender.sleep = sleep  # type: ignore[method-assign]
    assert sender.run(message())["sid"] == late[0]["sid"]
    assert len(sids(emulator)) == 1


def test_send_once_finds_message_by_stored_body(sender: Task, emulator: Emulator):
    with pytest.raises(Killed):
        sender.run(message(body="Failed at 12:00"), kill_at=ACCEPTED)
    sender.run(message(body="Failed at 12:01"), key="another")
    assert sender.run(message(body="Failed at 12:02"))["sid"] == sids(emulator)[0]


def test_send_once_fails_if_recipient_changes(sender: Task, emulator: Emulator):
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED)
    with pytest.raises(OutcomeUnresolved, match="another recipient"):
        sender.run(message(to="+14155550199"))
    assert emulator.journal.count("POST") == 1


def test_send_once_finds_message_after_credentials_change(sender: Task, emulator: Emulator):
    with pytest.raises(Killed):
        sender.run(message(), kill_at=RESPONDED)
    (sid,) = sids(emulator)
    user, secret = emulator.main_key
    assert sender.run(message(), client=sender.client(auth=Basic(user, secret)))["sid"] == sid


def test_send_once_fails_if_credentials_and_body_change(sender: Task, emulator: Emulator):
    """The stored body cannot be compared any more, and the current one differs: the message may be this task's."""
    with pytest.raises(Killed):
        sender.run(message(body="Failed at 12:00"), kill_at=RESPONDED)
    user, secret = emulator.main_key
    with pytest.raises(AmbiguousOutcome, match="secret has changed") as caught:
        sender.run(message(body="Failed at 12:01"), client=sender.client(auth=Basic(user, secret)))
    assert caught.value.candidates == tuple(sids(emulator))
    assert emulator.journal.count("POST") == 1


def test_send_once_does_not_take_message_with_similar_body(sender: Task, emulator: Emulator):
    with Client(connection(emulator)) as other:
        other.send(message(body="Balance: 10.00 EUR"))
    emulator.fail_next(method="POST", status=500)
    assert sender.run(message(body="Balance: 1000 EUR"))["body"] == "Balance: 1000 EUR"
    assert len(sids(emulator)) == 2


def test_send_once_fails_if_list_is_too_long(sender: Task, emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reconcile, "MAX_RECORDS", 3)
    for number in range(4):
        sender.run(message(body=f"{number}"), key=f"{number}")
    emulator.fail_next(method="POST", status=500)
    with pytest.raises(OutcomeUnresolved, match="too long"):
        sender.run(message())


def test_send_once_without_state_reconciles_from_start_of_run(sender: Task, emulator: Emulator):
    started = sender.now()
    sender.sleep(30)
    with Client(connection(emulator)) as client:
        first = send_once(client, NullStore(), message(), key="k", clock=sender)
        sender.sleep(600)
        again = send_once(client, NullStore(), message(), key="k", clock=sender, possible_since=started)
        assert again["sid"] == first["sid"]
        assert len(sids(emulator)) == 1
        slept_before = sender.counts["slept"]
        other = send_once(
            client, NullStore(), message(body="never sent"), key="k", clock=sender, possible_since=started
        )
        assert 30 <= sender.counts["slept"] - slept_before < 40
    assert sids(emulator) == [first["sid"], other["sid"]]


def test_send_once_fails_on_two_matches_without_siblings(sender: Task, emulator: Emulator):
    with Client(connection(emulator)) as other:
        other.send(message())
    emulator.fail_next(method="POST", accept_then_drop=True)
    with pytest.raises(AmbiguousOutcome) as caught:
        sender.run(message())
    assert set(caught.value.candidates) == set(sids(emulator))


def test_send_once_leaves_out_claimed_sids(sender: Task, emulator: Emulator):
    with Client(connection(emulator)) as other:
        claimed = other.send(message())["sid"]
    emulator.fail_next(method="POST", accept_then_drop=True)
    assert sender.run(message(), claimed_sids=lambda: [claimed])["sid"] == sids(emulator)[1]
