"""Tests of the hook with the emulator: resources, both clients, raw requests, and the connection test."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import redact
from asgiref.sync import async_to_sync, sync_to_async

from airflow_provider_twilio import connection_form
from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.outcome import fail_on_permanent_errors
from airflow_provider_twilio.api.errors import BadParameter, NotFound, RateLimited
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.client.extras import BadConnection
from airflow_provider_twilio.client.settings import Basic
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.runtime.background import BackgroundRunner

TO = "+14155550123"


def connect(monkeypatch, conn_id="twilio_default", **fields):
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "twilio", **fields}))


def at(emulator, login, password, **extra):
    return {"login": login, "password": password, "host": emulator.host, "port": emulator.port, "extra": extra}


RESOURCES = [
    "messages",
    "media",
    "feedback",
    "calls",
    "incoming_phone_numbers",
    "available_phone_numbers",
    "accounts",
    "balance",
    "usage_records",
    "recordings",
]

# ---------------------------------------------------------------- resources


def test_hook_creates_lists_updates_and_deletes_messages(emulator):
    hook = TwilioHook()
    message = hook.messages.create(to=TO, from_=emulator.phone_number, body="hello")
    assert isinstance(message, Message)
    assert hook.messages.fetch(message.sid).to == TO
    assert [listed.sid for listed in hook.messages.list(to=TO)] == [message.sid]
    emulator.set_message_status(message.sid, "delivered")
    assert hook.messages.update(message.sid, body="").body == ""
    assert hook.messages.delete(message.sid) is None
    with pytest.raises(NotFound):
        hook.messages.fetch(message.sid)


def test_aclient_creates_and_lists_messages(emulator):
    async def main():
        async with TwilioHook().aclient() as client:
            message = await client.messages.create(to=TO, from_=emulator.phone_number, body="hello")
            assert (await client.messages.fetch(message.sid)).to == TO
            assert [listed.sid async for listed in client.messages.list(to=TO)] == [message.sid]
            services = [service async for service in client.iterate("https://messaging.twilio.com/v1/Services")]
            record = await client.request("GET", f"Messages/{message.sid}")
            return services, record

    services, record = asyncio.run(main())
    assert services == []
    assert record["to"] == TO


def test_aclient_retries_and_concurrency_default_to_the_connection(emulator):
    async def main(**options):
        async with TwilioHook().aclient(**options) as client:
            return client.settings.retries, client.concurrency

    assert asyncio.run(main()) == (5, 100)
    assert asyncio.run(main(retries=0, concurrency=7)) == (0, 7)


def test_aclient_opens_below_waiting_thread(emulator):
    """Even if asgiref would read the connection in the waiting thread."""

    async def read_account_sid():
        async with TwilioHook().aclient() as client:
            return client.settings.account_sid

    async def task():
        return await sync_to_async(lambda: BackgroundRunner(read_account_sid()).run())()

    result: Future[str] = Future()
    threading.Thread(target=lambda: result.set_result(async_to_sync(task)()), daemon=True).start()
    assert result.result(30) == emulator.account_sid


def test_hook_and_aclient_have_the_same_resources(emulator):
    async def async_types():
        async with TwilioHook().aclient() as client:
            return [type(getattr(client, name)) for name in RESOURCES]

    hook = TwilioHook()
    assert [type(getattr(hook, name)) for name in RESOURCES] == asyncio.run(async_types())
    assert hook.balance.fetch().currency == "USD"


def test_hook_creates_client_once(emulator):
    hook = TwilioHook()
    assert hook.client is hook.get_conn()
    hook.messages.list(limit=1)
    assert hook.client is hook.client


def test_hook_unused_is_picklable(emulator):
    import pickle

    hook = pickle.loads(pickle.dumps(TwilioHook("other", "AC" + "a" * 32)))
    assert (hook.twilio_conn_id, hook.account_sid) == ("other", "AC" + "a" * 32)


# ---------------------------------------------------------------- raw requests


@pytest.mark.parametrize(
    "path",
    [
        "Messages",
        "Messages.json",
        "/2010-04-01/Accounts/{AccountSid}/Messages.json",
        "https://api.twilio.com/2010-04-01/Accounts/{AccountSid}/Messages.json",
    ],
)
def test_hook_request_accepts_all_forms_of_paths(emulator, path):
    sent = TwilioHook().request("POST", path, {"To": TO, "From": emulator.phone_number, "Body": "hello"})
    assert type(sent) is Record
    assert sent["status"] == "queued"
    assert emulator.journal.count("POST", "/Messages.json") == 1


def test_hook_request_accepts_hosts_of_twilio_only(emulator):
    page = TwilioHook().request("GET", "https://messaging.twilio.com/v1/Services")
    assert page["meta"]["key"] == "services"
    with pytest.raises(BadParameter, match="host"):
        TwilioHook().request("GET", "https://example.com/v1/Services")


def test_hook_iterate_applies_filters_and_limit(emulator):
    hook = TwilioHook()
    for number in range(3):
        hook.messages.create(to=TO, from_=emulator.phone_number, body=str(number))
    records = hook.iterate("Messages", {"To": TO, "PageSize": 2})
    assert sorted(record["body"] for record in records) == ["0", "1", "2"]
    assert len(list(hook.iterate("Messages", limit=2))) == 2


def test_hook_iterate_follows_pages_of_newer_api(emulator):
    hook = TwilioHook()
    for number in range(3):
        hook.request("POST", "https://messaging.twilio.com/v1/Services", {"FriendlyName": f"service {number}"})
    all_at_once = [service["sid"] for service in hook.iterate("https://messaging.twilio.com/v1/Services")]
    one_by_one = [
        service["sid"] for service in hook.iterate("https://messaging.twilio.com/v1/Services", {"PageSize": 1})
    ]
    assert one_by_one == all_at_once
    assert len(one_by_one) >= 3


# ---------------------------------------------------------------- subaccounts


def test_hook_account_sid_acts_on_subaccount(emulator):
    sub = TwilioHook().accounts.create(friendly_name="sub")
    assert list(TwilioHook(account_sid=sub.sid).messages.list()) == []
    assert emulator.journal[-1].path == f"/2010-04-01/Accounts/{sub.sid}/Messages.json"


def test_hook_invalid_account_sid_raises(emulator):
    with pytest.raises(BadParameter, match="account_sid"):
        TwilioHook(account_sid="PN" + "a" * 32).messages.list(limit=1).__next__()


# ---------------------------------------------------------------- connection test


def assert_only_safe_requests(emulator):
    assert len(emulator.journal)
    assert {entry.method for entry in emulator.journal} == {"GET"}


CREDENTIALS = {
    "auth token": (lambda e: at(e, e.account_sid, e.auth_token), True, "Connected to account AC"),
    "main key": (lambda e: at(e, *e.main_key, account_sid=e.account_sid), True, "Connected to account AC"),
    "standard key": (
        lambda e: at(e, *e.standard_key, account_sid=e.account_sid),
        True,
        "may not read the account itself",
    ),
    "restricted key": (lambda e: at(e, *e.restricted_key, account_sid=e.account_sid), True, "lack some permissions"),
    "test credentials": (lambda e: at(e, e.test_account_sid, e.test_auth_token), True, "lack some permissions"),
    "wrong token": (lambda e: at(e, e.account_sid, "wrong" * 6), False, "does not accept the credentials"),
    "wrong key secret": (
        lambda e: at(e, e.standard_key[0], "wrong" * 6, account_sid=e.account_sid),
        False,
        "does not accept the credentials",
    ),
    "another account": (lambda e: at(e, "AC" + "0" * 32, e.auth_token), False, "does not accept the credentials"),
}


@pytest.mark.parametrize(("fields", "works", "expected"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_test_connection_reports_validity_of_credentials(emulator, monkeypatch, fields, works, expected):
    fields = fields(emulator)
    connect(monkeypatch, **fields)
    result, message = TwilioHook().test_connection()
    assert result is works
    assert expected in message
    assert fields["password"] not in message
    assert "twilio_default" not in message  # Airflow tests a connection under a temporary name.
    assert_only_safe_requests(emulator)


def test_test_connection_with_oauth(emulator, monkeypatch):
    connect(monkeypatch, **at(emulator, *emulator.oauth_client, auth_type="oauth", account_sid=emulator.account_sid))
    assert TwilioHook().test_connection() == (True, f"Connected to account {emulator.account_sid} (active)")
    assert emulator.journal.count("POST") == 1  # The token request.
    connect(
        monkeypatch,
        **at(emulator, emulator.oauth_client[0], "wrong" * 6, auth_type="oauth", account_sid=emulator.account_sid),
    )
    works, message = TwilioHook().test_connection()
    assert not works
    assert "wrong" * 6 not in message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"login": "+14155550123", "password": "its-secret"}, "login is a phone number"),
        ({"login": "SK" + "a" * 32, "password": "its-secret"}, "account_sid is missing"),
        ({"login": "AC" + "a" * 32}, "password is empty"),
        (
            {"login": "AC" + "a" * 32, "password": "its-secret", "extra": {"acount_sid": "x"}},
            "did you mean account_sid?",
        ),
        ({"login": "AC" + "a" * 32, "password": "its-secret", "host": "http://gateway.corp"}, "allow_insecure"),
    ],
)
def test_test_connection_reports_invalid_field(monkeypatch, fields, expected):
    connect(monkeypatch, **fields)
    works, message = TwilioHook().test_connection()
    assert not works
    assert expected in message
    assert "its-secret" not in message
    with pytest.raises(BadConnection, match="twilio_default"):
        _ = TwilioHook().client


def test_test_connection_reports_unreachable_host(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    connect(monkeypatch, login="AC" + "a" * 32, password="its-secret", host="127.0.0.1", port=port)
    works, message = TwilioHook().test_connection()
    assert not works
    assert "not sent" in message


def test_test_connection_reports_missing_connection():
    works, message = TwilioHook("nothing_here").test_connection()
    assert not works
    assert message


def test_test_connection_masks_secret_in_response(emulator, monkeypatch):
    connect(monkeypatch, **at(emulator, emulator.account_sid, emulator.auth_token))
    emulator.fail_next(2, status=400, code=20001, message=f"invalid token {emulator.auth_token}")
    works, message = TwilioHook().test_connection()
    assert not works
    assert emulator.auth_token not in message
    assert "***" in message


def test_test_connection_does_not_retry(emulator):
    emulator.fail_next(9, status=503)
    assert TwilioHook().test_connection()[0] is False
    assert len(emulator.journal) == 1


def test_test_connection_by_airflow_uses_the_hook(emulator, monkeypatch):
    """Airflow tests a connection that is not stored, with the hook from the provider's metadata."""
    monkeypatch.delenv("AIRFLOW_CONN_TWILIO_DEFAULT")
    fields = at(emulator, emulator.account_sid, emulator.auth_token)
    connection = Connection(conn_id="tried", conn_type="twilio", **{**fields, "extra": "{}"})
    connect(monkeypatch, "tried", **fields)  # Airflow before 3.3 looks the connection up again.
    hook = connection.get_hook()
    assert type(hook) is TwilioHook
    assert hook.twilio_conn_id == "tried"
    assert connection.get_hook().test_connection() == (True, f"Connected to account {emulator.account_sid} (active)")


