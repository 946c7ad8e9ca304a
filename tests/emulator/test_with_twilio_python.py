"""The emulator, used by Twilio's own client."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from datetime import timedelta

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from airflow_provider_twilio.emulator import Emulator


def client_of(emulator: Emulator, account_sid: str | None = None) -> Client:
    client = Client(emulator.account_sid, emulator.auth_token, account_sid)
    client.api.base_url = emulator.url
    return client


def create_messages(emulator: Emulator, count: int) -> list[str]:
    """Send messages over one connection, and return their SIDs."""
    path = f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    secret = b64encode(f"{emulator.account_sid}:{emulator.auth_token}".encode()).decode()
    headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=10)
    sids = []
    for _ in range(count):
        connection.request("POST", path, "To=%2B14155550100&From=%2B15005550006&Body=x", headers)
        sids.append(json.loads(connection.getresponse().read())["sid"])
    connection.close()
    return sids


@pytest.mark.parametrize("on_subaccount", [False, True])
def test_twilio_python_performs_all_nineteen_operations(emulator: Emulator, on_subaccount: bool) -> None:
    parent = client_of(emulator)
    client, sender = parent, emulator.phone_number
    if on_subaccount:
        client = client_of(emulator, parent.api.v2010.accounts.create(friendly_name="shop").sid)
        sender = client.incoming_phone_numbers.create(area_code="415").phone_number
    message = client.messages.create(to="+14155550100", from_=sender, body="hello")
    emulator.clock.advance(10)
    fetched = client.messages(message.sid).fetch()
    assert (fetched.status, fetched.price, fetched.num_segments) == ("delivered", "-0.00830", "1")
    assert fetched.date_sent - fetched.date_created < timedelta(seconds=3)
    assert [each.sid for each in client.messages.list(to="+14155550100")] == [message.sid]
    assert client.messages(message.sid).update(body="").body == ""
    assert client.messages(message.sid).delete()

    call = client.calls.create(to="+15005559105", from_=sender, url="http://example.com/")
    emulator.clock.advance(10)
    assert client.calls(call.sid).fetch().status == "in-progress"
    assert client.calls(call.sid).update(status="completed").status == "completed"
    assert [each.sid for each in client.calls.list(status="completed")] == [call.sid]
    assert client.calls(call.sid).delete()

    offered = client.available_phone_numbers("US").local.list(area_code=212, limit=1)[0].phone_number
    number = client.incoming_phone_numbers.create(phone_number=offered)
    assert client.incoming_phone_numbers(number.sid).fetch().capabilities["sms"] is True
    assert number.sid in [each.sid for each in client.incoming_phone_numbers.list()]
    assert client.incoming_phone_numbers(number.sid).delete()

    assert float(parent.balance.fetch().balance) < 100
    account = parent.api.v2010.accounts.create(friendly_name="other")
    assert parent.api.v2010.accounts(account.sid).fetch().status == "active"
    assert parent.api.v2010.accounts(account.sid).update(status="suspended").status == "suspended"
    assert account.sid in [each.sid for each in parent.api.v2010.accounts.list(status="suspended")]


def test_twilio_python_streams_2500_messages(emulator: Emulator) -> None:
    client = client_of(emulator)
    sids = create_messages(emulator, 2500)
    assert len(emulator.state.main.messages) == 2500
    emulator.clock.advance(1)
    streamed = [message.sid for message in client.messages.stream(page_size=400)]
    assert streamed == sids[::-1]


def test_twilio_python_raises_error_with_code(emulator: Emulator) -> None:
    client = client_of(emulator)
    with pytest.raises(TwilioRestException) as error:
        client.messages.create(to="+15005559204", from_=emulator.phone_number, body="x")
    assert (error.value.status, error.value.code) == (400, 21610)
