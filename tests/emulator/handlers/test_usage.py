from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, magic_numbers
from tests.emulator.conftest import Api


def price(api: Api, path: str = "Usage/Records.json", category: str = "totalprice", **query: Any) -> float:
    rows = api.get(path, Category=category, PageSize=1000, **query)["usage_records"]
    return float(sum(float(row["price"]) for row in rows))


def test_balance_decreases_with_use(emulator: Emulator, api: Api) -> None:
    assert api.get("Balance.json") == {"currency": "USD", "balance": "100.00", "account_sid": api.account_sid}
    api.send()
    emulator.clock.advance(10)
    assert api.get("Balance.json")["balance"] == "99.9917"
    assert emulator.balance == pytest.approx(99.9917)


def test_balance_ignores_failed_and_keeps_deleted_messages(emulator: Emulator, api: Api) -> None:
    api.send(to="+15005559007")
    sid = api.send()["sid"]
    emulator.clock.advance(10)
    before = api.get("Balance.json")["balance"]
    api("DELETE", f"Messages/{sid}.json")
    assert api.get("Balance.json")["balance"] == before == "99.9917"


def test_usage_records_add_up_over_categories_and_periods(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(datetime(2027, 1, 30, 12, tzinfo=UTC))
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    sub = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
    sub.post("IncomingPhoneNumbers.json", AreaCode=415)
    for _ in range(4):
        api.send(body="x" * 200)
        api.post("Calls.json", To="+14155550100", From=emulator.phone_number, Twiml="<Response><Pause/></Response>")
        emulator.clock.advance(days=1)
    total = price(api)
    assert total == pytest.approx(100 - float(api.get("Balance.json")["balance"]))
    assert total == pytest.approx(sum(price(api, category=name) for name in ("sms", "calls", "phonenumbers")))
    for period in ("Daily", "Monthly", "Yearly", "AllTime"):
        assert price(api, f"Usage/Records/{period}.json") == pytest.approx(total)
    assert price(api, IncludeSubaccounts="false") == pytest.approx(total - 1.15)
    months = api.get("Usage/Records/Monthly.json", Category="sms")["usage_records"]
    assert [(row["start_date"], row["end_date"], row["count"], row["usage"]) for row in months[:2]] == [
        ("2027-02-01", "2027-02-03", "2", "4"),
        ("2027-01-01", "2027-01-31", "2", "4"),
    ]
    assert price(api, "Usage/Records/LastMonth.json", "sms") == pytest.approx(4 * 0.0083)
    assert price(api, "Usage/Records/Yesterday.json", "sms") == pytest.approx(2 * 0.0083)
    assert price(api, "Usage/Records/Today.json", "sms") == 0
    assert price(api, category="sms", StartDate="-1days") == pytest.approx(2 * 0.0083)
    assert price(api, category="sms", StartDate="2027-01-30", EndDate="2027-01-30") == pytest.approx(2 * 0.0083)


def test_usage_totals_do_not_depend_on_time_of_reading(emulator: Emulator, api: Api) -> None:
    shops = []
    for name in ("read often", "read once"):
        account = api.post("/2010-04-01/Accounts.json", FriendlyName=name)
        shop = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
        shops.append((shop, shop.post("IncomingPhoneNumbers.json", AreaCode=415)["phone_number"]))
    rng = random.Random(5)
    sent: list[list[str]] = []
    called: list[list[str]] = []
    for _ in range(120):
        action, to = rng.randrange(6), rng.choice(["+14155550100", *sorted(magic_numbers.MESSAGE_BEHAVIORS)])
        if action < 2:
            sent.append([shop.send(to=to, From=number)["sid"] for shop, number in shops])
        elif action == 2:
            form = {"To": rng.choice(["+14155550100", "+15005559101"]), "Twiml": "<Response><Say>hi</Say></Response>"}
            called.append(
                [shop.post("Calls.json", From=number, Record="true", **form)["sid"] for shop, number in shops]
            )
        elif action == 3 and sent:
            status = rng.choice(["failed", "undelivered", "delivered"])
            for sid in rng.choice(sent):
                emulator.set_message_status(sid, status)
        elif action == 4 and rng.choice([sent, called]):
            resource, records = rng.choice([("Messages", sent), ("Calls", called)])
            chosen = rng.choice(records) if records else []
            responses = {
                shop("DELETE", f"{resource}/{sid}.json").status_code
                for (shop, _), sid in zip(shops, chosen or ["SM0"] * 2, strict=True)
            }
            if responses == {204}:
                records.remove(chosen)
            assert len(responses) < 2
        else:
            emulator.clock.advance(rng.choice([0.5, 2, 30, 5000]))
        price(shops[0][0])
    often, once = (shop.get("Usage/Records.json", PageSize=100)["usage_records"] for shop, _ in shops)
    for one, other in zip(often, once, strict=True):
        assert (one["count"], one["usage"], one["price"]) == (other["count"], other["usage"], other["price"]), one
    assert float(often[-1]["price"]) > 1.15


@pytest.mark.parametrize("reads_before", [False, True])
def test_usage_excludes_discarded_recordings_and_calls(emulator: Emulator, api: Api, reads_before: bool) -> None:
    document = "<Response><Say>wait</Say><Record/><Dial>+14155550111</Dial></Response>"
    form = {"To": "+15005559106", "From": emulator.phone_number, "Record": "true", "Twiml": document}
    sid = api.post("Calls.json", **form)["sid"]
    if reads_before:
        assert price(api) == 0
    api.post(f"Calls/{sid}.json", Status="canceled")
    emulator.clock.advance(hours=1)
    assert api.get("Recordings.json")["recordings"] == []
    assert [call["status"] for call in api.get("Calls.json")["calls"]] == ["canceled"]
    assert api.get("Balance.json")["balance"] == "100.00"
    assert price(api) == 0


def test_balance_keeps_billed_price_after_status_change(emulator: Emulator, api: Api) -> None:
    sid, unsent = api.send()["sid"], api.send(to="+15005559007")["sid"]
    emulator.clock.advance(60)
    for status in ("undelivered", "failed", "queued"):
        emulator.set_message_status(sid, status)
        assert api.get("Balance.json")["balance"] == "99.9917"
    emulator.set_message_status(unsent, "delivered")
    assert api.get("Balance.json")["balance"] == "99.9917"
    emulator.clock.advance(60)
    assert api.get("Balance.json")["balance"] == "99.9834"


def test_usage_records_are_paginated(api: Api) -> None:
    found, uri = [], "Usage/Records.json?PageSize=4"
    while uri:
        page = api.get(uri)
        found += [row["category"] for row in page["usage_records"]]
        uri = page["next_page_uri"]
    assert len(found) == len(set(found)) > 10
    assert api.get("Usage/Records.json", Category="no-such")["usage_records"] == []


@pytest.mark.parametrize("wrong", ["soon", "2027-02-30", "-xdays", "99999-01-01"])
def test_usage_records_reject_invalid_dates(api: Api, wrong: str) -> None:
    assert api.error("GET", "Usage/Records.json", {"StartDate": wrong}) == (400, 20001)


def test_phone_number_rent_is_charged_monthly_by_type(emulator: Emulator, api: Api) -> None:
    emulator.clock.freeze(datetime(2027, 1, 1, 12, tzinfo=UTC))
    api.post("IncomingPhoneNumbers.json", AreaCode=415)
    offer = api.get("AvailablePhoneNumbers/US/TollFree.json")["available_phone_numbers"][0]["phone_number"]
    api.post("IncomingPhoneNumbers.json", PhoneNumber=offer)
    emulator.clock.advance(days=31)
    assert price(api, category="phonenumbers") == pytest.approx(2 * 1.15 + 2 * 2.15)
    assert price(api, category="phonenumbers-tollfree", StartDate="2027-01-31") == pytest.approx(2.15)
    (row,) = api.get("Usage/Records.json", Category="phonenumbers-local")["usage_records"]
    assert (row["count"], row["price"]) == ("2", "2.3")