# ---------------------------------------------------------------- secrets


def test_hook_masks_every_credential(emulator, monkeypatch):
    secret = "a-secret-of-one-test"
    connect(
        monkeypatch,
        **{**at(emulator, emulator.account_sid, secret), "extra": {"proxy": "http://me:proxy-pass-word@p:1"}},
    )
    header = Basic(emulator.account_sid, secret).header
    _ = TwilioHook().client
    for shown in (secret, header, "proxy-pass-word"):
        assert shown not in redact(f"text with {shown} in it")


def test_aclient_masks_every_credential(emulator, monkeypatch):
    secret = "a-secret-of-another-test"
    connect(monkeypatch, **at(emulator, emulator.account_sid, secret))

    async def main():
        async with TwilioHook().aclient():
            pass

    asyncio.run(main())
    assert secret not in redact(f"text with {secret} in it")
    assert Basic(emulator.account_sid, secret).header not in redact(Basic(emulator.account_sid, secret).header)


def test_hook_masks_access_token(emulator, monkeypatch):
    connect(monkeypatch, **at(emulator, *emulator.oauth_client, auth_type="oauth", account_sid=emulator.account_sid))
    assert list(TwilioHook().messages.list()) == []
    (token,) = emulator.state.tokens
    assert token not in redact(f"text with {token} in it")


