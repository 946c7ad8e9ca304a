"""Tests of the checkpoint folder of SendMessagesOperator: its name, and what happens where it is missing."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException, TaskDeferred
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators import _bulk_folder
from airflow_provider_twilio.operators._bulk_folder import folder_for, folder_name
from airflow_provider_twilio.operators.messages import SendMessagesOperator
from airflow_provider_twilio.triggers.messages import BulkDeliveryTrigger
from tests.operators.test_bulk import SENDER, context, numbers, send
from tests.runtime.test_state_store import Store

AWKWARD_IDS = [
    "", ".", "..", "...", "~", "a", "A", "a.", "a..", ".a", "a/b", "a_b", "a~b", "a\\b", "a b", "é", "e\u0301",
    "E\u0301", "a:b", "a%2Fb", "manual__2026-01-31T08:00:31+00:00", "manual__2026-01-31t08:00:31+00:00", "x" * 250,
    "x" * 251, "../../etc", "/etc", "\0", "0", "-1", "nul", "task", "Task", "TASK",
]  # fmt: skip


def test_folder_name_of_different_ids_differs_even_without_case():
    names = {value: folder_name(value) for value in AWKWARD_IDS}
    names |= {name: folder_name(name) for name in list(names.values())}  # a name of another ID is an ID, too
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(0 < len(name) <= 100 for name in names.values())
    assert all(name.strip(".") and not set(name) & set("/\\\0") for name in names.values())


def test_folder_name_keeps_plain_ids():
    assert [folder_name(value) for value in ("dag_1", "send", "scheduled.2026-01-31")] == [
        "dag_1", "send", "scheduled.2026-01-31",
    ]  # fmt: skip


def test_folder_for_task_instances_never_leaves_its_parent(tmp_path: Path):
    folders = set()
    for run_id, task_id in itertools.product(["batch~1", "batch_1", "..", "", "a/b"], ["..", "send", "x/../y"]):
        ti = SimpleNamespace(dag_id="dag", run_id=run_id, task_id=task_id, map_index=-1)
        path = Path(folder_for({"ti": ti}, str(tmp_path)).path).resolve()
        assert path.is_relative_to(tmp_path / "dag")
        assert len(path.relative_to(tmp_path).parts) == 3
        folders.add(path)
    assert len(folders) == 15


def test_send_messages_in_runs_with_similar_ids_sends_for_each(emulator: Emulator, run, tmp_path: Path):
    for run_id in ("batch~1", "batch_1", "Batch_1"):
        task_context = context()
        task_context["ti"].run_id = run_id
        assert send(run, task_context, recipients=numbers(3), checkpoint_path=str(tmp_path))["sent"] == 3
    assert len(emulator.messages) == 9


# ---------------------------------------------------------------- a folder that is missing


class NextTry:
    """The contexts of the tries of one task. Airflow deletes the XComs of a task when its next try starts.

    :param store: Whether this Airflow has a task state store.
    """

    def __init__(self, *, store: bool) -> None:
        self.store = Store() if store else None
        self.pushed: dict[str, Any] = {}

    def context(self, *, max_tries: int = 0) -> dict[str, Any]:
        task_context = context(max_tries=max_tries)
        task_context["task_state_store"] = self.store
        keys, self.pushed = list(self.pushed), {}
        ti = task_context["ti"]
        ti.xcom_push = lambda key, value: self.pushed.update({key: value})
        ti._ti_context_from_server = SimpleNamespace(xcom_keys_to_clear=keys)
        return task_context


@pytest.fixture(params=[True, False], ids=["state store", "XComs"])
def tries(request) -> NextTry:
    return NextTry(store=request.param)


@pytest.mark.parametrize("in_folder", [False, True], ids=["checkpoints", "folder marker"])
def test_send_messages_state_never_expires(emulator: Emulator, run, tmp_path: Path, in_folder: bool):
    never_expire = getattr(pytest.importorskip("airflow.sdk"), "NEVER_EXPIRE", None)
    retentions: dict[str, Any] = {}

    class RecordingStore(Store):
        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            retentions[key] = retention
            super().set(key, value)

    send(run, context(RecordingStore()), recipients=numbers(2), checkpoint_path=str(tmp_path) if in_folder else None)
    assert ("twilio_bulk.folder" if in_folder else "twilio_bulk.0.0") in retentions
    assert set(retentions.values()) == {never_expire}


@pytest.mark.parametrize("moved", [False, True])
def test_send_messages_retry_without_the_folder_sends_nothing(
    emulator: Emulator, run, tmp_path: Path, tries: NextTry, moved: bool
):
    """A pod is evicted midway, and the next one has an empty disk."""
    first, second = str(tmp_path / "first"), str(tmp_path / ("second" if moved else "first"))
    emulator.fail_next(1, status=401, skip=4)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, tries.context(), recipients=numbers(10), checkpoint_path=first, concurrency=1)
    shutil.move(first, tmp_path / "elsewhere")
    for _ in range(2):  # the try after the next one remembers it, too
        with pytest.raises(AirflowFailException, match="checkpoint_path has no checkpoints of an earlier try") as error:
            send(run, tries.context(), recipients=numbers(10), checkpoint_path=second)
        assert second in str(error.value)
        assert "restore them, or run the task where they are" in str(error.value)
    with pytest.raises(AirflowFailException, match="no checkpoints"):  # cleared
        send(run, tries.context(max_tries=1), recipients=numbers(10), checkpoint_path=second)
    assert len(emulator.messages) == 4
    shutil.move(tmp_path / "elsewhere", second)
    assert send(run, tries.context(max_tries=1), recipients=numbers(10), checkpoint_path=second)["sent"] == 10
    assert len(emulator.messages) == 10


def test_send_messages_without_the_folder_starts_over_if_asked(emulator: Emulator, run, tmp_path: Path, tries):
    emulator.fail_next(1, status=401, skip=4)
    arguments: dict[str, Any] = {"recipients": numbers(10), "checkpoint_path": str(tmp_path / "folder")}
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, tries.context(), **arguments, concurrency=1)
    shutil.rmtree(tmp_path / "folder")
    assert send(run, tries.context(max_tries=1), **arguments, on_clear="resend_all")["sent"] == 10
    shutil.rmtree(tmp_path / "folder")  # deleted by the store's own rules, long after the task has succeeded
    assert send(run, tries.context(max_tries=2), **arguments)["sent"] == 10
    assert len(emulator.messages) == 24


@pytest.mark.parametrize("first", ["folder", "task state store"])
def test_send_messages_with_checkpoints_elsewhere_sends_nothing(emulator: Emulator, run, tmp_path: Path, first: str):
    """A user sets or removes checkpoint_path between two tries."""
    store = Store()
    paths: list[dict[str, Any]] = [{"checkpoint_path": str(tmp_path)}, {"checkpoint_path": None}]
    before, after = paths if first == "folder" else reversed(paths)
    emulator.fail_next(1, status=401, skip=4)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, context(store), recipients=numbers(10), **before, concurrency=1)
    expected = str(tmp_path) if first == "folder" else "Airflow's task state store"
    with pytest.raises(AirflowFailException, match="an earlier try stored its checkpoints in " + expected):
        send(run, context(store, max_tries=1), recipients=numbers(10), **after)
    assert len(emulator.messages) == 4
    assert send(run, context(store, max_tries=1), recipients=numbers(10), **before)["sent"] == 10
    assert len(emulator.messages) == 10


def test_send_messages_without_the_folder_of_a_newer_run_sends_nothing(emulator: Emulator, run, tmp_path: Path):
    """An earlier run had its checkpoints in the task state store, and has succeeded."""
    store = Store()
    assert send(run, context(store), recipients=numbers(10), checkpoint_path=None)["sent"] == 10
    emulator.fail_next(1, status=401, skip=4)
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, context(store, max_tries=1), recipients=numbers(10), checkpoint_path=str(tmp_path), concurrency=1)
    shutil.move(tmp_path / "dag", tmp_path / "elsewhere")
    with pytest.raises(AirflowFailException, match="no checkpoints of an earlier try"):
        send(run, context(store, max_tries=1), recipients=numbers(10), checkpoint_path=str(tmp_path))
    assert len(emulator.messages) == 14


def test_send_messages_that_sent_nothing_needs_no_folder(emulator: Emulator, run, tmp_path: Path, tries: NextTry):
    arguments: dict[str, Any] = {"checkpoint_path": str(tmp_path / "folder")}
    with pytest.raises(AirflowFailException, match="no valid row"):
        send(run, tries.context(), **arguments, recipients=["1"])
    assert send(run, tries.context(), **arguments, recipients=numbers(3))["sent"] == 3


def test_send_messages_in_dry_run_without_the_folder_fails(emulator: Emulator, run, tmp_path, tries, monkeypatch):
    emulator.fail_next(1, status=401, skip=4)
    arguments: dict[str, Any] = {"recipients": numbers(10), "checkpoint_path": str(tmp_path / "folder")}
    with pytest.raises(AirflowFailException, match="20003"):
        send(run, tries.context(), **arguments, concurrency=1)
    shutil.rmtree(tmp_path / "folder")
    monkeypatch.setenv("AIRFLOW_CONN_TWILIO_DEFAULT", emulator.connection_uri + "?dry_run=true")
    with pytest.raises(AirflowFailException, match="no checkpoints"):
        send(run, tries.context(), **arguments)


async def first_event(trigger: BulkDeliveryTrigger) -> Any:
    return (await anext(aiter(trigger.run()))).payload


def test_send_messages_deferred_without_the_folder_fails_permanently(emulator: Emulator, run, tmp_path, tries: NextTry):
    """The triggerer does not see the folder of the worker. Then the worker does not see it either."""
    import asyncio

    arguments: dict[str, Any] = {
        "recipients": numbers(5),
        "checkpoint_path": str(tmp_path / "folder"),
        "wait_for_delivery": True,
        "deferrable": True,
        "poll_interval": 0.1,
    }
    task_context = tries.context()
    with pytest.raises(TaskDeferred) as deferred:
        send(run, task_context, **arguments)
    shutil.move(tmp_path / "folder", tmp_path / "elsewhere")
    event = asyncio.run(first_event(deferred.value.trigger))
    assert str(tmp_path / "folder") in event["error"]
    assert "that all workers and the triggerer share" in event["error"]
    task = SendMessagesOperator(task_id="task", from_=SENDER, body="hello", **arguments)
    with pytest.raises(AirflowFailException, match="cannot read the checkpoints in"):
        task.execute_complete(task_context, event)  # type: ignore[arg-type]
    delivered: Any = {"delivered": 5, "undelivered": {}, "waiting": 0}
    with pytest.raises(AirflowFailException, match="no checkpoints of an earlier try"):
        task.execute_complete(task_context, delivered)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="no checkpoints of an earlier try"):
        send(run, tries.context(), **arguments)
    shutil.move(tmp_path / "elsewhere", tmp_path / "folder")
    assert send(run, tries.context(), **{**arguments, "deferrable": False})["delivered"] == 5
    assert len(emulator.messages) == 5


# ---------------------------------------------------------------- local paths


@pytest.mark.parametrize(
    ("executor", "expected"),
    [
        ("LocalExecutor", False),
        ("SequentialExecutor", False),
        ("airflow.executors.local_executor.LocalExecutor", False),
        ("CeleryExecutor", True),
        ("LocalExecutor,KubernetesExecutor", True),
        ("LocalExecutor;team1=CeleryExecutor", True),
        ("fast:my_company.executors.FastExecutor", True),
    ],
)
def test_distributed_executors_are_recognized(monkeypatch, executor: str, expected: bool):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert _bulk_folder.is_distributed() is expected


@pytest.mark.parametrize("name", ["checkpoint_path", "results", "recipients"])
def test_send_messages_with_distributed_executor_rejects_relative_paths(emulator: Emulator, run, monkeypatch, name):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    with pytest.raises(AirflowFailException, match=f"{name} is a relative path"):
        send(run, **{"recipients": numbers(2), name: "folder/file.csv"})
    assert not emulator.messages


def test_send_messages_with_distributed_executor_warns_about_local_paths(
    emulator: Emulator, run, monkeypatch, tmp_path: Path, capsys
):
    people = tmp_path / "people.csv"
    people.write_text("\n".join(["to", *numbers(2)]))
    arguments: dict[str, Any] = {
        "recipients": str(people),
        "results": str(tmp_path / "table.csv"),
        "checkpoint_path": str(tmp_path),
    }
    send(run, **arguments)
    assert "local disk" not in (log := capsys.readouterr().out)
    assert "Wrote the outcome" in log
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    send(run, context(max_tries=1), **arguments)
    log = capsys.readouterr().out
    assert all(f"{name} is on the local disk" in log for name in arguments)
    assert "Wrote the outcome" not in log
    assert "only on the disk of this machine" in log
