"""Send a request once in a task with the hook: keys, tries and errors."""

from __future__ import annotations

import hashlib
import json
import time
import timeit
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio._airflow.send_once import default_key
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.hooks.twilio import TwilioHook
from tests.support.task_instance import TaskInstance

TO, FROM = "+14155550123", "+15005550006"
SEND: dict[str, Any] = {"to": TO, "from_": FROM, "body": "The nightly load has failed."}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with serve() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri)
        yield emulator


def test_hook_send_once_sends_one_request_per_key(emulator: Emulator):
    instance, hook = TaskInstance({}), TwilioHook()
    sids: list[list[str]] = []
    for _ in range(2):
        context = instance.context()
        sids.append([hook.send_once(context, Messages.create(**SEND | {"body": text})).sid or "" for text in "abab"])
    assert sids[0] == sids[1]
    assert [sids[0][0], sids[0][1]] == [message["sid"] for message in emulator.messages]
    call = hook.send_once(instance.context(), Calls.create(to=TO, from_=FROM, url="https://example.com"), key="alarm")
    again = hook.send_once(instance.context(), Calls.create(to=TO, from_=FROM, twiml="<Response/>"), key="alarm")
    assert [call["sid"], again["sid"]] == [emulator.calls[0]["sid"]] * 2
    assert len(emulator.calls) == 1


def test_hook_send_once_finds_message_after_connection_changes(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    """Other credentials and other defaults of the connection do not change the default key."""
    instance, request = TaskInstance({}), Messages.create(to=TO, body=SEND["body"])
    key, secret = emulator.main_key
    sids = []
    for login, password, sender in (
        (emulator.account_sid, emulator.auth_token, FROM),
        (key, secret, FROM),
        (emulator.account_sid, emulator.auth_token, "+15005550010"),
    ):
        extra = {"account_sid": emulator.account_sid, "from_": sender}
        fields = {"login": login, "password": password, "host": emulator.host, "port": emulator.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", json.dumps({"conn_type": "twilio", **fields}))
        sids.append(TwilioHook().send_once(instance.context(), request).sid)
    assert sids == [emulator.messages[0]["sid"]] * 3
    assert len(emulator.messages) == 1


def test_default_key_depends_on_connection_account_path_and_data(emulator: Emulator):
    request, other = Messages.create(**SEND), Messages.create(**SEND | {"to": "+14155550124"})
    settings = TwilioHook().client.settings
    keys = {
        default_key(settings, request),
        default_key(settings, other),
        default_key(replace(settings, conn_id="another"), request),
        default_key(replace(settings, account_sid="AC" + "0" * 32), request),
        default_key(settings, request.replace(path="Calls.json")),
    }
    assert len(keys) == 5
    assert {len(key) for key in keys} == {24}


def test_default_key_is_slow_to_guess(emulator: Emulator):
    """Users who can read XComs or task states can read the key. There are few enough phone numbers to try them all."""
    settings, request, plain = TwilioHook().client.settings, Messages.create(**SEND), str(SEND).encode()
    key_time = min(timeit.repeat(lambda: default_key(settings, request), number=1, repeat=5))
    hash_time = min(timeit.repeat(lambda: hashlib.sha256(plain), number=1, repeat=5))
    assert key_time > 1000 * hash_time


def test_hook_send_once_fails_without_retry_on_permanent_error(emulator: Emulator):
    emulator.fail_next(method="POST", status=400, code=21211)
    with pytest.raises(AirflowFailException):
        TwilioHook().send_once(TaskInstance({}).context(), Messages.create(**SEND))


def test_hook_send_once_new_key_in_retry_is_sent_without_waiting(emulator: Emulator):
    """A task sends the same text twice, with keys of its own. Its first try fails between the two."""
    instance, hook = TaskInstance({}), TwilioHook()
    first = hook.send_once(instance.context(), Messages.create(**SEND), key="a").sid
    context, started = instance.context(), time.monotonic()
    sids = [hook.send_once(context, Messages.create(**SEND), key=key).sid for key in "ab"]
    assert sids == [message["sid"] for message in emulator.messages]
    assert sids[0] == first
    assert time.monotonic() - started < 10
