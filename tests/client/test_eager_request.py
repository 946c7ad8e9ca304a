"""A request is on its way before the event loop does anything else, and comes whole."""

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
LONG = 20.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BIG = 20_000_000


class Reader:
    """Read requests in a thread, from one connection; the body of a big one only when told to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.whole, self.head, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.go_on.set()
        self.bodies: list[int] = []
        self._open = [self._socket]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed from the other side, or by ``close``
            connection, _ = self._socket.accept()
            self._open.append(connection)
            read = b""
            while some := connection.recv(65536):
                read += some
                head, end, rest = read.partition(b"\r\n\r\n")
                if not end:
                    continue
                self.head.set()
                self.go_on.wait(LONG)
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                left = length - len(rest)
                while left and (some := connection.recv(1 << 20)):
                    left -= len(some)
                if left:
                    return
                read = b""
                self.bodies.append(length)
                self.whole.set()
                connection.sendall(ANSWER)

    def close(self) -> None:
        self.go_on.set()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(LONG)


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return cast("Callable[[], asyncio.AbstractEventLoop]", request.param)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(request_class=EagerClientRequest)


async def post(client: aiohttp.ClientSession, url: str, body: bytes) -> bytes:
    async with client.post(url, data=body) as answer:
        return await answer.read()


def test_the_client_sends_before_anything_else_has_its_turn(
    reader: Reader, new_loop: Callable[[], asyncio.AbstractEventLoop]
):
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "b" * 32), base=reader.url, validate=False)

    async def go() -> bool:
        async with AsyncClient(settings) as client:
            await client.messages.create(to="+14155550100", from_="+15005550006", body="one")
            reader.whole.clear()
            asked = asyncio.ensure_future(client.messages.create(to="+14155550100", from_="+15005550006", body="two"))
            await asyncio.sleep(0)
            sent = reader.whole.wait(LONG)  # the loop does nothing meanwhile
            await asked
            return sent

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(go())
    assert len(reader.bodies) == 2


def test_what_the_connection_does_not_take_at_once_follows(reader: Reader):
    async def go() -> bytes:
        reader.go_on.clear()
        async with session() as client:
            asked = asyncio.create_task(post(client, reader.url, b"x" * BIG))
            await asyncio.to_thread(reader.head.wait, LONG)
            reader.go_on.set()
            return await asked

    assert asyncio.run(go()) == b"{}"
    assert reader.bodies == [BIG]


def test_a_request_that_is_half_written_is_cancelled(reader: Reader):
    async def go() -> None:
        reader.go_on.clear()
        async with session() as client:
            connector = cast("aiohttp.TCPConnector", client.connector)
            asked = asyncio.create_task(post(client, reader.url, b"x" * BIG))
            await asyncio.to_thread(reader.head.wait, LONG)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await asyncio.sleep(0.01)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not connector._conns  # none is kept for the next request

    asyncio.run(go())


def test_a_connection_that_ends_meanwhile_is_an_error():
    async def go() -> None:
        async with session() as client:
            server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises(aiohttp.ClientError):
                await post(client, url, b"x" * BIG)
            server.close()
            await server.wait_closed()

    asyncio.run(go())


async def works(seen: list[str], wait: asyncio.Future[str]) -> None:
    seen.append("begun")
    try:
        seen.append(await wait)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        seen.append("cancelled")
        await asyncio.sleep(0)
        seen.append("cleared up")
        raise


@pytest.mark.parametrize("awaited", [False, True], ids=["a task", "awaited"])
def test_what_has_begun_goes_on(awaited: bool):
    async def go() -> list[str]:
        seen, answer = list[str](), asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, answer.set_result, "answer")
        rest = start_eagerly(works(seen, answer))
        assert seen == ["begun"]
        await (rest if awaited else asyncio.create_task(rest))
        return seen

    assert asyncio.run(go()) == ["begun", "answer"]


@pytest.mark.parametrize("when", ["before it goes on", "while it waits", "when it has what it waited for"])
def test_it_is_told_when_it_is_cancelled(when: str):
    async def go() -> list[str]:
        seen, answer = list[str](), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(start_eagerly(works(seen, answer)))
        if when != "before it goes on":
            await asyncio.sleep(0)
        if when == "when it has what it waited for":
            answer.set_result("answer")
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return [one for one in seen if one != "answer"]

    assert asyncio.run(go()) == ["begun", "cancelled", "cleared up"]


def test_what_is_done_at_once_has_nothing_left():
    async def at_once() -> None:
        pass

    async def go() -> None:
        await asyncio.create_task(start_eagerly(at_once()))

    asyncio.run(go())
