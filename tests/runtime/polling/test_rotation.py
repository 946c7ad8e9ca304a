"""Patience with rejected credentials while a task waits on a worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_twilio.api.errors import AuthenticationFailed, TwilioError
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.client.blocking import Client
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.messages import SendMessageOperator
from airflow_provider_twilio.runtime.polling import shared
from airflow_provider_twilio.runtime.polling.rotation import PatientClient
from tests.support.polling import settings


def wrong_client(emulator: Emulator) -> Client:
    return Client(settings(emulator, password="0" * 32))


def test_patient_client_reads_the_connection_again_at_once(emulator: Emulator):
    client = PatientClient(wrong_client(emulator), lambda: Client(settings(emulator)))
    assert list(client.iter_records(Messages.list())) == []
    assert [entry.status for entry in emulator.journal] == [401, 200]


def test_patient_client_rejection_is_temporary_until_the_time_is_up(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    client = PatientClient(wrong_client(emulator), lambda: wrong_client(emulator))
    request = Messages.fetch("SM" + "0" * 32)
    for _ in range(3):
        with pytest.raises(TwilioError) as rejection:
            client.send(request)
        assert not rejection.value.permanent
    assert "Twilio rejects the credentials. Reading the connection again" in caplog.text
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.0)
    with pytest.raises(AuthenticationFailed):
        client.send(request)


def test_patient_client_success_renews_the_patience(emulator: Emulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "AUTH_PATIENCE", 0.5)
    client = PatientClient(Client(settings(emulator)), lambda: Client(settings(emulator)))
    for _ in range(2):
        emulator.fail_next(2, status=401)
        with pytest.raises(TwilioError) as rejection:
            list(client.iter_records(Messages.list()))
        assert not rejection.value.permanent
        assert list(client.iter_records(Messages.list())) == []
        time.sleep(0.6)


@pytest.fixture
def connection_uri(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_uri(uri: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", uri)

    set_uri(emulator.connection_uri)
    return set_uri


def run_operator(emulator: Emulator, **options: Any) -> Any:
    operator = SendMessageOperator(
        task_id="send",
        to="+15005559016",
        from_=emulator.phone_number,
        body="hello",
        once=False,
        wait_for_delivery=True,
        deferrable=False,
        poll_interval=0.1,
        **options,
    )
    return operator.execute({})


def test_message_operator_survives_a_rotated_token_on_a_worker(
    emulator: Emulator, connection_uri: Callable[[str], None], caplog: pytest.LogCaptureFixture
):
    def rotate() -> None:
        while emulator.journal.count("GET") < 2:
            time.sleep(0.01)
        emulator.fail_next(100_000, status=401, method="GET")
        while emulator.journal.count("GET", status=401) < 6:
            time.sleep(0.01)
        connection_uri(emulator.connection_uri)
        emulator.state.faults.clear()
        emulator.set_message_status(emulator.messages[0]["sid"], "delivered")

    rotating = threading.Thread(target=rotate, daemon=True)
    rotating.start()
    with caplog.at_level(logging.WARNING):
        assert run_operator(emulator, wait_timeout=60)["status"] == "delivered"
    rotating.join()


def test_message_operator_rejected_credentials_end_the_wait_at_its_deadline(
    emulator: Emulator, connection_uri: Callable[[str], None]
):
    emulator.fail_next(100_000, status=401, method="GET")
    with pytest.raises(AirflowException, match=r"had no final status at the deadline: GET .* 401"):
        run_operator(emulator, wait_timeout=0.5)
