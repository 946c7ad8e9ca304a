"""Tests of `allowed_recipients`: no request reaches another recipient, whatever its form."""

from __future__ import annotations

import pytest

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.client.guards import check_recipients
from tests.support.scripted import ScriptedResponse

SID = "SM" + "b" * 32
SAY = "<Response><Say>Call +19005550100</Say>{}</Response>"


def send(to):
    return Messages.create(to=to, from_="+14155550100", body="x")


def dial(twiml, to="+14155550123"):
    return Calls.create(to=to, from_="+14155550100", twiml=twiml)


def comms(to):
    return raw.raw_request(
        "POST", "https://comms.twilio.com/v1/Messages", json={"to": to, "content": {"text": "+1900"}}
    )


REJECTED = {
    "another prefix": send("+19005550100"),
    "a channel": send("whatsapp:+19005550100"),
    "a channel without a number": send("messenger:123"),
    "a call": Calls.create(to="+19005550100", from_="+14155550100", url="https://example.com"),
    "a call to a client": Calls.create(to="client:eve", from_="+14155550100", url="https://example.com"),
    "a SIP address with an allowed prefix": Calls.create(
        to="sip:+14155550123@evil.example", from_="+14155550100", url="https://example.com"
    ),
    "a raw request": raw.raw_request("POST", "Messages", {"To": "+19005550100", "Body": "x"}),
    "a raw request, parameter in lower case": raw.raw_request("POST", "Messages", {"to": "+19005550100"}),
    "the second of two": raw.raw_request("POST", "Messages", {"To": ["+14155550123", "+19005550100"]}),
    "digits of another script": raw.raw_request("POST", "Messages", {"To": "+1415５５５０１２３"}),
    "a number not in E.164": raw.raw_request("POST", "Messages", {"To": "+1 415 555 0123"}),
    "a conversation's participant": raw.raw_request(
        "POST",
        "https://conversations.twilio.com/v1/Conversations/CH1/Participants",
        {"MessagingBinding.Address": "+1900555"},
    ),
    "a caller id to verify by a call": raw.raw_request("POST", "OutgoingCallerIds", {"PhoneNumber": "+19005550100"}),
    "a binding of Notify": raw.raw_request(
        "POST",
        "https://notify.twilio.com/v1/Services/IS1/Notifications",
        {"ToBinding": ['{"binding_type": "sms", "address": "+19005550100"}']},
    ),
    "JSON": comms("+19005550100"),
    "JSON, a list": comms(["+14155550123", "+19005550100"]),
    "JSON, objects": comms([{"address": "+19005550100", "channel": "PHONE"}]),
    "JSON, deep": raw.raw_request("PATCH", "/v1/x", json={"a": [{"To": {"number": "+19005550100"}}]}),
    "JSON on PUT": raw.raw_request("PUT", "/v1/x", json={"to": "+19005550100"}),
    "TwiML that dials": dial(SAY.format("<Dial>+19005550100</Dial>")),
    "TwiML that dials in parts": dial(
        SAY.format("<Dial><Number>+14155550123</Number><Number>+1900555</Number></Dial>")
    ),
    "TwiML that dials a client": dial(SAY.format("<Dial><Client>eve</Client></Dial>")),
    "TwiML that sends a message": dial(SAY.format('<Message to="+19005550100">x</Message>')),
}
CONVERSATIONS = "https://conversations.twilio.com/v1/ConversationWithParticipants"
NS = '<t:Response xmlns:t="urn:x"><t:Dial>{}</t:Dial></t:Response>'


def raw_post(path, data):
    return raw.raw_request("POST", path, data)


def nested(depth, wrap):
    """Return JSON of this depth that names no address."""
    return wrap(nested(depth - 1, wrap)) if depth else "x"


