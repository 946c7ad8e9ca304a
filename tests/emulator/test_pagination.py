from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api


def pages(api: Api, uri: str) -> list[list[dict[str, Any]]]:
    found, next_uri = [], f"/2010-04-01/Accounts/{api.account_sid}/{uri}"
    while next_uri:
        page = api.get(next_uri)
        found.append(page["messages"])
        next_uri = page["next_page_uri"]
    return found


def test_page_body_has_uris_and_positions(api: Api) -> None:
    for _ in range(5):
        api.send()
    page = api.get("Messages.json", To="+14155550100", PageSize=2)
    base = f"/2010-04-01/Accounts/{api.account_sid}/Messages.json?To=%2B14155550100&PageSize=2&Page="
    assert (page["page"], page["page_size"], page["start"], page["end"]) == (0, 2, 0, 1)
    assert page["uri"] == page["first_page_uri"] == f"{base}0"
    assert page["previous_page_uri"] is None
    assert page["next_page_uri"].startswith(f"{base}1&PageToken=PASM")
    last = api.get(api.get(page["next_page_uri"])["next_page_uri"])
    assert (last["page"], last["start"], last["end"], last["next_page_uri"]) == (2, 4, 4, None)
    back = api.get(last["previous_page_uri"])
    assert back["messages"] == api.get(page["next_page_uri"])["messages"]


def test_page_body_of_empty_list(api: Api) -> None:
    page = api.get("Messages.json")
    assert (page["messages"], page["start"], page["end"], page["next_page_uri"]) == ([], 0, 0, None)
    assert page["page_size"] == 50


def test_next_page_keeps_filters(emulator: Emulator, api: Api) -> None:
    for number in range(6):
        api.send(to=f"+1415555010{number % 2}")
        emulator.clock.advance(1)
    emulator.clock.advance(5)
    found = pages(api, "Messages.json?To=%2B14155550101&DateSent%3E=2020-01-01&PageSize=2")
    assert [len(page) for page in found] == [2, 1]
    assert {message["to"] for page in found for message in page} == {"+14155550101"}


@pytest.mark.parametrize("unsent", ["first", "last", "date_created"])
def test_paginate_lists_each_record_once_during_sends(emulator: Emulator, api: Api, unsent: str) -> None:
    emulator.quirks.set(unsent=unsent)
    sids = []
    for number in range(30):
        sids.append(api.send(to="+15005559012" if number % 3 == 0 else "+14155550100")["sid"])
        emulator.clock.advance(0.15)
    found, next_uri = [], "Messages.json?PageSize=4"
    while next_uri:
        page = api.get(next_uri)
        found += [message["sid"] for message in page["messages"]]
        api.send()
        emulator.clock.advance(0.3)
        next_uri = page["next_page_uri"]
    assert sorted(found) == sorted(sids)


def test_page_token_remains_valid_after_record_is_deleted(emulator: Emulator, api: Api) -> None:
    sids = [api.send()["sid"] for _ in range(6)]
    emulator.clock.advance(10)
    page = api.get("Messages.json", PageSize=3)
    assert api("DELETE", f"Messages/{page['messages'][-1]['sid']}.json").status_code == 204
    rest = api.get(page["next_page_uri"])["messages"]
    assert [message["sid"] for message in page["messages"] + rest] == sids[::-1]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"Page": 1}, 20001),
        ({"PageSize": 1001}, 20007),
        ({"PageSize": "0" * 11 + "15000"}, 20007),
        ({"PageSize": "0" * 11 + "1" + "9" * 20}, 20007),
        ({"PageSize": "9" * 5000}, 20007),
        ({"PageSize": 0}, 20001),
        ({"PageSize": "many"}, 20001),
        ({"Page": "x"}, 20001),
        ({"Page": 1, "PageToken": "PASM" + "0" * 32}, 21481),
        ({"Page": 1, "PageToken": "nonsense"}, 21481),
        ({"Page": 1, "PageToken": "PASM" + "0" * 32 + "ff" * 33}, 21481),
    ],
)
def test_page_parameters_reject_invalid_values(api: Api, query: dict[str, Any], code: int) -> None:
    assert api.error("GET", "Messages.json", query) == (400, code)


def test_page_token_expires(emulator: Emulator, api: Api) -> None:
    emulator.quirks.set(page_token_life=60)
    for _ in range(3):
        api.send()
    page = api.get("Messages.json", PageSize=1)
    emulator.clock.advance(61)
    assert api.error("GET", page["next_page_uri"]) == (400, 21481)


def test_list_services_has_meta_with_absolute_urls(emulator: Emulator, api: Api) -> None:
    for number in range(5):
        api.post("/messaging.twilio.com/v1/Services", FriendlyName=f"s{number}")
    names, url = [], f"{emulator.url}/messaging.twilio.com/v1/Services?PageSize=2"
    while url:
        assert url.startswith(f"{emulator.url}/")
        page = api.get(url.removeprefix(emulator.url))
        assert page["meta"]["key"] == "services"
        names += [service["friendly_name"] for service in page["services"]]
        url = page["meta"]["next_page_url"]
    assert names == ["s4", "s3", "s2", "s1", "s0"]
