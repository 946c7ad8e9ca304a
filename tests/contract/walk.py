"""Walk through the whole API of an emulator, every record in every state, by plain requests.

The walk is the same whoever watches: tests/contract/test_emulator.py by the table of facts, scripts/contract.py by
Twilio's own description, as Prism reads it. It uses twilio-python's wire and ours nowhere: it must not share a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

PHONE = "+14155550100"
TALK = "<Response><Say>Hello</Say><Record maxLength='3'/><Pause length='30'/></Response>"


class Ask(Protocol):
    """Make a request; give the body of what must be a good answer."""

    def __call__(self, method: str, path: str, /, **params: Any) -> Any: ...


def walk(ask: Ask, account_sid: str, sender: str, pass_time: Callable[[float], None]) -> Iterator[str]:
    """Ask for everything; what is named on the way is where it is.

    :param ask: makes a request to a path below an account.
    :param pass_time: lets so many seconds of the emulator's time pass.
    """
    own = f"/2010-04-01/Accounts/{account_sid}"
    yield "messages"
    made = [ask("POST", f"{own}/Messages.json", To=to, From=sender, Body="hello") for to in (PHONE, "+15005559001")]
    made.append(ask("POST", f"{own}/Messages.json", To="+15005559007", From=sender, Body="fails"))
    made.append(
        ask(
            "POST", f"{own}/Messages.json", To=PHONE, From=sender, MediaUrl=["http://example.com/a.png"] * 2,
            ProvideFeedback="true",
        )
    )  # fmt: skip
    for seconds in (0, 0.4, 0.6, 3):
        pass_time(seconds)
        for message in made:
            ask("GET", f"{own}/Messages/{message['sid']}.json")
        ask("GET", f"{own}/Messages.json", PageSize=2)
    page = ask("GET", f"{own}/Messages.json", PageSize=1, To=PHONE)
    page = ask("GET", page["next_page_uri"])
    ask("GET", page["previous_page_uri"])
    ask("GET", f"{own}/Messages.json", From=sender, **{"DateSent>": "2020-01-01"})
    sid = made[3]["sid"]
    for media in ask("GET", f"{own}/Messages/{sid}/Media.json")["media_list"]:
        ask("GET", f"{own}/Messages/{sid}/Media/{media['sid']}.json")
        ask("DELETE", f"{own}/Messages/{sid}/Media/{media['sid']}.json")
    ask("POST", f"{own}/Messages/{sid}/Feedback.json", Outcome="unconfirmed")
    ask("POST", f"{own}/Messages/{made[0]['sid']}.json", Body="")
    ask("DELETE", f"{own}/Messages/{made[0]['sid']}.json")

    yield "calls"
    dialed = [
        ask("POST", f"{own}/Calls.json", To=to, From=sender, Twiml=TALK, Record="true", MachineDetection="Enable")
        for to in (PHONE, "+15005559101", "+15005559102", "+15005559103", "+15005559104", "+15005559105")
    ]
    dialed.append(ask("POST", f"{own}/Calls.json", To="sip:me@example.com", From=sender, Url="http://example.com/"))
    for seconds in (0, 1, 4, 60):
        pass_time(seconds)
        for call in dialed:
            ask("GET", f"{own}/Calls/{call['sid']}.json")
        ask("GET", f"{own}/Calls.json", PageSize=3)
    talks = f"{own}/Calls/{dialed[5]['sid']}"
    recording = ask("POST", f"{talks}/Recordings.json", RecordingChannels="dual")["sid"]
    ask("POST", f"{talks}/Recordings/{recording}.json", Status="paused")
    ask("GET", f"{talks}/Recordings/{recording}.json")
    ask("POST", f"{talks}/Recordings/{recording}.json", Status="stopped")
    ask("GET", f"{talks}/Recordings.json")
    ask("GET", f"{own}/Recordings.json")
    ask("POST", f"{talks}.json", Twiml="<Response><Say>Goodbye</Say><Pause length='60'/></Response>")
    ask("POST", f"{talks}.json", Status="completed")
    ask("GET", f"{talks}.json")
    pass_time(120)
    ask("GET", f"{own}/Calls.json", Status="completed", **{"StartTime>": "2020-01-01"})
    for record in ask("GET", f"{own}/Recordings.json", PageSize=50)["recordings"]:
        ask("GET", f"{own}/Recordings/{record['sid']}.json")
    ask("DELETE", f"{talks}/Recordings/{recording}.json")
    ask("GET", f"{own}/Recordings/{recording}.json", IncludeSoftDeleted="true")
    ask("DELETE", f"{own}/Recordings/{record['sid']}.json")
    ask("DELETE", f"{talks}.json")

    yield "numbers"
    for country in ask("GET", f"{own}/AvailablePhoneNumbers.json")["countries"]:
        ask("GET", f"{own}/AvailablePhoneNumbers/{country['country_code']}.json")
        for uri in country["subresource_uris"].values():
            ask("GET", uri, PageSize=3)
    bought = ask("POST", f"{own}/IncomingPhoneNumbers.json", AreaCode="212", FriendlyName="shop")
    for kind, country in (("Local", "US"), ("TollFree", "US"), ("Mobile", "DK")):
        found = ask("GET", f"{own}/AvailablePhoneNumbers/{country}/{kind}.json", SmsEnabled="true")
        number = found["available_phone_numbers"][0]["phone_number"]
        ask("POST", f"{own}/IncomingPhoneNumbers/{kind}.json", PhoneNumber=number)
        ask("GET", f"{own}/IncomingPhoneNumbers/{kind}.json")
    number_uri = f"{own}/IncomingPhoneNumbers/{bought['sid']}.json"
    ask("POST", number_uri, SmsUrl="http://example.com/sms", VoiceUrl="http://example.com/", SmsMethod="GET")
    ask("GET", number_uri)
    ask("GET", f"{own}/IncomingPhoneNumbers.json", PhoneNumber="212", PageSize=1)
    ask("DELETE", number_uri)

    yield "usage"
    ask("GET", f"{own}/Balance.json")
    ask("GET", f"{own}/Usage/Records.json", PageSize=5, StartDate="-3days")
    for kind in ("Today", "Yesterday", "ThisMonth", "LastMonth", "Daily", "Monthly", "Yearly", "AllTime"):
        ask("GET", f"{own}/Usage/Records/{kind}.json")

    yield "accounts"
    shop = ask("POST", "/2010-04-01/Accounts.json", FriendlyName="shop")["sid"]
    ask("GET", "/2010-04-01/Accounts.json", FriendlyName="shop")
    ask("GET", "/2010-04-01/Accounts.json", PageSize=1)
    for status in ("suspended", "active", "closed"):
        ask("POST", f"/2010-04-01/Accounts/{shop}.json", Status=status)
        ask("GET", f"/2010-04-01/Accounts/{shop}.json")
    ask("GET", f"{own}.json")
