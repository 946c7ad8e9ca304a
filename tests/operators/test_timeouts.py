"""Airflow's ``execution_timeout`` ends a task, whatever the task is at: it is raised once, and must not be lost."""

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
from airflow_provider_twilio.runtime import background as aside
from tests.operators.test_bulk import context, numbers

try:
    from airflow.sdk.exceptions import AirflowTaskTimeout
except ImportError:  # before 3.2
    from airflow.exceptions import AirflowTaskTimeout  # type: ignore[no-redef,attr-defined,unused-ignore]

PACKAGE = Path(airflow_provider_twilio.__file__).parent
SENDER = "+15005550006"
NO_COROUTINE = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def in_a_callback(frame: FrameType | None) -> bool:
    """Tell whether an event loop runs a plain callback there: what that raises is only logged."""
    inner = None
    for outer in frames(frame):
        if inner and outer.f_code.co_name == "_run" and Path(outer.f_code.co_filename).parent.name == "asyncio":
            return not inner.f_code.co_flags & NO_COROUTINE
        inner = outer
    return False


@contextmanager
def timeout_at_the_worst_moment() -> Iterator[None]:
    """Raise Airflow's timeout once: where an event loop would lose it or, if there is none, while it is waited for."""
    waited = 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal waited
        waited += any(outer.f_code.co_filename == aside.__file__ for outer in frames(frame))
        if waited > 5 or in_a_callback(frame):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sends(run: Any, emulator: Emulator) -> None:
    with timeout_at_the_worst_moment():
        run(SendMessagesOperator, context(), recipients=numbers(1000), from_=SENDER, body="hello")


def waits(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC))  # nothing is ever delivered
    arguments: dict[str, Any] = {
        "wait_for_delivery": True,
        "deferrable": False,
        "poll_interval": 0.05,
        "wait_timeout": 20,
    }
    with timeout_at_the_worst_moment():
        run(SendMessagesOperator, context(), recipients=numbers(3), from_=SENDER, body="hello", **arguments)


def deletes(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    run(SendMessagesOperator, context(), recipients=numbers(500), from_=SENDER, body="hello")
    emulator.clock.reset()
    with timeout_at_the_worst_moment():
        run(DeleteOldMessagesOperator, days=30, apply=True)


def looks_for_idle(run: Any, emulator: Emulator) -> None:
    emulator.clock.freeze(datetime.now(UTC) - timedelta(days=40))
    for number in list(TwilioHook().available_phone_numbers.list("US", "Local", limit=30)):
        TwilioHook().incoming_phone_numbers.create(phone_number=number.phone_number)
    emulator.clock.reset()
    with timeout_at_the_worst_moment():
        run(FindIdleNumbersOperator, days=30)


@pytest.mark.parametrize("task", [sends, waits, deletes, looks_for_idle])
def test_it_is_raised(run: Any, emulator: Emulator, task: Callable[..., None]):
    with pytest.raises(AirflowTaskTimeout):
        task(run, emulator)


def test_no_event_loop_runs_in_a_tasks_main_thread():
    """What a task runs of coroutines it runs aside; but for the emulator, which is no task."""
    calls = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("run", "Runner", "new_event_loop", "run_until_complete")
        and (node.attr == "run_until_complete" or getattr(node.value, "id", "") == "asyncio")
    }
    assert {name for name in calls if not name.startswith("emulator/")} == {"aside.py"}
