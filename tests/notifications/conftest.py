"""Fixtures of the notifier's tests: an emulator, and the contexts that Airflow passes to callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_twilio.emulator import Emulator, serve
from airflow_provider_twilio.notifications.twilio import TwilioNotifier

Logged = Callable[[], str]
Notify = Callable[[TwilioNotifier, Mapping[str, Any]], None]
RUN = "manual__2026-01-31T12:00:00.123456+00:00"
BASE = "https://airflow.example.com"
TO, ALSO = "+14155550101", "+14155550102"
OWNED = "+15005550006"


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with serve(speed=1000) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    shared_emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", f"{shared_emulator.connection_uri}/?from_=%2B15005550006")
    return shared_emulator


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", BASE)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Logged:
    """Return a function that returns the log so far; where Airflow's loggers write depends on its version."""
    return lambda: caplog.text + "".join(capfd.readouterr())


@pytest.fixture(params=["notify", "async_notify"])
def notify(request: pytest.FixtureRequest) -> Notify:
    """Return a function that runs a notifier as Airflow does: it calls most, and awaits a deadline's."""

    def blocking(notifier: TwilioNotifier, context: Mapping[str, Any]) -> None:
        notifier(dict(context))

    def awaited(notifier: TwilioNotifier, context: Mapping[str, Any]) -> None:
        async def wait() -> None:
            notifier.context = dict(context)  # type: ignore[assignment]
            await notifier

        asyncio.run(wait())

    return blocking if request.param == "notify" else awaited


def task_context(**ti_fields: Any) -> dict[str, Any]:
    """Return the context of a task's callback, by default after its last try."""
    identity = {"task_id": "load", "dag_id": "orders", "run_id": RUN, "map_index": -1}
    ti = SimpleNamespace(**{**identity, "try_number": 3, "max_tries": 2, "state": "failed", **ti_fields})
    dag_run = SimpleNamespace(dag_id=ti.dag_id, run_id=ti.run_id)
    return {"ti": ti, "run_id": ti.run_id, "dag_run": dag_run, "exception": KeyError("x"), "task": SimpleNamespace()}


def dag_context(reason: str = "task_failure") -> dict[str, Any]:
    """Return the smallest context that a DAG's callback can get."""
    from airflow.sdk import DAG

    return {"dag": DAG("orders", schedule=None), "run_id": RUN, "reason": reason}


def deadline_context() -> dict[str, Any]:
    """Return the context of a deadline's callback, which is JSON."""
    dag_run = {"dag_id": "orders", "dag_run_id": RUN, "logical_date": None, "state": "running"}
    return {"dag_run": dag_run, "deadline": {"id": "d1", "deadline_time": "2026-01-31T13:00:00Z"}}


class RecordingNotifier(BaseNotifier):
    """A notifier of another package that has no asynchronous mode."""

    notified: list[Any] = []

    def __init__(self, name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def notify(self, context: Any) -> None:
        if self.name == "broken":
            raise RuntimeError("no network to +14155550199")
        self.notified.append((self.name, context["run_id"]))


@pytest.fixture(autouse=True)
def _reset_recording_notifier() -> None:
    RecordingNotifier.notified = []


def bodies(emulator: Emulator, to: str = TO) -> list[str]:
    return [message["body"] for message in emulator.messages if message["to"] == to]
