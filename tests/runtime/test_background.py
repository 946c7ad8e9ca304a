"""A coroutine in a background thread, and signals that reach the waiting thread at once."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from airflow_provider_twilio.runtime.background import BackgroundRunner

LONG = 30.0  # seconds


class TimedOut(BaseException):
    """An exception raised by a signal handler, as Airflow's timeout is."""


@contextmanager
def on_alarm(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raise_timeout(signum: int, frame: FrameType | None) -> None:
    raise TimedOut


def test_background_runner_returns_result_or_raises_error():
    async def succeeds() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async def fails(error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    assert BackgroundRunner(succeeds()).run() != threading.get_ident()
    for error in (ValueError("no"), SystemExit(3)):
        with pytest.raises(type(error)) as raised:
            BackgroundRunner(fails(error)).run()
        assert raised.value is error


def test_background_runner_copies_context_of_caller():
    variable = contextvars.ContextVar("variable", default="none")

    async def read_variable() -> str:
        return variable.get()

    variable.set("set")
    assert BackgroundRunner(read_variable()).run() == "set"


def test_background_runner_works_inside_running_event_loop():
    async def inner() -> int:
        return 3

    async def outer() -> int:
        return BackgroundRunner(inner()).run()

    assert asyncio.run(outer()) == 3


def test_background_runner_raises_signal_during_busy_callback():
    """If the loop ran in the main thread, the exception would be raised, and lost, in the busy callback."""
    raised, ended = threading.Event(), []

    def record_and_raise(signum: int, frame: FrameType | None) -> None:
        raised.set()
        raise TimedOut

    def busy() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        deadline = time.monotonic() + LONG
        while not raised.is_set() and time.monotonic() < deadline:
            sum(range(1000))

    async def work() -> None:
        asyncio.get_running_loop().call_soon(busy)
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append("canceled")
            raise

    with on_alarm(record_and_raise), pytest.raises(TimedOut):
        BackgroundRunner(work()).run()
    assert ended == ["canceled"]


# A signal may come before the coroutine is passed to the runner, or in a callback of Python itself.
@pytest.mark.filterwarnings("ignore:coroutine 'test_background_runner_raises_signal_at_any_time")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_background_runner_raises_signal_at_any_time_after_coroutine_ended():
    working = threading.Event()

    async def work(seconds: float) -> None:
        working.set()
        try:
            await asyncio.sleep(seconds)
        finally:
            working.clear()

    timeouts = 0
    with on_alarm(raise_timeout):
        for number in range(3000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 * (number % 100 + 1))
                BackgroundRunner(work(0.0005)).run()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except TimedOut:
                timeouts += 1
            assert not working.is_set()
    assert timeouts


def test_background_runner_second_signal_skips_waiting():
    released = threading.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.to_thread(released.wait, LONG)

    with on_alarm(raise_timeout):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimedOut):
            BackgroundRunner(stubborn()).run()
        assert not released.is_set()
        released.set()


@pytest.mark.parametrize("origin", ["a thread", "a signal", "before"])
def test_background_runner_cancel_ends_coroutine(origin: str):
    started, ended = threading.Event(), []

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    runner = BackgroundRunner(work())
    with on_alarm(lambda signum, frame: runner.cancel()):
        if origin == "before":
            runner.cancel()
        else:
            cancel = runner.cancel if origin == "a thread" else lambda: os.kill(os.getpid(), signal.SIGALRM)
            threading.Thread(target=lambda: (started.wait(), cancel()), daemon=True).start()
        with pytest.raises(asyncio.CancelledError):
            runner.run()
    assert ended == ([] if origin == "before" else ["canceled"])
    runner.cancel()  # has no effect any more
