"""Tests of eager requests: they are written before the event loop runs anything else, and completely."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

import aiohttp
import pytest
import uvloop

from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.eager_request import EagerClientRequest, start_eagerly
from airflow_provider_twilio.client.settings import Basic, Settings

ACCOUNT = "AC" + "a" * 32
TIMEOUT = 20.0
"""Seconds after which a test has failed."""
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LARGE_BODY = b"x" * 20_000_000
"""A body that does not fit into the buffers of a connection."""


class Reader:
    """A server in a thread that reads the requests of one connection. It can pause between header and body."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.request_read, self.header_read, self.may_read_body = (threading.Event() for _ in range(3))
        self.may_read_body.set()
        self.bodies: list[int] = []
        self._open = [self._socket]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # The client or ``close`` has closed the connection.
            connection, _ = self._socket.accept()
            self._open.append(connection)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
                header, separator, body = received.partition(b"\r\n\r\n")
                if not separator:
                    continue
                self.header_read.set()
                self.may_read_body.wait(TIMEOUT)
                length = int(header.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                missing = length - len(body)
                while missing and (chunk := connection.recv(1 << 20)):
                    missing -= len(chunk)
                if missing:
                    return
                received = b""
                self.bodies.append(length)
                self.request_read.set()
                connection.sendall(RESPONSE)

    def close(self) -> None:
        self.may_read_body.set()
        for open_socket in self._open:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        self._thread.join(TIMEOUT)


@pytest.fixture
def reader() -> Iterator[Reader]:
    server = Reader()
    yield server
    server.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return cast("Callable[[], asyncio.AbstractEventLoop]", request.param)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(request_class=EagerClientRequest)


async def post(client: aiohttp.ClientSession, url: str, body: bytes) -> bytes:
    async with client.post(url, data=body) as response:
        return await response.read()


def test_async_client_writes_request_before_event_loop_continues(
    reader: Reader, new_loop: Callable[[], asyncio.AbstractEventLoop]
):
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "b" * 32), base=reader.url, validate=False)

    async def main() -> bool:
        async with AsyncClient(settings) as client:
            await client.messages.create(to="+14155550100", from_="+15005550006", body="one")
            reader.request_read.clear()
            second = asyncio.ensure_future(client.messages.create(to="+14155550100", from_="+15005550006", body="two"))
            await asyncio.sleep(0)
            sent = reader.request_read.wait(TIMEOUT)  # This blocks the event loop.
            await second
            return sent

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main())
    assert len(reader.bodies) == 2


def test_eager_request_writes_large_body_completely(reader: Reader):
    async def main() -> bytes:
        reader.may_read_body.clear()
        async with session() as client:
            request = asyncio.create_task(post(client, reader.url, LARGE_BODY))
            await asyncio.to_thread(reader.header_read.wait, TIMEOUT)
            reader.may_read_body.set()
            return await request

    assert asyncio.run(main()) == b"{}"
    assert reader.bodies == [len(LARGE_BODY)]


def test_eager_request_canceled_while_writing_closes_connection(reader: Reader):
    async def main() -> None:
        reader.may_read_body.clear()
        async with session() as client:
            connector = cast("aiohttp.TCPConnector", client.connector)
            request = asyncio.create_task(post(client, reader.url, LARGE_BODY))
            await asyncio.to_thread(reader.header_read.wait, TIMEOUT)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            await asyncio.sleep(0.01)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not connector._conns  # The connection is not reused.

    asyncio.run(main())


def test_eager_request_connection_lost_while_writing_raises():
    async def main() -> None:
        async with session() as client:
            server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises(aiohttp.ClientError):
                await post(client, url, LARGE_BODY)
            server.close()
            await server.wait_closed()

    asyncio.run(main())


async def record_events(events: list[str], result: asyncio.Future[str]) -> None:
    events.append("started")
    try:
        events.append(await result)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        events.append("canceled")
        await asyncio.sleep(0)
        events.append("cleaned up")
        raise


@pytest.mark.parametrize("awaited", [False, True], ids=["a task", "awaited"])
def test_start_eagerly_resumes_started_coroutine(awaited: bool):
    async def main() -> list[str]:
        events, result = list[str](), asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, result.set_result, "result")
        rest = start_eagerly(record_events(events, result))
        assert events == ["started"]
        await (rest if awaited else asyncio.create_task(rest))
        return events

    assert asyncio.run(main()) == ["started", "result"]


@pytest.mark.parametrize("when", ["before it resumes", "while it waits", "after its future is done"])
def test_start_eagerly_propagates_cancellation(when: str):
    async def main() -> list[str]:
        events, result = list[str](), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(start_eagerly(record_events(events, result)))
        if when != "before it resumes":
            await asyncio.sleep(0)
        if when == "after its future is done":
            result.set_result("result")
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return [event for event in events if event != "result"]

    assert asyncio.run(main()) == ["started", "canceled", "cleaned up"]


def test_start_eagerly_finished_coroutine_returns():
    async def finish_immediately() -> None:
        pass

    async def main() -> None:
        await asyncio.create_task(start_eagerly(finish_immediately()))

    asyncio.run(main())