def test_hook_repr_shows_no_secret(emulator):
    hook = TwilioHook()
    _ = hook.client
    assert emulator.auth_token not in repr(hook) + repr(hook.client) + repr(hook.client.settings)


# ---------------------------------------------------------------- integration with Airflow


def test_hook_returns_connection_form_for_airflow_3_1():
    assert TwilioHook.get_ui_field_behaviour() == connection_form.ui_field_behaviour()
    # Airflow looks for the methods in the class itself, not in its bases.
    assert {"get_ui_field_behaviour", "get_connection_form_widgets"} <= TwilioHook.__dict__.keys()
    pytest.importorskip("wtforms", reason="only Airflow's API server has wtforms, or a replacement")
    assert TwilioHook.get_connection_form_widgets().keys() == connection_form.FIELDS.keys()


def test_fail_on_permanent_errors_raises_airflow_fail_exception():
    with pytest.raises(AirflowFailException, match="NotFound: gone") as caught, fail_on_permanent_errors():
        raise NotFound("gone")
    assert isinstance(caught.value.__cause__, NotFound)
    with pytest.raises(RateLimited), fail_on_permanent_errors():
        raise RateLimited("later")
    with pytest.raises(KeyError), fail_on_permanent_errors():
        raise KeyError


def test_hook_import_loads_no_http_library():
    code = """
import sys, airflow.sdk.bases.hook
before = set(sys.modules)
import airflow_provider_twilio.hooks.twilio
print(*set(sys.modules) - before)
"""
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"requests", "aiohttp", "urllib3", "starlette", "yarl"} & set(loaded)
