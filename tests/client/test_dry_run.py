"""Tests of dry runs: requests are checked, counted and logged; only safe requests are sent."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.accounts import Accounts
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Record
from tests.client.conftest import ACCOUNT
from tests.support.scripted import ScriptedResponse

SID = "SM" + "b" * 32


def test_dry_run_returns_and_logs_record(run, server, caplog):
    caplog.set_level(logging.INFO)
    message = run(server.url, dry_run=True, defaults=(("From", "+14155550100"),)).send(
        Messages.create(to="+14155550123", body="a secret " * 20, media_url=["https://a.example", "https://b.example"])
    )
    assert isinstance(message, Message)
    assert message == {
        "sid": None,
        "account_sid": ACCOUNT,
        "status": "dry-run",
        "to": "+14155550123",
        "from": "+14155550100",
        "body": "a secret " * 20,
        "num_segments": "2",
    }
    assert (message["sid"], message.num_segments) == (None, 2)
    json.dumps(message)
    assert server.requests == []
    (line,) = [record.getMessage() for record in caplog.records if "Dry run" in record.getMessage()]
    assert "+1415•••0123" in line
    assert "secret" not in line
    assert "+14155550123" not in line


def test_dry_run_counts_segments_with_smart_encoding(run, server):
    client = run(server.url, dry_run=True)
    body = "“" + "a" * 100
    plain, smart = (
        client.send(Messages.create(to="+14155550123", from_="+14155550100", body=body, smart_encoded=smart))
        for smart in (None, True)
    )
    assert (plain.num_segments, smart.num_segments) == (2, 1)


@pytest.mark.parametrize(
    ("request_", "record_type"),
    [
        (Calls.create(to="+14155550123", from_="+14155550100", url="https://example.com"), Call),
        (Messages.update(SID, body=""), Message),
        (IncomingPhoneNumbers.create(phone_number="+14155550100"), Record),
        (Accounts.create(friendly_name="sub"), Record),
        (raw.raw_request("POST", "Queues", {"FriendlyName": "q"}), Record),
        (raw.raw_request("PUT", "/v1/x", json={"to": "+14155550123"}), Record),
        (raw.raw_request("PATCH", "/v1/x", json=["a"]), Record),
        (raw.raw_request("DELETE", "/v1/x"), Record),
        (Messages.delete(SID), type(None)),
    ],
    ids=str,
)
def test_dry_run_sends_no_unsafe_request(run, server, request_, record_type):
    record = run(server.url, dry_run=True).send(request_)
    assert isinstance(record, record_type)
    assert server.requests == []
    if record is not None:
        assert (record["status"], record["sid"]) == ("dry-run", None)


def test_dry_run_sends_safe_requests(run, server):
    server.play(ScriptedResponse(200, {"sid": SID, "account_sid": ACCOUNT}), ScriptedResponse(200, {"messages": []}))
    client = run(server.url, dry_run=True)
    assert client.send(Messages.fetch(SID)).sid == SID
    assert client.list(Messages.list()) == []


def test_dry_run_checks_guards_sender_and_host(run, server):
    client = run(server.url, dry_run=True, allowed_recipients=("+1415",))
    with pytest.raises(BadParameter, match="allowed_recipients"):
        client.send(Messages.create(to="+19005550100", from_="+14155550100", body="x"))
    with pytest.raises(BadParameter, match="from_"):
        client.send(Messages.create(to="+14155550123", body="x"))
    with pytest.raises(BadParameter, match="host"):
        client.send(raw.raw_request("POST", "https://evil.example/x"))


def test_dry_run_requests_no_token(run, server):
    from airflow_provider_twilio.client.settings import OAuth

    run(server.url, dry_run=True, auth=OAuth("OQclient", "secret")).send(Messages.delete(SID))
    assert server.requests == []
