from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Emulator:
    """An emulator in its first state; its clock stands still until a test moves it."""
    _emulator.reset()
    _emulator.clock.freeze()
    return _emulator


class Api:
    """Ask the emulator over its socket, as the account unless told otherwise."""

    def __init__(self, emulator: Emulator, auth: tuple[str, str] | None, account_sid: str | None = None) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.auth = auth
        self.account_sid = account_sid or emulator.account_sid

    def __call__(self, method: str, path: str, data: Any = None, **kwargs: Any) -> requests.Response:
        if path.startswith("/"):
            url = self.emulator.url + path
        else:
            url = f"{self.emulator.url}/2010-04-01/Accounts/{self.account_sid}/{path}"
        where = "params" if method in ("GET", "DELETE") else "data"
        return self.session.request(method, url, **{where: data}, timeout=10, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        """GET what must be there."""
        answer = self("GET", path, params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **form: Any) -> Any:
        """POST what must be taken."""
        answer = self("POST", path, form)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def refused(self, method: str, path: str, data: Any = None) -> tuple[int, int]:
        """Ask for what must be refused; give the status and Twilio's code."""
        answer = self(method, path, data)
        body = answer.json()
        assert body["status"] == answer.status_code >= 400
        assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
        assert body["message"]
        return answer.status_code, body["code"]

    def send(self, to: str = "+14155550100", body: str = "hello", **form: Any) -> dict[str, Any]:
        if "MessagingServiceSid" not in form:
            form.setdefault("From", self.emulator.phone_number)
        result = self.post("Messages.json", To=to, Body=body, **form)
        assert isinstance(result, dict)
        return result


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    api = Api(emulator, (emulator.account_sid, emulator.auth_token))
    yield api
    api.session.close()
