"""The asynchronous client, over aiohttp. Its twin is ``blocking``: same names, same order."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import raw as other
from airflow_provider_twilio.api.errors import AuthenticationFailed, ServerError, TwilioError
from airflow_provider_twilio.api.listing import Listing, Page
from airflow_provider_twilio.api.operation import AwaitingClient
from airflow_provider_twilio.api.outcomes import error_without_response
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.client import dry_run, oauth, wire
from airflow_provider_twilio.client import retries as retrying
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.client.settings import OAuth, Settings
from airflow_provider_twilio.client.threads import run_in_thread
from airflow_provider_twilio.privacy import mask_logs

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


class AsyncClient(Resources[AwaitingClient]):
    """Send requests to Twilio, awaited. Belongs to the event loop that it is first used on.

    :param settings: from the connection.
    :param conceal: is told each secret that only arises here, an access token.
    :param concurrency: how many requests are on their way at the most, a connection each; the others wait their turn.
    """

    def __init__(
        self, settings: Settings, *, mask_secret: Callable[[str], object] | None = None, concurrency: int = 100
    ) -> None:
        self.settings = settings
        self.concurrency = concurrency
        # aiohttp's own queue for a connection would count as time to connect, and a busy client as a dead host.
        self._turn = asyncio.Semaphore(concurrency)
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
        """Close the connections; the client opens new ones if it is used again."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            await session.close()

    async def send(self, request: Request[T], /) -> T:
        """Send a request and read its answer, repeating it where that is safe."""
        request = self.settings.resolve(request)
        if self.settings.dry_run and not request.is_safe:
            return dry_run.dry_run_record(self.settings, request)  # type: ignore[no-any-return]
        authorization = self._basic or await self._bearer_token()
        try:
            return await self._send_with_retries(request, authorization)
        except AuthenticationFailed:
            if self._basic:
                raise
        # The token has run out or was revoked. What was refused for that has not been done.
        return await self._send_with_retries(request, await self._bearer_token(refused=authorization))

    async def iter_pages(self, listing: Listing[T], /) -> AsyncIterator[Page[T]]:
        """Go through a list page by page, lazily; in smaller pages where Twilio fails on large ones."""
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
        """Go through a list to the end of its last page, lazily."""
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
        """Send any other request: see :func:`airflow_provider_twilio.api.raw.request`."""
        asked = other.raw_request(method, path, data, json=json, idempotent=idempotent, max_segments=max_segments)
        return await self.send(asked)

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> AsyncIterator[Record]:
        """Go through any other list: see :func:`airflow_provider_twilio.api.raw.listing`."""
        return self.iter_records(other.raw_listing(path, data, limit=limit))

    async def _bearer_token(self, refused: str | None = None) -> str:
        """Give an OAuth token's header. Whoever comes while it is fetched waits for the same one.

        :param refused: the header that Twilio no longer takes.
        """
        async with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends or self._token.header == refused:
                asked = time.monotonic()
                request = self.settings.resolve(oauth.token_request(self.settings))
                self._token = await self._send_with_retries(request, None)
                self._token_ends = self._token.expires_at(asked)
                if self._mask_secret:
                    # Airflow's way to mask a secret blocks, and would wait for this very loop.
                    await run_in_thread(self._mask_secret, self._token.header.removeprefix("Bearer "))
            return self._token.header

    async def _send_with_retries(self, request: Request[T], authorization: str | None) -> T:
        """Send a resolved request until it is answered, or should not be sent again."""
        tries, perhaps_done = 0, False
        while True:
            tries += 1
            try:
                answer = self.settings.read(
                    request, await self._send_single_request(request, authorization), again=perhaps_done
                )
            except TwilioError as error:
                seconds = retrying.retry_delay(self.settings, request, error, tries)
                if seconds is None:
                    raise
                perhaps_done |= isinstance(error, ServerError)
                await asyncio.sleep(seconds)
            else:
                if not isinstance(answer, Request):
                    return answer
                request = answer

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        options: dict[str, Any] = {}
        if sys.version_info < (3, 12):
            from airflow_provider_twilio.client.eager_request import EagerClientRequest

            options["request_class"] = EagerClientRequest
        mask_logs("aiohttp.client", "aiohttp.internal")
        local = self.settings.base is not None and self.settings.base.startswith("http://")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=local or wire.tls(self.settings)),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=wire.proxy(self.settings),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self.settings.connect_timeout, sock_read=self.settings.timeout
            ),
            **options,
        )
        if hasattr(session, "_retry_connection"):
            # aiohttp would send a DELETE again unseen, and a 404 then would not be known for a success.
            session._retry_connection = False
        return session

    async def _send_single_request(self, request: Request[Any], authorization: str | None) -> Response:
        """Move the bytes, once, and name what went wrong if they did not."""
        import aiohttp
        import yarl

        url, headers, body = wire.encode(request, authorization)
        session = self._session
        try:
            async with (
                self._turn,
                session.request(
                    request.method, yarl.URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise error_without_response(request, _reason(error), sent=_was_sent(error)) from None
        return Response(answer.status, answer.headers, content)


def _was_sent(error: Exception) -> bool:
    """Tell whether any byte of the request may have reached the other end."""
    import aiohttp

    return not isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ConnectionTimeoutError
        | aiohttp.ClientHttpProxyError
        | aiohttp.InvalidURL,
    )


def _reason(error: Exception) -> str:
    """Say what happened by its kind: the error's own text carries the URL, and so numbers."""
    if isinstance(error, TimeoutError):
        return "the time-out passed"
    return f"the connection failed ({type(error).__name__})"
