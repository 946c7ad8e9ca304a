"""The blocking client, over requests. Its counterpart is ``asynchronous``, with the same names in the same order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.errors import AuthenticationFailed, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.operation import BlockingClient
from airflow_provider_twilio.api.outcomes import error_without_response
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client import dry_run, oauth, wire
from airflow_provider_twilio.client.clock import TwilioClock
from airflow_provider_twilio.client.outcomes import parse_response
from airflow_provider_twilio.client.prepare import PreparedRequest, prepare
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.client.retries import retry_delay
from airflow_provider_twilio.client.settings import OAuth, Settings
from airflow_provider_twilio.privacy import mask_logs

if TYPE_CHECKING:
    import requests
    from urllib3.exceptions import HTTPError

T = TypeVar("T")

MAX_IDLE_CONNECTIONS = 100
"""Maximum number of idle connections, kept for the threads that share a client."""


class Client(Resources[BlockingClient]):
    """A client of Twilio's API that blocks until the response has arrived. Safe to share between threads.

    :param settings: Settings, from an Airflow connection.
    :param mask_secret: Called with each access token that the client obtains, to mask it in logs.

    .. code-block:: python

        with Client(Settings.from_connection(connection)) as client:
            message = client.messages.create(to="+14155550123", body="Hello")
    """

    def __init__(self, settings: Settings, *, mask_secret: Callable[[str], object] | None = None) -> None:
        self.settings = settings
        self.twilio_clock = TwilioClock()
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

    def with_settings(self, **changes: Any) -> Client:
        """Return a client with changed settings. It has its own connections, and shares this client's token and clock.

        :param changes: Fields of :class:`Settings`, such as ``retries=0``.
        """
        client = type(self)(replace(self.settings, **changes), mask_secret=self._mask_secret)
        client._token_source = self._token_source
        client.twilio_clock = self.twilio_clock
        return client

    def close(self) -> None:
        """Close the connections. The client opens new ones if it is used again."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()

    def send(self, request: Request[T] | PreparedRequest[T], /) -> T:
        """Send a request and return its parsed response, with retries where they are safe.

        :param request: A request, which is prepared first, or a prepared one, which is sent as it is.
        :raises BadParameter: If the request is incomplete, or a guard rejects it. No request was sent.
        :raises TwilioError: If Twilio rejects the request, or does not respond.
        """
        prepared = request if isinstance(request, PreparedRequest) else prepare(self.settings, request)
        if self.settings.dry_run and not prepared.is_safe:
            return dry_run.dry_run_record(self.settings, prepared)  # type: ignore[no-any-return]
        authorization = self._basic or self._bearer_token()
        try:
            return self._send_with_retries(prepared, authorization)
        except AuthenticationFailed:
            if self._basic:
                raise
        # The token has expired or was revoked, so Twilio has not acted on the request.
        return self._send_with_retries(prepared, self._bearer_token(rejected=authorization))

    def iter_pages(self, listing: Listing[T], /) -> Iterator[Page[T]]:
        """Yield the pages of a list, fetched as they are needed; smaller pages if Twilio fails on large ones."""
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
        """Yield the records of a list. Its pages are fetched as they are needed."""
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
        """Send any other request: see :func:`airflow_provider_twilio.api.raw.raw_request`."""
        return self.send(
            raw.raw_request(method, path, data, json=json, idempotent=idempotent, max_segments=max_segments)
        )

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records of any other list: see :func:`airflow_provider_twilio.api.raw.raw_listing`."""
        return self.iter_records(raw.raw_listing(path, data, limit=limit))

    def _bearer_token(self, rejected: str | None = None) -> str:
        """Return the ``Authorization`` header of an OAuth token. Concurrent callers wait for one token.

        :param rejected: A header that Twilio has rejected, so that a new token is needed.
        """
        source = self._token_source
        with source._token_lock:
            if source._token is None or time.monotonic() >= source._token_ends or source._token.header == rejected:
                requested_at = time.monotonic()
                prepared = prepare(self.settings, oauth.token_request(self.settings))
                source._token = self._send_with_retries(prepared, None)  # with the timeout of these settings
                source._token_ends = source._token.expires_at(requested_at)
                if self._mask_secret:
                    self._mask_secret(source._token.header.removeprefix("Bearer "))
            return source._token.header

    def _send_with_retries(self, prepared: PreparedRequest[T], authorization: str | None) -> T:
        """Send a request until it succeeds, or must not be retried any more."""
        attempts, may_be_done = 0, False
        while True:
            attempts += 1
            try:
                response = self._send_single_request(prepared, authorization)
                result = parse_response(self.settings, prepared, response, may_be_done=may_be_done)
            except TwilioError as error:
                seconds = retry_delay(self.settings, prepared.request, error, attempts)
                if seconds is None:
                    raise
                may_be_done |= isinstance(error, ServerError)
                time.sleep(seconds)
            else:
                if not isinstance(result, PreparedRequest):
                    return result
                prepared = result

    @cached_property
    def _session(self) -> requests.Session:
        import requests

        from airflow_provider_twilio.client.adapter import Adapter

        mask_logs("urllib3.connectionpool", "urllib3.util.retry")
        if self.settings.cert or isinstance(self.settings.verify, str):
            wire.tls(self.settings)  # Raises a clearer error, and earlier, than requests would.
        proxy = wire.proxy(self.settings)
        session = requests.Session()
        session.trust_env = False  # The module wire reads the environment, for both clients.
        session.cookies.set_policy(_no_cookies())
        session.verify = wire.ca_bundle(self.settings) or False
        session.cert = self.settings.cert[0] if len(self.settings.cert) == 1 else self.settings.cert or None  # type: ignore[assignment]
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(pool_maxsize=MAX_IDLE_CONNECTIONS))
        return session

    def _send_single_request(self, prepared: PreparedRequest[Any], authorization: str | None) -> Response:
        """Send a request once and return the response.

        :raises NotSent: If no connection could be made.
        :raises ServerError: If the response was lost, and the request is idempotent.
        :raises OutcomeUnknown: If the response was lost, and the request is not idempotent.
        """
        import requests
        from urllib3.exceptions import HTTPError

        from airflow_provider_twilio.client.adapter import deadline

        url, headers, body = wire.encode(prepared, authorization)
        session = self._session
        started = time.monotonic()
        content = bytearray()
        try:
            with (
                deadline(self.settings.timeout),
                session.request(
                    prepared.method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=(self.settings.connect_timeout, self.settings.timeout),
                    allow_redirects=False,
                    stream=True,
                ) as received,
            ):
                for chunk in received.raw.stream(wire.CHUNK_BYTES, decode_content=False):
                    content += chunk
                    wire.check_size(prepared, received.status_code, received.headers, content)
        except (requests.RequestException, HTTPError) as error:
            raise error_without_response(prepared.with_url, _reason(error), sent=_was_sent(error)) from None
        response = wire.decode(prepared, received.status_code, received.headers, content)
        self.twilio_clock.observe(response, started)
        return response


def _no_cookies() -> Any:
    from http.cookiejar import DefaultCookiePolicy

    return DefaultCookiePolicy(allowed_domains=[])


def _cause(error: requests.RequestException | HTTPError) -> Any:
    """Return the error of urllib3 or of the socket that caused an error of requests."""
    import requests

    if not isinstance(error, requests.RequestException):
        return error
    cause: Any = error.args[0] if error.args else error
    return getattr(cause, "reason", cause)


def _was_sent(error: requests.RequestException | HTTPError) -> bool:
    """Return whether any byte of the request may have reached the server."""
    import ssl

    import requests
    from urllib3 import exceptions as u3

    if isinstance(error, requests.ConnectTimeout):
        return False
    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.InvalidURL):
        return False
    cause = _cause(error)
    if isinstance(cause, u3.ProxyError):  # urllib3 also raises it if a response is lost behind a proxy.
        cause = cause.original_error
        if isinstance(cause, OSError) and "Tunnel connection failed" in str(cause):
            return False
    if isinstance(cause, u3.SSLError):  # It may also come from an established connection.
        return not (cause.args and isinstance(cause.args[0], ssl.SSLCertVerificationError))
    return not isinstance(cause, u3.NewConnectionError | u3.ConnectTimeoutError)


def _reason(error: requests.RequestException | HTTPError) -> str:
    """Return the reason of a failure. The error's own message is not used: it contains the URL, with phone numbers."""
    import requests
    from urllib3 import exceptions as u3

    cause = _cause(error)
    timed_out = isinstance(cause, u3.TimeoutError) and not isinstance(cause, u3.NewConnectionError)
    if timed_out or isinstance(error, requests.Timeout):
        return "the request timed out"
    return f"the connection failed ({type(cause).__name__})"
