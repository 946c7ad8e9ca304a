"""A real Airflow for tests, the demo and `make airflow`: api-server, scheduler, dag-processor and triggerer.

    with Airflow(dags=["example_dags"], connections={"twilio_default": emulator.connection_json}) as airflow:
        run_id = airflow.trigger("example_send_and_wait")
        run = airflow.wait("example_send_and_wait", run_id)
        assert run.tasks == {"send": "success", "wait": "success"}

It has its own home folder, with SQLite and the LocalExecutor, and a free port. It ignores the AIRFLOW_* variables of
the environment. Each component runs in its own session, so that a test can kill it with all processes that it has
started. No process outlives the `with` block, nor the process that contains it: a warden kills the components if that
process dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psutil

COMPONENTS: Mapping[str, Sequence[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
FINISHED = {"success", "failed", "skipped", "upstream_failed", "removed"}
LOOPBACK = "127.0.0.1"
MAX_TRIES = 5
"""Maximum number of tries of a request to the REST API."""

# Without the proxies of the environment.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(Exception):
    """An error response of Airflow's REST API."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status} {text[:500]}")
        self.status = status
        # SQLite allows one write at a time. A request that is rejected for that has had no effect.
        self.is_temporary = status == 500 and "Database error" in text


@dataclass(frozen=True)
class Run:
    """The outcome of a DAG run: its state, and the state of each task instance (mapped ones as `task[0]`)."""

    run_id: str
    state: str
    tasks: Mapping[str, str]


