"""The transport of the blocking client: requests' adapter with a deadline for the whole exchange."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

_exchange = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the exchanges of this thread in the ``with`` block to this many seconds, however slowly bytes arrive."""
    _exchange.ends = time.monotonic() + seconds
    try:
        yield
    finally:
        _exchange.ends = None


class _DeadlineReader(io.RawIOBase):
    """The bytes of a response, with the time that is left as the timeout of each read."""

    def __init__(self, stream: Any, sock: socket.socket, ends: float) -> None:
        self._stream = stream
        self._socket = sock
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        count: int | None = self._stream.readinto(buffer)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        ends = getattr(_exchange, "ends", None)
        if ends is not None:
            self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, ends))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response

    def connect(self) -> None:
        """Connect, and report a timeout during the TLS handshake as a connection error.

        Otherwise urllib3 reports it as a read timeout, as if the request had been sent.
        """
        try:
            super().connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "connecting timed out") from error


class Adapter(HTTPAdapter):
    """An adapter whose exchanges end at the :func:`deadline`."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _TlsConnection if pool.scheme == "https" else _Connection
        return pool
