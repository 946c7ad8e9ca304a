"""Helpers for tests of sensors, which run in each of their three modes, as in Airflow, against the emulator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal

import pytest
from airflow.sdk import BaseSensorOperator

from airflow_provider_twilio._airflow.compat import TaskDeferred
from airflow_provider_twilio.emulator import Emulator, serve

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # before 3.2
    from airflow.exceptions import AirflowRescheduleException  # type: ignore[no-redef,attr-defined,unused-ignore]

Mode = Literal["poke", "reschedule", "deferrable"]
MODES: tuple[Mode, ...] = ("poke", "reschedule", "deferrable")
INTERVAL = 0.2


class TaskInstance:
    """The part of a task instance that sensors use."""

    def __init__(self) -> None:
        self.first: datetime | None = None
        self.xcoms: dict[str, Any] = {}

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class Runner:
    """Runs a sensor until it has ended, and returns its result, or the name and the message of its exception."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.ti = TaskInstance()
        self.trigger: Any = None

    def __call__(
        self,
        sensor_type: type[BaseSensorOperator],
        mode: Mode,
        *,
        change: Callable[[], object] = bool,
        **arguments: Any,
    ) -> tuple[str, Any]:
        """Run a sensor.

        :param change: Function to call after the first poke.
        """
        self.ti = TaskInstance()
        mode_arguments = {"deferrable": mode == "deferrable", "mode": "reschedule" if mode == "reschedule" else "poke"}
        all_arguments: dict[str, Any] = {"poke_interval": INTERVAL, "timeout": 20, **mode_arguments, **arguments}
        timer = threading.Timer(INTERVAL / 2, change)
        if mode == "poke":
            timer.start()
        try:
            return "success", self._run(lambda: sensor_type(task_id="wait", **all_arguments), change)
        except Exception as error:
            return type(error).__name__, str(error)
        finally:
            timer.cancel()

    def _run(self, make_sensor: Callable[[], BaseSensorOperator], change: Callable[[], object]) -> Any:
        context: Any = {"ti": self.ti}
        while True:
            sensor = make_sensor()  # each try and each rescheduled poke is a process of its own
            try:
                return sensor.execute(context)
            except AirflowRescheduleException as reschedule:
                if self.ti.first is None:
                    self.ti.first = datetime.now(UTC)
                    change()
                asyncio.run(asyncio.sleep(max(0, (reschedule.reschedule_date - datetime.now(UTC)).total_seconds())))
            except TaskDeferred as deferred:
                change()
                path, kwargs = deferred.trigger.serialize()
                self.trigger = getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2])(**kwargs)
                event = asyncio.run(self._first_event(self.trigger))
                requests = len(self.emulator.journal)
                try:
                    return make_sensor().resume_execution(
                        deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context
                    )
                finally:
                    assert len(self.emulator.journal) == requests  # resuming makes no request

    @staticmethod
    async def _first_event(trigger: Any) -> Any:
        return (await anext(trigger.run())).payload


@pytest.fixture(scope="module")
def _emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    _emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", _emulator.connection_uri)
    return _emulator


@pytest.fixture
def run(emulator: Emulator) -> Runner:
    return Runner(emulator)
