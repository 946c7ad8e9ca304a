"""The blocking client, over requests. Its twin is ``asynchronous``: same names, same order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import raw as other
from airflow_provider_twilio.api.errors import AuthenticationFailed, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.operation import BlockingClient
from airflow_provider_twilio.api.outcomes import error_without_response
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client import dry_run, oauth, wire
from airflow_provider_twilio.client import retries as retrying
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.client.settings import OAuth, Settings
from airflow_provider_twilio.privacy import mask_logs

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

T = TypeVar("T")

MAX_IDLE_CONNECTIONS = 100
"""How many idle connections are kept for the threads that share a client."""


class Client(Resources[BlockingClient]):
    """Send requests to Twilio, and return when the answer is there. Safe to share among threads.

    :param settings: from the connection.
    :param conceal: is told each secret that only arises here, an access token.
    """

    def __init__(self, settings: Settings, *, mask_secret: Callable[[str], object] | None = None) -> None:
        self.settings = settings
        self._mask_secret = mask_secret
        self._basic = None if isinstance(settings.auth, OAuth) else settings.auth.header
        self._token: oauth.Token | None = None
        self._token_ends = 0.0
        self._token_lock = threading.Lock()
        self._token_source = self

    @property
    def client(self) -> BlockingClient:
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def with_settings(self, **settings: Any) -> Client:
        """Give a client with connections of its own and other settings, which shares this one's token."""
        client = type(self)(replace(self.settings, **settings), mask_secret=self._mask_secret)
        client._token_source = self._token_source
        return client

    def close(self) -> None:
        """Close the connections; the client opens new ones if it is used again."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    def send(self, request: Request[T], /) -> T:
        """Send a request and read its answer, repeating it where that is safe."""
        request = self.settings.resolve(request)
        if self.settings.dry_run and not request.is_safe:
            return dry_run.dry_run_record(self.settings, request)  # type: ignore[no-any-return]
        authorization = self._basic or self._bearer_token()
        try:
            return self._send_with_retries(request, authorization)
        except AuthenticationFailed:
            if self._basic:
                raise
        # The token has run out or was revoked. What was refused for that has not been done.
        return self._send_with_retries(request, self._bearer_token(refused=authorization))

    def iter_pages(self, listing: Listing[T], /) -> Iterator[Page[T]]:
        """Go through a list page by page, lazily; in smaller pages where Twilio fails on large ones."""
        request = listing.first_page()
        while request is not None:
            try:
                page: Page[T] = self.send(request)
            except ServerError as error:
                smaller = request.with_smaller_page() if error.status == 500 else None
                if smaller is None:
                    raise
                request = smaller
                continue
            yield page
            request = page.next

    def iter_records(self, listing: Listing[T], /) -> Iterator[T]:
        """Go through a list to the end of its last page, lazily."""
        for page in self.iter_pages(listing):
            yield from page.records

    def request(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
        idempotent: bool = False,
        max_segments: int | None = None,
    ) -> Record:
        """Send any other request: see :func:`airflow_provider_twilio.api.raw.request`."""
        asked = other.raw_request(method, path, data, json=json, idempotent=idempotent, max_segments=max_segments)
        return self.send(asked)

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> Iterator[Record]:
        """Go through any other list: see :func:`airflow_provider_twilio.api.raw.listing`."""
        return self.iter_records(other.raw_listing(path, data, limit=limit))

    def _bearer_token(self, refused: str | None = None) -> str:
        """Give an OAuth token's header. Whoever comes while it is fetched waits for the same one.

        :param refused: the header that Twilio no longer takes.
        """
        if self._token_source is not self:
            return self._token_source._bearer_token(refused)
        with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends or self._token.header == refused:
                asked = time.monotonic()
                request = self.settings.resolve(oauth.token_request(self.settings))
                self._token = self._send_with_retries(request, None)
                self._token_ends = self._token.expires_at(asked)
                if self._mask_secret:
                    self._mask_secret(self._token.header.removeprefix("Bearer "))
            return self._token.header

    def _send_with_retries(self, request: Request[T], authorization: str | None) -> T:
        """Send a resolved request until it is answered, or should not be sent again."""
        tries, perhaps_done = 0, False
        while True:
            tries += 1
            try:
                answer = self.settings.read(
                    request, self._send_single_request(request, authorization), again=perhaps_done
                )
            except TwilioError as error:
                seconds = retrying.retry_delay(self.settings, request, error, tries)
                if seconds is None:
                    raise
                perhaps_done |= isinstance(error, ServerError)
                time.sleep(seconds)
            else:
                if not isinstance(answer, Request):
                    return answer
                request = answer

    @cached_property
    def _session(self) -> requests.Session:
        import requests

        mask_logs("urllib3.connectionpool", "urllib3.util.retry")
        if self.settings.cert or isinstance(self.settings.verify, str):
            wire.tls(self.settings)  # requests would say later, and less clearly, what it can't load
        proxy = wire.proxy(self.settings)
        session = requests.Session()
        session.trust_env = False  # what the environment says is read in `wire`, for both clients alike
        session.cookies.set_policy(_no_cookies())
        session.verify = wire.ca_bundle(self.settings) or False
        session.cert = self.settings.cert[0] if len(self.settings.cert) == 1 else self.settings.cert or None  # type: ignore[assignment]
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        for scheme in ("http://", "https://"):
            session.mount(scheme, _adapter())
        return session

    def _send_single_request(self, request: Request[Any], authorization: str | None) -> Response:
        """Move the bytes, once, and name what went wrong if they did not."""
        import requests

        url, headers, body = wire.encode(request, authorization)
        session = self._session
        try:
            answer = session.request(
                request.method,
                url,
                data=body,
                headers=headers,
                timeout=(self.settings.connect_timeout, self.settings.timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise error_without_response(request, _reason(error), sent=_was_sent(error)) from None
        return Response(answer.status_code, answer.headers, answer.content)


def _no_cookies() -> Any:
    from http.cookiejar import DefaultCookiePolicy

    return DefaultCookiePolicy(allowed_domains=[])


def _adapter() -> HTTPAdapter:
    """Make what holds the connections, and takes no silence before a request for one after it.

    Where a proxy, or a server before TLS, says nothing, urllib3 tells of a time-out as if an answer were awaited.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPSConnection
    from urllib3.exceptions import ConnectTimeoutError

    class Connection(HTTPSConnection):
        def connect(self) -> None:
            try:
                super().connect()
            except TimeoutError as error:
                raise ConnectTimeoutError(self, "no connection in time") from error

    class Adapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            if pool.scheme == "https":
                pool.ConnectionCls = Connection
            return pool

    return Adapter(pool_maxsize=MAX_IDLE_CONNECTIONS)


