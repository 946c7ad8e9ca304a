"""The asynchronous client, over aiohttp. Its twin is ``blocking``: same names, same order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_twilio.api import other
from airflow_provider_twilio.api.core import Awaiting, Listing, Page, Record, Request, Response
from airflow_provider_twilio.api.errors import ServerError, lost
from airflow_provider_twilio.client import oauth
from airflow_provider_twilio.client.resources import Resources
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.client.wire import encode

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


class AsyncClient(Resources[Awaiting]):
    """Send requests to Twilio, awaited. Belongs to the event loop that it is first used on.

    :param settings: from the connection.
    :param concurrency: how many connections there are at the most.
    """

    def __init__(self, settings: Settings, *, concurrency: int = 100) -> None:
        self.settings = settings
        self.concurrency = concurrency
        self._token: oauth.Token | None = None
        self._token_ends = 0.0
        self._token_lock = asyncio.Lock()

    @property
    def client(self) -> Awaiting:
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
        from tenacity import AsyncRetrying

        from airflow_provider_twilio.client.retrying import policy

        request = self.settings.resolve(request)
        async for attempt in AsyncRetrying(**policy(self.settings, request)):
            with attempt:
                response = await self._exchange(request, await self._authorization())
                return self.settings.read(request, response, again=attempt.retry_state.attempt_number > 1)
        raise AssertionError("tenacity ends by returning or raising")

    async def walk(self, listing: Listing[T], /) -> AsyncIterator[T]:
        """Go through a list to the end of its last page, lazily."""
        request = listing.first()
        while request is not None:
            try:
                page: Page[T] = await self.send(request)
            except ServerError as error:
                smaller = request.smaller() if error.status == 500 else None
                if smaller is None:
                    raise
                request = smaller
                continue
            for record in page.records:
                yield record
            request = page.next

    async def request(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, *, json: Any = None, repeatable: bool = False
    ) -> Record:
        """Send any other request: see :func:`airflow_provider_twilio.api.other.request`."""
        return await self.send(other.request(method, path, data, json=json, repeatable=repeatable))

    def iterate(
        self, path: str, data: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> AsyncIterator[Record]:
        """Go through any other list: see :func:`airflow_provider_twilio.api.other.listing`."""
        return self.walk(other.listing(path, data, limit=limit))

    async def _authorization(self) -> str:
        if isinstance(self.settings.auth, Basic):
            return self.settings.auth.header
        async with self._token_lock:
            if self._token is None or time.monotonic() >= self._token_ends:
                request = self.settings.resolve(oauth.request(self.settings.auth))
                self._token = self.settings.read(request, await self._exchange(request, None))
                self._token_ends = self._token.ends(time.monotonic())
            return self._token.header

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency, ssl=self._ssl()),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.settings.timeout, sock_read=self.settings.timeout
            ),
            trust_env=not (self.settings.proxy or self.settings.local),
        )

    def _ssl(self) -> Any:
        import ssl

        if self.settings.verify is False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            import certifi

            bundle = self.settings.verify if isinstance(self.settings.verify, str) else certifi.where()
            context = ssl.create_default_context(cafile=bundle)
        if self.settings.cert:
            context.load_cert_chain(*self.settings.cert)
        return context

    async def _exchange(self, request: Request[Any], authorization: str | None) -> Response:
        """Move the bytes, once, and name what went wrong if they did not."""
        import aiohttp
        from yarl import URL

        url, headers, body = encode(request)
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self.settings.proxy,
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise lost(request, _reason(error), sent=_was_sent(error)) from None
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, content)


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
    if isinstance(error, asyncio.TimeoutError):
        return "the time-out passed"
    return f"the connection failed ({type(error).__name__})"
