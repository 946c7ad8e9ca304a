"""Run an emulator in this process: ``with serve() as emulator:``."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_twilio.emulator import calls, control, messages, numbers, usage
from airflow_provider_twilio.emulator import world as state
from airflow_provider_twilio.emulator.app import Application
from airflow_provider_twilio.emulator.clock import Clock
from airflow_provider_twilio.emulator.faults import Fault, Quirks
from airflow_provider_twilio.emulator.journal import Journal
from airflow_provider_twilio.emulator.webhooks import Delivery

T = TypeVar("T")


class Emulator:
    """Hold a running emulator: where it is, how to reach it, what it has seen, and what it shall do wrong.

    :param host: the address to listen on; anything but loopback is reachable by others.
    :param port: 0 for a free one.
    :param speed: how many seconds of a lifecycle pass in one second.
    """

    account_sid = state.ACCOUNT_SID
    auth_token = state.AUTH_TOKEN
    main_key = state.MAIN_KEY
    standard_key = state.STANDARD_KEY
    restricted_key = state.RESTRICTED_KEY
    oauth_client = state.OAUTH_CLIENT
    test_account_sid = state.TEST_ACCOUNT_SID
    test_auth_token = state.TEST_AUTH_TOKEN
    phone_number = state.FIRST_NUMBER

    def __init__(self, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0) -> None:
        self.clock = Clock(speed)
        self.world = state.World(self.clock)
        self.host = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._socket.listen(2048)
        self.port: int = self._socket.getsockname()[1]
        self.world.base_url = self.url
        connections: dict[tuple[str, int], asyncio.Transport] = {}
        self._application = Application(self.world, host, connections)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application,
                http=_protocol(connections),
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                log_level="error",
                proxy_headers=False,
                server_header=False,
                date_header=False,  # answers tell the emulator's own time
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
                backlog=2048,
            )
        )
        self._thread = threading.Thread(target=self._run, name=f"twilio-emulator-{self.port}", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> Self:
        """Start serving; back when requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the emulator did not start")
            self._thread.join(0.005)
        return self

    def stop(self) -> None:
        """Stop serving, and close what connections there are."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -------------------------------------------------------------- how to reach it

    @property
    def _netloc(self) -> str:
        host = {str(ip_address(0)): "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base address, to be used in place of ``https://api.twilio.com``."""
        return f"http://{self._netloc}"

    @property
    def connection_uri(self) -> str:
        """An Airflow connection as a URI: the value of ``AIRFLOW_CONN_TWILIO_DEFAULT``."""
        return f"twilio://{quote(self.account_sid, safe='')}:{quote(self.auth_token, safe='')}@{self._netloc}"

    @property
    def connection_json(self) -> str:
        """The same as JSON."""
        host = self._netloc.rpartition(":")[0]
        return json.dumps(
            {
                "conn_type": "twilio",
                "login": self.account_sid,
                "password": self.auth_token,
                "host": host,
                "port": self.port,
            }
        )

    # -------------------------------------------------------------- what it has seen

    @property
    def journal(self) -> Journal:
        """The requests so far: ``emulator.journal.count("POST", "Messages")``."""
        return self.world.journal

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The main account's messages as Twilio would show them now, in the order they were made."""
        return self.messages_of(self.account_sid)

    def messages_of(self, account_sid: str) -> list[dict[str, Any]]:
        """Give the messages of an account, as :attr:`messages`."""
        with self.world.lock:
            now = self.clock.now()
            lag = self.quirks.price_lag
            return [messages.render(message, now, lag) for message in self._account(account_sid).messages]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The main account's calls as Twilio would show them now, in the order they were made."""
        with self.world.lock:
            now = self.clock.now()
            lag = self.quirks.price_lag
            return [calls.render(call, now, lag) for call in self.world.main.calls if call.created <= now]

    @property
    def numbers(self) -> list[dict[str, Any]]:
        """The main account's numbers."""
        with self.world.lock:
            return [numbers.render(number) for number in self.world.main.numbers]

    @property
    def accounts(self) -> list[str]:
        """The SIDs of the accounts, the main one first."""
        with self.world.lock:
            return [account.sid for account in self.world.accounts]

    @property
    def balance(self) -> float:
        """What is left of the main account's money."""
        with self.world.lock:
            return usage.balance_of(self.world, self.clock.now())

    @property
    def callbacks(self) -> list[Delivery]:
        """The webhooks called so far."""
        with self.world.lock:
            return list(self.world.deliveries)

    def transcript(self, call_sid: str) -> tuple[str, ...]:
        """Give what is heard in a call."""
        with self.world.lock:
            for account in self.world.accounts:
                call = account.calls.get(call_sid)
                if call is not None:
                    return call.transcript
        raise KeyError(f"there is no call {call_sid}")

    def _account(self, account_sid: str) -> state.Account:
        account = self.world.accounts.get(account_sid)
        if account is None:
            raise KeyError(f"there is no account {account_sid}")
        return account

    # -------------------------------------------------------------- what it shall do

    @property
    def quirks(self) -> Quirks:
        """The switches: ``emulator.quirks.set(list_lag=5)``."""
        return self.world.quirks

    def fail_next(
        self,
        n: int = 1,
        *,
        status: int | None = None,
        code: int | None = None,
        retry_after: float | str | None = None,
        message: str | None = None,
        drop: bool = False,
        stall: float | None = None,
        accept_then_drop: bool = False,
        accept_then_stall: float | None = None,
        accept_then_status: int | None = None,
        cut: bool = False,
        html: bool = False,
        empty: bool = False,
        method: str | None = None,
        path: str | None = None,
        params: Mapping[str, str] | None = None,
        skip: int = 0,
    ) -> None:
        """Let the next n requests of a kind go wrong. What each argument does: :class:`.faults.Fault`."""
        fault = Fault(
            n, status, code, retry_after, message, drop, stall, accept_then_drop, accept_then_stall,
            accept_then_status, cut, html, empty, method, path, dict(params or {}), skip,
        )  # fmt: skip
        with self.world.lock:
            self.world.faults.add(fault)

    def receive_message(self, body: str, *, from_: str, to: str | None = None, media: list[str] | None = None) -> str:
        """Let a phone send a message to a number of ours; give the message's SID."""
        with self.world.lock:
            return self._control(lambda it: it.receive_message(to or self.phone_number, from_, body, media or []).sid)

    def receive_call(self, *, from_: str, to: str | None = None) -> str:
        """Let a phone call a number of ours; give the call's SID."""
        with self.world.lock:
            return self._control(lambda it: it.receive_call(to or self.phone_number, from_).sid)

    def _control(self, action: Callable[[control.Control], T]) -> T:
        try:
            return action(self._application.control)
        except control.Wrong as wrong:
            raise ValueError(str(wrong)) from None

    def set_message(self, sid: str, status: str, error_code: int | None = None) -> None:
        """Put a message into a status, where it stays."""
        with self.world.lock:
            self._control(lambda it: it.put_message(sid, status, error_code))

    def verify(self, number: str, account_sid: str | None = None) -> None:
        """Verify a number, for the main account unless told: it may call from there, and reach it while on trial."""
        with self.world.lock:
            self._control(lambda it: it.verify(number, account_sid or self.account_sid))

    def press(self, call_sid: str, keys: str) -> None:
        """Press keys on the phone at the other end of a call, while a Gather listens: ``press(sid, "1234#")``."""
        with self.world.lock:
            self._control(lambda it: it.press(call_sid, keys))

    def reset(self) -> None:
        """Begin anew: one account, one number, an empty journal, no faults, the real time."""
        self.world.reset()


def serve(host: str = "127.0.0.1", port: int = 0, speed: float = 1.0) -> Emulator:
    """Make an emulator, which serves in a thread of its own inside ``with``.

    :param host: the address to listen on.
    :param port: 0 for a free one.
    :param speed: how many seconds of a lifecycle pass in one second: at 10, a message is delivered in 0.2 s.
    """
    return Emulator(host, port, speed)


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[asyncio.Protocol]:
    """Give uvicorn's protocol, which also notes its connections, so that a fault can cut them."""

    class Noted(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.noted = tuple((transport.get_extra_info("peername") or ("", 0))[:2])
            connections[self.noted] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.noted, None)
            super().connection_lost(exc)

    return Noted
