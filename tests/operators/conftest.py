"""Fixtures of the operators' tests: an emulator behind the default connection, and functions that run an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    with serve(speed=100) as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    running_emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", running_emulator.connection_uri)
    return running_emulator


@pytest.fixture
def run() -> Callable[..., Any]:
    """Return a function that runs an operator like a task: it renders the templates, then calls ``execute``."""

    def run(operator: type[BaseOperator], /, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
        task = operator(task_id="task", **arguments)
        task.render_template_fields(context or {})  # type: ignore[arg-type]
        return task.execute(context or {})  # type: ignore[arg-type]

    return run


@pytest.fixture
def run_mapped() -> Callable[..., Any]:
    """Return a function that runs an operator as a mapped task, whose arguments are only known at run time."""

    def run_mapped(operator: type[BaseOperator], /, **arguments: Any) -> Any:
        with DAG("dag", schedule=None):
            mapped: Any = operator.partial(task_id="task").expand_kwargs([arguments])
        return mapped.unmap(arguments).execute({})

    return run_mapped
