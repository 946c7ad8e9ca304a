from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.emulator.callback_sender import signature
from airflow_provider_twilio.emulator.params import is_callback_allowed
from tests.emulator.conftest import Api


class Receiver:
    """An HTTP server for callbacks.

    ``/fails`` fails, ``/odd`` returns invalid XML, and ``/drips`` responds slowly.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.request_lines: list[str] = []
        self.headers: list[Any] = []
        self.response = b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                receiver.headers.append(self.headers)
                receiver.request_lines.append(f"{self.command} {path}")
                receiver.requests.append(
                    dict(parse_qsl(query if self.command == "GET" else body, keep_blank_values=True))
                )
                response = b"<Response><Say>" if path == "/odd" else receiver.response
                self.send_response(500 if path == "/fails" else 200)
                self.send_header("Content-Length", str(1000 if path == "/drips" else len(response)))
                self.end_headers()
                if path == "/drips":
                    self.drip()
                else:
                    self.wfile.write(response)

            def do_GET(self) -> None:
                self.do_POST()

            def drip(self) -> None:
                with suppress(OSError):  # the emulator has disconnected
                    for _ in range(200):
                        self.wfile.write(b"x")
                        time.sleep(0.05)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = self.at("/status?a=1")
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, self.requests
            time.sleep(0.01)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def test_status_callbacks_are_ordered_and_signed(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    sid = api.send(StatusCallback=receiver.url)["sid"]
    emulator.clock.advance(10)
    receiver.wait(lambda: len(receiver.requests) == 2)
    assert [params["MessageStatus"] for params in receiver.requests] == ["sent", "delivered"]
    assert {params["MessageSid"] for params in receiver.requests} == {sid}
    assert "RawDlrDoneDate" in receiver.requests[1]
    validator = RequestValidator(emulator.auth_token)
    for params, headers in zip(receiver.requests, receiver.headers, strict=True):
        assert validator.validate(receiver.url, params, headers["X-Twilio-Signature"])
    receiver.wait(lambda: [attempt.status for attempt in emulator.callbacks] == [200, 200])


def test_status_callback_of_failure_has_error_code(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    api.send(to="+15005559007", StatusCallback=receiver.url)
    emulator.clock.advance(10)
    receiver.wait(lambda: len(receiver.requests) == 1)
    assert (receiver.requests[0]["MessageStatus"], receiver.requests[0]["ErrorCode"]) == ("failed", "30001")


def test_status_callback_is_sent_in_real_time(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    emulator.clock.resume()
    api.send(to="+15005559007", StatusCallback=receiver.url)
    receiver.wait(lambda: len(receiver.requests) == 1)


def test_callback_quirks_reverse_repeat_and_lose(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    emulator.quirks.set(callback_order="reversed", callback_copies=2)
    api.send(StatusCallback=receiver.url)
    emulator.clock.advance(10)
    receiver.wait(lambda: len(receiver.requests) == 4)
    assert [params["MessageStatus"] for params in receiver.requests] == ["delivered", "delivered", "sent", "sent"]
    emulator.quirks.set(callback_order="kept", callback_copies=0)
    api.send(StatusCallback=receiver.url)
    emulator.clock.advance(10)
    for _ in range(3):
        api.get("Messages.json")  # gives the server time to process callbacks
    emulator.quirks.set(callback_copies=1)
    api.send(to="+15005559007", StatusCallback=receiver.url)
    emulator.clock.advance(10)
    receiver.wait(lambda: len(receiver.requests) == 5)
    assert receiver.requests[-1]["MessageStatus"] == "failed"


def test_callback_to_closed_port_is_retried_once(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    api.send(to="+15005559007", StatusCallback=receiver.url)
    emulator.clock.advance(10)
    receiver.wait(lambda: [attempt.tries for attempt in emulator.callbacks] == [2])
    assert emulator.callbacks[0].status is None


def test_call_status_callback_reports_all_events(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    events = ["initiated", "ringing", "answered", "completed"]
    document = "<Response><Pause length='5'/></Response>"
    form = {"To": "+14155550100", "From": emulator.phone_number, "Twiml": document}
    api.post("Calls.json", **form, StatusCallback=receiver.url, StatusCallbackEvent=events)
    emulator.clock.advance(60)
    receiver.wait(lambda: len(receiver.requests) == 4)
    assert [params["CallStatus"] for params in receiver.requests] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [params["SequenceNumber"] for params in receiver.requests] == ["0", "1", "2", "3"]
    assert receiver.requests[-1]["CallDuration"] == "5"


EVENTS = ["initiated", "ringing", "answered", "completed"]


def dial(api: Api, **form: Any) -> str:
    call = api.post("Calls.json", To="+14155550100", From=api.emulator.phone_number, **form)
    return str(call["sid"])


def test_call_events_are_reported_once_despite_updates(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    document = "<Response><Pause length='300'/></Response>"
    sid = dial(api, Twiml=document, StatusCallback=receiver.url, StatusCallbackEvent=EVENTS)
    api.post(f"Calls/{sid}.json", TimeLimit=200)
    emulator.clock.advance(5)
    recording = api.post(f"Calls/{sid}/Recordings.json")["sid"]
    api.post(f"Calls/{sid}/Recordings/{recording}.json", Status="stopped")
    for limit in (100, 60):
        api.post(f"Calls/{sid}.json", TimeLimit=limit)
    emulator.clock.advance(500)
    wait_for_callbacks(emulator, api, receiver)
    assert [params["CallStatus"] for params in receiver.requests] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert receiver.requests[-1]["CallDuration"] == "60"


def wait_for_callbacks(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    """Wait until the emulator has sent all callbacks that are due.

    The last one is that of another message.
    """
    other = Receiver()
    api.send(to="+15005559007", StatusCallback=other.url)
    emulator.clock.advance(10)
    other.wait(lambda: bool(other.requests))
    receiver.wait(lambda: all(attempt.status or attempt.error for attempt in emulator.callbacks))
    other.server.shutdown()
    other.server.server_close()


def test_call_update_while_ringing_fetches_document_once(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Say>Hello from afar</Say></Response>"
    sid = dial(api, Url=receiver.at("/first"))
    for limit in (100, 60):
        api.post(f"Calls/{sid}.json", TimeLimit=limit)
    emulator.clock.advance(1.95)  # the call is answered, and the first word is spoken
    receiver.wait(lambda: emulator.transcript(sid) == ("Hello from afar",))
    recording = api.post(f"Calls/{sid}/Recordings.json")["sid"]
    api.post(f"Calls/{sid}/Recordings/{recording}.json", Status="stopped")
    wait_for_callbacks(emulator, api, receiver)
    assert receiver.request_lines == ["POST /first"]


def test_call_status_callback_set_later_gets_new_events_only(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    sid = dial(api, Twiml="<Response><Pause length='20'/></Response>", StatusCallbackEvent=EVENTS)
    emulator.clock.advance(10)
    api.post(f"Calls/{sid}.json", StatusCallback=receiver.at("/later"), StatusCallbackMethod="GET")
    emulator.clock.advance(60)
    wait_for_callbacks(emulator, api, receiver)
    assert receiver.request_lines == ["GET /later"]
    assert receiver.requests[0]["CallStatus"] == "completed"


def test_set_message_status_reports_only_the_new_status(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    sid = api.send(StatusCallback=receiver.url)["sid"]
    emulator.clock.advance(10)
    for _ in range(2):
        emulator.set_message_status(sid, "undelivered", 30003)
    wait_for_callbacks(emulator, api, receiver)
    assert [params["MessageStatus"] for params in receiver.requests] == ["sent", "delivered", "undelivered"]


def test_number_status_callback_reports_end_of_inbound_call(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    settings = {"StatusCallback": receiver.at("/status"), "StatusCallbackMethod": "GET"}
    api.post(f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json", **settings)
    sid = emulator.receive_call(from_="+14155550100")
    emulator.clock.advance(100)
    wait_for_callbacks(emulator, api, receiver)
    assert receiver.request_lines == ["GET /status"]
    assert (receiver.requests[0]["CallSid"], receiver.requests[0]["CallStatus"]) == (sid, "no-answer")


@pytest.mark.parametrize(("fails", "code"), [("/fails", "11200"), ("/odd", "12100")])
def test_fallback_url_is_requested_when_first_fails(
    emulator: Emulator, api: Api, receiver: Receiver, fails: str, code: str
) -> None:
    receiver.response = b"<Response><Say>from the second</Say><Message>from the second</Message></Response>"
    number = f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}"
    first, second = receiver.at(fails), receiver.at("/second")
    api.post(f"{number}.json", VoiceUrl=first, VoiceFallbackUrl=second, VoiceFallbackMethod="GET")
    api.post(f"{number}.json", SmsUrl=first, SmsFallbackUrl=second)

    def expect_fallback(sid: str) -> None:
        emulator.clock.advance(2)
        receiver.wait(lambda: emulator.transcript(sid) == ("from the second",))

    expect_fallback(dial(api, Url=first, FallbackUrl=second))
    expect_fallback(dial(api, Twiml=f"<Response><Redirect>{first}</Redirect></Response>", FallbackUrl=second))
    expect_fallback(emulator.receive_call(from_="+14155550100"))
    emulator.receive_message("hello", from_="+14155550100")
    receiver.wait(lambda: [message["body"] for message in emulator.messages] == ["hello", "from the second"])
    settings = {"InboundRequestUrl": first, "FallbackUrl": second, "FallbackMethod": "GET"}
    service = api.post("/messaging.twilio.com/v1/Services", FriendlyName="news", **settings)["sid"]
    pool = f"/messaging.twilio.com/v1/Services/{service}/PhoneNumbers"
    api.post(pool, PhoneNumberSid=emulator.numbers[0]["sid"])
    emulator.receive_message("hello", from_="+14155550100")
    receiver.wait(lambda: len(emulator.messages) == 4)
    assert receiver.request_lines[1::2] == [
        "POST /second",
        "POST /second",
        "GET /second",
        "POST /second",
        "GET /second",
    ]
    assert {(params["ErrorCode"], params["ErrorUrl"]) for params in receiver.requests[1::2]} == {(code, first)}
    assert not any("ErrorCode" in params for params in receiver.requests[::2])


def test_callback_total_timeout_limits_slow_response(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    sid = dial(
        api, Twiml="<Response><Pause length='20'/></Response>", StatusCallback=receiver.at("/drips#tt=300"),
        StatusCallbackEvent=["ringing", "completed"],
    )  # fmt: skip
    emulator.clock.advance(60)
    receiver.wait(lambda: len(emulator.callbacks) == 2 and emulator.callbacks[1].error is not None)
    assert [params["CallStatus"] for params in receiver.requests] == ["ringing", "completed"]
    assert {params["CallSid"] for params in receiver.requests} == {sid}
    assert [attempt.error for attempt in emulator.callbacks] == ["TimeoutError"] * 2


def test_call_url_determines_flow(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Say>Hello from afar</Say><Pause length='8'/></Response>"
    sid = api.post("Calls.json", To="+14155550100", From=emulator.phone_number, Url=receiver.url)["sid"]
    emulator.clock.advance(3)
    receiver.wait(lambda: emulator.transcript(sid) == ("Hello from afar",))
    assert api.get(f"Calls/{sid}.json")["status"] == "in-progress"
    emulator.clock.advance(60)
    assert api.get(f"Calls/{sid}.json")["duration"] == "9"


def test_inbound_message_webhook_sends_reply(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Message>thank you</Message></Response>"
    api.post(f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json", SmsUrl=receiver.url)
    emulator.receive_message("hello", from_="+14155550100")
    receiver.wait(lambda: len(emulator.messages) == 2)
    assert receiver.requests[0]["Body"] == "hello"
    reply = emulator.messages[1]
    assert (reply["direction"], reply["body"], reply["to"]) == ("outbound-reply", "thank you", "+14155550100")


def set_sms_webhook(emulator: Emulator, api: Api, receiver: Receiver, response: str) -> None:
    """Send the number's messages to the receiver, and set its response."""
    receiver.response = response.encode()
    api.post(f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json", SmsUrl=receiver.url)


@pytest.mark.parametrize(
    ("sender", "body", "code"), [("+14155550100", "STOP", 21610), ("+15005559206", "hello", 21614)]
)
def test_webhook_reply_is_rejected_like_a_message(
    emulator: Emulator, api: Api, receiver: Receiver, caplog: pytest.LogCaptureFixture, sender: str, body: str,
    code: int,
) -> None:  # fmt: skip
    set_sms_webhook(emulator, api, receiver, "<Response><Message>thank you</Message></Response>")
    sid = emulator.receive_message(body, from_=sender)
    receiver.wait(lambda: f"Rejected the reply to {sid} with error {code}" in caplog.text)
    assert [message["sid"] for message in emulator.messages] == [sid]
    assert sender not in caplog.text


def test_webhook_reply_by_whatsapp_has_whatsapp_price(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    set_sms_webhook(emulator, api, receiver, "<Response><Message>thank you</Message></Response>")
    emulator.receive_message("hello", from_="whatsapp:+14155550100", to=f"whatsapp:{emulator.phone_number}")
    receiver.wait(lambda: len(emulator.messages) == 2)
    emulator.clock.advance(10)
    assert [message["price"] for message in emulator.messages] == ["-0.00500", "-0.00500"]


def test_inbound_media_url_belongs_to_account(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    set_sms_webhook(emulator, api, receiver, "")
    sid = emulator.receive_message("look", from_="+14155550100", media=["http://phone.example/a.gif"])
    receiver.wait(lambda: bool(receiver.requests))
    url = receiver.requests[0]["MediaUrl0"]
    assert url.startswith(f"{emulator.url}/2010-04-01/Accounts/{api.account_sid}/Messages/{sid}/Media/ME")
    assert api("GET", url.removeprefix(emulator.url)).headers["Content-Type"] == "image/png"


def test_suspended_account_receives_no_message_or_call(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    account = api.post("/2010-04-01/Accounts.json", FriendlyName="shop")
    shop = Api(emulator, (account["sid"], account["auth_token"]), account["sid"])
    number = shop.post("IncomingPhoneNumbers.json", AreaCode=415, SmsUrl=receiver.url, VoiceUrl=receiver.url)
    api.post(f"/2010-04-01/Accounts/{shop.account_sid}.json", Status="suspended")
    for receive in (partial(emulator.receive_message, "hello"), emulator.receive_call):
        with pytest.raises(ValueError, match="is not active"):
            receive(from_="+14155550100", to=number["phone_number"])
    wait_for_callbacks(emulator, api, receiver)
    assert receiver.requests == []
    assert emulator.messages_of(shop.account_sid) == []


def test_inbound_call_follows_voice_url(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    receiver.response = b"<Response><Say>Welcome</Say></Response>"
    api.post(f"IncomingPhoneNumbers/{emulator.numbers[0]['sid']}.json", VoiceUrl=receiver.url)
    sid = emulator.receive_call(from_="+14155550100")
    receiver.wait(lambda: emulator.transcript(sid) == ("Welcome",))
    emulator.clock.advance(10)
    assert api.get(f"Calls/{sid}.json")["status"] == "completed"


def test_callbacks_go_to_local_addresses_by_default(emulator: Emulator, api: Api) -> None:
    api.send(StatusCallback="https://example.com/status")
    emulator.clock.advance(10)
    api.get("Messages.json")
    assert emulator.callbacks == []
    assert is_callback_allowed("local", "http://localhost:80/")
    assert is_callback_allowed("local", "http://192.168.1.2/")
    assert not is_callback_allowed("local", "http://8.8.8.8/")
    assert not is_callback_allowed("none", "http://localhost/")
    assert is_callback_allowed("any", "https://example.com/")


def test_signature_matches_twilio_example() -> None:
    params = {
        "CallSid": "CA1234567890ABCDE",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
        "Caller": "+14158675309",
    }
    assert signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", params) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
