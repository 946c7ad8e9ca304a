from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator, inventory
from tests.emulator.conftest import Api


def search(api: Api, where: str = "US/Local", **filters: Any) -> list[dict[str, Any]]:
    found = api.get(f"AvailablePhoneNumbers/{where}.json", **filters)
    assert set(found) == {"available_phone_numbers", "uri"}
    return list(found["available_phone_numbers"])


def test_list_phone_numbers_of_new_account_has_one(emulator: Emulator, api: Api) -> None:
    (number,) = api.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"]
    assert (number["phone_number"], number["friendly_name"]) == ("+15005550006", "(500) 555-0006")
    assert number["capabilities"] == {"voice": True, "sms": True, "mms": True, "fax": False}
    assert (number["sms_url"], number["voice_url"]) == ("", None)


def test_search_is_stable_and_excludes_owned_numbers(api: Api) -> None:
    found = search(api, AreaCode=415, PageSize=3)
    assert found == search(api, AreaCode=415, PageSize=3)
    assert len(found) == 3
    assert {number["region"] for number in found} == {"CA"}
    api.post("IncomingPhoneNumbers.json", PhoneNumber=found[0]["phone_number"])
    assert found[0]["phone_number"] not in [number["phone_number"] for number in search(api, AreaCode=415)]


@pytest.mark.parametrize(
    ("filters", "localities"),
    [
        ({"InRegion": "NY"}, {"New York", "Brooklyn"}),
        ({"InLocality": "austin"}, {"Austin"}),
        ({"InPostalCode": "98101"}, {"Seattle"}),
        ({"InLata": "722"}, {"San Francisco", "Oakland"}),
        ({"NearNumber": "+14155550100"}, {"San Francisco", "Oakland"}),
        ({"NearLatLong": "37.77,-122.42", "Distance": 5}, {"San Francisco"}),
        ({"SmsEnabled": "false"}, set()),
        ({"Contains": "510555"}, {"Oakland"}),
        ({"Contains": "+1808555***0"}, {"Hilo"}),
        ({"Contains": "21255%09"}, {"New York"}),
        ({"Contains": "+1%303%55"}, {"Denver"}),
    ],
)
def test_search_filters_by_location_and_capability(api: Api, filters: dict[str, Any], localities: set[str]) -> None:
    assert {number["locality"] for number in search(api, PageSize=1000, **filters)} <= localities
    assert bool(search(api, PageSize=1, **filters)) == bool(localities)


def test_list_countries_and_number_types(api: Api) -> None:
    countries = api.get("AvailablePhoneNumbers.json")["countries"]
    assert {country["country_code"] for country in countries} == set(inventory.COUNTRIES)
    assert api.get("AvailablePhoneNumbers/GB.json")["subresource_uris"].keys() >= {"local", "mobile"}
    assert api.error("GET", "AvailablePhoneNumbers/XX.json") == (404, 20404)
    assert api.error("GET", "AvailablePhoneNumbers/US/Mobile.json") == (404, 20404)
    assert [n["address_requirements"] for n in search(api, "DE/Local", PageSize=1)] == ["local"]
    assert search(api, "DE/Local", ExcludeLocalAddressRequired="true") == []


def test_area_of_finds_area_of_every_number() -> None:
    for country, (_, areas) in inventory.COUNTRIES.items():
        for area in areas:
            number = next(area.numbers())
            assert inventory.area_of(number) == (country, area)


@pytest.mark.parametrize("filter_", ["%" * 15 + "9", "%1%2%3%4%5%6%7%8", "*%*%*%*%*%*%*%*9"])
def test_search_filter_is_never_slow(api: Api, filter_: str) -> None:
    started = time.monotonic()
    search(api, Contains=filter_, PageSize=1000)
    api.get("IncomingPhoneNumbers.json", PhoneNumber=filter_)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "query",
    [
        {"AreaCode": "x"},
        {"Contains": "1"},
        {"Contains": "(*"},
        {"Contains": "1" * 17},
        {"NearLatLong": "here"},
        {"NearNumber": "+441514960000"},
        {"NearNumber": "me"},
    ],
)
def test_search_rejects_invalid_filters(api: Api, query: dict[str, str]) -> None:
    assert api.error("GET", "AvailablePhoneNumbers/US/Local.json", query)[0] == 400


