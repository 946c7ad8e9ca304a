"""An emulator in this process: ``with serve() as emulator:``."""

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

from airflow_provider_twilio.emulator.app import Application, Connections
from airflow_provider_twilio.emulator.clock import Clock
from airflow_provider_twilio.emulator.control import Control, ControlError
from airflow_provider_twilio.emulator.credentials import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    MAIN_KEY,
    OAUTH_CLIENT,
    RESTRICTED_KEY,
    STANDARD_KEY,
    TEST_ACCOUNT_SID,
    TEST_AUTH_TOKEN,
    Credentials,
)
from airflow_provider_twilio.emulator.destinations import POLICIES
from airflow_provider_twilio.emulator.faults import Fault, Quirks
from airflow_provider_twilio.emulator.handlers.calls import render_call
from airflow_provider_twilio.emulator.handlers.messages import render_message
from airflow_provider_twilio.emulator.handlers.phone_numbers import render_phone_number
from airflow_provider_twilio.emulator.handlers.usage import compute_balance
from airflow_provider_twilio.emulator.journal import Journal
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.callback import CallbackAttempt
from airflow_provider_twilio.emulator.state import FIRST_NUMBER, State

BACKLOG = 2048
"""Number of connections that wait to be accepted."""

T = TypeVar("T")


