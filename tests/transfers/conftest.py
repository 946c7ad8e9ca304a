"""Fixtures of the transfers' tests: an emulator behind the default connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    shared_emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", shared_emulator.connection_uri)
    return shared_emulator


@pytest.fixture
def run() -> Callable[..., Any]:
    """Return a function that runs an operator as a task does: it renders the templates, then executes."""

    def run(operator: type[BaseOperator], /, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
        task = operator(task_id="task", **arguments)
        task.render_template_fields(context or {})  # type: ignore[arg-type]
        return task.execute(context or {})  # type: ignore[arg-type]

    return run