def _cause(error: requests.RequestException) -> Any:
    """Give urllib3's error, or that of the socket, behind one of requests'."""
    cause: Any = error.args[0] if error.args else error
    return getattr(cause, "reason", cause)


def _was_sent(error: requests.RequestException) -> bool:
    """Tell whether any byte of the request may have reached the other end."""
    import ssl

    import requests
    from urllib3 import exceptions as u3

    if isinstance(error, requests.ConnectTimeout):
        return False
    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.InvalidURL):
        return False
    cause = _cause(error)
    if isinstance(cause, u3.ProxyError):  # which urllib3 also makes of an answer that was lost behind a proxy
        cause = cause.original_error
        if isinstance(cause, OSError) and "Tunnel connection failed" in str(cause):
            return False
    if isinstance(cause, u3.SSLError):  # may come from an open connection as well
        return not (cause.args and isinstance(cause.args[0], ssl.SSLCertVerificationError))
    return not isinstance(cause, u3.NewConnectionError | u3.ConnectTimeoutError)


def _reason(error: requests.RequestException) -> str:
    """Say what happened by its kind: the error's own text carries the URL, and so numbers."""
    import requests
    from urllib3 import exceptions as u3

    cause = _cause(error)
    if isinstance(error, requests.Timeout) or isinstance(cause, u3.TimeoutError):
        return "the time-out passed"
    return f"the connection failed ({type(cause).__name__})"
