"""The wait for the reply to a question, in the triggerer and on a worker: which messages count, and how it ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.approval import Question
from airflow_provider_twilio.runtime.polling.approvals import wait_for_reply_blocking
from airflow_provider_twilio.runtime.polling.status import NOT_FOUND_GRACE
from airflow_provider_twilio.triggers.approvals import ApprovalTrigger

OURS, PHONE, OTHER = "+15005550006", "+14155550100", "+14155550101"
SID = "SM" + "0" * 32
FULL: dict[str, Any] = {
    "to": PHONE,
    "from_": OURS,
    "code": "4821",
    "created": 1e9,
    "deadline": 2e9,
    "poll_interval": 7.5,
    "twilio_conn_id": "other",
    "account_sid": "AC" + "1" * 32,
}


def test_approval_trigger_serialization_round_trips():
    path, arguments = ApprovalTrigger(SID, **FULL).serialize()
    assert ApprovalTrigger(**arguments).serialize() == (path, arguments)
    assert json.loads(json.dumps(arguments, allow_nan=False)) == arguments


@pytest.mark.parametrize(("name", "value"), [("message_sid", "CA" + "0" * 32), ("deadline", "soon"), ("to", "phone")])
def test_approval_trigger_bad_argument_raises(name: str, value: Any):
    with pytest.raises(BadParameter):
        ApprovalTrigger(**{"message_sid": SID, **FULL, name: value})


def ask(code: str | None = "4821", to: str = PHONE, duration: float = 600.0) -> Message:
    body = Question(code, 0, duration).format("Deploy?")
    return TwilioHook().messages.create(to=to, from_=OURS, body=body)


def build_trigger(record: Message, *, to: str = PHONE, duration: float = 600.0, **arguments: Any) -> ApprovalTrigger:
    assert record.date_created is not None
    created = record.date_created.timestamp()
    given = {"from_": OURS, "code": "4821", "poll_interval": 0.2, "deadline": created + duration, **arguments}
    return ApprovalTrigger(str(record.sid), to=to, created=created, **given)


def outcome(waiting: ApprovalTrigger, deferred: bool) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with asyncio.timeout(60):
            [event] = [item.payload async for item in waiting.run()]
            return dict(event)

    return asyncio.run(run()) if deferred else dict(wait_for_reply_blocking(waiting.spec, TwilioHook().client))


DEFERRED_OR_ON_WORKER = pytest.mark.parametrize("deferred", [True, False], ids=["deferred", "on_worker"])


@DEFERRED_OR_ON_WORKER
def test_approval_wait_matching_reply_returns_answer(emulator: Emulator, deferred: bool):
    waiting = build_trigger(ask())
    emulator.receive_message("what?", from_=PHONE)
    emulator.receive_message("yes 4821", from_=OTHER)
    sid = emulator.receive_message("Yes 4821", from_=PHONE)
    event = outcome(waiting, deferred)
    assert (event["outcome"], event["answer"], event["reply_sid"]) == ("reached", "yes", sid)
    assert PHONE[2:] not in str(event)


@DEFERRED_OR_ON_WORKER
def test_approval_wait_reply_to_other_number_times_out(emulator: Emulator, deferred: bool):
    other = TwilioHook().incoming_phone_numbers.create(phone_number=available_number()).phone_number
    waiting = build_trigger(ask(duration=2), duration=2)
    emulator.receive_message("yes 4821", from_=PHONE, to=str(other))
    assert outcome(waiting, deferred)["outcome"] == "timeout"


def test_approval_trigger_rejected_conversation_is_read_again(emulator: Emulator):
    """A token is rotated between a poll and reading the conversation."""
    waiting = build_trigger(ask())
    emulator.receive_message("Yes 4821", from_=PHONE)
    emulator.fail_next(2, status=401, method="GET", params={"From": PHONE})
    assert outcome(waiting, deferred=True)["answer"] == "yes"
    assert emulator.journal.count("GET", status=401) == 2


def available_number() -> str:
    found = next(iter(TwilioHook().available_phone_numbers.list("US", kind="Local", limit=1)))
    return str(found.phone_number)


@DEFERRED_OR_ON_WORKER
def test_approval_wait_unknown_sender_is_fetched(emulator: Emulator, deferred: bool):
    waiting = build_trigger(ask(), from_=None)
    emulator.receive_message("NO 4821", from_=PHONE)
    assert outcome(waiting, deferred)["answer"] == "no"


@DEFERRED_OR_ON_WORKER
def test_approval_wait_reply_before_sender_is_chosen_is_read_later(emulator: Emulator, deferred: bool):
    hook = TwilioHook()
    service = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "ask"})["sid"]
    pool = f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers"
    hook.request("POST", pool, {"PhoneNumberSid": emulator.numbers[0]["sid"]})
    emulator.clock.freeze()  # so that Twilio chooses no sender
    body = Question("4821", 0, 600).format("Deploy?")
    record = hook.messages.create(to=PHONE, messaging_service_sid=service, body=body)
    assert record.from_ is None
    emulator.receive_message("no 4821", from_=PHONE)
    timer = threading.Timer(1.5, emulator.clock.resume)
    timer.start()
    assert outcome(build_trigger(record, from_=None), deferred)["answer"] == "no"
    timer.join()
    asked = [entry.params for entry in emulator.journal.find("GET", "Messages.json")]
    assert not any("None" in (params.get("To"), params.get("From")) for params in asked)


@DEFERRED_OR_ON_WORKER
def test_approval_wait_stop_reply_fails(emulator: Emulator, deferred: bool):
    waiting = build_trigger(ask())
    emulator.receive_message("STOP", from_=PHONE)
    event = outcome(waiting, deferred)
    assert event["outcome"] == "failed"
    assert "STOP" in event["reason"]


@DEFERRED_OR_ON_WORKER
def test_approval_wait_undelivered_question_fails(emulator: Emulator, deferred: bool):
    unreachable = "+15005559001"
    waiting = build_trigger(ask(to=unreachable), to=unreachable)
    emulator.clock.advance(60)
    event = outcome(waiting, deferred)
    assert (event["outcome"], event["error_code"]) == ("failed", 30003)


@DEFERRED_OR_ON_WORKER
def test_approval_wait_without_reply_times_out(emulator: Emulator, deferred: bool):
    assert outcome(build_trigger(ask(duration=2), duration=2), deferred)["outcome"] == "timeout"


@DEFERRED_OR_ON_WORKER
def test_approval_wait_timely_reply_counts_after_deadline(emulator: Emulator, deferred: bool):
    record = ask(duration=2)
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    time.sleep(2.5)
    assert outcome(build_trigger(record, duration=2), deferred)["reply_sid"] == sid


@DEFERRED_OR_ON_WORKER
def test_approval_wait_bare_reply_matches_the_only_open_question(emulator: Emulator, deferred: bool):
    first = build_trigger(ask(None, duration=5), duration=5, code=None)
    second = build_trigger(ask(None), code=None)
    time.sleep(2)  # until both questions are sent
    emulator.receive_message("yes", from_=PHONE)  # could be the reply to either question
    assert outcome(first, deferred)["outcome"] == "timeout"
    time.sleep(1)  # the first question has expired, in whole seconds, too
    sid = emulator.receive_message("no", from_=PHONE)
    event = outcome(second, deferred)
    assert (event["answer"], event["reply_sid"]) == ("no", sid)


@DEFERRED_OR_ON_WORKER
def test_approval_wait_after_guessed_codes_ignores_phone_for_a_while(
    emulator: Emulator, deferred: bool, caplog: pytest.LogCaptureFixture
):
    waiting = build_trigger(ask("48213955"), code="48213955")
    for number in range(20):
        emulator.receive_message(f"yes {10_000_000 + number}", from_=PHONE)  # a forged sender
    emulator.clock.advance(seconds=5)
    emulator.receive_message("yes 48213955", from_=PHONE)
    emulator.clock.advance(seconds=60)
    sid = emulator.receive_message("no 4821 3955", from_=PHONE)
    event = outcome(waiting, deferred)
    assert (event["answer"], event["reply_sid"]) == ("no", sid)
    assert "Received 5 wrong codes from +1415•••0100" in caplog.text
    assert PHONE not in caplog.text


@DEFERRED_OR_ON_WORKER
def test_approval_wait_server_errors_are_survived(emulator: Emulator, deferred: bool):
    waiting = build_trigger(ask())
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    emulator.fail_next(3, status=503, method="GET")
    assert outcome(waiting, deferred)["reply_sid"] == sid


def test_approval_triggers_share_a_poll(emulator: Emulator):
    waiting = [build_trigger(ask(f"{code}"), code=f"{code}", poll_interval=1) for code in range(1000, 1010)]

    async def run() -> list[str]:
        async def reply_sid(trigger: ApprovalTrigger) -> str:
            [event] = [item.payload async for item in trigger.run()]
            return str(event["reply_sid"])

        tasks = [asyncio.create_task(reply_sid(trigger)) for trigger in waiting]
        await asyncio.sleep(3)
        asked = emulator.journal.count("GET")
        assert asked <= 12  # a list each second, and the questions until they are delivered
        sids = [emulator.receive_message(f"yes {code}", from_=PHONE) for code in range(1000, 1010)]
        assert await asyncio.gather(*tasks) == sids
        return sids

    asyncio.run(run())


def test_approval_trigger_reply_during_wait_ends_it(emulator: Emulator):
    waiting = build_trigger(ask())
    timer = threading.Timer(1.0, lambda: emulator.receive_message("yes 4821", from_=PHONE))
    timer.start()
    assert outcome(waiting, True)["answer"] == "yes"
    timer.join()


@DEFERRED_OR_ON_WORKER
def test_approval_wait_recent_question_not_found_continues(emulator: Emulator, deferred: bool):
    emulator.quirks.set(fetch_lag=1.0)
    waiting = build_trigger(ask())
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    assert outcome(waiting, deferred)["reply_sid"] == sid


@DEFERRED_OR_ON_WORKER
def test_approval_wait_deleted_question_accepts_reply(emulator: Emulator, deferred: bool):
    record = ask()
    emulator.clock.advance(hours=1)
    TwilioHook().messages.delete(str(record.sid))
    sid = emulator.receive_message("no 4821", from_=PHONE)
    event = outcome(build_trigger(record, duration=7200), deferred)
    assert (event["answer"], event["reply_sid"]) == ("no", sid)


def test_approval_wait_deleted_question_without_sender_errors(emulator: Emulator):
    record = ask()
    emulator.clock.advance(hours=1)
    TwilioHook().messages.delete(str(record.sid))
    asked = time.time() - 2 * NOT_FOUND_GRACE
    waiting = ApprovalTrigger(str(record.sid), to=PHONE, created=asked, deadline=asked + 600, poll_interval=0.2)
    event = outcome(waiting, deferred=False)
    assert event["outcome"] == "error"
    assert "does not exist" in event["reason"]
