"""The asynchronous client, over aiohttp. Its counterpart is ``blocking``, with the same names in the same order."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import raw
from airflow_provider_twilio.api.errors import AuthenticationFailed, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.operation import AwaitingClient
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
from airflow_provider_twilio.client.threads import run_in_thread
from airflow_provider_twilio.privacy import mask_logs

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

CONNECT_MARGIN = 0.25
"""Minimum seconds between the timeout for connecting and that of the whole exchange."""


class AsyncClient(Resources[AwaitingClient]):
    """A client of Twilio's API for asyncio. It belongs to the event loop on which it is first used.

    :param settings: Settings, from an Airflow connection.
    :param mask_secret: Called with each access token that the client obtains, to mask it in logs.
    :param concurrency: Maximum number of requests in flight, each on its own connection. Others wait.

    .. code-block:: python

        async with AsyncClient(Settings.from_connection(connection)) as client:
            message = await client.messages.create(to="+14155550123", body="Hello")
    """

    def __init__(
        self, settings: Settings, *, mask_secret: Callable[[str], object] | None = None, concurrency: int = 100
    ) -> None:
        self.settings = settings
        self.twilio_clock = TwilioClock()
        self.concurrency = concurrency
        # aiohttp counts waiting for a free connection as time to connect, so a busy client would report timeouts.
        self._free_connections = asyncio.Semaphore(concurrency)
        self._mask_secret = mask_secret
        self._basic = None if isinstance(settings.auth, OAuth) else settings.auth.header
        self._token: oauth.Token | None = None
        self._token_ends = 0.0
        self._token_lock = asyncio.Lock()

    @property
    def client(self) -> AwaitingClient:
        return self

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client opens new ones if it is used again."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            await session.close()

    async def send(self, request: Request[T] | PreparedRequest[T], /) -> T:
        """Send a request and return its parsed response, with retries where they are safe.

        :param request: A request, which is prepared first, or a prepared one, which is sent as it is.
        :raises BadParameter: If the request is incomplete, or a guard rejects it. No request was sent.
        :raises TwilioError: If Twilio rejects the request, or does not respond.
        """
        prepared = request if isinstance(request, PreparedRequest) else prepare(self.settings, request)
        if self.settings.dry_run and not prepared.is_safe:
            return dry_run.dry_run_record(self.settings, prepared)  # type: ignore[no-any-return]
        authorization = self._basic or await self._bearer_token()
        try:
            return await self._send_with_retries(prepared, authorization)
        except AuthenticationFailed:
            if self._basic:
                raise
        # The token has expired or was revoked, so Twilio has not acted on the request.
        return await self._send_with_retries(prepared, await self._bearer_token(rejected=authorization))

    async def iter_pages(self, listing: Listing[T], /) -> AsyncIterator[Page[T]]:
        """Yield the pages of a list, fetched as they are needed; smaller pages if Twilio fails on large ones."""
        request = listing.first_page()
        while request is not None:
            try:
                page: Page[T] = await self.send(request)
            except ServerError as error:
                smaller = request.with_smaller_page() if error.status == 500 else None
                if smaller is None:
                    raise
                request = smaller
                continue
            yield page
            request = page.next

    async def iter_records(self, listing: Listing[T], /) -> AsyncIterator[T]:
        """Yield the records of a list. Its pages are fetched as they are needed."""
        async for page in self.iter_pages(listing):
            for record in page.records:
                yield record

    async def request(
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
        return await self.send(
            raw.raw_request(method, path, data, json=json, idempotent=idempotent, max_segments=max_segments)
        )

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> AsyncIterator[Record]:
        """Yield the records of any other list: see :func:`airflow_provider_twilio.api.raw.raw_listing`."""
        return self.iter_records(raw.raw_listing(path, data, limit=limit))

    async def _bearer_token(self, rejected: str | None = None) -> str:
        """Return the ``Authorization`` header of an OAuth token. Concurrent callers wait for one token.

        :param rejected: A header that Twilio has rejected, so that a new token is needed.
        """
        async with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends or self._token.header == rejected:
                requested_at = time.monotonic()
                prepared = prepare(self.settings, oauth.token_request(self.settings))
                self._token = await self._send_with_retries(prepared, None)
                self._token_ends = self._token.expires_at(requested_at)
                if self._mask_secret:
                    # Airflow's mask_secret blocks, and may need this event loop to finish.
                    await run_in_thread(self._mask_secret, self._token.header.removeprefix("Bearer "))
            return self._token.header

    async def _send_with_retries(self, prepared: PreparedRequest[T], authorization: str | None) -> T:
        """Send a request until it succeeds, or must not be retried any more."""
        attempts, may_be_done = 0, False
        while True:
            attempts += 1
            try:
                response = await self._send_single_request(prepared, authorization)
                result = parse_response(self.settings, prepared, response, may_be_done=may_be_done)
            except TwilioError as error:
                seconds = retry_delay(self.settings, prepared.request, error, attempts)
                if seconds is None:
                    raise
                may_be_done |= isinstance(error, ServerError)
                await asyncio.sleep(seconds)
            else:
                if not isinstance(result, PreparedRequest):
                    return result
                prepared = result

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        options: dict[str, Any] = {}
        if sys.version_info < (3, 12):
            from airflow_provider_twilio.client.eager_request import EagerClientRequest

            options["request_class"] = EagerClientRequest
        mask_logs("aiohttp.client", "aiohttp.internal")
        unencrypted = self.settings.base is not None and self.settings.base.startswith("http://")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=unencrypted or wire.tls(self.settings)),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=wire.proxy(self.settings),
            timeout=aiohttp.ClientTimeout(
                # The margin makes a timeout while connecting known as such, so that the request counts as not sent.
                total=max(self.settings.timeout, self.settings.connect_timeout + CONNECT_MARGIN),
                connect=self.settings.connect_timeout,
                ceil_threshold=math.inf,
            ),
            auto_decompress=False,  # The module wire decompresses, up to a maximum size.
            **options,
        )
        if hasattr(session, "_retry_connection"):
            # aiohttp would retry a DELETE silently, and its 404 would not be recognized as a success.
            session._retry_connection = False
        return session

    async def _send_single_request(self, prepared: PreparedRequest[Any], authorization: str | None) -> Response:
        """Send a request once and return the response.

        :raises NotSent: If no connection could be made.
        :raises ServerError: If the response was lost, and the request is idempotent.
        :raises OutcomeUnknown: If the response was lost, and the request is not idempotent.
        """
        import aiohttp
        import yarl

        url, headers, body = wire.encode(prepared, authorization)
        session = self._session
        try:
            async with self._free_connections:
                started = time.monotonic()
                async with session.request(
                    prepared.method, yarl.URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as response:
                    content = bytearray()
                    async for chunk in response.content.iter_chunked(wire.CHUNK_BYTES):
                        content += chunk
                        wire.check_size(prepared, response.status, response.headers, content)
        except (aiohttp.ClientError, OSError) as error:
            raise error_without_response(prepared.with_url, _reason(error), sent=_was_sent(error)) from None
        received = wire.decode(prepared, response.status, response.headers, content)
        self.twilio_clock.observe(received, started)
        return received


def _was_sent(error: Exception) -> bool:
    """Return whether any byte of the request may have reached the server."""
    import aiohttp

    return not isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ConnectionTimeoutError
        | aiohttp.ClientHttpProxyError
        | aiohttp.InvalidURL,
    )


def _reason(error: Exception) -> str:
    """Return the reason of a failure. The error's own message is not used: it contains the URL, with phone numbers."""
    if isinstance(error, TimeoutError):
        return "the request timed out"
    return f"the connection failed ({type(error).__name__})"
