"""Callback requests: signed, in order, with Twilio's timeouts and retries.

https://www.twilio.com/docs/usage/webhooks
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urldefrag, urlencode, urlsplit

from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.callback import CallbackAttempt
from airflow_provider_twilio.emulator.params import Address, is_callback_allowed
from airflow_provider_twilio.emulator.state import State

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 5.0, 15.0, 15.0  # seconds
RETRIES, MAX_RETRIES = 1, 5
MAX_RESPONSE_LENGTH = 64 * 1024  # characters
RETRIEVAL_FAILED, INVALID_DOCUMENT = "11200", "12100"


def signature(token: str, url: str, params: Mapping[str, str]) -> str:
    """Return the signature of a callback.

    https://www.twilio.com/docs/usage/security#validating-requests
    """
    text = url + "".join(name + params[name] for name in sorted(params))
    return b64encode(hmac.new(token.encode(), text.encode(), sha1).digest()).decode()


class CallbackSender:
    """Sends the callbacks of one emulator. Those of one resource are sent one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._last_tasks: dict[str, asyncio.Task[None]] = {}
        """The last task of each resource."""
        self._held_back: dict[str, list[Callable[[], Any]]] = {}
        """The callbacks of each resource that are sent in reverse order at its end."""
        self._client: httpx.AsyncClient | None = None

    def clear(self) -> None:
        self._held_back.clear()

    def send(
        self, account_sid: str, sid: str, method: str, url: str, params: dict[str, str], *, is_final: bool
    ) -> None:
        """Send a callback after the earlier ones of the same resource.

        :param sid: The resource.
        :param is_final: Whether this is the last callback of the resource.
        """
        quirks = self.state.quirks
        if not is_callback_allowed(quirks.callbacks, url):
            return
        account = self.state.accounts.get(account_sid)
        if account is None:
            return
        actions = self._held_back.setdefault(sid, [])
        for _ in range(quirks.callback_copies):
            actions.append(lambda: self._request(account, method, url, params))
        if quirks.callback_order == "reversed":
            if not is_final:
                return
            actions.reverse()
        self._held_back.pop(sid)
        for action in actions:
            self.enqueue(sid, action)

    def enqueue(self, sid: str, action: Callable[[], Any]) -> None:
        """Run a coroutine function after the earlier ones of the same resource."""
        previous = self._last_tasks.get(sid)

        async def run() -> None:
            if previous is not None:
                await asyncio.wait([previous])
            await action()

        task = asyncio.ensure_future(run())
        self._last_tasks[sid] = task

        def remove(done: asyncio.Task[None]) -> None:
            if self._last_tasks.get(sid) is done:
                del self._last_tasks[sid]

        task.add_done_callback(remove)

    async def fetch_document(
        self,
        account: Account,
        addresses: Sequence[Address],
        params: dict[str, str],
        parse: Callable[[str], T | None],
    ) -> tuple[T | None, str]:
        """Fetch a document from the first address that returns a valid one.

        https://www.twilio.com/docs/usage/security/availability-reliability

        :param parse: Parses the document; returns None if it is invalid.
        :return: The parsed document, or None, and the URL of the last request.
        """
        url = ""
        for url, method in addresses:
            if not is_callback_allowed(self.state.quirks.callbacks, url):
                continue
            text = await self._request(account, method, url, params)
            if text is not None and (document := parse(text)) is not None:
                return document, url
            params = params | {"ErrorCode": RETRIEVAL_FAILED if text is None else INVALID_DOCUMENT, "ErrorUrl": url}
        return None, url

    async def _request(self, account: Account, method: str, url: str, params: dict[str, str]) -> str | None:
        """Send a callback request, and return the body of its response; None if it failed.

        The fragment of the URL overrides timeouts (in milliseconds) and the number of retries.
        """
        import httpx

        from airflow_provider_twilio.emulator.callback_transport import CallbackTransport

        address, fragment = urldefrag(url)
        overrides = dict(parse_qsl(fragment))
        tries = 1 + _override(overrides.get("rc"), RETRIES, MAX_RETRIES)
        connect, read, total = (
            _override(overrides.get(name), int(default * 1000), maximum) / 1000
            for name, default, maximum in (
                ("ct", CONNECT_TIMEOUT, 10_000),
                ("rt", READ_TIMEOUT, 15_000),
                ("tt", TOTAL_TIMEOUT, 15_000),
            )
        )
        if self._client is None:
            self._client = httpx.AsyncClient(transport=CallbackTransport(self.state), trust_env=False)
        attempt = CallbackAttempt(self.state.clock.now(), method, address, params)
        with self.state.lock:
            self.state.callback_attempts.append(attempt)
        is_query = method == "GET"
        if is_query and params:
            address += ("&" if urlsplit(address).query else "?") + urlencode(params)
        headers = {
            "X-Twilio-Signature": signature(account.auth_token, address, {} if is_query else params),
            "I-Twilio-Idempotency-Token": self.state.new_sid(""),
            "User-Agent": "TwilioProxy/1.1",
        }
        timeout = httpx.Timeout(read, connect=connect)
        try:
            async with asyncio.timeout(total):  # the read timeout of httpx starts again with each chunk
                for _ in range(tries):
                    attempt.tries += 1
                    try:
                        response = await self._client.request(
                            method, address, data=None if is_query else params, headers=headers, timeout=timeout
                        )
                    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                        attempt.error = type(error).__name__
                        continue
                    attempt.status, attempt.error = response.status_code, None
                    return response.text[:MAX_RESPONSE_LENGTH] if response.status_code < 400 else None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as error:
            attempt.error = type(error).__name__
        return None


def _override(value: str | None, default: int, maximum: int) -> int:
    """Return the value of a connection override, limited to a maximum.

    The default applies if the value is missing or invalid.
    """
    return min(int(value), maximum) if value is not None and value.isascii() and value.isdigit() else default
