"""An emulator for the operators' tests, reached by the default connection, and ways to run an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_twilio.emulator import Emulator, serve


@pytest.fixture(scope="session")
def running() -> Iterator[Emulator]:
    with serve(speed=100) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    running.reset()
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", running.connection_uri)
    return running


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run an operator as a task does, with a context that has no task instance: templates first, then execute."""

    def run(kind: type[BaseOperator], /, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
        task = kind(task_id="task", **arguments)
        task.render_template_fields(context or {})  # type: ignore[arg-type]
        return task.execute(context or {})  # type: ignore[arg-type]

    return run


@pytest.fixture
def run_mapped() -> Callable[..., Any]:
    """Run an operator as a mapped task does, whose arguments are all known only then."""

    def run_mapped(kind: type[BaseOperator], /, **arguments: Any) -> Any:
        with DAG("dag", schedule=None):
            mapped: Any = kind.partial(task_id="task").expand_kwargs([arguments])
        return mapped.unmap(arguments).execute({})

    return run_mapped
