"""A walk through the whole API of an emulator by plain requests.

It visits every record in every state.

tests/contract/test_emulator.py compares its responses with a table of facts, scripts/contract.py with Twilio's own
description. It uses neither twilio-python nor this package's client, so that it cannot share their mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

PHONE = "+14155550100"
TALK = "<Response><Say>Hello</Say><Record maxLength='3'/><Pause length='30'/></Response>"


class SendRequest(Protocol):
    """Anything that can send a request and return the body of its successful response."""

    def __call__(self, method: str, path: str, /, **params: Any) -> Any: ...


def walk(send: SendRequest, account_sid: str, sender: str, advance: Callable[[float], None]) -> Iterator[str]:
    """Send a request for every operation, and yield the name of each part of the API.

    :param send: Sends a request to a path.
    :param advance: Moves the emulator's clock forward by a number of seconds.
    """
    root = f"/2010-04-01/Accounts/{account_sid}"
    yield "messages"
    messages = [
        send("POST", f"{root}/Messages.json", To=to, From=sender, Body="hello") for to in (PHONE, "+15005559001")
    ]
    messages.append(send("POST", f"{root}/Messages.json", To="+15005559007", From=sender, Body="fails"))
    messages.append(
        send(
            "POST", f"{root}/Messages.json", To=PHONE, From=sender, MediaUrl=["http://example.com/a.png"] * 2,
            ProvideFeedback="true",
        )
    )  # fmt: skip
    for seconds in (0, 0.4, 0.6, 3):
        advance(seconds)
        for message in messages:
            send("GET", f"{root}/Messages/{message['sid']}.json")
        send("GET", f"{root}/Messages.json", PageSize=2)
    page = send("GET", f"{root}/Messages.json", PageSize=1, To=PHONE)
    page = send("GET", page["next_page_uri"])
    send("GET", page["previous_page_uri"])
    send("GET", f"{root}/Messages.json", From=sender, **{"DateSent>": "2020-01-01"})
    sid = messages[3]["sid"]
    for media in send("GET", f"{root}/Messages/{sid}/Media.json")["media_list"]:
        send("GET", f"{root}/Messages/{sid}/Media/{media['sid']}.json")
        send("DELETE", f"{root}/Messages/{sid}/Media/{media['sid']}.json")
    send("POST", f"{root}/Messages/{sid}/Feedback.json", Outcome="unconfirmed")
    send("POST", f"{root}/Messages/{messages[0]['sid']}.json", Body="")
    send("DELETE", f"{root}/Messages/{messages[0]['sid']}.json")

    yield "calls"
    dialed = [
        send(
            "POST",
            f"{root}/Calls.json",
            To=to,
            From=sender,
            Twiml=TALK,
            Record="true",
            MachineDetection="Enable",
        )
        for to in (PHONE, "+15005559101", "+15005559102", "+15005559103", "+15005559104", "+15005559105")
    ]
    dialed.append(send("POST", f"{root}/Calls.json", To="sip:me@example.com", From=sender, Url="http://example.com/"))
    for seconds in (0, 1, 4, 60):
        advance(seconds)
        for call in dialed:
            send("GET", f"{root}/Calls/{call['sid']}.json")
        send("GET", f"{root}/Calls.json", PageSize=3)
    call_uri = f"{root}/Calls/{dialed[5]['sid']}"
    recording = send("POST", f"{call_uri}/Recordings.json", RecordingChannels="dual")["sid"]
    send("POST", f"{call_uri}/Recordings/{recording}.json", Status="paused")
    send("GET", f"{call_uri}/Recordings/{recording}.json")
    send("POST", f"{call_uri}/Recordings/{recording}.json", Status="stopped")
    send("GET", f"{call_uri}/Recordings.json")
    send("GET", f"{root}/Recordings.json")
    send("POST", f"{call_uri}.json", Twiml="<Response><Say>Goodbye</Say><Pause length='60'/></Response>")
    send("POST", f"{call_uri}.json", Status="completed")
    send("GET", f"{call_uri}.json")
    advance(120)
    send("GET", f"{root}/Calls.json", Status="completed", **{"StartTime>": "2020-01-01"})
    for record in send("GET", f"{root}/Recordings.json", PageSize=50)["recordings"]:
        send("GET", f"{root}/Recordings/{record['sid']}.json")
    send("DELETE", f"{call_uri}/Recordings/{recording}.json")
    send("GET", f"{root}/Recordings/{recording}.json", IncludeSoftDeleted="true")
    send("DELETE", f"{root}/Recordings/{record['sid']}.json")
    send("DELETE", f"{call_uri}.json")

    yield "numbers"
    for country in send("GET", f"{root}/AvailablePhoneNumbers.json")["countries"]:
        send("GET", f"{root}/AvailablePhoneNumbers/{country['country_code']}.json")
        for uri in country["subresource_uris"].values():
            send("GET", uri, PageSize=3)
    bought = send("POST", f"{root}/IncomingPhoneNumbers.json", AreaCode="212", FriendlyName="shop")
    for kind, country in (("Local", "US"), ("TollFree", "US"), ("Mobile", "DK")):
        found = send("GET", f"{root}/AvailablePhoneNumbers/{country}/{kind}.json", SmsEnabled="true")
        number = found["available_phone_numbers"][0]["phone_number"]
        send("POST", f"{root}/IncomingPhoneNumbers/{kind}.json", PhoneNumber=number)
        send("GET", f"{root}/IncomingPhoneNumbers/{kind}.json")
    number_uri = f"{root}/IncomingPhoneNumbers/{bought['sid']}.json"
    send("POST", number_uri, SmsUrl="http://example.com/sms", VoiceUrl="http://example.com/", SmsMethod="GET")
    send("GET", number_uri)
    send("GET", f"{root}/IncomingPhoneNumbers.json", PhoneNumber="212", PageSize=1)
    send("DELETE", number_uri)

    yield "usage"
    send("GET", f"{root}/Balance.json")
    send("GET", f"{root}/Usage/Records.json", PageSize=5, StartDate="-3days")
    for kind in ("Today", "Yesterday", "ThisMonth", "LastMonth", "Daily", "Monthly", "Yearly", "AllTime"):
        send("GET", f"{root}/Usage/Records/{kind}.json")

    yield "accounts"
    subaccount_sid = send("POST", "/2010-04-01/Accounts.json", FriendlyName="shop")["sid"]
    send("GET", "/2010-04-01/Accounts.json", FriendlyName="shop")
    send("GET", "/2010-04-01/Accounts.json", PageSize=1)
    for status in ("suspended", "active", "closed"):
        send("POST", f"/2010-04-01/Accounts/{subaccount_sid}.json", Status=status)
        send("GET", f"/2010-04-01/Accounts/{subaccount_sid}.json")
    send("GET", f"{root}.json")
