"""Phone number operations: paths, parameters and checks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.phone_numbers import (
    TYPES,
    AvailablePhoneNumber,
    AvailablePhoneNumbers,
    IncomingPhoneNumber,
    IncomingPhoneNumbers,
)
from tests.support.responses import error_for, rejection

PN, AC, AP = (kind + "0" * 32 for kind in ("PN", "AC", "AP"))
NUMBER = "+14155550100"


def test_create_number_buys_by_number_or_area_code():
    by_number = IncomingPhoneNumbers.create(
        phone_number=NUMBER, sms_url="https://example.com", voice_caller_id_lookup=True
    )
    assert by_number.data == (
        ("PhoneNumber", NUMBER),
        ("SmsUrl", "https://example.com"),
        ("VoiceCallerIdLookup", "true"),
    )
    assert by_number.requires_one_of == ()
    assert by_number.idempotent is False
    assert IncomingPhoneNumbers.create(area_code=415).data == IncomingPhoneNumbers.create(area_code="415").data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "phone_number or area_code is missing: pass phone_number or area_code"),
        ({"phone_number": NUMBER, "area_code": 415}, "phone_number and area_code are mutually exclusive"),
        ({"phone_number": "4155550100"}, r"phone_number has no leading \+"),
        ({"phone_number": "whatsapp:+14155550100"}, "phone_number is a whatsapp: address"),
        ({"area_code": 41}, "area_code is 41: use 200 to 999"),
        ({"area_code": "LAX"}, "area_code is not a number"),
        ({"area_code": 415, "sms_method": "PUT"}, "sms_method is not an allowed value"),
        ({"area_code": 415, "voice_application_sid": PN}, "voice_application_sid is a SID of the wrong type"),
        (
            {"area_code": 415, "emergency_status": "active"},
            "emergency_status is not an allowed value.*Active, Inactive",
        ),
        ({"area_code": 415, "voice_receive_mode": "sms"}, "voice_receive_mode is not an allowed value"),
    ],
)
def test_create_number_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        IncomingPhoneNumbers.create(**arguments)


def test_update_number_sends_arguments_and_clears_empty_ones():
    request = IncomingPhoneNumbers.update(PN, sms_url="", sms_application_sid=AP)
    assert (request.path, request.data) == (
        f"IncomingPhoneNumbers/{PN}.json",
        (("SmsUrl", ""), ("SmsApplicationSid", AP)),
    )
    assert request.parser is IncomingPhoneNumber


def test_update_number_transfers_to_another_account():
    request = IncomingPhoneNumbers.update(PN, transfer_to_account_sid=AC)
    assert request.data == (("AccountSid", AC),)
    for wrong in ("", PN, "me"):
        with pytest.raises(BadParameter, match="transfer_to_account_sid"):
            IncomingPhoneNumbers.update(PN, transfer_to_account_sid=wrong)


def test_list_numbers_filters_by_part_of_the_number():
    listing = IncomingPhoneNumbers.list(phone_number="+1415***", beta=False)
    assert listing.data == (("PhoneNumber", "+1415***"), ("Beta", "false"))


@pytest.mark.parametrize("kind", TYPES)
def test_list_available_numbers_uses_country_and_type_in_the_path(kind: Any):
    listing = AvailablePhoneNumbers.list("US", kind, area_code=415, sms_enabled=True, limit=3)
    assert listing.path == f"AvailablePhoneNumbers/US/{kind}.json"
    request = listing.first_page()
    assert request is not None
    assert request.query() == "AreaCode=415&SmsEnabled=true&PageSize=3"
    assert AvailablePhoneNumbers.list("US").path == "AvailablePhoneNumbers/US/Local.json"


@pytest.mark.parametrize(
    ("country", "arguments", "message"),
    [
        ("us", {}, "country is not a country code.*such as US or GB"),
        ("USA", {}, "country is not a country code"),
        ("", {}, "country is not a country code"),
        ("../", {}, "country is not a country code"),
        ("US", {"kind": "local"}, "kind is not an allowed value.*Local, TollFree, Mobile"),
        ("US", {"kind": None}, "kind is missing"),
        ("US", {"contains": "1"}, "contains has 1 characters: pass 2 to 16 characters"),
        ("US", {"contains": "1" * 17}, "contains has 17 characters"),
        ("US", {"contains": "510*****55"}, "contains has a wildcard between digits or letters: .*'510"),
        ("US", {"contains": "5%1"}, "contains has a wildcard between"),
        ("US", {"contains": "*5"}, "contains has a wildcard next to fewer than two digits"),
        ("US", {"contains": "***"}, "contains has a wildcard next to fewer than two digits"),
        ("US", {"contains": "+$"}, "contains no digit or letter"),
        ("US", {"contains": "4+15"}, "contains characters other than digits"),
        ("US", {"contains": "415-555"}, "contains characters other than digits"),
        ("US", {"contains": "4$15"}, "contains characters other than digits"),
        ("US", {"contains": "caf\u00e9"}, "contains characters other than digits"),
        ("US", {"contains": "+*415"}, "contains has a wildcard next to . or"),
        ("US", {"contains": "415%$"}, "contains has a wildcard next to . or"),
        ("US", {"distance": 501, "near_number": NUMBER}, "distance is 501: use 0 to 500 miles"),
        ("US", {"distance": 10}, "near_number or near_lat_long is missing"),
        ("US", {"near_number": "415"}, r"near_number has no leading \+"),
        ("US", {"near_lat_long": "３７.84,-122.42"}, "near_lat_long is not a pair of coordinates"),
        ("US", {"near_lat_long": "San Francisco"}, "near_lat_long is not a pair of coordinates.*'37.84,-122.42'"),
        ("US", {"in_rate_center": "SNFC CNTRL"}, "in_lata is missing"),
        ("US", {"area_code": 1}, "area_code is 1"),
    ],
)
def test_list_available_numbers_rejects_invalid_arguments(country: str, arguments: dict[str, Any], message: str):
    with pytest.raises(BadParameter, match=message):
        AvailablePhoneNumbers.list(country, **arguments)


def test_list_available_numbers_accepts_valid_arguments():
    near = AvailablePhoneNumbers.list("US", near_lat_long="37.84, -122.42", distance=500, contains="51055*****")
    assert dict(near.data)["NearLatLong"] == "37.84, -122.42"


@pytest.mark.parametrize(
    "pattern", ["51034*****", "%1888", "*415*", "+1415", "0100$", "+1510$", "STORM", "storm%", "41", None]
)
def test_list_available_numbers_accepts_documented_pattern(pattern: Any):
    AvailablePhoneNumbers.list("US", contains=pattern)


def test_delete_number_rejected_says_to_unregister_emergency_address():
    release = IncomingPhoneNumbers.delete(PN)
    assert "emergency_address_sid=''" in str(error_for(release, rejection(400, 21999, "No")))
    assert "emergency" not in str(error_for(release, rejection(404, 20404, "No")))
    assert "emergency" not in str(error_for(IncomingPhoneNumbers.fetch(PN), rejection(400, 20001, "No")))


def test_available_number_record_parses_coordinates_and_capabilities():
    offer = AvailablePhoneNumber(latitude="37.780000", longitude=-122.4, capabilities={"voice": True, "SMS": True})
    assert (offer.latitude, offer.longitude) == (Decimal("37.780000"), Decimal("-122.4"))
    assert offer.capabilities == {"voice": True, "SMS": True}
