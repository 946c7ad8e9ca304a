from __future__ import annotations

import http.client

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.emulator.origin import rejection_reason
from tests.emulator.conftest import Api

FORM = {"To": "+14155550100", "From": "+15005550006", "Body": "x"}


def statuses(emulator: Emulator, headers: dict[str, str]) -> set[int]:
    """Return the statuses of the page, the control API and the Twilio API."""
    api = Api(emulator, (emulator.account_sid, emulator.auth_token))
    responses = [
        requests.get(emulator.url, headers=headers, timeout=5),
        requests.post(f"{emulator.url}/_emulator/quirks", json={}, headers=headers, timeout=5),
        api("POST", "Messages.json", FORM, headers=headers),
    ]
    return {response.status_code for response in responses}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:8765"},
        {"Host": ""},
        {"Host": "["},
        {"Host": "evil.example:8765", "Origin": "http://evil.example:8765"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_rejection_reason_rejects_other_sites(emulator: Emulator, headers: dict[str, str]) -> None:
    emulator.fail_next(status=503)
    assert statuses(emulator, headers) == {403}
    assert emulator.messages == []
    assert len(emulator.state.faults.pending) == 1


def test_rejected_origin_gets_twilio_error(emulator: Emulator, api: Api) -> None:
    api.session.headers["Origin"] = "http://evil.example"
    assert api.error("POST", "Messages.json", FORM) == (403, 20006)


def test_request_without_host_is_rejected(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=5)
    connection.putrequest("GET", "/_emulator/state", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8765",
        "LOCALHOST",
        "twilio.localhost",
        "[::1]:8765",
        "192.168.0.7:8765",
        "emulator:8765",
        "my_emulator",
        "host.docker.internal:8765",
        "twilio.airflow.svc.cluster.local:8765",
        "twilio.test",
    ],
)
def test_private_host_names_are_accepted(emulator: Emulator, host: str) -> None:
    assert statuses(emulator, {"Host": host}) <= {200, 201}
    assert statuses(emulator, {"Host": host, "Origin": f"http://{host}"}) <= {200, 201}
    assert statuses(emulator, {"Host": host, "Origin": f"https://{host}"}) <= {200, 201}


def test_rejection_reason_accepts_listen_host() -> None:
    assert rejection_reason("Twilio.example.com", "POST", "/", {b"host": b"twilio.example.com:8765"}) is None
    assert rejection_reason("Twilio.example.com", "POST", "/", {b"host": b"other.example.com:8765"})