class Emulator:
    """A stateful emulator of Twilio, which serves in its own thread inside ``with``.

    .. code-block:: python

        with serve(speed=10) as emulator:
            os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] = emulator.connection_uri
            TwilioHook().messages.create(to="+14155550100", from_=emulator.phone_number, body="Hello")
            print(emulator.messages[0]["status"])

    :func:`serve` describes the parameters.
    """

    account_sid = ACCOUNT_SID
    auth_token = AUTH_TOKEN
    main_key = MAIN_KEY
    standard_key = STANDARD_KEY
    restricted_key = RESTRICTED_KEY
    oauth_client = OAUTH_CLIENT
    test_account_sid = TEST_ACCOUNT_SID
    test_auth_token = TEST_AUTH_TOKEN
    phone_number = FIRST_NUMBER

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0, *,
        callbacks: str | None = None, credentials: str | None = None,
    ) -> None:  # fmt: skip
        _check_option("callbacks", callbacks, (*POLICIES, None))
        _check_option("credentials", credentials, ("fixed", "random", None))
        self.clock = Clock(speed)
        self.host = host
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.is_exposed = not ip_address(self._socket.getsockname()[0]).is_loopback
        """Whether other machines can reach the emulator."""
        self.has_random_credentials = (credentials or ("random" if self.is_exposed else "fixed")) == "random"
        secrets = Credentials.random() if self.has_random_credentials else Credentials()
        for name in Credentials.__slots__:
            setattr(self, name, getattr(secrets, name))
        callbacks = callbacks or ("none" if self.is_exposed else "local")
        self.state = State(self.clock, secrets, callbacks, is_exposed=self.is_exposed)
        self.state.base_url = self.url
        connections: Connections = {}
        self._application = Application(self.state, host, connections)
        self._server = _build_server(self._application, connections)
        self._thread = threading.Thread(target=self._run, name=f"twilio-emulator-{self.port}", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> Self:
        """Start the server, and return once it responds to requests."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the emulator did not start")
            self._thread.join(0.005)
        return self

    def stop(self) -> None:
        """Stop the server, and close all connections."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _netloc(self) -> str:
        host = {str(ip_address(0)): "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, for use instead of ``https://api.twilio.com``."""
        return f"http://{self._netloc}"

    @property
    def connection_uri(self) -> str:
        """The Airflow connection to the emulator as a URI.

        Use it as the value of ``AIRFLOW_CONN_TWILIO_DEFAULT``.
        """
        return f"twilio://{quote(self.account_sid, safe='')}:{quote(self.auth_token, safe='')}@{self._netloc}"

    @property
    def connection_json(self) -> str:
        """The Airflow connection to the emulator as JSON."""
        values = {"conn_type": "twilio", "login": self.account_sid, "password": self.auth_token}
        return json.dumps({**values, "host": self._netloc.rpartition(":")[0], "port": self.port})

    @property
    def journal(self) -> Journal:
        """The journal of requests: ``emulator.journal.count("POST", "Messages")``."""
        return self.state.journal

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the main account, in their current state, in order of creation."""
        return self.messages_of(self.account_sid)

    def messages_of(self, account_sid: str) -> list[dict[str, Any]]:
        """Return the messages of an account, in their current state, in order of creation."""
        with self.state.lock:
            now = self.clock.now()
            lag = self.quirks.price_lag
            return [render_message(message, now, lag) for message in self._account(account_sid).messages]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the main account, in their current state, in order of creation."""
        with self.state.lock:
            now = self.clock.now()
            lag = self.quirks.price_lag
            return [render_call(call, now, lag) for call in self.state.main.calls if call.created <= now]

    @property
    def numbers(self) -> list[dict[str, Any]]:
        """The phone numbers of the main account."""
        with self.state.lock:
            return [render_phone_number(number) for number in self.state.main.numbers]

    @property
    def accounts(self) -> list[str]:
        """The SIDs of all accounts, the main one first."""
        with self.state.lock:
            return [account.sid for account in self.state.accounts]

    @property
    def balance(self) -> float:
        """The balance of the main account, in USD."""
        with self.state.lock:
            return compute_balance(self.state, self.clock.now())

    @property
    def callbacks(self) -> list[CallbackAttempt]:
        """The callback requests so far."""
        with self.state.lock:
            return list(self.state.callback_attempts)

    def transcript(self, call_sid: str) -> tuple[str, ...]:
        """Return everything that is heard in a call.

        :raises KeyError: There is no such call.
        """
        with self.state.lock:
            for account in self.state.accounts:
                call = account.calls.get(call_sid)
                if call is not None:
                    return call.transcript
        raise KeyError(f"there is no call {call_sid}")

    def _account(self, account_sid: str) -> Account:
        account = self.state.accounts.get(account_sid)
        if account is None:
            raise KeyError(f"there is no account {account_sid}")
        return account

    @property
    def quirks(self) -> Quirks:
        """The quirks: ``emulator.quirks.set(list_lag=5)``."""
        return self.state.quirks

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
        """Inject a fault into the next n matching requests.

        :class:`.faults.Fault` documents the arguments.
        """
        fault = Fault(
            n, status, code, retry_after, message, drop, stall, accept_then_drop, accept_then_stall,
            accept_then_status, cut, html, empty, method, path, dict(params or {}), skip,
        )  # fmt: skip
        with self.state.lock:
            self.state.faults.add(fault)

    def receive_message(self, body: str, *, from_: str, to: str | None = None, media: list[str] | None = None) -> str:
        """Receive a message from a phone, and return its SID.

        :param to: A phone number of the emulator; by default, the first one.
        """
        with self.state.lock:
            return self._control(lambda api: api.receive_message(to or self.phone_number, from_, body, media or []).sid)

    def receive_call(self, *, from_: str, to: str | None = None) -> str:
        """Receive a call from a phone, and return its SID.

        :param to: A phone number of the emulator; by default, the first one.
        """
        with self.state.lock:
            return self._control(lambda api: api.receive_call(to or self.phone_number, from_).sid)

    def _control(self, action: Callable[[Control], T]) -> T:
        try:
            return action(self._application.control)
        except ControlError as error:
            raise ValueError(str(error)) from None

    def set_message_status(self, sid: str, status: str, error_code: int | None = None) -> None:
        """Set the status of a message for the rest of its life."""
        with self.state.lock:
            self._control(lambda api: api.set_message_status(sid, status, error_code))

    def verify(self, number: str, account_sid: str | None = None) -> None:
        """Verify a number for an account.

        The account may call from the number, and reach it as a trial account.

        :param account_sid: The account; by default, the main one.
        """
        with self.state.lock:
            self._control(lambda api: api.verify(number, account_sid or self.account_sid))

    def press_keys(self, call_sid: str, keys: str) -> None:
        """Press keys on the phone that was called: ``press_keys(sid, "1234#")``.

        :raises ValueError: No Gather is waiting for keys.
        """
        with self.state.lock:
            self._control(lambda api: api.press_keys(call_sid, keys))

    def reset(self) -> None:
        """Start over: one account with one number, an empty journal, no faults, the real time."""
        self.state.reset()


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    speed: float = 1.0,
    *,
    callbacks: str | None = None,
    credentials: str | None = None,
) -> Emulator:
    """Return an emulator, which serves in its own thread inside ``with``.

    :param host: Address to listen on. Other machines can reach any address except loopback.
    :param port: Port to listen on; 0 for a free one.
    :param speed: Number of seconds of a lifecycle that pass in one second: at 10, a message is delivered in 0.2 s.
    :param callbacks: Destinations of callbacks: ``local`` addresses, ``any``, or ``none``. By default, ``local`` on a
        loopback address, and ``none`` elsewhere. Link-local addresses and cloud metadata services never get callbacks.
    :param credentials: ``fixed`` for the documented credentials, or ``random`` for new secrets. By default, ``fixed``
        on a loopback address, and ``random`` elsewhere.
    :raises ValueError: When a parameter has none of these values.
    """
    return Emulator(host, port, speed, callbacks=callbacks, credentials=credentials)


def _check_option(name: str, value: str | None, values: tuple[str | None, ...]) -> None:
    if value not in values:
        raise ValueError(f"{name} is {value!r}: use {', '.join(map(str, values))}")


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    return listener


def _build_server(application: Application, connections: Connections) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=_protocol(connections),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="error",
            proxy_headers=False,
            server_header=False,
            date_header=False,  # responses have the time of the emulator's clock
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
        )
    )


def _protocol(connections: Connections) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol class, extended to record its connections.

    A fault can then close a connection.
    """

    class TrackingProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.client_address = tuple((transport.get_extra_info("peername") or ("", 0))[:2])
            connections[self.client_address] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.client_address, None)
            super().connection_lost(exc)

    return TrackingProtocol
