"""The blocking client, over requests. Its twin is ``asynchronous``: same names, same order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import other
from airflow_provider_twilio.api.core import Blocking, Listing, Page, Record, Request, Response
from airflow_provider_twilio.api.errors import ServerError, lost
from airflow_provider_twilio.client import oauth
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.client.wire import encode

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class Client(Resources[Blocking]):
    """Send requests to Twilio, and return when the answer is there. Safe to share among threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._token: oauth.Token | None = None
        self._token_ends = 0.0
        self._token_lock = threading.Lock()

    @property
    def client(self) -> Blocking:
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client opens new ones if it is used again."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    def send(self, request: Request[T], /) -> T:
        """Send a request and read its answer, repeating it where that is safe."""
        from tenacity import Retrying

        from airflow_provider_twilio.client.retrying import policy

        request = self.settings.resolve(request)
        for attempt in Retrying(**policy(self.settings, request)):
            with attempt:
                response = self._exchange(request, self._authorization())
                return self.settings.read(request, response, again=attempt.retry_state.attempt_number > 1)
        raise AssertionError("tenacity ends by returning or raising")

    def walk(self, listing: Listing[T], /) -> Iterator[T]:
        """Go through a list to the end of its last page, lazily."""
        request = listing.first()
        while request is not None:
            try:
                page: Page[T] = self.send(request)
            except ServerError as error:
                smaller = request.smaller() if error.status == 500 else None
                if smaller is None:
                    raise
                request = smaller
                continue
            yield from page.records
            request = page.next

    def request(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, *, json: Any = None, repeatable: bool = False
    ) -> Record:
        """Send any other request: see :func:`airflow_provider_twilio.api.other.request`."""
        return self.send(other.request(method, path, data, json=json, repeatable=repeatable))

    def iterate(self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Iterator[Record]:
        """Go through any other list: see :func:`airflow_provider_twilio.api.other.listing`."""
        return self.walk(other.listing(path, data, limit=limit))

    def _authorization(self) -> str:
        if isinstance(self.settings.auth, Basic):
            return self.settings.auth.header
        with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends:
                request = self.settings.resolve(oauth.request(self.settings.auth))
                self._token = self.settings.read(request, self._exchange(request, None))
                self._token_ends = self._token.ends(time.monotonic())
            return self._token.header

    @cached_property
    def _session(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.trust_env = not self.settings.local
        session.verify = self.settings.verify
        session.cert = self.settings.cert[0] if len(self.settings.cert) == 1 else self.settings.cert or None  # type: ignore[assignment]
        if self.settings.proxy:
            session.proxies = {"http": self.settings.proxy, "https": self.settings.proxy}
        return session

    def _exchange(self, request: Request[Any], authorization: str | None) -> Response:
        """Move the bytes, once, and name what went wrong if they did not."""
        import requests

        url, headers, body = encode(request)

        def authorize(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            if authorization is not None:
                prepared.headers["Authorization"] = authorization
            return prepared  # as an auth object it also keeps a .netrc out

        try:
            answer = self._session.request(
                request.method,
                url,
                data=body,
                headers=headers,
                auth=authorize,
                timeout=self.settings.timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise lost(request, _reason(error), sent=_was_sent(error)) from None
        return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


def _was_sent(error: requests.RequestException) -> bool:
    """Tell whether any byte of the request may have reached the other end."""
    import requests
    from urllib3 import exceptions as u3

    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return False
    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.InvalidURL):
        return False
    cause: Any = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return not isinstance(reason, u3.NewConnectionError | u3.ConnectTimeoutError | u3.SSLError | u3.ProxyError)


def _reason(error: requests.RequestException) -> str:
    """Say what happened by its kind: the error's own text carries the URL, and so numbers."""
    import requests

    if isinstance(error, requests.Timeout):
        return "the time-out passed"
    cause: Any = error.args[0] if error.args else error
    return f"the connection failed ({type(getattr(cause, 'reason', cause)).__name__})"
