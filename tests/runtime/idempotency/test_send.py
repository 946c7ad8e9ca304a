"""Send a request once: across crashes and lost responses, Twilio never acts twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_twilio.api.accounts import Accounts
from airflow_provider_twilio.api.errors import (
    BadParameter,
    InvalidRequest,
    OutcomeUnknown,
    OutcomeUnresolved,
    RateLimited,
)
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.emulator import Emulator
from tests.support.send_once import (
    FAULTS,
    FROM,
    PUBLISHED,
    QUIRKS,
    STORED,
    TO,
    Killed,
    Task,
    attempt,
    available_numbers,
    connection,
    message,
    owned_numbers,
    run_after_fault,
    sids,
)


def test_send_once_costs_two_writes_one_read_and_one_request(sender: Task, emulator: Emulator):
    record = sender.run(message())
    assert isinstance(record, Message)
    assert [record["sid"]] == sids(emulator)
    assert (sender.counts["get"], sender.counts["set"], sender.counts["delete"], sender.counts["entries"]) == (
        1,
        2,
        0,
        0,
    )
    assert sender.counts["slept"] == 0
    assert len(emulator.journal) == 1


def test_send_once_next_try_returns_record_without_sending(sender: Task, emulator: Emulator):
    first = sender.run(message())
    second = sender.run(message(body="another body, as rendered by a template that contains the time"))
    assert second["sid"] == first["sid"]
    assert type(second) is Message
    assert emulator.journal.count("POST") == 1


def test_send_once_with_another_key_sends_again(sender: Task, emulator: Emulator):
    sender.run(message(), key="k.3")
    sender.run(message(), key="k.7")
    assert len(sids(emulator)) == 2


def test_send_once_stores_and_publishes_no_numbers_and_bodies(sender: Task):
    stored = ""
    for kill_at in (STORED, PUBLISHED, None):
        attempt(sender, message(), kill_at, None)
        stored += json.dumps([sender.state, sender.board])
    assert sender.emulator.messages[0]["sid"] in stored
    for private in (TO, TO[1:], FROM[1:], "nightly", sender.emulator.auth_token):
        assert private not in stored


def test_send_once_waits_for_new_sid_to_be_found(sender: Task, emulator: Emulator):
    sid = sender.run(message())["sid"]
    emulator.quirks.set(fetch_lag=4)
    record = sender.run(message())
    assert (record["sid"], record["status"]) == (sid, "delivered")


def test_send_once_does_not_resend_deleted_message(sender: Task, emulator: Emulator):
    sid = sender.run(message())["sid"]
    sender.sleep(3600)
    with sender.client() as client:
        client.messages.delete(sid)
    assert sender.run(message()) == {"sid": sid}
    assert emulator.journal.count("POST") == 1


def test_send_once_dry_run_stores_nothing(sender: Task, emulator: Emulator):
    record = sender.run(message(), client=Client(connection(emulator, dry_run=True)))
    assert record["status"] == "dry-run"
    assert not sender.state
    assert sender.run(message())["sid"] in sids(emulator)


def test_send_once_dry_run_checks_final_request(sender: Task):
    client = sender.client(dry_run=True, allowed_recipients=(TO,))
    with pytest.raises(BadParameter, match="allowed_recipients"):
        sender.run(message(), client=client, finalize_request=lambda request: message(to="+14155550199"))


def test_send_once_rejected_by_guard_stores_nothing(sender: Task, emulator: Emulator):
    client = sender.client(allowed_recipients=("+44",))
    with pytest.raises(BadParameter):
        sender.run(message(), client=client)
    assert not sender.state
    assert len(emulator.journal) == 0


@pytest.mark.parametrize(
    "request_", [Messages.update("SM" + "0" * 32, body=""), Messages.fetch("SM" + "0" * 32)], ids=["update", "fetch"]
)
def test_send_once_rejects_idempotent_requests(sender: Task, request_: Request[Any]):
    with pytest.raises(BadParameter, match="cannot be sent exactly once"):
        sender.run(request_)


def test_send_once_second_lost_response_is_left_to_next_try(sender: Task, emulator: Emulator):
    emulator.fail_next(2, method="POST", status=500)
    with pytest.raises(OutcomeUnknown):
        sender.run(message())
    assert emulator.journal.count("POST") == 2
    sender.sleep(300)
    record = sender.run(message())
    assert sids(emulator) == [record["sid"]]


def test_send_once_rate_limited_retry_stores_new_time(sender: Task, emulator: Emulator):
    emulator.fail_next(2, method="POST", status=429, retry_after=0.01)
    record = sender.run(message())
    assert sids(emulator) == [record["sid"]]
    assert sender.counts["set"] == 4


def test_send_once_rate_limited_request_has_as_many_retries_as_the_connection(sender: Task, emulator: Emulator):
    emulator.fail_next(20, method="POST", status=429, retry_after=0.01)
    with pytest.raises(RateLimited):
        sender.run(message(), client=sender.client(retries=4))
    assert emulator.journal.count("POST") == 5


def test_send_once_rejected_after_lost_response_keeps_intent(sender: Task, emulator: Emulator):
    """The first attempt may still have an effect that Twilio's list has not shown: the next try reconciles."""
    emulator.fail_next(method="POST", status=500)
    emulator.fail_next(method="POST", status=400)
    with pytest.raises(InvalidRequest):
        sender.run(message())
    assert json.loads(sender.state["k"])["attempts"] == 2
    with Client(connection(emulator)) as other:
        late = other.send(message())["sid"]
    assert sender.run(message())["sid"] == late
    assert sids(emulator) == [late]


