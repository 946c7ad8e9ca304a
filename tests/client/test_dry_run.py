"""A dry run: all is checked, counted and logged, reads go through, nothing else leaves."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_twilio.api import raw as other
from airflow_provider_twilio.api.accounts import Accounts
from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.phone_numbers import IncomingPhoneNumbers
from airflow_provider_twilio.api.records import Record
from tests.client.conftest import ACCOUNT
from tests.support.scripted import Answer

SID = "SM" + "b" * 32


def test_a_send_is_what_it_would_have_been(run, server, caplog):
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


def test_smart_encoding_is_counted(run, server):
    client = run(server.url, dry_run=True)
    body = "“" + "a" * 100
    plain, smart = (
        client.send(Messages.create(to="+14155550123", from_="+14155550100", body=body, smart_encoded=smart))
        for smart in (None, True)
    )
    assert (plain.num_segments, smart.num_segments) == (2, 1)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Calls.create(to="+14155550123", from_="+14155550100", url="https://example.com"), Call),
        (Messages.update(SID, body=""), Message),
        (IncomingPhoneNumbers.create(phone_number="+14155550100"), Record),
        (Accounts.create(friendly_name="sub"), Record),
        (other.raw_request("POST", "Queues", {"FriendlyName": "q"}), Record),
        (other.raw_request("PUT", "/v1/x", json={"to": "+14155550123"}), Record),
        (other.raw_request("PATCH", "/v1/x", json=["a"]), Record),
        (other.raw_request("DELETE", "/v1/x"), Record),
        (Messages.delete(SID), type(None)),
    ],
    ids=str,
)
def test_nothing_that_changes_leaves(run, server, request_, kind):
    answer = run(server.url, dry_run=True).send(request_)
    assert isinstance(answer, kind)
    assert server.requests == []
    if answer is not None:
        assert (answer["status"], answer["sid"]) == ("dry-run", None)


def test_reads_go_through(run, server):
    server.play(Answer(200, {"sid": SID, "account_sid": ACCOUNT}), Answer(200, {"messages": []}))
    client = run(server.url, dry_run=True)
    assert client.send(Messages.fetch(SID)).sid == SID
    assert client.list(Messages.list()) == []


def test_all_is_checked(run, server):
    client = run(server.url, dry_run=True, allowed_recipients=("+1415",))
    with pytest.raises(BadParameter, match="allowed_recipients"):
        client.send(Messages.create(to="+19005550100", from_="+14155550100", body="x"))
    with pytest.raises(BadParameter, match="from_"):
        client.send(Messages.create(to="+14155550123", body="x"))
    with pytest.raises(BadParameter, match="host"):
        client.send(other.raw_request("POST", "https://evil.example/x"))


def test_a_dry_run_needs_no_token(run, server):
    from airflow_provider_twilio.client.settings import OAuth

    run(server.url, dry_run=True, auth=OAuth("OQclient", "secret")).send(Messages.delete(SID))
    assert server.requests == []
