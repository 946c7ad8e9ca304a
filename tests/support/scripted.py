"""A server that plays a list of answers over a real socket, and keeps the requests as they came."""

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
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as it was written, percent signs and all."""
        return self.target.partition("?")[2]


@dataclass
class Answer:
    """One answer, and what goes wrong with it.

    :param body: text, bytes, or what is to be written as JSON.
    :param delay: seconds before it is given.
    :param cut: how many bytes of the body are given, of the length that was promised; then the connection is cut.
    :param close: close the connection after it.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    close: bool = False

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
    """Say nothing for so many seconds, then close."""

    seconds: float = 30.0


class Drop:
    """Close the connection when the request is there, without a byte of an answer."""


class Scripted:
    """Play answers in order, whoever asks; the last one again and again if ``repeat``.

    :param answers: what is played.
    :param tls: the server's side of TLS, if it speaks TLS.
    """

    def __init__(
        self, *answers: Answer | Stall | Drop, repeat: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answers: list[Answer | Stall | Drop] = list(answers)
        self.repeat = repeat
        self.requests: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def play(self, *answers: Answer | Stall | Drop) -> None:
        """Add to the script."""
        with self._lock:
            self.answers.extend(answers)

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
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
        while not self._ended.is_set():
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
                while self._one(connection, stream):
                    pass
        except OSError:
            pass  # the client went away, or does not trust us
        finally:
            self._open.discard(connection)
            connection.close()

    def _one(self, connection: socket.socket, stream: Any) -> bool:
        """Read a request and answer it; tell whether the connection stays."""
        first = stream.readline().decode("latin-1").split()
        if len(first) < 2:
            return False
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Received(first[0], first[1], headers, body)
        with self._lock:
            self.requests.append(request)
            if not self.answers:
                answer: Answer | Stall | Drop = Answer(418, {"message": "the script has ended"}, close=True)
            else:
                answer = self.answers[0] if self.repeat and len(self.answers) == 1 else self.answers.pop(0)
        return self._play(connection, self.answer(request, answer))

    def answer(self, request: Received, scripted: Answer | Stall | Drop) -> Answer | Stall | Drop:
        """Choose the answer to a request: the scripted one. For subclasses that answer what they are asked."""
        return scripted

    def _play(self, connection: socket.socket, answer: Answer | Stall | Drop) -> bool:
        if isinstance(answer, Stall):
            self._ended.wait(answer.seconds)
            return False
        if isinstance(answer, Drop):
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if answer.delay:
            time.sleep(answer.delay)
        connection.sendall(answer.encode())
        if answer.cut is not None or answer.close:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        return True


def pages(key: str, *contents: Iterable[Any], path: str) -> list[Answer]:
    """Give a list of Twilio's as the answers of its pages."""
    listed = [list(content) for content in contents]
    return [
        Answer(
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
