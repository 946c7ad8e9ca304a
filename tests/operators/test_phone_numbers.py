"""Tests of the operators for single phone numbers, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.accounts import CreateAccountOperator
from airflow_provider_twilio.operators.phone_numbers import (
    FetchNumberOperator,
    ListNumbersOperator,
    PurchaseNumberOperator,
    ReleaseNumberOperator,
    SearchNumbersOperator,
    UpdateNumberOperator,
)
from tests.runtime.test_state_store import Store

Run = Callable[..., Any]

OWNED = "+15005550006"
NUMBER, CALL = "PN" + "a" * 32, "CA" + "a" * 32

INVALID = [
    (SearchNumbersOperator, {"country": "USA"}, "country is not a country code"),
    (SearchNumbersOperator, {"country": "US", "kind": "Cellular"}, "kind is not an allowed value"),
    (SearchNumbersOperator, {"country": "US", "contains": "1"}, "contains has 1 characters"),
    (SearchNumbersOperator, {"country": "US", "distance": 5}, "near_number or near_lat_long is missing"),
    (PurchaseNumberOperator, {}, "phone_number or area_code is missing"),
    (
        PurchaseNumberOperator,
        {"phone_number": "+14155550100", "area_code": 415},
        "phone_number and area_code are mutually exclusive",
    ),
    (PurchaseNumberOperator, {"phone_number": "415-555-0100"}, "phone_number contains characters other"),
    (PurchaseNumberOperator, {"area_code": 5}, "area_code is 5"),
    (PurchaseNumberOperator, {"area_code": 415, "country": "America"}, "country is not a country code"),
    (PurchaseNumberOperator, {"area_code": 415, "kind": "local"}, "kind is not an allowed value"),
    (FetchNumberOperator, {"phone_number_sid": CALL}, "expected a phone number SID, PN….*got a call SID"),
    (UpdateNumberOperator, {"phone_number_sid": NUMBER, "sms_method": "PUT"}, "sms_method is not an allowed value"),
    (UpdateNumberOperator, {"phone_number_sid": NUMBER, "transfer_to_account_sid": CALL}, "expected an account SID"),
    (ReleaseNumberOperator, {}, "phone_number_sid or phone_number is missing"),
    (ReleaseNumberOperator, {"phone_number_sid": NUMBER, "phone_number": OWNED}, "are mutually exclusive"),
    (ReleaseNumberOperator, {"phone_number": "+1500555*"}, "phone_number contains characters other"),
    (ReleaseNumberOperator, {"phone_number": "5005550006"}, r"phone_number has no leading \+"),
    (ReleaseNumberOperator, {"phone_number": "+15005"}, "phone_number has 5 digits"),
    (ReleaseNumberOperator, {"phone_number_sid": "PN123"}, "phone_number_sid starts like a SID"),
]


@pytest.mark.parametrize(("operator", "arguments", "message"), INVALID)
def test_number_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


def test_number_operators_search_purchase_and_release_by_xcom(run: Run, emulator: Emulator):
    with DAG("dag", schedule=None):
        purchase = PurchaseNumberOperator(
            task_id="buy", phone_number="{{ ti.xcom_pull(task_ids='search')[0]['phone_number'] }}"
        )
        output: Any = purchase.output
        release = ReleaseNumberOperator(task_id="release", phone_number_sid=output["sid"])
    assert release.upstream_task_ids == {"buy"}

    found = run(SearchNumbersOperator, country="US", area_code="{{ 415 }}", sms_enabled=True, limit=3)
    assert [number["phone_number"][:5] for number in found] == ["+1415"] * 3
    bought = run(
        PurchaseNumberOperator, {"found": found}, phone_number="{{ found[0]['phone_number'] }}", friendly_name="a b"
    )
    assert bought["phone_number"] == found[0]["phone_number"]
    assert bought["friendly_name"] == "a b"
    assert run(ReleaseNumberOperator, {"bought": bought}, phone_number_sid="{{ bought['sid'] }}") == bought["sid"]
    assert [number["phone_number"] for number in emulator.numbers] == [OWNED]


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ({"area_code": "415"}, "+1415"),
        ({"area_code": 800, "kind": "TollFree"}, "+1800"),
        ({"area_code": "{{ code }}", "country": "{{ 'CA' }}"}, "+1416"),
    ],
)
def test_purchase_number_by_area_code_buys_specific_number(
    run: Run, emulator: Emulator, arguments: dict[str, Any], start: str
):
    bought = run(PurchaseNumberOperator, {"code": 416}, sms_url="https://example.com/sms", **arguments)
    assert bought["phone_number"].startswith(start)
    search, purchase = emulator.journal
    assert (search.method, "AreaCode" in search.params) == ("GET", True)
    assert purchase.params == {"PhoneNumber": bought["phone_number"], "SmsUrl": "https://example.com/sms"}


def test_purchase_number_without_available_number_fails(run: Run, emulator: Emulator):
    with pytest.raises(AirflowFailException, match="no Local number with area code 999 is available in US"):
        run(PurchaseNumberOperator, area_code=999)
    assert emulator.journal.count("POST") == 0


def test_number_operators_fetch_list_and_update(run: Run, emulator: Emulator):
    (owned,) = run(ListNumbersOperator, phone_number=OWNED)
    sid = owned["sid"]
    assert run(FetchNumberOperator, phone_number_sid=sid)["phone_number"] == OWNED
    changed = run(
        UpdateNumberOperator, phone_number_sid=sid, sms_url="https://example.com", voice_caller_id_lookup="True"
    )
    assert (changed["sms_url"], changed["voice_caller_id_lookup"]) == ("https://example.com", True)
    assert run(UpdateNumberOperator, phone_number_sid=sid, sms_url="")["sms_url"] == ""


def test_update_number_transfers_to_subaccount(run: Run, emulator: Emulator):
    target = run(CreateAccountOperator, friendly_name="new owner")["sid"]
    (owned,) = run(ListNumbersOperator)
    moved = run(UpdateNumberOperator, phone_number_sid=owned["sid"], transfer_to_account_sid=target)
    assert moved["account_sid"] == target
    assert run(ListNumbersOperator) == []
    assert [number["sid"] for number in run(ListNumbersOperator, account_sid=target)] == [owned["sid"]]


def test_release_number_by_exact_number(run: Run, emulator: Emulator):
    bought = run(PurchaseNumberOperator, area_code=415)
    assert run(ReleaseNumberOperator, phone_number=bought["phone_number"]) == bought["sid"]
    assert [number["phone_number"] for number in emulator.numbers] == [OWNED]


def test_release_number_rejects_longer_number(run: Run, emulator: Emulator):
    """Twilio's filter for +1500555000 also returns +15005550006."""
    (owned,) = run(ListNumbersOperator, phone_number="+1500555000")
    assert owned["phone_number"] == OWNED
    with pytest.raises(
        AirflowFailException, match=r"the account owns 0 numbers \+15•••00, not one. No number was released"
    ):
        run(ReleaseNumberOperator, phone_number="+1500555000")
    assert emulator.journal.count("DELETE") == 0
    assert len(emulator.numbers) == 1


def test_release_number_succeeds_if_earlier_try_released_it(run: Run, emulator: Emulator):
    store = Store()
    first, second = ({"task_state_store": store, "ti": SimpleNamespace(try_number=number)} for number in (1, 2))
    with pytest.raises(AirflowFailException, match="owns 0 numbers"):
        run(ReleaseNumberOperator, first, phone_number="+14155550199")
    sid = run(ReleaseNumberOperator, first, phone_number=OWNED)  # and was killed before its result was stored
    assert run(ReleaseNumberOperator, second, phone_number=OWNED) == sid
    with pytest.raises(AirflowFailException, match="owns 0 numbers"):
        run(ReleaseNumberOperator, second, phone_number="+14155550199")
