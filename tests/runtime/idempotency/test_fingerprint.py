"""Recognize the record of a request, for each type of record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.accounts import Account, Accounts
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumber, IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.idempotency.fingerprint import (
    KeyedHash,
    Match,
    fingerprint,
    is_created_within,
    match_content,
    matcher_for,
)
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from tests.support.send_once import FROM, TO, Task, available_numbers, message, owned_numbers, run_after_fault

MG = "MG" + "0" * 32
NONE, PARTIAL, EXACT = Match
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], Match]] = {
    # changes of the request, changes of the record, the expected match
    "the same": ({}, {}, EXACT),
    "another body": ({}, {"body": "another"}, NONE),
    "inbound": ({}, {"direction": "inbound"}, NONE),
    "a reply": ({}, {"direction": "outbound-reply"}, NONE),
    "another sender": ({}, {"from": "+14155550177"}, NONE),
    "another recipient": ({}, {"to": "+14155550177"}, NONE),
    "trial": ({}, {"body": "Sent from your Twilio trial account - The nightly load has failed."}, EXACT),
    "trailing space": ({"body": "Hello \n"}, {"body": "Hello"}, EXACT),
    "decomposed": ({"body": "Cafe\u0301"}, {"body": "Café"}, EXACT),
    "smart encoding": (
        {"body": "“Load” – failed… it’s ½ done", "smart_encoded": True},
        {"body": '"Load" - failed... it\'s 1/2 done'}, PARTIAL,
    ),
    "smart encoding of a service": (
        {"body": "“Load” – failed…", "messaging_service_sid": MG},
        {"body": '"Load" - failed...', "messaging_service_sid": MG}, PARTIAL,
    ),
    "smart encoding, not applied": (
        {"body": "“Load” – failed…", "smart_encoded": True}, {"body": "“Load” – failed…"}, EXACT,
    ),
    "smart encoding in reverse": (
        {"body": '"Load" - failed...', "smart_encoded": True}, {"body": "“Load” – failed…"}, NONE,
    ),
    "no smart encoding": ({"body": "“Load” failed"}, {"body": '"Load" failed'}, NONE),
    "no smart encoding in a channel": (
        {"to": f"whatsapp:{TO}", "body": "“Load” failed", "smart_encoded": True},
        {"to": f"whatsapp:{TO}", "body": '"Load" failed'}, NONE,
    ),
    **{
        f"{body} and {other}": (
            {"body": body, "smart_encoded": True, "messaging_service_sid": MG},
            {"body": other, "messaging_service_sid": MG}, NONE,
        )
        for body, other in [
            ("Balance: 10.00 EUR", "Balance: 1000 EUR"), ("Balance: -5", "Balance: 5"), ("No: go", "No go"),
            ("Pay 1 000", "Pay 1000"), ("10²", "102"), ("👍", "👎"), ("Load failed?", "Load failed!"), ("①", "1"),
        ]
    },
    "a body with the text of the prefix": (
        {"body": "Sent from your Twilio trial account - Hello"}, {"body": "Hello"}, NONE,
    ),
    "redacted at once": ({}, {"body": ""}, PARTIAL),
    "shortened links": (
        {"shorten_urls": True, "body": "https://example.com/a"}, {"body": "https://twil.io/x"}, PARTIAL,
    ),
    "discarded": ({"content_retention": "discard"}, {"body": None}, PARTIAL),
    "discarded, with media": (
        {"content_retention": "discard", "media_url": ["https://example.com/a.png"]},
        {"body": None, "num_media": "0"}, NONE,
    ),
    "template": (
        {"body": None, "content_sid": "HX" + "0" * 32}, {"body": "the rendered template", "num_media": "1"}, PARTIAL,
    ),
    "media": (
        {"body": None, "media_url": ["https://example.com/a.png"]}, {"body": "", "num_media": "1"}, PARTIAL,
    ),
    "other media": (
        {"body": None, "media_url": ["https://example.com/a.png"]}, {"body": "", "num_media": "2"}, NONE,
    ),
    "a service, sender not chosen": (
        {"from_": None, "messaging_service_sid": MG}, {"from": None, "messaging_service_sid": MG}, EXACT,
    ),
    "a service, sender chosen": (
        {"from_": None, "messaging_service_sid": MG}, {"from": FROM, "messaging_service_sid": MG}, EXACT,
    ),
    "another service": ({"from_": None, "messaging_service_sid": MG}, {"messaging_service_sid": "MG" + "1" * 32}, NONE),
    "a service and a sender": (
        {"messaging_service_sid": MG}, {"from": "+14155550177", "messaging_service_sid": MG}, NONE,
    ),
    "in time": ({}, {"after": 59}, EXACT),
    "clock skew": ({}, {"after": -10}, EXACT),
    "before": ({}, {"after": -60}, NONE),
    "too late": ({}, {"after": 200}, NONE),
}  # fmt: skip


def match(
    request: Request[Any], record: Record, intent: Intent, keyed_hash: KeyedHash, clock_offset: float | None = None
) -> Match:
    """Return how well a record matches an intent, including its creation time."""
    if not is_created_within(record, intent, clock_offset):
        return Match.NONE
    return match_content(request, record, intent, keyed_hash)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_match_of_message_and_record(variant: str):
    request_changes, record_changes, expected = VARIANTS[variant]
    request, keyed_hash, now = message(**request_changes), KeyedHash("secret"), datetime(2026, 1, 31, 12, tzinfo=UTC)
    intent = Intent.from_json(
        json.loads(json.dumps(Intent(fingerprint(request, keyed_hash), "", now, now, 60).as_json()))
    )
    made = now + timedelta(seconds=record_changes.get("after", 0))
    record = Message(
        {
            "to": TO, "from": FROM, "body": request.get("Body"), "direction": "outbound-api", "num_media": "0",
            "messaging_service_sid": None, "date_created": made.strftime("%a, %d %b %Y %H:%M:%S +0000"),
            **record_changes,
        }
    )  # fmt: skip
    assert match(request, record, intent, keyed_hash) == expected
    # With a new secret, the stored hashes cannot be compared any more: the current request is compared.
    assert match(request, record, intent, KeyedHash("changed")) == min(expected, Match.PARTIAL)


def test_send_once_finds_message_to_channel_in_any_case(sender: Task, emulator: Emulator):
    whatsapp_message = message(to=f"WhatsApp:{TO}", from_=f"WhatsApp:{FROM}")
    run_after_fault(sender, whatsapp_message, accept_then_drop=True)
    assert [record["to"] for record in emulator.messages] == [f"whatsapp:{TO}"]


def test_send_once_finds_call(sender: Task, emulator: Emulator):
    call = Calls.create(to=TO, from_=FROM, url="https://example.com/twiml")
    first = run_after_fault(sender, call, accept_then_drop=True)
    assert type(first) is Call
    assert [record["sid"] for record in emulator.calls] == [first["sid"]]
    assert sender.run(call, key="again")["sid"] != first["sid"]


def test_send_once_places_call_that_was_not_placed(sender: Task, emulator: Emulator):
    run_after_fault(sender, Calls.create(to=TO, from_=FROM, twiml="<Response><Hangup/></Response>"), status=500)
    assert len(emulator.calls) == 1


def test_send_once_finds_purchased_number(sender: Task, emulator: Emulator):
    mine, other = available_numbers(emulator)
    sender.run(IncomingPhoneNumbers.create(phone_number=other), key="other")
    record = run_after_fault(sender, IncomingPhoneNumbers.create(phone_number=mine), accept_then_drop=True)
    assert (type(record), record["phone_number"]) == (IncomingPhoneNumber, mine)
    assert len(owned_numbers(emulator)) == 2


def test_send_once_finds_number_by_area_code(sender: Task, emulator: Emulator):
    record = run_after_fault(sender, IncomingPhoneNumbers.create(area_code=415), accept_then_status=500)
    assert [number["sid"] for number in owned_numbers(emulator)] == [record["sid"]]


def test_send_once_finds_account_by_name(sender: Task):
    sender.run(Accounts.create(friendly_name="Branch 6"), key="other")
    record = run_after_fault(sender, Accounts.create(friendly_name="Branch 7"), accept_then_drop=True)
    assert (type(record), record["friendly_name"]) == (Account, "Branch 7")


CALL = Calls.create(to=TO, from_=FROM, url="https://example.com/twiml")
PURCHASE, PURCHASE_BY_AREA = IncomingPhoneNumbers.create(phone_number=TO), IncomingPhoneNumbers.create(area_code=415)
CALLED = {"to": TO, "from": FROM, "direction": "outbound-api"}
OTHER_RECORDS: dict[str, tuple[Request[Any], Record, Match]] = {
    "call": (CALL, Call(CALLED), EXACT),
    "call from another caller": (CALL, Call({**CALLED, "from": "+14155550177"}), NONE),
    "call to another recipient": (CALL, Call({**CALLED, "to": "+14155550177"}), NONE),
    "inbound call": (CALL, Call({**CALLED, "direction": "inbound"}), NONE),
    "call, too late": (CALL, Call({**CALLED, "date_created": "Sat, 31 Jan 2026 12:05:00 +0000"}), NONE),
    "number": (PURCHASE, IncomingPhoneNumber({"phone_number": TO}), EXACT),
    "number of long ago": (
        PURCHASE, IncomingPhoneNumber({"phone_number": TO, "date_created": "Thu, 01 Jan 2015 12:00:00 +0000"}), EXACT,
    ),
    "another number": (PURCHASE, IncomingPhoneNumber({"phone_number": "+14155550177"}), NONE),
    "number of the area": (PURCHASE_BY_AREA, IncomingPhoneNumber({"phone_number": "+14155550177"}), PARTIAL),
    "number of another area": (PURCHASE_BY_AREA, IncomingPhoneNumber({"phone_number": "+12125550177"}), NONE),
    "number of the area, too late": (
        PURCHASE_BY_AREA,
        IncomingPhoneNumber({"phone_number": "+14155550177", "date_created": "Sat, 31 Jan 2026 12:05:00 +0000"}), NONE,
    ),
    "account": (Accounts.create(friendly_name="Branch 7"), Account({"friendly_name": "Branch 7"}), EXACT),
    "another account": (Accounts.create(friendly_name="Branch 7"), Account({"friendly_name": "Branch 8"}), NONE),
    "account without a name": (Accounts.create(), Account({"friendly_name": "Branch 8"}), PARTIAL),
}  # fmt: skip


@pytest.mark.parametrize("variant", OTHER_RECORDS, ids=str)
def test_match_of_other_request_and_record(variant: str):
    request, record, expected = OTHER_RECORDS[variant]
    keyed_hash, now = KeyedHash("secret"), datetime(2026, 1, 31, 12, tzinfo=UTC)
    intent = Intent(fingerprint(request, keyed_hash), "", now, now, 60)
    assert match(request, record, intent, keyed_hash) == expected


@pytest.mark.parametrize(
    ("changes", "sender"),
    [
        ({}, FROM),
        ({"messaging_service_sid": MG}, None),  # Twilio may not have chosen the sender yet
        ({"from_": "Branch"}, None),
        ({"to": f"whatsapp:{TO}", "from_": f"whatsapp:{FROM}"}, None),
    ],
    ids=str,
)
def test_listing_of_message_filters_by_sender_only_if_it_is_certain(changes: dict[str, Any], sender: str | None):
    request = message(**changes)
    listing = matcher_for(request).listing(request, fingerprint(request, KeyedHash("secret")))
    page = listing.first_page()
    assert page is not None
    query = dict(page.data)
    assert (query["To"], query.get("From")) == (request.get("To"), sender)


def test_match_with_clock_offset_covers_time_of_this_machine():
    """The process that sent the request has stored no offset: its clock may have been this machine's."""
    keyed_hash, now = KeyedHash("secret"), datetime(2026, 1, 31, 12, tzinfo=UTC)
    intent = Intent(fingerprint(CALL, keyed_hash), "", now, now, 60)
    record = Call({**CALLED, "date_created": "Sat, 31 Jan 2026 13:00:00 +0000"})
    assert match(CALL, record, intent, keyed_hash) == NONE
    assert match(CALL, record, intent, keyed_hash, 3600.0) == EXACT