class Airflow:
    """A real Airflow, started and stopped by a `with` block.

    :param dags: Folders of DAG files. Each becomes a DAG bundle.
    :param connections: Connections by ID, as URI or JSON. They are passed in the environment.
    :param env: Further environment variables, such as `AIRFLOW__TRIGGERER__CAPACITY`. They override the harness's own.
    :param home: Airflow's home folder, which is kept. By default a temporary folder, which is removed at the end.
    :param port: Port of the web UI and the REST API. By default a free port.
    """

    def __init__(
        self,
        dags: Sequence[str | Path],
        *,
        connections: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        home: str | Path | None = None,
        port: int | None = None,
    ) -> None:
        self._temporary = home is None
        self.home = Path(home).resolve() if home is not None else Path(tempfile.mkdtemp(prefix="airflow-"))
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.env = self._environment([Path(folder).resolve() for folder in dags], connections or {}, env or {})
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: set[int] = set()
        self._warden: subprocess.Popen[bytes] | None = None
        self._token: str | None = None

    def _environment(
        self, dags: Sequence[Path], connections: Mapping[str, str], env: Mapping[str, str]
    ) -> dict[str, str]:
        bundles = [
            {
                "name": "-".join(folder.parts[-2:]),
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder), "refresh_interval": 5},
            }
            for folder in dags
        ]
        options: dict[str, dict[str, object]] = {
            "CORE": {
                "LOAD_EXAMPLES": False,
                "EXECUTOR": "LocalExecutor",
                "PARALLELISM": 8,
                "DAGS_FOLDER": self.home / "dags",
                "DAGS_ARE_PAUSED_AT_CREATION": True,  # Only triggered runs start.
                "EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                "SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
                "TEST_CONNECTION": "Enabled",
                "FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            },
            "DATABASE": {"SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db"},
            "API": {
                "HOST": LOOPBACK,
                "PORT": self.port,
                "BASE_URL": self.url,
                "WORKERS": 1,
                "SECRET_KEY": secrets.token_hex(16),
            },
            "API_AUTH": {"JWT_SECRET": secrets.token_hex(32)},
            "DAG_PROCESSOR": {
                "DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
                "REFRESH_INTERVAL": 5,
                "MIN_FILE_PROCESS_INTERVAL": 5,
                "BUNDLE_REFRESH_CHECK_INTERVAL": 1,
            },
            "SCHEDULER": {"SCHEDULER_IDLE_SLEEP_TIME": 0.5},
            "LOGGING": {"BASE_LOG_FOLDER": self.home / "logs", "COLORED_CONSOLE_LOG": False},
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))},
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": f"{LOOPBACK},localhost",
            "PYTHONUNBUFFERED": "1",
            **{
                f"AIRFLOW__{section}__{name}": str(value)
                for section, pairs in options.items()
                for name, value in pairs.items()
            },
            **{f"AIRFLOW_CONN_{conn_id.upper()}": value for conn_id, value in connections.items()},
            **env,
        }

    # ------------------------------------------------------------ start and stop

    def __enter__(self) -> Self:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._warden = subprocess.Popen(
                [sys.executable, "-P", __file__], stdin=subprocess.PIPE, start_new_session=True, bufsize=0
            )
            self.cli("db", "migrate")
            for component in COMPONENTS:
                self.start(component)
            self.until(self._all_healthy, 240, "all components are healthy")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        stop(self._sessions)
        for process in self._started.values():
            process.wait()
        if self._warden and self._warden.stdin:
            self._warden.stdin.close()
            self._warden.wait()
        if self._temporary:
            shutil.rmtree(self.home, ignore_errors=True)

    def start(self, component: str) -> None:
        """Start a component. Its output goes to `<component>.log` in the home."""
        with (self.home / f"{component}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS[component]],
                env=self.env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started[component] = process
        self._sessions.add(process.pid)
        if self._warden and self._warden.stdin:
            self._warden.stdin.write(b"%d\n" % process.pid)

    def kill(self, component: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a component and every process that it has started, and wait until they have ended."""
        session = {self._started[component].pid}
        send(number, session)
        _poll(lambda: not members(session), 30)
        self._started[component].wait()

    def restart(self, component: str, number: int = signal.SIGKILL) -> None:
        """Kill a component, start it again, and wait until all components are healthy."""
        self.kill(component, number)
        since = time.time()
        self.start(component)
        self.until(lambda: self._all_healthy(since, component), 120, f"the new {component} is healthy")

    def processes(self, component: str) -> list[psutil.Process]:
        """Return the running processes of a component: itself, then those that it has started, such as tasks."""
        leader = self._started[component].pid
        return sorted(members({leader}), key=lambda process: (process.pid != leader, process.pid))

    def cli(self, *arguments: str) -> str:
        """Run an `airflow` command in this Airflow, and return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise RuntimeError(
                f"airflow {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def _all_healthy(self, since: float = 0, component: str = "") -> bool:
        for name, process in self._started.items():
            if process.poll() is not None:
                raise RuntimeError(f"the {name} ended with {process.returncode}:\n{self.output(name)[-4000:]}")
        health = self.api("GET", "monitor/health")
        if component and component != "api-server":
            name = component.replace("-", "_")
            beat = health[name][f"latest_{name}_heartbeat"]
            if beat is None or _timestamp(beat) < since:
                return False
        return all(
            health[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
        )

    def output(self, component: str) -> str:
        """Return the output of a component."""
        return (self.home / f"{component}.log").read_text(errors="replace")

    # ------------------------------------------------------------ the REST API

    def api(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Send a request to the REST API, such as `api("GET", "dags", limit=5)`, and return the parsed response."""
        url = f"{self.url}/api/v2/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        if self._token is None:
            self._token = self._request("GET", f"{self.url}/auth/token")["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        for _ in range(MAX_TRIES - 1):
            try:
                return self._request(method, url, body, headers)
            except ApiError as error:
                if not error.is_temporary:
                    raise
            time.sleep(1)
        return self._request(method, url, body, headers)

    @staticmethod
    def _request(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        try:
            with _opener.open(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise ApiError(method, url, error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if text else None

    def until(self, condition: Callable[[], Any], timeout: float, description: str) -> Any:
        """Wait until a condition is true, and return its value. The API server may be unavailable meanwhile.

        :param timeout: Maximum seconds to wait.
        :param description: The condition, for the error message.
        """

        def check() -> Any:
            try:
                return condition()
            except (urllib.error.URLError, ConnectionError, TimeoutError):  # The API server is starting, or was killed.
                return None

        try:
            return _poll(check, timeout)
        except TimeoutError:
            raise TimeoutError(f"waited {timeout:.0f} s until {description}; {self._diagnostics()}") from None

    def _diagnostics(self) -> str:
        try:
            errors = self.api("GET", "importErrors")["import_errors"]
            known = ", ".join(dag["dag_id"] for dag in self.api("GET", "dags")["dags"]) or "none"
        except (OSError, ApiError) as error:
            return f"the API server does not respond ({error}):\n{self.output('api-server')[-4000:]}"
        reports = [f"{error['filename']}:\n{error['stack_trace']}" for error in errors]
        return "\n".join([f"DAGs known: {known}; import errors: {len(reports)}", *reports])

    # ------------------------------------------------------------ DAG runs

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        timeout: float = 60,
        paused: bool = False,
    ) -> str:
        """Wait until a DAG has been parsed, unpause it, and start a run. Return the run's ID.

        :param timeout: Maximum seconds to wait until the DAG has been parsed.
        :param paused: Whether to leave the DAG paused. The run is queued, and starts when the DAG is unpaused.
        """
        run_id = run_id or f"run-{secrets.token_hex(4)}"

        def is_parsed() -> bool:
            try:
                return not self.api("GET", f"dags/{dag_id}")["is_stale"]
            except ApiError as error:
                if error.status != 404:
                    raise
                return False

        self.until(is_parsed, timeout, f"the DAG {dag_id} is parsed")
        body = {"logical_date": None, "dag_run_id": run_id, "conf": dict(conf or {})}
        if not paused:
            self.unpause(dag_id)
        self._call_with_retries("POST", f"dags/{dag_id}/dagRuns", body)
        return run_id

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG, so that its runs start."""
        self._call_with_retries("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def _call_with_retries(self, method: str, path: str, body: Any) -> None:
        """Send a request to the REST API, with retries on 500: SQLite may be locked while many tasks run."""
        for retries_left in reversed(range(10)):
            try:
                self.api(method, path, body)
                return
            except ApiError as error:
                if error.status != 500 or not retries_left:
                    raise
                time.sleep(3)

    def wait(self, dag_id: str, run_id: str, timeout: float = 120) -> Run:
        """Wait until a run has ended, in any state, and return its outcome."""

        def ended_run() -> Run | None:
            state = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            return Run(run_id, state, self.tasks(dag_id, run_id)) if state in FINISHED else None

        try:
            run: Run = self.until(ended_run, timeout, f"{dag_id} {run_id} ends")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its tasks: {self.tasks(dag_id, run_id)}") from None
        return run

    def wait_for_task(self, dag_id: str, run_id: str, task: str, *states: str, timeout: float = 120) -> str:
        """Wait until a task instance (`task` or `task[0]`) is in one of these states, and return the state."""

        def reached_state() -> str | None:
            state = self.tasks(dag_id, run_id).get(task)
            return state if state in states else None

        reached: str = self.until(reached_state, timeout, f"{task} of {dag_id} {run_id} is {' or '.join(states)}")
        return reached

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the current state of each task instance of a run."""
        return {_name(entry): entry["state"] or "none" for entry in self.task_instances(dag_id, run_id)}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, as the REST API returns them."""
        return list(self._pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances"))

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:  # Airflow limits a page to 100 records.
            page = self.api("GET", path, limit=100, offset=offset)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def log(self, dag_id: str, run_id: str, task: str) -> str:
        """Return the logs of all tries of a task instance, including the triggerer's. Each line is a JSON object."""
        name, index = _split(task)
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={name}"
        files = sorted((folder / f"map_index={index}" if index >= 0 else folder).glob("attempt=*"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())

    def xcom(self, dag_id: str, run_id: str, task: str, key: str = "return_value") -> Any:
        """Return a value that a task instance has pushed."""
        name, index = _split(task)
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{name}/xcomEntries/{urllib.parse.quote(key)}"
        return self.api("GET", path, map_index=index)["value"]

    def state_store(self, dag_id: str, run_id: str, task: str) -> dict[str, Any]:
        """Return the content of a task instance's state store. Airflow 3.3 and later."""
        name, index = _split(task)
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{name}/state-store"
        entries = self.api("GET", path, map_index=index)["task_state_store"]
        return {entry["key"]: entry["value"] for entry in entries}

    def clear(self, dag_id: str, run_id: str, *tasks: str) -> None:
        """Clear task instances, as the button of the web UI does. Without tasks, clear all of the run."""
        names = [_split(task) for task in tasks]
        ids = [[name, index] if index >= 0 else name for name, index in names]
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self.api("POST", f"dags/{dag_id}/clearTaskInstances", {**body, **({"task_ids": ids} if ids else {})})

    def mark(self, dag_id: str, run_id: str, task: str, state: str) -> None:
        """Set a task instance to `failed`, `success` or `skipped`, as a user does in the web UI."""
        name, index = _split(task)
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{name}" + (f"/{index}" if index >= 0 else "")
        self.api("PATCH", path, {"new_state": state})


def members(sessions: set[int]) -> list[psutil.Process]:
    """Return the running processes of sessions. Tasks leave their process group, but not their session."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def send(number: int, sessions: set[int]) -> None:
    """Send a signal to every process of sessions."""
    for process in members(sessions):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def stop(sessions: set[int], timeout: float = 6) -> None:
    """Terminate every process of sessions, and kill those that are still running after a timeout, in seconds."""
    send(signal.SIGTERM, sessions)
    with contextlib.suppress(TimeoutError):
        _poll(lambda: not members(sessions), timeout)
    send(signal.SIGKILL, sessions)


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _split(task: str) -> tuple[str, int]:
    name, _, index = task.rstrip("]").partition("[")
    return name, int(index) if index else -1


def _name(entry: Mapping[str, Any]) -> str:
    index = entry["map_index"]
    return entry["task_id"] if index < 0 else f"{entry['task_id']}[{index}]"


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _poll(condition: Callable[[], Any], timeout: float, interval: float = 0.25) -> Any:
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(interval)
    return result


if __name__ == "__main__":  # The warden reads session IDs until the other end of the pipe is closed.
    stop({int(line) for line in sys.stdin})