@pytest.mark.parametrize("number", ["%" * 40, "1" * 17, "1|2", "١"])
def test_list_phone_numbers_rejects_invalid_filter(api: Api, number: str) -> None:
    assert api.error("GET", "IncomingPhoneNumbers.json", {"PhoneNumber": number}) == (400, 20001)


def test_phone_number_is_purchased_updated_and_released(emulator: Emulator, api: Api) -> None:
    offered = search(api, AreaCode=212, PageSize=1)[0]["phone_number"]
    number = api.post("IncomingPhoneNumbers.json", PhoneNumber=offered, SmsUrl="http://127.0.0.1/sms")
    assert (number["phone_number"], number["sms_url"]) == (offered, "http://127.0.0.1/sms")
    assert api.error("POST", "IncomingPhoneNumbers.json", {"PhoneNumber": offered}) == (400, 21422)
    assert api.send(From=offered)["from"] == offered
    path = f"IncomingPhoneNumbers/{number['sid']}.json"
    assert api.post(path, FriendlyName="news")["friendly_name"] == "news"
    assert api.post(path, SmsUrl="")["sms_url"] == ""
    assert api.error("POST", path, {"SmsUrl": "nowhere"}) == (400, 21502)
    listed = api.get("IncomingPhoneNumbers.json", FriendlyName="news")["incoming_phone_numbers"]
    assert [each["sid"] for each in listed] == [number["sid"]]
    assert len(api.get("IncomingPhoneNumbers.json", PhoneNumber="212555*")["incoming_phone_numbers"]) == 1
    assert api("DELETE", path).status_code == 204
    form = {"To": "+14155550100", "From": offered, "Body": "x"}
    assert api.error("POST", "Messages.json", form) == (400, 21659)
    assert api.post("IncomingPhoneNumbers.json", PhoneNumber=offered)["sid"] != number["sid"]


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        ("IncomingPhoneNumbers.json", {}, 21421),
        ("IncomingPhoneNumbers.json", {"PhoneNumber": "me"}, 21421),
        ("IncomingPhoneNumbers.json", {"PhoneNumber": "+14159999999"}, 21422),
        ("IncomingPhoneNumbers.json", {"AreaCode": "1"}, 21451),
        ("IncomingPhoneNumbers.json", {"AreaCode": "999"}, 21452),
        ("IncomingPhoneNumbers/Local.json", {"AreaCode": "415"}, 21421),
        ("IncomingPhoneNumbers/TollFree.json", {"PhoneNumber": "+14155550000"}, 21422),
        ("IncomingPhoneNumbers.json", {"PhoneNumber": next(inventory.COUNTRIES["DE"][1][0].numbers())}, 21631),
    ],
)
def test_create_phone_number_rejects_invalid_purchase(api: Api, path: str, form: dict[str, str], code: int) -> None:
    assert api.error("POST", path, form) == (400, code)


def test_create_phone_number_by_area_code_and_type(api: Api) -> None:
    assert api.post("IncomingPhoneNumbers.json", AreaCode=512)["phone_number"].startswith("+1512")
    toll_free = search(api, "US/TollFree", PageSize=1)[0]["phone_number"]
    assert api.post("IncomingPhoneNumbers/TollFree.json", PhoneNumber=toll_free)["phone_number"] == toll_free
    assert len(api.get("IncomingPhoneNumbers/TollFree.json")["incoming_phone_numbers"]) == 1


def test_update_phone_number_transfers_to_subaccount(emulator: Emulator, api: Api) -> None:
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    sid = emulator.numbers[0]["sid"]
    assert api.post(f"IncomingPhoneNumbers/{sid}.json", AccountSid=account["sid"])["account_sid"] == account["sid"]
    assert emulator.numbers == []
    sub = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
    assert sub.error("POST", f"IncomingPhoneNumbers/{sid}.json", {"AccountSid": api.account_sid}) == (400, 21474)


def test_delete_phone_number_requires_unregistered_emergency_address(emulator: Emulator, api: Api) -> None:
    path = f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json"
    assert api.get(path)["emergency_address_status"] == "unregistered"
    assert api.post(path, EmergencyAddressSid="AD" + "0" * 32)["emergency_address_status"] == "registered"
    assert api.error("DELETE", path) == (409, 20409)
    assert len(emulator.numbers) == 1
    assert api.post(path, EmergencyAddressSid="")["emergency_address_status"] == "unregistered"
    assert api("DELETE", path).status_code == 204