REJECTED |= {
    "a participant in JSON": raw_post(
        CONVERSATIONS,
        {
            "Participant": [
                '{"messaging_binding": {"address": "+14155550123", "proxy_address": "+14155550100"}}',
                '{"messaging_binding": {"address": "+19005550100", "proxy_address": "+14155550100"}}',
            ]
        },
    ),
    "a participant with two addresses": raw_post(
        CONVERSATIONS,
        {"Participant": '{"messaging_binding": {"address": "+19005550100", "address": "+14155550123"}}'},
    ),
    "a participant in broken JSON": raw_post(CONVERSATIONS, {"Participant": '{"messaging_binding": {"address": "+1'}),
    "a participant in no JSON": raw_post(CONVERSATIONS, {"Participant": "address=+19005550100"}),
    "participants of a proxy session": raw_post(
        "https://proxy.twilio.com/v1/Services/KS1/Sessions", {"Participants": '[{"Identifier": "+19005550100"}]'}
    ),
    "a participant of a proxy session": raw_post(
        "https://proxy.twilio.com/v1/Services/KS1/Sessions/KC1/Participants", {"Identifier": "+19005550100"}
    ),
    "a channel of Flex": raw_post(
        "https://flex-api.twilio.com/v1/Interactions",
        {"Channel": '{"type": "sms", "participants": [{"address": "+19005550100"}]}', "Routing": "{}"},
    ),
    "a flow's parameters": raw_post(
        "https://studio.twilio.com/v2/Flows/FW1/Executions",
        {"To": "+14155550123", "From": "+14155550100", "Parameters": '{"next": ["+19005550100"]}'},
    ),
    "a flow's definition": raw_post(
        "https://studio.twilio.com/v2/Flows", {"Definition": '{"states": [{"properties": {"to": "+19005550100"}}]}'}
    ),
    "an instruction of TaskRouter": raw_post(
        "https://taskrouter.twilio.com/v1/Workspaces/WS1/Tasks/WT1/Reservations/WR1", {"DialTo": "+19005550100"}
    ),
    "JSON in JSON": raw_post(
        "https://taskrouter.twilio.com/v1/x", {"Attributes": '{"a": "{\\"to\\": \\"+19005550100\\"}"}'}
    ),
    "an unknown parameter": raw_post("https://new.twilio.com/v1/Things", {"Callee": "whatsapp:+19005550100"}),
    "a verification": raw_post("https://verify.twilio.com/v2/Services/VA1/Verifications", {"To": "eve@example.com"}),
    "a number to host": raw_post("https://numbers.twilio.com/v2/HostedNumber/Orders", {"PhoneNumber": "+19005550100"}),
    "a notification by identity": raw_post(
        "https://notify.twilio.com/v1/Services/IS1/Notifications", {"Identity": "eve", "Body": "x"}
    ),
    "a URL that forwards": Calls.create(
        to="+14155550123", from_="+14155550100", url="http://twimlets.com/forward?PhoneNumber=+1900-555-0100"
    ),
    "a URL that echoes TwiML": Calls.create(
        to="+14155550123",
        from_="+14155550100",
        url="http://twimlets.com/echo?Twiml=%3CResponse%3E%3CDial%3E%2B19005550100%3C%2FDial%3E%3C%2FResponse%3E",
    ),
    "TwiML that dials WhatsApp": dial(SAY.format("<Dial><WhatsApp>+19005550100</WhatsApp></Dial>")),
    "TwiML that dials an identity": dial(SAY.format("<Dial><Client><Identity>eve</Identity></Client></Dial>")),
    "TwiML with an unknown noun": dial(SAY.format("<Dial><Pager>+19005550100</Pager></Dial>")),
    "TwiML that dials after a noun": dial(SAY.format("<Dial><Number>+14155550123</Number>+19005550100</Dial>")),
    "TwiML with a namespace": raw_post("Calls", {"To": "+14155550123", "Twiml": NS.format("+19005550100")}),
    "TwiML with a prefixed attribute": raw_post(
        "Calls", {"To": "+14155550123", "Twiml": '<Response xmlns:t="u"><Sms t:to="+19005550100">x</Sms></Response>'}
    ),
    "TwiML with a document type": raw_post(
        "Calls", {"Twiml": '<!DOCTYPE r [<!ENTITY n "+19005550100">]><Response><Dial>&n;</Dial></Response>'}
    ),
    "broken TwiML": raw_post("Calls", {"To": "+14155550123", "Twiml": "<Response><Dial>+19005550100</Dial>"}),
    "JSON, a list of pairs": raw.raw_request("POST", "/v1/x", json=[{"recipients": ["+19005550100"]}]),
    "JSON, a number": raw.raw_request("POST", "/v1/x", json={"to": 19005550100}),
    "JSON, a key": raw.raw_request("POST", "/v1/x", json={"people": {"+19005550100": {"name": "x"}}}),
    "JSON, a text before the recipient": raw.raw_request("POST", "/v1/x", json={"text": "x", "to": "+19005550100"}),
    "JSON, a recipient with a name only": raw.raw_request("POST", "/v1/x", json={"to": {"name": "eve"}}),
    "JSON, a recipient of unknown form": raw.raw_request("POST", "/v1/x", json={"to": {"users": ["eve"]}}),
    "JSON, a recipient in a string": raw.raw_request("POST", "/v1/x", json={"to": '{"user": "eve"}'}),
    "JSON, a number without a plus": raw.raw_request("POST", "/v1/x", json={"people": [{"phone": "19005550100"}]}),
    "JSON, lists too deep": raw.raw_request("POST", "/v1/x", json={"a": nested(40, lambda inner: [inner])}),
    "JSON, objects too deep": raw.raw_request("POST", "/v1/x", json=nested(40, lambda inner: {"a": inner})),
    "JSON, a recipient's number": raw.raw_request("POST", "/v1/x", json={"to": {"number": 19005550100}}),
    "JSON, a recipient's phone": raw.raw_request("POST", "/v1/x", json={"to": {"phone": 19005550100}}),
    "a SIP address that ends in an allowed number": raw_post("Calls", {"To": "sip:eve:+14155550123"}),
    "a fallback URL that forwards": raw_post(
        "Calls", {"To": "+14155550123", "FallbackUrl": "http://twimlets.com/forward?PhoneNumber=+19005550100"}
    ),
    "a recipient in JSON of unknown form": raw_post("/v1/x", {"To": '{"user": "eve"}'}),
    "a recipient with an index": raw_post("/v1/x", {"Recipients[0]": "eve"}),
    "a notification by identity alone": raw_post(
        "https://notify.twilio.com/v1/Services/IS1/Notifications", {"Identity": "eve"}
    ),
    "a notification by tag": raw_post("https://notify.twilio.com/v1/Services/IS1/Notifications", {"Tag": "all"}),
    "a notification by segment": raw_post(
        "https://notify.twilio.com/v1/Services/IS1/Notifications", {"Segment": "all"}
    ),
    "TwiML in another parameter": raw_post("/v1/x", {"Document": NS.format("+19005550100")}),
    "TwiML in another parameter of a URL": Calls.create(
        to="+14155550123",
        from_="+14155550100",
        url="http://example.com/?Document=%20%3CResponse%3E%3CDial%3E%2B19005550100%3C%2FDial%3E%3C%2FResponse%3E",
    ),
    "TwiML with an external document type": raw_post(
        "Calls", {"To": "+14155550123", "Twiml": '<!DOCTYPE r SYSTEM "https://example.com/r"><Response/>'}
    ),
}
ALLOWED = {
    "the prefix": send("+14155550123"),
    "the prefix on a channel": send("whatsapp:+14155550123"),
    "a pattern, other case": raw.raw_request("POST", "Calls", {"To": "Client:test-7"}),
    "a pattern": Calls.create(to="client:test-7", from_="+14155550100", url="https://example.com"),
    "a raw request": raw.raw_request("POST", "Messages", {"To": "+14155550123"}),
    "JSON": comms([{"address": "+14155550123", "channel": "PHONE", "variables": {"name": "+1900"}}]),
    "TwiML that only speaks": dial(SAY.format("")),
    "TwiML that dials": dial(SAY.format("<Dial> +14155550123 </Dial>")),
    "a request without a recipient": Messages.update(SID, body=""),
    "a list of messages to others": Messages.list(to="+19005550100").first_page(),
    "a body like an address": Messages.create(to="+14155550123", from_="+14155550100", body="+19005550100"),
    "a body like JSON": Messages.create(to="+14155550123", from_="+14155550100", body='{"to": "+19005550100"'),
    "a purchase": IncomingPhoneNumbers.create(phone_number="+19005550100"),
    "a lookup": raw_post("https://lookups.twilio.com/v2/batch/query", {"PhoneNumber": "+19005550100"}),
    "an opt-out": raw_post("https://accounts.twilio.com/v1/Consents/Bulk", {"Items": '{"contact_id": "+19005550100"}'}),
    "a participant in JSON": raw_post(
        CONVERSATIONS,
        {"Participant": '{"messaging_binding": {"address": "+14155550123", "proxy_address": "+19005550100"}}'},
    ),
    "a flow": raw_post(
        "https://studio.twilio.com/v2/Flows/FW1/Executions",
        {"To": "+14155550123", "From": "+19005550100", "Parameters": '{"text": "+19005550100", "n": 3}'},
    ),
    "TwiML with a conference": dial(SAY.format("<Dial callerId='+19005550100'><Conference>eve</Conference></Dial>")),
    "JSON, an object with a name": raw.raw_request(
        "POST", "/v1/x", json={"to": {"phone": "+14155550123", "name": "Bo"}}
    ),
    "a URL with parameters": Calls.create(
        to="+14155550123", from_="+14155550100", url="https://example.com/?to=bo&id=12345678"
    ),
    "a URL that forwards": Calls.create(
        to="+14155550123", from_="+14155550100", url="http://twimlets.com/forward?PhoneNumber=+14155550123"
    ),
    "a URL that forwards, encoded": Calls.create(
        to="+14155550123", from_="+14155550100", url="http://twimlets.com/forward?PhoneNumber=%2B14155550123"
    ),
    "TwiML that dials a client": dial(SAY.format("<Dial><Client>test-7</Client></Dial>")),
    "TwiML that dials an identity": dial(SAY.format("<Dial><Client><Identity>test-7</Identity></Client></Dial>")),
    "a participant with a role": raw_post(
        CONVERSATIONS, {"Participant": '{"messaging_binding": {"address": "+14155550123"}, "role": "agent"}'}
    ),
    "JSON, a number with a type": raw.raw_request(
        "POST", "/v1/x", json={"to": {"number": "+14155550123", "type": "mobile"}}
    ),
    "JSON, a phone with a type": raw.raw_request(
        "POST", "/v1/x", json={"to": {"phone": "+14155550123", "type": "mobile"}}
    ),
    "a body like TwiML": Messages.create(to="+14155550123", from_="+14155550100", body=NS.format("+19005550100")),
    "a tag": raw_post("/v1/x", {"Tag": "all"}),
    "JSON, a key": raw.raw_request("POST", "/v1/x", json={"people": {"+14155550123": {"name": "x"}}}),
    "JSON, a recipient in a string": raw.raw_request("POST", "/v1/x", json={"to": '{"address": "+14155550123"}'}),
    "JSON, a text in parts": raw.raw_request("POST", "/v1/x", json={"content": {"first": "+19005550100"}}),
    "JSON, values that are no addresses": raw.raw_request("POST", "/v1/x", json={"count": 3, "mode": "fast"}),
    "a raw read": raw.raw_request("GET", "Messages", {"To": "+19005550100"}),
}


@pytest.mark.parametrize("request_", REJECTED.values(), ids=REJECTED)
def test_allowed_recipients_reject_other_recipient_before_sending(run, server, request_):
    with pytest.raises(BadParameter, match="allowed_recipients") as caught:
        run(server.url, allowed_recipients=("+1415", "client:test-*")).send(request_)
    assert server.requests == []
    assert "+19005550100" not in str(caught.value)


@pytest.mark.parametrize("request_", ALLOWED.values(), ids=ALLOWED)
def test_allowed_recipients_accept_allowed_recipient(run, server, request_):
    server.play(ScriptedResponse(200, {"messages": []}))
    run(server.url, allowed_recipients=("+1415", "client:test-*"), validate=False).send(request_)
    assert len(server.requests) == 1


@pytest.mark.parametrize("request_", REJECTED.values(), ids=REJECTED)
def test_check_recipients_empty_list_allows_all(request_):
    check_recipients(request_, ())


def test_check_recipients_full_number_matches_itself_only():
    check_recipients(send("+14155550123"), ("+14155550123",))
    with pytest.raises(BadParameter):
        check_recipients(send("+14155550124"), ("+14155550123",))
