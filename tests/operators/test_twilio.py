"""Tests of TwilioRequestOperator, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.twilio import TwilioRequestOperator
from tests.support.scripted import ScriptedResponse, ScriptedServer

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"

INVALID = [
    ({"method": "FETCH", "path": "Queues"}, "method is 'FETCH'"),
    ({"method": "GET", "path": ""}, "path is empty"),
    ({"method": "GET", "path": "Queues?To=1"}, "path contains a query"),
    ({"method": "POST", "path": "Queues", "data": {"A": 1}, "json": {"a": 1}}, "data and json are mutually exclusive"),
    ({"method": "POST", "path": "Queues", "data": "A=1"}, "data is a string, not a mapping"),
]


@pytest.mark.parametrize(("arguments", "message"), INVALID)
def test_request_operator_rejects_invalid_parameters(
    run_mapped: Run, emulator: Emulator, arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        TwilioRequestOperator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(TwilioRequestOperator, **arguments)
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("path", ["Messages", "/2010-04-01/Accounts/{AccountSid}/Messages.json"])
@pytest.mark.parametrize(
    "data",
    [
        {
            "To": "{{ to }}",
            "From": FROM,
            "Body": "x",
            "MediaUrl": ["https://example.com/{{ 1 }}", "https://example.com"],
        },
        "{{ {'To': to, 'From': '+15005550006', 'Body': 'x', 'MediaUrl': urls} }}",
    ],
    ids=["by parameter", "whole"],
)
def test_request_operator_posts_form(run: Run, emulator: Emulator, path: str, data: Any):
    urls = ["https://example.com/1", "https://example.com"]
    record = run(TwilioRequestOperator, {"to": TO, "urls": urls}, method="POST", path=path, data=data)
    assert record["sid"].startswith("MM")
    assert emulator.journal[-1].params == {
        "To": TO,
        "From": FROM,
        "Body": "x",
        "MediaUrl": urls,
    }


def test_request_operator_gets_and_deletes(run: Run, emulator: Emulator):
    sid = run(TwilioRequestOperator, method="POST", path="Messages", data={"To": TO, "From": FROM, "Body": "x"})["sid"]
    assert run(TwilioRequestOperator, {"sid": sid}, method="GET", path="Messages/{{ sid }}")["sid"] == sid
    page = run(TwilioRequestOperator, method="GET", path="Messages", data={"PageSize": 1})
    assert [message["sid"] for message in page["messages"]] == [sid]
    emulator.clock.advance(60)
    assert run(TwilioRequestOperator, method="DELETE", path=f"Messages/{sid}") == {}
    assert emulator.messages == []


def test_request_operator_removes_auth_tokens(run: Run, emulator: Emulator):
    account = run(TwilioRequestOperator, method="GET", path="/2010-04-01/Accounts/{AccountSid}.json")
    assert account["sid"] == emulator.account_sid
    assert "auth_token" not in account
    accounts = run(TwilioRequestOperator, method="GET", path="/2010-04-01/Accounts.json")
    assert [record["sid"] for record in accounts["accounts"]] == [emulator.account_sid]
    assert emulator.auth_token not in str(dict(accounts))


def test_request_operator_removes_secrets_that_hook_returns(run: Run, monkeypatch: pytest.MonkeyPatch):
    key: dict[str, Any] = {
        "sid": "SK" + "a" * 32,
        "friendly_name": "etl",
        "secret": "s3cret",
        "binding": {"secret": "s3cret"},
    }
    key |= {"ice_servers": [{"url": "stun:example.com", "credential": "s3cret"}], "access_token": "s3cret"}
    with ScriptedServer(ScriptedResponse(201, key), repeat=True) as server:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"twilio://AC{'a' * 32}:token@127.0.0.1:{server.port}")
        result = run(TwilioRequestOperator, method="POST", path="Keys", data={"FriendlyName": "etl"})
        assert TwilioHook().request("POST", "Keys", {"FriendlyName": "etl"})["secret"] == "s3cret"
    assert (result["sid"], result["friendly_name"]) == (key["sid"], "etl")
    assert result["ice_servers"] == [{"url": "stun:example.com"}]
    assert "s3cret" not in str(dict(result))


def test_request_operator_renders_json_body():
    task = TwilioRequestOperator(
        task_id="task", method="POST", path="https://content.twilio.com/v1/Content", json={"types": {"a": "{{ 1 }}"}}
    )
    task.render_template_fields({})
    assert task._request().json == {"types": {"a": "1"}}


def test_request_operator_retries_post_only_if_idempotent(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{emulator.connection_uri}/?retry_max_wait=0.01")
    arguments = {"method": "POST", "path": "Messages", "data": {"To": TO, "From": FROM, "Body": "x"}}
    emulator.fail_next(1, status=503)
    with pytest.raises(AirflowFailException, match="idempotent=True"):  # without retry
        run(TwilioRequestOperator, **arguments)
    assert len(emulator.journal) == 1
    emulator.fail_next(1, status=503)
    run(TwilioRequestOperator, **arguments, idempotent=True)
    assert len(emulator.journal) == 3


def test_request_operator_logs_no_number_in_path(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    path = f"https://lookups.twilio.com/v2/PhoneNumbers/{TO}"
    TwilioRequestOperator(task_id="task", method="GET", path=path)._result(Record(status="looked up"))
    log = caplog.text + "".join(capfd.readouterr())
    assert "looked up" in log
    assert TO[1:] not in log
