"""The keys and shapes that are stored in the state store and published as XComs. They may never change again.

A task may retry, or be cleared, after the provider was upgraded: the new release must read what the old one stored. A
new key may be added if its absence is accepted. No key may be renamed or removed, and no hash may change.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.send_once import default_key, send_once_in_task
from airflow_provider_twilio.api.accounts import Accounts
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import InvalidRequest
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.runtime.idempotency.fingerprint import KeyedHash, fingerprint
from airflow_provider_twilio.runtime.idempotency.intent import Intent
from tests.support.send_once import ACCEPTED, FROM, STORED, TO, Killed, Task, connection, message

MG, HX = "MG" + "0" * 32, "HX" + "0" * 32
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

FINGERPRINTS: dict[str, tuple[Request[Any], dict[str, Any]]] = {
    "message": (
        message(media_url=["https://example.com/a.png"]),
        {
            "key_id": "f9e66e17",
            "to": "82abc4398215c8ff4ccb4059",
            "from": "3afeb2659a662cebb4a1452c",
            "service": None,
            "body": ["23643c4a412ade27cfbe8d1f", None],
            "media": 1,
        },
    ),
    "message with smart encoding": (
        message(body="“The nightly load” has failed…", smart_encoded=True),
        {
            "key_id": "f9e66e17",
            "to": "82abc4398215c8ff4ccb4059",
            "from": "3afeb2659a662cebb4a1452c",
            "service": None,
            "body": ["767e9584645f30bc347ff8a8", "fc083ceb05f993c83a569d8e"],
            "media": 0,
        },
    ),
    "message from a template and a service": (
        Messages.create(to=TO, messaging_service_sid=MG, content_sid=HX),
        {
            "key_id": "f9e66e17",
            "to": "82abc4398215c8ff4ccb4059",
            "from": None,
            "service": MG,
            "body": None,
            "media": None,
        },
    ),
    "call": (
        Calls.create(to=TO, from_=FROM, url="https://example.com/twiml"),
        {"key_id": "f9e66e17", "to": "82abc4398215c8ff4ccb4059", "from": "3afeb2659a662cebb4a1452c"},
    ),
    "phone number": (
        IncomingPhoneNumbers.create(phone_number="+14155550123"),
        {"key_id": "f9e66e17", "number": "+14155550123", "area": None},
    ),
    "phone number of an area": (
        IncomingPhoneNumbers.create(area_code=415),
        {"key_id": "f9e66e17", "number": None, "area": "415"},
    ),
    "account": (
        Accounts.create(friendly_name="Branch 7"),
        {"key_id": "f9e66e17", "name": "aa704ecc30097c393819d76e"},
    ),
}


@pytest.mark.parametrize("record_type", FINGERPRINTS)
def test_fingerprint_has_stored_format(record_type: str):
    request, stored = FINGERPRINTS[record_type]
    assert fingerprint(request, KeyedHash("secret")) == stored


def test_keyed_hash_of_whole_request_has_stored_format():
    request, _ = FINGERPRINTS["message"]
    assert KeyedHash("secret").json(request.data) == "71ccf50235684a398a0a1a21"


def test_intent_has_stored_format():
    stored = {
        "fingerprint": {"key_id": "f9e66e17", "name": "aa704ecc30097c393819d76e"},
        "digest": "71ccf50235684a398a0a1a21",
        "first_sent_at": "2026-01-02T03:04:05+00:00",
        "sent_at": "2026-01-02T03:04:05+00:00",
        "timeout": 60.0,
        "attempts": 2,
    }
    intent = Intent(stored["fingerprint"], "71ccf50235684a398a0a1a21", NOW, NOW, 60.0, 2)  # type: ignore[arg-type]
    assert intent.as_json() == stored
    assert Intent.from_json(stored) == intent
    owned = {**stored, "clock_offset": -20.5, "owner": "1122334455667788", "generation": 2}
    assert replace(intent, clock_offset=-20.5, owner="1122334455667788", generation=2).as_json() == owned
    assert Intent.from_json(owned).as_json() == owned
    assert Intent.from_json({**stored, "a key of a later release": 1}) == intent


def keyed_hash(emulator: Emulator) -> KeyedHash:
    return KeyedHash(emulator.auth_token)


@pytest.fixture
def intent_json(sender: Task, emulator: Emulator) -> dict[str, Any]:
    now = sender.now().isoformat()
    return {
        "fingerprint": fingerprint(message(), keyed_hash(emulator)),
        "digest": keyed_hash(emulator).json(message().data),
        "first_sent_at": now,
        "sent_at": now,
        "timeout": 60.0,
        "attempts": 1,
    }


@pytest.fixture
def entry_json(sender: Task, emulator: Emulator) -> dict[str, Any]:
    now = sender.now()
    return {
        "owner": ["send", 0],
        "fingerprint": keyed_hash(emulator).json(fingerprint(message(), keyed_hash(emulator))),
        "digest": keyed_hash(emulator).json(message().data),
        "first_sent_at": now.isoformat(),
        "ends_at": datetime.fromtimestamp(now.timestamp() + 60, UTC).isoformat(),
        "sid": None,
    }


def published(sender: Task) -> Any:
    return json.loads(sender.board["send"])


def test_send_once_in_flight_has_stored_format(sender: Task, intent_json: Any, entry_json: Any):
    with pytest.raises(Killed):
        sender.run(message(), kill_at=STORED)
    stored = json.loads(sender.state["k"])
    assert len(stored.pop("owner")) == 16
    assert stored == {**intent_json, "generation": 1}
    assert published(sender) == entry_json


def test_send_once_lost_response_stores_clock_offset(sender: Task, emulator: Emulator, entry_json: Any):
    emulator.fail_next(method="POST", accept_then_drop=True)
    emulator.quirks.set(list_lag=5)
    sender.sleep = kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        sender.run(message())
    assert json.loads(sender.state["k"])["clock_offset"] == 0
    assert published(sender) == {**entry_json, "clock_offset": 0}


def kill(seconds: float) -> None:
    raise Killed


def test_send_once_keeping_unsent_has_stored_format(sender: Task, emulator: Emulator):
    emulator.fail_next(method="POST", status=400)
    with pytest.raises(InvalidRequest):
        sender.run(message(), keep_unsent=True)
    assert json.loads(sender.state["k"]) == {"not_sent": True}
    sender.run(message(), possible_since=sender.now(), keep_unsent=True)
    assert emulator.journal.count("GET") == 0


def test_send_once_completed_has_stored_format(sender: Task, entry_json: Any):
    sid = sender.run(message())["sid"]
    assert json.loads(sender.state["k"]) == {"sid": sid, "sent_at": sender.now().isoformat()}
    assert published(sender) == {**entry_json, "sid": sid}


def test_send_once_next_try_has_stored_format(sender: Task):
    sid = sender.run(message())["sid"]
    sender.run(message())
    assert published(sender) == {"owner": ["send", 0], "fingerprint": None, "sid": sid}


def test_send_once_rejected_has_stored_format(sender: Task, emulator: Emulator, entry_json: Any):
    emulator.fail_next(method="POST", status=400)
    with pytest.raises(InvalidRequest):
        sender.run(message())
    assert not sender.state
    assert published(sender) == {**entry_json, "fingerprint": None}


def test_send_once_reads_stored_intent(sender: Task, emulator: Emulator, intent_json: Any):
    with pytest.raises(Killed):
        sender.run(message(), kill_at=ACCEPTED)
    sender.state["k"] = json.dumps(intent_json)
    assert [sender.run(message())["sid"]] == [record["sid"] for record in emulator.messages]


def test_default_key_has_stored_format():
    sid = "AC" + "0" * 32
    settings = Settings(account_sid=sid, auth=Basic(sid, "secret"), conn_id="twilio_default")
    request, _ = FINGERPRINTS["message"]
    assert default_key(settings, request) == "16c030a21e88974c89813232"


class TaskInstance:
    """A task instance that records its XComs."""

    task_id, map_index, max_tries, try_number = "send", 2, 3, 1

    def __init__(self) -> None:
        self.task = SimpleNamespace(retries=3)
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.mark.parametrize(
    ("options", "key", "xcom_key"),
    [
        ({}, "twilio_sid.3", "twilio_sid"),
        ({"on_clear": "skip"}, "twilio_sid", "twilio_sid"),
        ({"name": "alarm"}, "twilio_sid.alarm.3", "twilio_sid.alarm"),
    ],
    ids=["default", "on_clear", "name"],
)
def test_send_once_in_task_has_stored_keys(emulator: Emulator, options: Any, key: str, xcom_key: str):
    instance, store = TaskInstance(), Task(emulator)
    context = {"ti": instance, "task_state_store": store}
    with Client(connection(emulator)) as client:
        sid = send_once_in_task(context, client, message(), **options)["sid"]
    assert json.loads(store.state[key])["sid"] == sid
    assert list(store.state) == [key]
    assert list(instance.xcoms) == [xcom_key]
    assert (instance.xcoms[xcom_key]["owner"], instance.xcoms[xcom_key]["sid"]) == (["send", 2], sid)
