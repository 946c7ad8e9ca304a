"""Run every operation through Prism, and report violations of the contract.

Prism validates requests and responses against Twilio's OpenAPI description.

make contract

`prism proxy DESCRIPTION EMULATOR --errors` runs between the client and the emulator, and turns a request or response
that violates the description into an error. Three clients perform all of their operations: plain requests, which visit
each record in each state; twilio-python, as the most common client; and this package's own client. Without Node.js, the
script prints a message and checks nothing.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

import requests

from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator, serve
from scripts.prism import Prism, PrismUnavailable, patched_description, prism_command
from tests.contract.walk import walk

PHONE, LONG_TALKER = "+14155550100", "+15005559105"


class Violation(Exception):
    """A request or a response that violates the description."""


def run_plain_requests(emulator: Emulator, url: str) -> None:
    session = requests.Session()
    session.auth = (emulator.account_sid, emulator.auth_token)

    def send(method: str, path: str, /, **params: Any) -> Any:
        where: dict[str, Any] = {"data" if method == "POST" else "params": params or None}
        response = session.request(method, url + path, timeout=60, **where)
        if not response.ok or "sl-violations" in response.headers:
            raise Violation(f"{method} {path} {params}: {response.status_code} {response.text[:2000]}")
        return response.json() if response.content else None

    for sender in ("+14155550199", "whatsapp:+14155550199"):
        emulator.receive_message("hi", from_=sender)
    for _ in walk(send, emulator.account_sid, emulator.phone_number, emulator.clock.advance):
        pass


def run_twilio_python(emulator: Emulator, url: str) -> None:
    from twilio.rest import Client as Twilio

    client = Twilio(emulator.account_sid, emulator.auth_token)
    client.api.base_url = url
    sender = emulator.phone_number
    message = client.messages.create(
        to=PHONE, from_=sender, body="hi", media_url=["http://example.com/a.png", "http://example.com/b.png"],
        provide_feedback=True, status_callback="http://example.com/",
    )  # fmt: skip
    client.messages(message.sid).fetch()
    emulator.clock.advance(10)
    client.messages(message.sid).feedback.create(outcome="confirmed")
    for media in client.messages(message.sid).media.list():
        client.messages(message.sid).media(media.sid).fetch()
        client.messages(message.sid).media(media.sid).delete()
    client.messages.list(to=PHONE, from_=sender, date_sent_after=emulator.clock.utc.replace(hour=0), page_size=2)
    client.messages(message.sid).update(body="")
    client.messages(message.sid).delete()
    call = client.calls.create(
        to=LONG_TALKER, from_=sender, twiml="<Response/>", record=True, machine_detection="Enable",
        status_callback="http://example.com/", status_callback_event=["ringing", "answered"],
    )  # fmt: skip
    emulator.clock.advance(5)
    client.calls(call.sid).fetch()
    recording = client.calls(call.sid).recordings.create()
    client.calls(call.sid).recordings(recording.sid).update(status="stopped")
    client.calls(call.sid).recordings(recording.sid).fetch()
    client.calls(call.sid).recordings.list()
    client.calls(call.sid).update(twiml="<Response><Pause length='50'/></Response>")
    client.calls(call.sid).update(status="completed")
    emulator.clock.advance(60)
    client.calls.list(status="completed", start_time_after=emulator.clock.utc.date())
    for recording in client.recordings.list(call_sid=call.sid):
        client.recordings(recording.sid).fetch()
        client.recordings(recording.sid).delete()
    client.calls(call.sid).delete()
    available = client.available_phone_numbers("US")
    available.toll_free.list(limit=2)
    found = available.local.list(area_code=415, sms_enabled=True, contains="415*", limit=2)
    number = client.incoming_phone_numbers.create(phone_number=found[0].phone_number)
    client.incoming_phone_numbers(number.sid).fetch()
    client.incoming_phone_numbers(number.sid).update(friendly_name="shop", sms_url="http://example.com/")
    client.incoming_phone_numbers.list(phone_number="415", beta=False)
    client.incoming_phone_numbers(number.sid).delete()
    client.balance.fetch()
    for period in ("today", "yesterday", "this_month", "last_month", "daily", "monthly", "yearly", "all_time"):
        getattr(client.usage.records, period).list(limit=3)
    client.usage.records.list(category="sms", include_subaccounts=True)
    account = client.api.v2010.accounts.create(friendly_name="sub")
    client.api.v2010.accounts(account.sid).fetch()
    client.api.v2010.accounts(account.sid).update(status="closed")
    client.api.v2010.accounts.list(status="closed")


def run_own_client(emulator: Emulator, url: str) -> None:
    settings = Settings(emulator.account_sid, Basic(emulator.account_sid, emulator.auth_token), base=url, retries=0)
    client: Any
    with Client(settings) as client:
        sender, today = emulator.phone_number, emulator.clock.utc
        message = client.messages.create(
            to=PHONE, from_=sender, body="hi", media_url=["http://example.com/a.png", "http://example.com/b.png"],
            provide_feedback=True, status_callback="http://example.com/",
        )  # fmt: skip
        client.messages.fetch(message.sid)
        emulator.clock.advance(10)
        client.feedback.create(message.sid, outcome="confirmed")
        for media in client.media.list(message.sid):
            client.media.fetch(message.sid, media.sid)
            client.media.delete(message.sid, media.sid)
        list(client.messages.list(to=PHONE, from_=sender, date_sent_after=today.replace(hour=0)))
        client.messages.update(message.sid, body="")
        client.messages.delete(message.sid)
        call = client.calls.create(
            to=LONG_TALKER, from_=sender, twiml="<Response/>", record=True, machine_detection="Enable",
            status_callback="http://example.com/", status_callback_event=["ringing", "answered"],
        )  # fmt: skip
        emulator.clock.advance(5)
        client.calls.fetch(call.sid)
        client.calls.update(call.sid, status="completed")
        emulator.clock.advance(60)
        list(client.calls.list(status="completed", start_time_after=today.date()))
        for recording in client.recordings.list(call_sid=call.sid):
            client.recordings.fetch(recording.sid)
            client.recordings.delete(recording.sid)
        client.calls.delete(call.sid)
        found = list(client.available_phone_numbers.list("US", kind="Local", area_code=415, sms_enabled=True, limit=1))
        for country, kind in (("US", "TollFree"), ("GB", "Mobile"), ("GB", "National")):
            list(client.available_phone_numbers.list(country, kind=kind, limit=1))
        number = client.incoming_phone_numbers.create(phone_number=found[0].phone_number)
        client.incoming_phone_numbers.fetch(number.sid)
        client.incoming_phone_numbers.update(number.sid, friendly_name="shop", sms_url="http://example.com/")
        list(client.incoming_phone_numbers.list(phone_number="415", beta=False))
        client.incoming_phone_numbers.delete(number.sid)
        client.balance.fetch()
        usage = client.usage_records
        for period in ("today", "yesterday", "this_month", "last_month", "daily", "monthly", "yearly", "all_time"):
            list(getattr(usage, period)(limit=3))
        list(usage.list(category="sms", include_subaccounts=True))
        account = client.accounts.create(friendly_name="sub")
        client.accounts.fetch(account.sid)
        client.accounts.update(account.sid, status="closed")
        list(client.accounts.list(status="closed"))


CLIENTS: dict[str, Callable[[Emulator, str], None]] = {
    "plain requests": run_plain_requests,
    "twilio-python": run_twilio_python,
    "this package": run_own_client,
}


def main() -> int:
    try:
        command, document = prism_command(), patched_description()
    except PrismUnavailable as error:
        print(f"Skipping the contract check, because Prism is not available: {error}.")
        return 0
    failed = False
    with serve() as emulator, Prism(command, "proxy", document, emulator.url, "--errors") as proxy:
        if not detects_violations(emulator, proxy.url):
            print("Prism did not detect an invalid request or response: the contract check has no effect.")
            return 1
        for name, run in CLIENTS.items():
            emulator.reset()
            emulator.clock.freeze()
            started = time.monotonic()
            try:
                run(emulator, proxy.url)
                result = "no violation in requests or responses"
            except Exception as error:
                failed, result = True, f"{type(error).__name__}: {error}"
            entries = list(emulator.journal)
            operations = {(entry.method, re.sub(r"[A-Z]{2}[0-9a-f]{32}", "{}", entry.path)) for entry in entries}
            seconds = time.monotonic() - started
            counts = f"{len(entries)} requests, {len(operations)} operations"
            print(f"{name}: {counts}, {seconds:.0f} s: {result}", flush=True)
    return int(failed)


def detects_violations(emulator: Emulator, url: str) -> bool:
    """Return whether Prism detects an invalid request and an invalid response."""
    auth = (emulator.account_sid, emulator.auth_token)
    path = f"{url}/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    form = {"To": PHONE, "From": emulator.phone_number, "Body": "x", "ScheduleType": "never"}
    request_error = requests.post(path, form, auth=auth, timeout=60)
    emulator.receive_message("hi", from_=PHONE)
    with emulator.state.lock:
        next(iter(emulator.state.main.messages)).direction = "sideways"
    response_error = requests.get(path, auth=auth, timeout=60)
    return all(not error.ok and "prism/errors" in error.text for error in (request_error, response_error))


if __name__ == "__main__":
    sys.exit(main())
