from __future__ import annotations

from airflow_provider_twilio.emulator import Emulator
from tests.emulator.conftest import Api


def create_service(api: Api) -> str:
    """Create a messaging service, and return the path of its phone numbers."""
    sid = api.post("/messaging.twilio.com/v1/Services", FriendlyName="news")["sid"]
    return f"/messaging.twilio.com/v1/Services/{sid}/PhoneNumbers"


def test_create_pool_member_rejects_number_of_a_service(emulator: Emulator, api: Api) -> None:
    pool, other_pool = create_service(api), create_service(api)
    form = {"PhoneNumberSid": emulator.numbers[0]["sid"]}
    api.post(pool, **form)
    assert api.error("POST", pool, form) == (409, 21710)
    assert api.error("POST", other_pool, form) == (409, 21712)
    assert api.get(other_pool)["phone_numbers"] == []
    assert api("DELETE", f"{pool}/{form['PhoneNumberSid']}").status_code == 204
    assert api.post(other_pool, **form)["sid"] == form["PhoneNumberSid"]
