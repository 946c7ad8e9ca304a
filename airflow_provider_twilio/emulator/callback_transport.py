"""A transport that connects to allowed addresses only.

A URL that looks harmless may lead to a forbidden address: through its DNS record, or through another notation of the
address. The transport therefore resolves the host, checks the addresses, and connects to one that it has checked.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import httpx

from airflow_provider_twilio.emulator.destinations import is_address_allowed
from airflow_provider_twilio.emulator.state import State


class DestinationNotAllowed(httpx.TransportError):
    """The ``callbacks`` quirk, or the emulator itself, forbids every address of the host."""


class CallbackTransport(httpx.AsyncBaseTransport):
    """A transport of callback requests.

    :param state: State of the emulator, whose ``callbacks`` quirk selects the destinations.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._transport = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first allowed address that accepts the connection.

        :raises DestinationNotAllowed: When no address of the host is allowed.
        """
        policy = self.state.quirks.callbacks
        addresses = [address for address in await _resolve(request) if is_address_allowed(policy, ip_address(address))]
        error: httpx.TransportError = DestinationNotAllowed("callbacks to this address are not allowed")
        for address in addresses:
            try:
                return await self._transport.handle_async_request(_readdress(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as caught:
                error = caught
        raise error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


async def _resolve(request: httpx.Request) -> list[str]:
    """Return the addresses of the host of a request."""
    url = request.url
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get("connect")):
            found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("the host name was not resolved in time", request=request) from error
    except OSError as error:
        raise httpx.ConnectError("the host name was not resolved", request=request) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _readdress(request: httpx.Request, address: str) -> httpx.Request:
    """Return a copy of a request for a known address. Its Host header and its TLS server name stay."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