@pytest.mark.parametrize(("fault", "error"), [({"status": 429}, RateLimited), ({"status": 400}, InvalidRequest)])
def test_send_once_rejected_request_is_not_reconciled(
    sender: Task, emulator: Emulator, fault: dict[str, Any], error: type[Exception]
):
    emulator.fail_next(20, method="POST", **fault)
    with pytest.raises(error):
        sender.run(message())
    assert not sender.state
    emulator.state.faults.clear()
    sender.run(message())
    assert emulator.journal.count("GET") == 0
    assert len(sids(emulator)) == 1


def test_send_once_killed_at_every_step_sends_one_message(emulator: Emulator):
    """The first try is killed after each of its steps; the second one after every third of its steps."""
    outcomes = set()
    for first in range(14):
        for second in (None, *range(0, 24, 3)):
            emulator.reset()
            emulator.clock.freeze()
            sender = Task(emulator)
            kills = 0
            for kill_at in (first, second):
                try:
                    sender.run(message(), kill_at=kill_at)
                except Killed:
                    kills += 1
                sender.sleep(5)
            record = sender.run(message())
            assert sids(emulator) == [record["sid"]], (first, second)
            outcomes.add(kills)
    assert outcomes == {0, 1, 2}


def test_send_once_stores_purchased_number_in_intent(sender: Task, emulator: Emulator):
    (number,) = available_numbers(emulator, 1)
    with pytest.raises(Killed):
        sender.run(IncomingPhoneNumbers.create(phone_number=number), kill_at=STORED)
    assert json.loads(sender.state["k"])["fingerprint"]["number"] == number


def test_send_once_retry_purchases_same_number(sender: Task, emulator: Emulator):
    numbers = iter(available_numbers(emulator, 2))

    def choose_number(request: Request[Any]) -> Request[Any]:
        return IncomingPhoneNumbers.create(phone_number=next(numbers))

    purchase, first = IncomingPhoneNumbers.create(area_code=415), available_numbers(emulator, 1)[0]
    with pytest.raises(Killed):
        sender.run(purchase, finalize_request=choose_number, kill_at=STORED)
    assert sender.run(purchase, finalize_request=choose_number, on_unresolved="resend")["phone_number"] == first
    assert sender.run(purchase, finalize_request=choose_number)["phone_number"] == first
    assert len(owned_numbers(emulator)) == 1


@pytest.mark.parametrize("record_type", ["number", "account"])
def test_send_once_does_not_resend_unlisted_purchase(sender: Task, emulator: Emulator, record_type: str):
    request: Request[Any] = (
        IncomingPhoneNumbers.create(phone_number=available_numbers(emulator, 1)[0])
        if record_type == "number"
        else Accounts.create(friendly_name="Branch 7")
    )
    with pytest.raises(OutcomeUnresolved, match="not sent again"):
        run_after_fault(sender, request, status=500)
    assert emulator.journal.count("POST") == 1
    assert not owned_numbers(emulator)
    assert sender.run(request, on_unresolved="resend")["sid"]


def test_send_once_reports_request_that_is_no_longer_valid(sender: Task, emulator: Emulator):
    def reject(request: Request[Any]) -> Request[Any]:
        raise BadParameter("send_at", "is 100 s ahead", "pass a time at least 300 s ahead")

    with pytest.raises(BadParameter):
        sender.run(message(), finalize_request=reject)
    assert not sender.state
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    with pytest.raises(
        InvalidRequest, match="an earlier try did not send this request, and it is no longer valid: send_at is"
    ):
        sender.run(message(), finalize_request=reject)
    sender.run(message())
    sender.run(message(), finalize_request=reject)
    assert len(sids(emulator)) == 1


TRIES = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 30)), FAULTS, st.integers(0, 400)), max_size=5)
BODIES = st.sampled_from([{}, {"body": "👍"}, {"media_url": ["https://example.com/a.png"], "body": None}])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=TRIES, quirks=QUIRKS, body=BODIES)
def test_send_once_random_crashes_and_faults_send_one_message(
    emulator: Emulator, tries: list[tuple[int | None, dict[str, Any] | None, int]], quirks: dict[str, Any], body: Any
):
    emulator.reset()
    emulator.clock.freeze()
    emulator.quirks.set(**quirks)
    sender, request, returned = Task(emulator), message(**body), set()
    for kill_at, fault, delay in tries:
        if record := attempt(sender, request, kill_at, fault):
            returned.add(record["sid"])
        assert len(sids(emulator)) <= 1
        sender.sleep(delay)
    returned.add(attempt(sender, request, None, None)["sid"])  # type: ignore[index]
    assert list(returned) == sids(emulator)
