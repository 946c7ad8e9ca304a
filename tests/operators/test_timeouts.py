"""Airflow's ``execution_timeout`` ends a task at any moment. It is raised once, and must not be lost."""

from __future__ import annotations

import ast
import inspect
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import airflow_provider_twilio
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.hooks.twilio import TwilioHook
from airflow_provider_twilio.operators.messages import DeleteOldMessagesOperator, SendMessagesOperator
from airflow_provider_twilio.operators.phone_numbers import FindIdleNumbersOperator
from airflow_provider_twilio.runtime import background
from tests.operators.test_bulk import context, numbers

try:
    from airflow.sdk.exceptions import AirflowTaskTimeout
except ImportError:  # before 3.2
    from airflow.exceptions import AirflowTaskTimeout  # type: ignore[no-redef,attr-defined,unused-ignore]

PACKAGE = Path(airflow_provider_twilio.__file__).parent
SENDER = "+15005550006"
COROUTINE_FLAGS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def outer_frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_in_callback(frame: FrameType | None) -> bool:
    """Return whether an event loop is running a plain callback: an exception raised there is only logged."""
    inner = None
    for outer in outer_frames(frame):
        if inner and outer.f_code.co_name == "_run" and Path(outer.f_code.co_filename).parent.name == "asyncio":
            return not inner.f_code.co_flags & COROUTINE_FLAGS
        inner = outer
    return False


@contextmanager
def timeout_at_worst_moment() -> Iterator[None]:
    """Raise Airflow's timeout once, where an event loop would lose it.

    If no event loop runs in this thread, raise it while the thread waits for a background thread.
    """
    signals_while_waiting = 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal signals_while_waiting
        signals_while_waiting += any(outer.f_code.co_filename == background.__file__ for outer in outer_frames(frame))
        if signals_while_waiting > 5 or is_in_callback(frame):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def send_messages(run: Any, emulator: Emulator) -> None:
    with timeout_at_worst_moment():
        run(SendMessagesOperator, context(), recipients=numbers(1000), from_=SENDER, body="hello")


def wait_for_delivery(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC))  # nothing is ever delivered
    arguments: dict[str, Any] = {
        "wait_for_delivery": True,
        "deferrable": False,
        "poll_interval": 0.05,
        "wait_timeout": 20,
    }
    with timeout_at_worst_moment():
        run(SendMessagesOperator, context(), recipients=numbers(3), from_=SENDER, body="hello", **arguments)


def delete_messages(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    run(SendMessagesOperator, context(), recipients=numbers(500), from_=SENDER, body="hello")
    emulator.clock.reset()
    with timeout_at_worst_moment():
        run(DeleteOldMessagesOperator, days=30, apply=True)


def find_idle_numbers(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    for number in list(TwilioHook().available_phone_numbers.list("US", "Local", limit=30)):
        TwilioHook().incoming_phone_numbers.create(phone_number=number.phone_number)
    emulator.clock.reset()
    with timeout_at_worst_moment():
        run(FindIdleNumbersOperator, days=30)


@pytest.mark.parametrize("task", [send_messages, wait_for_delivery, delete_messages, find_idle_numbers])
def test_execution_timeout_is_raised_at_worst_moment(run: Any, emulator: Emulator, task: Callable[..., None]):
    with pytest.raises(AirflowTaskTimeout):
        task(run, emulator)


def test_event_loop_runs_in_background_thread_only():
    """Tasks run coroutines with BackgroundRunner only. The emulator runs no tasks, and is exempt."""
    calls = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("run", "Runner", "new_event_loop", "run_until_complete")
        and (node.attr == "run_until_complete" or getattr(node.value, "id", "") == "asyncio")
    }
    assert {name for name in calls if not name.startswith("emulator/")} == {"runtime/background.py"}
