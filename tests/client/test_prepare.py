"""Tests of preparing a request: completing it, checking it against the guards, and building its URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_twilio
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.client.prepare import build_url, complete, prepare, prepare_like
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.runtime.bulk.engine import run as run_bulk
from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, preflight
from airflow_provider_twilio.runtime.idempotency.send import send_once
from airflow_provider_twilio.runtime.state_store import FolderStore
from tests.client.conftest import ACCOUNT, TOKEN
from tests.support.scripted import ScriptedResponse, ScriptedServer

SERVICE = "MG" + "c" * 32
MESSAGE = {"sid": "SM" + "0" * 32, "account_sid": ACCOUNT, "status": "queued"}


class CountingRecipients(tuple[str, ...]):  # noqa: SLOT001 (it has an attribute)
    """An ``allowed_recipients`` that counts how many recipients are checked against it."""

    checks = 0

    def __iter__(self) -> Iterator[str]:
        self.checks += 1
        return super().__iter__()


def settings(**values: Any) -> Settings:
    return Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), **values)


def counting_settings(server: ScriptedServer) -> tuple[Settings, CountingRecipients]:
    allowed = CountingRecipients(["+1415"])
    return settings(
        base=server.url, defaults=(("From", "+14155550100"),), allowed_recipients=allowed, retries=0
    ), allowed


# ---------------------------------------------------------------- completing


def test_complete_adds_every_sender_of_the_connection():
    completed = complete(
        settings(defaults=(("MessagingServiceSid", SERVICE), ("From", "+14155550100"))),
        Messages.create(to="+14155550123", body="x"),
    )
    assert (completed.get("From"), completed.get("MessagingServiceSid")) == ("+14155550100", SERVICE)


def test_complete_keeps_the_sender_of_the_request():
    completed = complete(
        settings(defaults=(("MessagingServiceSid", SERVICE), ("From", "+14155550100"))),
        Messages.create(to="+14155550123", from_="ACME", body="x"),
    )
    assert (completed.get("From"), completed.get("MessagingServiceSid")) == ("ACME", None)


def test_complete_without_a_sender_names_parameters_and_connection():
    with pytest.raises(BadParameter, match=r"messaging_service_sid or from_ is missing.*the connection twilio_default"):
        complete(settings(conn_id="twilio_default"), Messages.create(to="+14155550123", body="x"))


# ---------------------------------------------------------------- prepared requests


def test_prepare_like_replaces_form_data_and_keeps_url():
    configured = settings(allowed_recipients=("+1415",))
    prepared = prepare(configured, Messages.create(to="+14155550123", from_="ACME", body="x"))
    other = prepare_like(configured, prepared, (("To", "+14155550124"), ("From", "ACME")))
    assert (other.url, other.get("To"), other.get("Body")) == (prepared.url, "+14155550124", None)
    with pytest.raises(BadParameter, match="allowed_recipients"):
        prepare_like(configured, prepared, (("To", "+442071838750"), ("From", "ACME")))


def test_prepared_request_is_created_in_prepare_only():
    package = Path(airflow_provider_twilio.__file__).parent
    files = [path for path in package.rglob("*.py") if re.search(r"\bPreparedRequest\(", path.read_text())]
    assert [str(path.relative_to(package)) for path in files] == ["client/prepare.py"]


def test_prepared_request_repr_shows_no_parameters():
    prepared = prepare(settings(), Messages.create(to="+14155550123", from_="+14155550100", body="secret text"))
    assert repr(prepared) == f"<PreparedRequest POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json>"


def test_send_prepares_a_request_once(run, server):
    configured, allowed = counting_settings(server)
    server.play(ScriptedResponse(201, MESSAGE))
    run(server.url, settings=configured).send(Messages.create(to="+14155550123", body="x"))
    assert allowed.checks == 1


def test_send_sends_a_prepared_request_unchanged(run, server):
    configured, allowed = counting_settings(server)
    server.play(ScriptedResponse(201, MESSAGE))
    prepared = prepare(configured, Messages.create(to="+14155550123", body="x"))
    run(server.url, settings=configured).send(prepared)
    assert allowed.checks == 1
    assert server.requests[0].body.decode() == prepared.request.query()


def test_send_once_prepares_a_request_once(server, tmp_path):
    configured, allowed = counting_settings(server)
    server.play(ScriptedResponse(201, MESSAGE))
    with Client(configured) as client:
        send_once(
            client,
            FolderStore(tmp_path),
            Messages.create(to="+14155550123", body="x"),
            key="k",
            finalize_request=lambda request: request,
        )
    assert allowed.checks == 1


def test_send_once_prepares_a_finalized_request_once(server, tmp_path):
    configured, allowed = counting_settings(server)
    server.play(ScriptedResponse(201, MESSAGE))
    with Client(configured) as client:
        send_once(
            client,
            FolderStore(tmp_path),
            Messages.create(to="+14155550123", body="x"),
            key="k",
            finalize_request=lambda request: request.with_params(Body="y"),
        )
    assert allowed.checks == 2  # The original request, and the one that replaces it.
    assert b"Body=y" in server.requests[0].body


async def test_bulk_run_prepares_each_row_once(server):
    configured, allowed = counting_settings(server)
    server.play(*[ScriptedResponse(201, MESSAGE)] * 3)
    rows = [{"to": f"+1415555012{number}"} for number in range(3)]
    plan = MessagePlan({"body": "x"}, configured)
    result = preflight(plan(rows))
    assert allowed.checks == 3
    async with AsyncClient(configured) as client:
        await run_bulk(client, plan.items(rows, result.verdicts), concurrency=1)
    assert allowed.checks == 6
    assert len(server.requests) == 3


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("base", "template", "url"),
    [
        (
            None,
            "/2010-04-01/Accounts/{AccountSid}/Calls.json",
            f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json",
        ),
        (None, "https://messaging.twilio.com/v1/Services", "https://messaging.twilio.com/v1/Services"),
        (None, "https://api.twilio.com/x", "https://api.twilio.com/x"),
        (None, "https://api.dublin.ie1.twilio.com/x", "https://api.dublin.ie1.twilio.com/x"),
        (None, "//evil.example/x", "https://api.twilio.com//evil.example/x"),
        ("http://127.0.0.1:1", "/x", "http://127.0.0.1:1/x"),
        ("http://127.0.0.1:1", "https://api.twilio.com/x", "http://127.0.0.1:1/x"),
        (
            "http://127.0.0.1:1",
            "https://messaging.twilio.com/v1/Services",
            "http://127.0.0.1:1/messaging.twilio.com/v1/Services",
        ),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        ("http://127.0.0.1:1", "https://api.dublin.ie1.twilio.com/x", "http://127.0.0.1:1/x"),
        (
            "http://127.0.0.1:1",
            "https://messaging.dublin.ie1.twilio.com/v1/Services",
            "http://127.0.0.1:1/messaging.twilio.com/v1/Services",
        ),
        ("https://gw.corp/twilio", "https://api.sydney.au1.twilio.com/x", "https://gw.corp/twilio/x"),
        ("https://gw.corp", "https://api.us1.twilio.com/x", "https://gw.corp/x"),
        ("https://gw.corp/twilio", "/x", "https://gw.corp/twilio/x"),
        ("https://gw.corp/twilio", "https://gw.corp/twilio/x", "https://gw.corp/twilio/x"),
    ],
)
def test_build_url_returns_url_on_the_host_of_the_connection(base, template, url):
    assert build_url(settings(base=base), template) == url
