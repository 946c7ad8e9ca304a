"""The emulator as an ASGI application: finds the handler, lets faults in, writes the answer, keeps the journal.

Every request is understood and carried out in one go, under the world's lock; what takes time (latency, stalls) is
waited for outside of it.
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

from airflow_provider_twilio.emulator import (
    access,
    accounts,
    calls,
    control,
    door,
    messages,
    numbers,
    recordings,
    services,
    usage,
)
from airflow_provider_twilio.emulator.faults import Fault
from airflow_provider_twilio.emulator.inbox.page import Inbox
from airflow_provider_twilio.emulator.journal import Entry
from airflow_provider_twilio.emulator.params import Params
from airflow_provider_twilio.emulator.webhooks import Webhooks
from airflow_provider_twilio.emulator.wire import BASE, Answer, Refused, not_found
from airflow_provider_twilio.emulator.world import Call, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Call], Answer]
Connections = MutableMapping[tuple[str, int], asyncio.Transport]

logger = logging.getLogger(__name__)

LARGEST_BODY = 8 * 1024 * 1024
MOMENT = 0.05
"""A request takes so many seconds at least while ``concurrency`` is set: no two would ever be at once otherwise."""
TOO_MANY = Refused(20429, "Too Many Requests", 429).answer()
_ARGUMENT = re.compile(r"[A-Z]{2}(?:[0-9a-fA-F]{32})?")
_CONTENTS: tuple[tuple[str, Handler], ...] = (
    (r"Accounts/([^/]+)/Messages/([^/]+)/Media/([^/]+)", messages.media_content),
    (r"Accounts/([^/]+)/Recordings/([^/.]+)(?:\.wav)?", recordings.content),
)
"""What is there without ``.json``."""


def _table(*resources: Mapping[tuple[str, str], Handler]) -> dict[str, dict[str, Handler]]:
    table: dict[str, dict[str, Handler]] = {}
    for routes in resources:
        for (method, template), handler in routes.items():
            table.setdefault(template, {})[method] = handler
    return table


OF_ACCOUNTS = _table(accounts.ROUTES)
"""``/2010-04-01/Accounts`` and one account."""
OF_ACCOUNT = _table(messages.ROUTES, calls.ROUTES, numbers.ROUTES, recordings.ROUTES, usage.ROUTES)
"""Below ``/2010-04-01/Accounts/{AccountSid}/``."""
OF_MESSAGING = _table(services.ROUTES)
"""Below ``/messaging.twilio.com/v1/``."""


class Application:
    """Answer requests for one world.

    :param host: the address or name that is listened on.
    :param connections: the open connections by the client's address, so that a fault can cut one.
    """

    def __init__(self, world: World, host: str, connections: Connections) -> None:
        self.world = world
        self.host = host
        self.connections = connections
        self.in_flight: Counter[str] = Counter()
        """How many requests are being answered, by the account that asks."""
        self.webhooks = Webhooks(world)
        self.control = control.Control(world, self.webhooks)
        self.inbox = Inbox(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        body = await _read(receive)
        if body is None:
            return
        self.webhooks.attach(asyncio.get_running_loop())
        path: str = scope["path"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        own = path == "/" or path.startswith("/_emulator")
        refusal = door.refusal(self.host, scope["method"], path, headers)
        if refusal is not None:
            answer = Answer({"error": refusal}, 403) if own else Refused(20006, refusal, 403).answer()
            await _send(send, answer, {})
        elif own:
            part = self.inbox if self.inbox.serves(path) else self.control
            with self.world.lock:
                answer = part.answer(scope["method"], path, scope["query_string"], body, headers)
            await _send(send, answer, {})
        else:
            await self._twilio(scope, headers, body, receive, send)

    async def _twilio(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes, receive: Receive, send: Send
    ) -> None:
        world = self.world
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]
        asking = self._asking(headers)
        self.in_flight[asking] += 1
        try:
            concurrent = self.in_flight[asking]
            full = world.quirks.concurrency is not None and concurrent > world.quirks.concurrency
            with world.lock:
                entry = world.journal.add(world.clock.now(), method, path, scope["query_string"], body)
                armed = world.faults.waiting and not full
                fault = world.faults.take(method, path, entry.params) if armed else None
            if fault is not None:
                entry.fault = fault.name
            try:
                answer = TOO_MANY if full else await self._answer(scope, headers, body, receive, entry, fault)
            except asyncio.CancelledError:  # the emulator ends
                answer = None
            if answer is None:
                await self._cut(scope, receive)
                return
            entry.status = answer.status
            if isinstance(answer.body, dict) and answer.status >= 400:
                entry.code = answer.body.get("code")
            entry.duration = time.perf_counter() - started
            request_id = answer.sid[2:] if answer.sid else token_hex(16)
            extra = {
                "Date": formatdate(world.clock.now(), usegmt=True),
                "Twilio-Request-Id": f"RQ{request_id}",
                "Twilio-Concurrent-Requests": str(concurrent),
                "Twilio-Request-Duration": f"{entry.duration:.3f}",
                "X-Home-Region": "us1",
                "X-API-Domain": "api.twilio.com",
            }
            if fault is not None and fault.html:
                extra = {}
            if fault is not None and fault.cut:
                await self._half(answer, extra, scope, receive, send)
            else:
                await _send(send, answer, extra)
        finally:
            self.in_flight[asking] -= 1

    def _asking(self, headers: dict[bytes, bytes]) -> str:
        """Give the account whose credentials came along, which is whose requests are counted; none for wrong ones."""
        try:
            with self.world.lock:
                return access.identify(self.world, headers.get(b"authorization")).account_sid
        except Refused:
            return ""

    async def _answer(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        body: bytes,
        receive: Receive,
        entry: Entry,
        fault: Fault | None,
    ) -> Answer | None:
        """Carry a request out as the fault and the switches let it; None if the connection is to be cut."""
        if fault is not None and fault.drop:
            return None
        if fault is not None and fault.stall is not None:
            main = self.world.main
            await asyncio.sleep(fault.stall)
            if self.world.main is not main:  # all has begun anew: what it was sent to is gone
                return None
        await self._take_time()
        if fault is not None and not fault.acts:
            return fault.answer()
        answer = self._act(scope["method"], scope["path"], scope["query_string"], headers, body, entry)
        if fault is None:
            return answer
        if fault.accept_then_stall is not None:
            await _wait(fault.accept_then_stall, receive)
        if fault.accept_then_drop:
            return None
        return answer if fault.accept_then_status is None else fault.answer()

    async def _take_time(self) -> None:
        """Take as long as the switches say."""
        quirks = self.world.quirks
        seconds = quirks.latency + self.world.random.random() * quirks.jitter
        if quirks.concurrency is not None:
            seconds = max(seconds, MOMENT)
        if seconds:
            await asyncio.sleep(seconds)

    def _act(
        self, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes, entry: Entry
    ) -> Answer:
        """Carry a request out; whatever is wrong with it becomes Twilio's kind of refusal."""
        try:
            with self.world.lock:
                answer = self._dispatch(method, path, query, headers, body, entry)
            entry.sid = answer.sid
            return answer
        except Refused as refusal:
            return refusal.answer()
        except Exception:
            logger.exception("%s %s", method, path)
            return Refused(20500, "Internal Server Error", 500).answer()

    def _dispatch(
        self, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes, entry: Entry
    ) -> Answer:
        world = self.world
        form = Params.parse(body) if headers.get(b"content-type", _FORM).startswith(_FORM) else Params([])
        if path == "/oauth.twilio.com/v2/token":
            if method != "POST":
                raise Refused(20004, "Method not allowed", 405)
            return access.token(world, form)
        identity = access.identify(world, headers.get(b"authorization"))
        entry.user = identity.name
        host = headers.get(b"host", b"127.0.0.1").decode("latin-1")
        call = Call(world, method, path, [], Params.parse(query), form, identity, world.clock.now(), f"http://{host}")
        if path.startswith("/messaging.twilio.com/v1/"):
            access.check_kind(identity, "/messaging.twilio.com/v1/Services", method)
            call.product = True
            call._account = access.account_for(world, identity, identity.account_sid, path, False)
            return self._route(OF_MESSAGING, path.removeprefix("/messaging.twilio.com/v1/"), call)
        if not path.startswith(f"{BASE}/"):
            raise not_found(path)
        rest = path.removeprefix(f"{BASE}/")
        if not rest.endswith(".json"):
            return self._without_json(rest, call)
        rest = rest.removesuffix(".json")
        parts = rest.split("/", 2)
        if parts[0] != "Accounts":
            raise not_found(path)
        access.check_kind(identity, path, method)
        if len(parts) < 3:
            sid = parts[1] if len(parts) == 2 else identity.account_sid
            call._account = access.account_for(world, identity, sid, path, True)
            return self._route(OF_ACCOUNTS, "/".join(parts[1:]), call)
        call._account = access.account_for(world, identity, parts[1], path, False)
        return self._route(OF_ACCOUNT, parts[2], call)

    def _route(self, table: dict[str, dict[str, Handler]], rest: str, call: Call) -> Answer:
        template = []
        for part in rest.split("/"):
            if _ARGUMENT.fullmatch(part):
                call.args.append(part)
                template.append("{}")
            else:
                template.append(part)
        methods = table.get("/".join(template))
        if methods is None:
            raise not_found(call.path)
        handler = methods.get(call.method)
        if handler is None:
            raise Refused(20004, "Method not allowed", 405)
        return handler(call)

    def _without_json(self, rest: str, call: Call) -> Answer:
        """Answer a path that doesn't end in .json: Twilio answers XML there, but for what media and recordings hold."""
        for pattern, content in _CONTENTS:
            if call.method == "GET" and (found := re.fullmatch(pattern, rest)):
                owner, *call.args = found.groups()
                access.check_kind(call.identity, call.path, call.method)
                call._account = access.account_for(self.world, call.identity, owner, call.path, False)
                return content(call)
        raise Refused(20404, f"The requested resource {call.path} was not found; ask for JSON, with .json", 404)

    # -------------------------------------------------------------- cutting connections

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without an answer."""
        transport = self.connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()
        await _gone(receive)

    async def _half(self, answer: Answer, extra: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first half of an answer, then close the connection."""
        body = answer.encoded()
        await send(_start(answer, extra, len(body)))
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        transport = self.connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.close()
        await _gone(receive)


_FORM = b"application/x-www-form-urlencoded"


async def _read(receive: Receive) -> bytes | None:
    """Read a request's body; None if the client left. What is too long is cut, and refused by what it lacks."""
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
        if length <= LARGEST_BODY:
            parts.append(chunk)
    return b"".join(parts)


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait so long, or until the client has left."""
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except TimeoutError:
        return


async def _gone(receive: Receive) -> None:
    """Wait until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(answer: Answer, extra: dict[str, str], length: int) -> dict[str, Any]:
    headers = [(b"content-type", answer.content_type.encode())]
    if answer.status != 204:
        headers.append((b"content-length", str(length).encode()))
    headers += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(send: Send, answer: Answer, extra: dict[str, str]) -> None:
    body = b"" if answer.status == 204 else answer.encoded()
    await send(_start(answer, extra, len(body)))
    await send({"type": "http.response.body", "body": body})
