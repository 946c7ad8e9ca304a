"""The wait for an answer: what is heard, what is read, and how it ends."""

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
from airflow_provider_twilio.runtime.polling.status import NOT_FOUND_GRACE
from airflow_provider_twilio.triggers.approvals import AnswerTrigger

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


def test_round_trip():
    path, kept = AnswerTrigger(SID, **FULL).serialize()
    assert AnswerTrigger(**kept).serialize() == (path, kept)
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


@pytest.mark.parametrize(("name", "value"), [("message_sid", "CA" + "0" * 32), ("deadline", "soon"), ("to", "phone")])
def test_bad_arguments_are_refused(name: str, value: Any):
    with pytest.raises(BadParameter):
        AnswerTrigger(**{"message_sid": SID, **FULL, name: value})


def ask(code: str | None = "4821", to: str = PHONE, lasts: float = 600.0) -> Message:
    body = Question(code, 0, lasts).format("Deploy?")
    return TwilioHook().messages.create(to=to, from_=OURS, body=body)


def trigger(record: Message, *, to: str = PHONE, lasts: float = 600.0, **arguments: Any) -> AnswerTrigger:
    assert record.date_created is not None
    created = record.date_created.timestamp()
    given = {"from_": OURS, "code": "4821", "poll_interval": 0.2, "deadline": created + lasts, **arguments}
    return AnswerTrigger(str(record.sid), to=to, created=created, **given)


def outcome(waiting: AnswerTrigger, deferred: bool) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with asyncio.timeout(60):
            [told] = [event.payload async for event in waiting.run()]
            return dict(told)

    return asyncio.run(run()) if deferred else waiting.wait(TwilioHook().client)


BOTH = pytest.mark.parametrize("deferred", [True, False], ids=["deferred", "on a worker"])


@BOTH
def test_an_answer(emulator: Emulator, deferred: bool):
    waiting = trigger(ask())
    emulator.receive_message("what?", from_=PHONE)
    emulator.receive_message("yes 4821", from_=OTHER)
    sid = emulator.receive_message("Yes 4821", from_=PHONE)
    told = outcome(waiting, deferred)
    assert (told["outcome"], told["answer"], told["reply_sid"]) == ("reached", "yes", sid)
    assert PHONE[2:] not in str(told)


@BOTH
def test_it_must_go_to_the_number_that_asked(emulator: Emulator, deferred: bool):
    other = TwilioHook().incoming_phone_numbers.create(phone_number=_free()).phone_number
    waiting = trigger(ask(lasts=2), lasts=2)
    emulator.receive_message("yes 4821", from_=PHONE, to=str(other))
    assert outcome(waiting, deferred)["outcome"] == "timeout"


def _free() -> str:
    found = next(iter(TwilioHook().available_phone_numbers.list("US", kind="Local", limit=1)))
    return str(found.phone_number)


@BOTH
def test_the_number_is_learnt_where_a_service_chose_it(emulator: Emulator, deferred: bool):
    waiting = trigger(ask(), from_=None)
    emulator.receive_message("NO 4821", from_=PHONE)
    assert outcome(waiting, deferred)["answer"] == "no"


@BOTH
def test_an_answer_waits_until_a_service_has_chosen_the_number(emulator: Emulator, deferred: bool):
    hook = TwilioHook()
    service = hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": "ask"})["sid"]
    pool = f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers"
    hook.request("POST", pool, {"PhoneNumberSid": emulator.numbers[0]["sid"]})
    emulator.clock.freeze()  # so nothing is chosen
    body = Question("4821", 0, 600).format("Deploy?")
    record = hook.messages.create(to=PHONE, messaging_service_sid=service, body=body)
    assert record.from_ is None
    emulator.receive_message("no 4821", from_=PHONE)
    timer = threading.Timer(1.5, emulator.clock.resume)
    timer.start()
    assert outcome(trigger(record, from_=None), deferred)["answer"] == "no"
    timer.join()
    asked = [entry.params for entry in emulator.journal.find("GET", "Messages.json")]
    assert not any("None" in (params.get("To"), params.get("From")) for params in asked)


@BOTH
def test_stop_is_unreachable(emulator: Emulator, deferred: bool):
    waiting = trigger(ask())
    emulator.receive_message("STOP", from_=PHONE)
    told = outcome(waiting, deferred)
    assert told["outcome"] == "failed"
    assert "STOP" in told["reason"]


