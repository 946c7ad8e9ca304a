"""A coroutine beside the thread that waits for it, which signals reach at once."""

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

LONG = 30.0


class TimedOut(BaseException):
    pass


@contextmanager
def on_alarm(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def strike(signum: int, frame: FrameType | None) -> None:
    raise TimedOut


def test_it_gives_what_the_coroutine_gives_or_raises():
    async def gives() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async def raises(error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    assert BackgroundRunner(gives()).run() != threading.get_ident()
    for error in (ValueError("no"), SystemExit(3)):
        with pytest.raises(type(error)) as raised:
            BackgroundRunner(raises(error)).run()
        assert raised.value is error


def test_it_sees_the_context_of_who_waits():
    variable = contextvars.ContextVar("variable", default="none")

    async def reads() -> str:
        return variable.get()

    variable.set("set")
    assert BackgroundRunner(reads()).run() == "set"


def test_it_runs_where_an_event_loop_runs():
    async def inner() -> int:
        return 3

    async def outer() -> int:
        return BackgroundRunner(inner()).run()

    assert asyncio.run(outer()) == 3


def test_a_signal_is_raised_whatever_the_loop_is_at():
    """In the main thread, it would be lost in the callback that the loop is at for all the time."""
    struck, ended = threading.Event(), []

    def strike_and_tell(signum: int, frame: FrameType | None) -> None:
        struck.set()
        raise TimedOut

    def busy() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        until = time.monotonic() + LONG
        while not struck.is_set() and time.monotonic() < until:
            sum(range(1000))

    async def works() -> None:
        asyncio.get_running_loop().call_soon(busy)
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append("cancelled")
            raise

    with on_alarm(strike_and_tell), pytest.raises(TimedOut):
        BackgroundRunner(works()).run()
    assert ended == ["cancelled"]


@pytest.mark.filterwarnings("ignore:coroutine 'test_a_signal_at_any_time")  # before it was handed over
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a callback of Python's own
def test_a_signal_at_any_time_is_raised_when_the_coroutine_has_ended():
    at_work = threading.Event()

    async def works(seconds: float) -> None:
        at_work.set()
        try:
            await asyncio.sleep(seconds)
        finally:
            at_work.clear()

    raised = 0
    with on_alarm(strike):
        for number in range(3000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 * (number % 100 + 1))
                BackgroundRunner(works(0.0005)).run()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except TimedOut:
                raised += 1
            assert not at_work.is_set()
    assert raised


def test_a_second_signal_does_not_wait_for_the_end():
    goes_on = threading.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.to_thread(goes_on.wait, LONG)

    with on_alarm(strike):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimedOut):
            BackgroundRunner(stubborn()).run()
        assert not goes_on.is_set()
        goes_on.set()


@pytest.mark.parametrize("whence", ["a thread", "a signal", "before"])
def test_it_is_cancelled(whence: str):
    begun, ended = threading.Event(), []

    async def works() -> None:
        begun.set()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    aside = BackgroundRunner(works())
    with on_alarm(lambda signum, frame: aside.cancel()):
        if whence == "before":
            aside.cancel()
        else:
            act = aside.cancel if whence == "a thread" else lambda: os.kill(os.getpid(), signal.SIGALRM)
            threading.Thread(target=lambda: (begun.wait(), act()), daemon=True).start()
        with pytest.raises(asyncio.CancelledError):
            aside.run()
    assert ended == ([] if whence == "before" else ["cancelled"])
    aside.cancel()  # which does nothing any more
