"""The emulator as an ASGI application.

It routes requests, injects faults, and writes responses and the journal.

Each request is parsed and processed in one step, under the lock of the state. Latency and stalls are waited for outside
of the lock.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from email.utils import formatdate
from secrets import token_hex
from typing import Any

from airflow_provider_twilio.emulator import auth
from airflow_provider_twilio.emulator.callbacks import Callbacks
from airflow_provider_twilio.emulator.control import Control
from airflow_provider_twilio.emulator.faults import Fault
from airflow_provider_twilio.emulator.handlers import (
    accounts,
    available_phone_numbers,
    calls,
    messages,
    messaging_services,
    phone_numbers,
    recordings,
    usage,
)
from airflow_provider_twilio.emulator.inbox.page import Inbox
from airflow_provider_twilio.emulator.journal import Entry
from airflow_provider_twilio.emulator.origin import rejection_reason
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import (
    API_ROOT,
    ApiError,
    Response,
    method_not_allowed,
    not_found,
    unknown_operation,
)
from airflow_provider_twilio.emulator.state import State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[ApiRequest], Response]
Connections = MutableMapping[tuple[str, int], asyncio.Transport]

logger = logging.getLogger(__name__)

MAX_BODY_SIZE = 8 * 1024 * 1024  # bytes
MIN_CONCURRENT_TIME = 0.05
"""Minimum time of a request while ``concurrency`` is set, in seconds. Without it, requests would rarely overlap."""
MESSAGING_API = "/messaging.twilio.com/v1/"
TOO_MANY_REQUESTS = ApiError(20429, "Too Many Requests", 429).response()
_ARGUMENT = re.compile(r"[A-Z]{2}(?:[0-9a-fA-F]{32})?")
_FORM = b"application/x-www-form-urlencoded"
_CONTENT_ROUTES: tuple[tuple[str, Handler], ...] = (
    (r"Accounts/([^/]+)/Messages/([^/]+)/Media/([^/]+)", messages.redirect_to_media_content),
    (r"Accounts/([^/]+)/Recordings/([^/.]+)(?:\.wav)?", recordings.fetch_recording_content),
)
"""Routes without ``.json``."""


def _merge_routes(*resources: Mapping[tuple[str, str], Handler]) -> dict[str, dict[str, Handler]]:
    table: dict[str, dict[str, Handler]] = {}
    for routes in resources:
        for (method, template), handler in routes.items():
            table.setdefault(template, {})[method] = handler
    return table


ACCOUNT_ROUTES = _merge_routes(accounts.ROUTES)
"""Routes of ``/2010-04-01/Accounts`` and of one account."""
RESOURCE_ROUTES = _merge_routes(
    messages.ROUTES,
    calls.ROUTES,
    phone_numbers.ROUTES,
    available_phone_numbers.ROUTES,
    recordings.ROUTES,
    usage.ROUTES,
)
"""Routes below ``/2010-04-01/Accounts/{AccountSid}/``."""
MESSAGING_ROUTES = _merge_routes(messaging_services.ROUTES)
"""Routes below ``/messaging.twilio.com/v1/``."""


class Application:
    """The ASGI application of one emulator.

    :param host: The address or name that the emulator listens on.
    :param connections: The open connections by client address, so that a fault can close one.
    """

    def __init__(self, state: State, host: str, connections: Connections) -> None:
        self.state = state
        self.host = host
        self.connections = connections
        self.in_flight: Counter[str] = Counter()
        """Number of requests in flight, by the account that sent them."""
        self.callbacks = Callbacks(state)
        self.control = Control(state, self.callbacks)
        self.inbox = Inbox(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        body = await _read_body(receive)
        if body is None:
            return
        self.callbacks.attach(asyncio.get_running_loop())
        path: str = scope["path"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        is_own_path = path == "/" or path.startswith("/_emulator")
        reason = rejection_reason(self.host, scope["method"], path, headers)
        if reason is not None:
            response = Response({"error": reason}, 403) if is_own_path else ApiError(20006, reason, 403).response()
            await _send(send, response, {})
        elif is_own_path:
            part = self.inbox if self.inbox.serves(path) else self.control
            with self.state.lock:
                response = part.respond(scope["method"], path, scope["query_string"], body, headers)
            await _send(send, response, {})
        else:
            await self._handle_api_request(scope, headers, body, receive, send)

    async def _handle_api_request(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes, receive: Receive, send: Send
    ) -> None:
        state = self.state
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]
        account_sid = self._sender_of(headers)
        self.in_flight[account_sid] += 1
        try:
            concurrent = self.in_flight[account_sid]
            is_over_limit = state.quirks.concurrency is not None and concurrent > state.quirks.concurrency
            with state.lock:
                entry = state.journal.add(state.clock.now(), method, path, scope["query_string"], body)
                has_faults = state.faults.pending and not is_over_limit
                fault = state.faults.take(method, path, entry.params) if has_faults else None
            if fault is not None:
                entry.fault = fault.name
            response: Response | None
            try:
                if is_over_limit:
                    response = TOO_MANY_REQUESTS
                else:
                    response = await self._respond(scope, headers, body, receive, entry, fault)
            except asyncio.CancelledError:  # the emulator stops
                response = None
            if response is None:
                await self._abort(scope, receive)
                return
            entry.status = response.status
            if isinstance(response.body, dict) and response.status >= 400:
                entry.code = response.body.get("code")
            entry.duration = time.perf_counter() - started
            request_id = response.sid[2:] if response.sid else token_hex(16)
            extra = {
                "Date": formatdate(state.clock.now(), usegmt=True),
                "Twilio-Request-Id": f"RQ{request_id}",
                "Twilio-Concurrent-Requests": str(concurrent),
                "Twilio-Request-Duration": f"{entry.duration:.3f}",
                "X-Home-Region": "us1",
                "X-API-Domain": "api.twilio.com",
            }
            if fault is not None and fault.html:
                extra = {}
            if fault is not None and fault.cut:
                await self._send_truncated(response, extra, scope, receive, send)
            else:
                await _send(send, response, extra)
        finally:
            self.in_flight[account_sid] -= 1

    def _sender_of(self, headers: dict[bytes, bytes]) -> str:
        """Return the SID of the account that sent a request.

        It is empty for wrong credentials.
        """
        try:
            with self.state.lock:
                return auth.authenticate(self.state, headers.get(b"authorization")).account_sid
        except ApiError:
            return ""

    async def _respond(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        body: bytes,
        receive: Receive,
        entry: Entry,
        fault: Fault | None,
    ) -> Response | None:
        """Return the response to a request; None to close the connection.

        The fault and the quirks may delay or replace the response.
        """
        if fault is not None and fault.drop:
            return None
        if fault is not None and fault.stall is not None:
            main = self.state.main
            await asyncio.sleep(fault.stall)
            if self.state.main is not main:  # the emulator was reset
                return None
        await self._delay()
        if fault is not None and not fault.processes_request:
            return fault.response()
        response = self._handle_safely(scope["method"], scope["path"], scope["query_string"], headers, body, entry)
        if fault is None:
            return response
        if fault.accept_then_stall is not None:
            await _wait(fault.accept_then_stall, receive)
        if fault.accept_then_drop:
            return None
        return response if fault.accept_then_status is None else fault.response()

    async def _delay(self) -> None:
        """Wait for the latency that the quirks set."""
        quirks = self.state.quirks
        seconds = quirks.latency + self.state.random.random() * quirks.jitter
        if quirks.concurrency is not None:
            seconds = max(seconds, MIN_CONCURRENT_TIME)
        if seconds:
            await asyncio.sleep(seconds)

    def _handle_safely(
        self, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes, entry: Entry
    ) -> Response:
        """Process a request, and turn every exception into an error response."""
        try:
            with self.state.lock:
                response = self._dispatch(method, path, query, headers, body, entry)
            entry.sid = response.sid
            return response
        except ApiError as error:
            return error.response()
        except Exception:
            logger.exception("Failed to process %s %s", method, path)
            return ApiError(20500, "Internal Server Error", 500).response()

    def _dispatch(
        self, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes, entry: Entry
    ) -> Response:
        state = self.state
        form = Params.parse(body) if headers.get(b"content-type", _FORM).startswith(_FORM) else Params([])
        if path == "/oauth.twilio.com/v2/token":
            if method != "POST":
                raise method_not_allowed()
            return auth.create_token(state, form)
        if path.startswith(messages.MEDIA_CDN):
            if method != "GET":
                raise method_not_allowed()
            return messages.serve_media_content(state, path)
        identity = auth.authenticate(state, headers.get(b"authorization"))
        entry.user = identity.name
        base_url = f"http://{headers.get(b'host', b'127.0.0.1').decode('latin-1')}"
        request = ApiRequest(state, method, path, [], Params.parse(query), form, identity, state.clock.now(), base_url)
        if path.startswith(MESSAGING_API):
            auth.authorize(identity, f"{MESSAGING_API}Services", method)
            request.is_product_api = True
            request.path_account = auth.find_account(state, identity, identity.account_sid, path)
            return self._route(MESSAGING_ROUTES, path.removeprefix(MESSAGING_API), request)
        if not path.startswith(f"{API_ROOT}/"):
            raise unknown_operation(method, path)
        rest = path.removeprefix(f"{API_ROOT}/")
        if not rest.endswith(".json"):
            return self._route_content(rest, request)
        parts = rest.removesuffix(".json").split("/", 2)
        if parts[0] != "Accounts":
            raise unknown_operation(method, path)
        auth.authorize(identity, path, method)
        if len(parts) < 3:
            sid = parts[1] if len(parts) == 2 else identity.account_sid
            request.path_account = auth.find_account(state, identity, sid, path, may_be_inactive=True)
            return self._route(ACCOUNT_ROUTES, "/".join(parts[1:]), request)
        request.path_account = auth.find_account(state, identity, parts[1], path)
        return self._route(RESOURCE_ROUTES, parts[2], request)

    def _route(self, table: dict[str, dict[str, Handler]], rest: str, request: ApiRequest) -> Response:
        template = []
        for part in rest.split("/"):
            if _ARGUMENT.fullmatch(part):
                request.args.append(part)
                template.append("{}")
            else:
                template.append(part)
        methods = table.get("/".join(template))
        if methods is None and _has_malformed_argument(table, rest):
            raise not_found(request.path)
        if methods is None:
            raise unknown_operation(request.method, request.path)
        handler = methods.get(request.method)
        if handler is None:
            raise method_not_allowed()
        return handler(request)

    def _route_content(self, rest: str, request: ApiRequest) -> Response:
        """Route a path without .json: the content of media and recordings.

        Twilio returns XML for other paths without .json, which the emulator does not.
        """
        for pattern, handler in _CONTENT_ROUTES:
            if request.method == "GET" and (match := re.fullmatch(pattern, rest)):
                account_sid, *request.args = match.groups()
                auth.authorize(request.identity, request.path, request.method)
                request.path_account = auth.find_account(self.state, request.identity, account_sid, request.path)
                return handler(request)
        raise unknown_operation(request.method, f"{request.path} (append .json to request JSON)")

    # -------------------------------------------------------------- closed connections

    async def _abort(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a response."""
        transport = self.connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()
        await _wait_for_disconnect(receive)

    async def _send_truncated(
        self, response: Response, extra: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send the first half of a response, then close the connection."""
        body = response.encoded()
        await send(_start_message(response, extra, len(body)))
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        transport = self.connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.close()
        await _wait_for_disconnect(receive)


def _has_malformed_argument(table: Mapping[str, object], path: str) -> bool:
    """Return whether a path is that of a known resource, except that an argument is malformed.

    Twilio has no record for such an argument.
    """
    parts = path.split("/")
    return any(
        len(template) == len(parts) and all(name in ("{}", part) for name, part in zip(template, parts, strict=True))
        for template in (known.split("/") for known in table)
    )


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None if the client has disconnected.

    A body that is too long is truncated, so that the request is rejected for the parameters it lacks.
    """
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, length = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk = message.get("body", b"")
        length += len(chunk)
        if length <= MAX_BODY_SIZE:
            parts.append(chunk)
    return b"".join(parts)


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait for some seconds, or until the client disconnects."""
    try:
        await asyncio.wait_for(_wait_for_disconnect(receive), seconds)
    except TimeoutError:
        return


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start_message(response: Response, extra: dict[str, str], length: int) -> dict[str, Any]:
    headers = [(b"content-type", response.content_type.encode())]
    if response.status != 204:
        headers.append((b"content-length", str(length).encode()))
    headers += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in response.headers.items()]
    headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def _send(send: Send, response: Response, extra: dict[str, str]) -> None:
    body = b"" if response.status == 204 else response.encoded()
    await send(_start_message(response, extra, len(body)))
    await send({"type": "http.response.body", "body": body})
