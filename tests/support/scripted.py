"""A server that sends a list of scripted responses over a real socket, and records the requests."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass
class Received:
    """A request as it was received, with header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, still percent-encoded."""
        return self.target.partition("?")[2]


@dataclass
class ScriptedResponse:
    """A scripted response, possibly delayed or truncated.

    :param body: A string, bytes, or a value that is sent as JSON.
    :param delay: Seconds before the response is sent.
    :param cut: Number of bytes of the body that are sent before the connection is closed. By default all.
    :param close: Whether to close the connection after the response.
    :param drip: Seconds between single bytes of the response. By default it is sent at once.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    close: bool = False
    drip: float | None = None

    def encode(self) -> bytes:
        body = self.body
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        content = body.encode() if isinstance(body, str) else body
        headers = {"Content-Type": "application/json", **self.headers}
        if self.status != 204:
            headers["Content-Length"] = str(len(content))
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + content[: self.cut]


@dataclass
class Stall:
    """No response for a number of seconds, after which the connection is closed."""

    seconds: float = 30.0


class Drop:
    """A closed connection, without a response, once the request has been received."""


class ScriptedServer:
    """A server that responds to requests with scripted responses, in their order.

    :param responses: The script.
    :param repeat: Whether to send the last response to all further requests.
    :param tls: TLS context of a server that uses TLS.
    """

    def __init__(
        self, *responses: ScriptedResponse | Stall | Drop, repeat: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.responses: list[ScriptedResponse | Stall | Drop] = list(responses)
        self.repeat = repeat
        self.requests: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def play(self, *responses: ScriptedResponse | Stall | Drop) -> None:
        """Add responses to the script."""
        with self._lock:
            self.responses.extend(responses)

    def count(self, method: str) -> int:
        """Return the number of requests with a method."""
        return sum(request.method == method for request in self.requests)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for open_socket in [self._socket, *self._open]:
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, accepted)

    def _serve(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            with connection.makefile("rb") as stream:
                while self._handle_request(connection, stream):
                    pass
        except OSError:
            pass  # The client has closed the connection, or rejects the certificate.
        finally:
            self._open.discard(connection)
            connection.close()

    def _handle_request(self, connection: socket.socket, stream: Any) -> bool:
        """Read a request and respond to it. Return whether the connection stays open."""
        start_line = stream.readline().decode("latin-1").split()
        if len(start_line) < 2:
            return False
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Received(start_line[0], start_line[1], headers, body)
        with self._lock:
            self.requests.append(request)
            if not self.responses:
                response: ScriptedResponse | Stall | Drop = ScriptedResponse(
                    418, {"message": "the script has no more responses"}, close=True
                )
            else:
                response = self.responses[0] if self.repeat and len(self.responses) == 1 else self.responses.pop(0)
        return self._respond(connection, self.choose_response(request, response))

    def choose_response(
        self, request: Received, scripted: ScriptedResponse | Stall | Drop
    ) -> ScriptedResponse | Stall | Drop:
        """Return the response to a request: the scripted one. Subclasses may return another."""
        return scripted

    def _respond(self, connection: socket.socket, response: ScriptedResponse | Stall | Drop) -> bool:
        if isinstance(response, Stall):
            self._stopped.wait(response.seconds)
            return False
        if isinstance(response, Drop):
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if response.delay:
            time.sleep(response.delay)
        if response.drip is None:
            connection.sendall(response.encode())
        else:
            for byte in response.encode():
                connection.sendall(bytes([byte]))
                self._stopped.wait(response.drip)
        if response.cut is not None or response.close:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        return True


def pages(key: str, *contents: Iterable[Any], path: str) -> list[ScriptedResponse]:
    """Return the responses for the pages of a list."""
    listed = [list(content) for content in contents]
    return [
        ScriptedResponse(
            200,
            {
                key: content,
                "page": number,
                "next_page_uri": f"{path}?PageSize=1000&Page={number + 1}&PageToken=PA{number}"
                if number + 1 < len(listed)
                else None,
            },
        )
        for number, content in enumerate(listed)
    ]
