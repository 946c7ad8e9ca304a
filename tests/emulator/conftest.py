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
    """Return an emulator in its initial state. Its clock stands still until a test moves it."""
    _emulator.reset()
    _emulator.clock.freeze()
    return _emulator


class Api:
    """A client of the emulator, which sends requests over its socket."""

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
        """Return the body of a successful GET request."""
        response = self("GET", path, params)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, **form: Any) -> Any:
        """Return the body of a successful POST request."""
        response = self("POST", path, form)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def error(self, method: str, path: str, data: Any = None) -> tuple[int, int]:
        """Return the status and the error code of a request that fails."""
        response = self(method, path, data)
        body = response.json()
        assert body["status"] == response.status_code >= 400
        assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
        assert body["message"]
        return response.status_code, body["code"]

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
