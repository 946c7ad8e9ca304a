"""What blocks is called off the loop: it may go back to that loop, and waits for no thread that waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from airflow_provider_twilio.client.asynchronous import AsyncClient
from airflow_provider_twilio.client.settings import OAuth, Settings
from airflow_provider_twilio.client.threads import run_in_thread
from airflow_provider_twilio.emulator import serve
from airflow_provider_twilio.runtime.background import BackgroundRunner

LONG = 30.0


async def below_asgiref(blocking: Callable[[], Any]) -> Any:
    return await sync_to_async(blocking)()


# Who calls `Aside(…).run()`: a task's main thread, or a thread in which asgiref runs what blocks.
CALLERS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "a task": lambda blocking: blocking(),
    "below a loop": lambda blocking: asyncio.run(below_asgiref(blocking)),
    "below the thread that waits for a loop": async_to_sync(below_asgiref),
}


def beside(caller: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine aside, and fail where the two threads wait for each other."""
    told: Future[Any] = Future()

    def run() -> None:
        try:
            told.set_result(CALLERS[caller](lambda: BackgroundRunner(work()).run()))
        except BaseException as error:
            told.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return told.result(LONG)


@pytest.mark.parametrize("caller", CALLERS)
def test_beside_a_thread_that_waits(caller: str):
    async def work() -> tuple[threading.Thread, threading.Thread]:
        return await run_in_thread(threading.current_thread), threading.current_thread()

    thread, loops = beside(caller, work)
    assert thread is not loops


@pytest.mark.parametrize("caller", CALLERS)
def test_a_token_is_concealed_beside_a_thread_that_waits(caller: str):
    concealed: list[str] = []
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)

        async def work() -> list[Any]:
            async with AsyncClient(settings, mask_secret=concealed.append) as client:
                return [message async for message in client.messages.list()]

        assert beside(caller, work) == []
        assert concealed == list(emulator.world.tokens)


async def test_one_call_at_a_time():
    """A task of Airflow 3.1 has one socket to its supervisor, and no lock on it."""
    busy, most = 0, 0

    def ask() -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        time.sleep(0.01)
        busy -= 1

    await asyncio.gather(*(run_in_thread(ask) for _ in range(10)))
    assert most == 1


async def test_concealing_may_ask_over_the_clients_own_loop():
    """As in Airflow 3.1's triggerer: whoever masks a secret writes to the supervisor, and reads its answer, there."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(0.05)
            writer.write(line)
        writer.close()
        await writer.wait_closed()
        over.set()

    async def ask(secret: str) -> str:
        writer.write(f"{secret}\n".encode())
        return (await reader.readline()).decode().strip()

    concealed: list[str] = []
    over = asyncio.Event()
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as supervisor:
            reader, writer = await asyncio.open_connection(*supervisor.sockets[0].getsockname())
            async with AsyncClient(settings, mask_secret=lambda s: concealed.append(async_to_sync(ask)(s))) as client:
                assert [message async for message in client.messages.list()] == []
            assert await ask("next") == "next"  # no answer was left behind
            writer.close()
            await asyncio.wait_for(over.wait(), 60)
        assert concealed == list(emulator.world.tokens)