@BOTH
def test_a_question_that_is_not_delivered_is_unreachable(emulator: Emulator, deferred: bool):
    lost = "+15005559001"
    waiting = trigger(ask(to=lost), to=lost)
    emulator.clock.advance(60)
    told = outcome(waiting, deferred)
    assert (told["outcome"], told["error_code"]) == ("failed", 30003)


@BOTH
def test_no_answer_in_time(emulator: Emulator, deferred: bool):
    assert outcome(trigger(ask(lasts=2), lasts=2), deferred)["outcome"] == "timeout"


@BOTH
def test_an_answer_in_time_counts_when_it_is_looked_for_later(emulator: Emulator, deferred: bool):
    record = ask(lasts=2)
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    time.sleep(2.5)
    assert outcome(trigger(record, lasts=2), deferred)["reply_sid"] == sid


@BOTH
def test_two_bare_questions_are_told_apart_by_time(emulator: Emulator, deferred: bool):
    first = trigger(ask(None, lasts=5), lasts=5, code=None)
    second = trigger(ask(None), code=None)
    time.sleep(2)  # both are sent
    emulator.receive_message("yes", from_=PHONE)  # could be meant for either
    assert outcome(first, deferred)["outcome"] == "timeout"
    time.sleep(1)  # the first is over now, by whole seconds too
    sid = emulator.receive_message("no", from_=PHONE)
    told = outcome(second, deferred)
    assert (told["answer"], told["reply_sid"]) == ("no", sid)


@BOTH
def test_trouble_passes(emulator: Emulator, deferred: bool):
    waiting = trigger(ask())
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    emulator.fail_next(3, status=503, method="GET")
    assert outcome(waiting, deferred)["reply_sid"] == sid


def test_many_questions_share_a_poll(emulator: Emulator):
    waiting = [trigger(ask(f"{code}"), code=f"{code}", poll_interval=1) for code in range(1000, 1010)]

    async def run() -> list[str]:
        async def one(it: AnswerTrigger) -> str:
            [told] = [event.payload async for event in it.run()]
            return str(told["reply_sid"])

        tasks = [asyncio.create_task(one(it)) for it in waiting]
        await asyncio.sleep(3)
        asked = emulator.journal.count("GET")
        assert asked <= 12  # a list a second; and the questions, until they are delivered
        sids = [emulator.receive_message(f"yes {code}", from_=PHONE) for code in range(1000, 1010)]
        assert await asyncio.gather(*tasks) == sids
        return sids

    asyncio.run(run())


def test_an_answer_while_it_waits(emulator: Emulator):
    waiting = trigger(ask())
    timer = threading.Timer(1.0, lambda: emulator.receive_message("yes 4821", from_=PHONE))
    timer.start()
    assert outcome(waiting, True)["answer"] == "yes"
    timer.join()


@BOTH
def test_a_fresh_question_may_not_be_found(emulator: Emulator, deferred: bool):
    emulator.quirks.set(fetch_lag=1.0)
    waiting = trigger(ask())
    sid = emulator.receive_message("yes 4821", from_=PHONE)
    assert outcome(waiting, deferred)["reply_sid"] == sid


@BOTH
def test_a_question_that_was_deleted_can_still_be_answered(emulator: Emulator, deferred: bool):
    record = ask()
    emulator.clock.advance(hours=1)
    TwilioHook().messages.delete(str(record.sid))
    sid = emulator.receive_message("no 4821", from_=PHONE)
    told = outcome(trigger(record, lasts=7200), deferred)
    assert (told["answer"], told["reply_sid"]) == ("no", sid)


def test_without_its_number_a_question_that_was_deleted_is_lost(emulator: Emulator):
    record = ask()
    emulator.clock.advance(hours=1)
    TwilioHook().messages.delete(str(record.sid))
    asked = time.time() - 2 * NOT_FOUND_GRACE
    waiting = AnswerTrigger(str(record.sid), to=PHONE, created=asked, deadline=asked + 600, poll_interval=0.2)
    told = outcome(waiting, deferred=False)
    assert told["outcome"] == "error"
    assert "is gone" in told["reason"]
