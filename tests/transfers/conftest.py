"""An emulator for the transfers' tests, reached by the default connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    running.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", running.connection_uri)
    return running


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run an operator as a task does: templates first, then execute."""

    def run(kind: type[BaseOperator], /, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
        task = kind(task_id="task", **arguments)
        task.render_template_fields(context or {})  # type: ignore[arg-type]
        return task.execute(context or {})  # type: ignore[arg-type]

    return run
