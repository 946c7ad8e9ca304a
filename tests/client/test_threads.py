"""Tests of blocking calls from an event loop: they may call back to it, and do not deadlock."""

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

TIMEOUT = 30.0
"""Seconds after which a test has failed, because of a deadlock."""


async def in_asgiref_thread(blocking: Callable[[], Any]) -> Any:
    return await sync_to_async(blocking)()


# The thread that calls `BackgroundRunner.run`: a task's main thread, or one in which asgiref runs blocking code.
CALLERS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "main thread": lambda blocking: blocking(),
    "asgiref thread below an event loop": lambda blocking: asyncio.run(in_asgiref_thread(blocking)),
    "main thread, waiting for an event loop": async_to_sync(in_asgiref_thread),
}


def run_in_background(caller: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine with a `BackgroundRunner`, and fail if the two threads deadlock."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(CALLERS[caller](lambda: BackgroundRunner(work()).run()))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(TIMEOUT)


@pytest.mark.parametrize("caller", CALLERS)
def test_run_in_thread_below_waiting_thread_does_not_deadlock(caller: str):
    async def work() -> tuple[threading.Thread, threading.Thread]:
        return await run_in_thread(threading.current_thread), threading.current_thread()

    thread, loop_thread = run_in_background(caller, work)
    assert thread is not loop_thread


@pytest.mark.parametrize("caller", CALLERS)
def test_async_client_masks_token_below_waiting_thread(caller: str):
    masked: list[str] = []
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)

        async def work() -> list[Any]:
            async with AsyncClient(settings, mask_secret=masked.append) as client:
                return [message async for message in client.messages.list()]

        assert run_in_background(caller, work) == []
        assert masked == list(emulator.state.tokens)


async def test_run_in_thread_runs_one_call_at_a_time():
    """A task of Airflow 3.1 has one socket to its supervisor, without a lock."""
    running, max_running = 0, 0

    def call() -> None:
        nonlocal running, max_running
        running += 1
        max_running = max(max_running, running)
        time.sleep(0.01)
        running -= 1

    await asyncio.gather(*(run_in_thread(call) for _ in range(10)))
    assert max_running == 1


async def test_async_client_mask_secret_may_use_its_event_loop():
    """In Airflow 3.1's triggerer, masking a secret sends a request to the supervisor over the same event loop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(0.05)
            writer.write(line)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def ask(secret: str) -> str:
        writer.write(f"{secret}\n".encode())
        return (await reader.readline()).decode().strip()

    masked: list[str] = []
    closed = asyncio.Event()
    with serve() as emulator:
        settings = Settings(emulator.account_sid, OAuth(*emulator.oauth_client), base=emulator.url)
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as supervisor:
            reader, writer = await asyncio.open_connection(*supervisor.sockets[0].getsockname())
            async with AsyncClient(settings, mask_secret=lambda s: masked.append(async_to_sync(ask)(s))) as client:
                assert [message async for message in client.messages.list()] == []
            assert await ask("next") == "next"  # No response was left unread.
            writer.close()
            await asyncio.wait_for(closed.wait(), 60)
        assert masked == list(emulator.state.tokens)
