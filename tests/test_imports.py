"""Imports run one way, and importing what a DAG file imports loads next to nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_twilio
from airflow_provider_twilio.get_provider_info import get_provider_info

NAME = "airflow_provider_twilio"
PACKAGE = Path(airflow_provider_twilio.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

WORDS = {"operators", "sensors", "triggers", "notifications", "transfers", "links"}
CORE = {"aside", "once", "poll", "inbound", "approval", "bulk", "memory"}
FLOOR = {"api", "privacy", ""}  # "" is the package itself: its version

# What each part of the package may import of the package; what is not named here may import nothing of it.
MAY_IMPORT: dict[str, set[str]] = {
    "api": FLOOR,
    "client": FLOOR | {"client"},
    "emulator": FLOOR | {"emulator"},
    **dict.fromkeys(CORE, FLOOR | CORE | {"client"}),
    "get_provider_info": {"connection_form"},
    "cli": {"emulator"},
    "_airflow": FLOOR | CORE,
    "hooks": FLOOR | CORE | {"client", "_airflow", "connection_form", "hooks"},
    **dict.fromkeys(WORDS, FLOOR | CORE | WORDS | {"client", "_airflow", "hooks"}),
}
MAY_IMPORT_AIRFLOW = WORDS | {"cli", "hooks", "_airflow"}
# What turns requests into bytes is for the two clients, and what turns bytes into requests is for the emulator.
MAY_IMPORT_HTTP = {
    "requests": {"client"},
    "urllib3": {"client"},
    "aiohttp": {"client"},
    "starlette": {"emulator"},
    "uvicorn": {"emulator"},
}


def part(path: Path) -> str:
    """Name the part of the package that a module belongs to: its folder, or itself where it has none."""
    return path.parts[0] if len(path.parts) > 1 else path.stem.replace("__init__", "")


def imports(path: Path) -> Iterator[str]:
    """Walk what a module imports, anywhere in it, for types too."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path: Path) -> set[str]:
    found = set()
    for name in imports(path):
        if name.split(".")[0] == NAME:
            first = (*name.split("."), "")[1]
            is_part = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").exists()
            found.add(first if is_part else "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_direction(path: Path):
    assert imported_parts(path) <= MAY_IMPORT.get(part(path), set())


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_libraries(path: Path):
    roots = {name.split(".")[0] for name in imports(path)}
    if part(path) not in MAY_IMPORT_AIRFLOW:
        assert "airflow" not in roots
    for library, parts in MAY_IMPORT_HTTP.items():
        assert library not in roots or part(path) in parts


# All of the package that DAG files load, whatever they import: what only a running task, a trigger or a callback needs
# (`once`, `poll`, `inbound`, `bulk`, `memory`, the clients, …) is imported there, where it is used.
AWAKE = {
    "",
    "_airflow",
    "privacy",
    *(f"api.{name}" for name in ("accounts", "calls", "messages", "phone_numbers", "recordings", "usage")),
    *(f"api.{name}" for name in ("checks", "codes", "core", "errors", "other", "twiml")),
    "client.resources",
    *(f"hooks.{name}" for name in ("balances", "files", "twilio")),
    "links.twilio",
    "notifications.twilio",
    *(".".join(path.with_suffix("").parts) for path in MODULES if path.parts[0] in {"operators", "sensors"}),
}


def test_importing_what_dags_import_loads_next_to_nothing():
    """After airflow.sdk, all operators, sensors and notifiers cost this package, Airflow and the standard library."""
    told = get_provider_info()
    wanted = [name for kind in ("operators", "sensors") for entry in told[kind] for name in entry["python-modules"]]
    wanted += [path.rpartition(".")[0] for path in told["notifications"]]
    code = f"""
import importlib, json, sys
import airflow.sdk
for name in ("BaseHook", "BaseNotifier", "BaseOperator", "BaseOperatorLink", "BaseSensorOperator", "Context", "DAG"):
    getattr(airflow.sdk, name)
before = set(sys.modules)
for name in {wanted!r}:
    importlib.import_module(name)
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""
    before, loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1])
    libraries = {name.split(".")[0] for name in loaded} - {name.split(".")[0] for name in before}
    assert libraries <= {NAME, *sys.stdlib_module_names}
    assert not {"requests", "aiohttp", "starlette"} & set(loaded)
    assert set(wanted) <= set(loaded)
    own = {name.removeprefix(NAME).removeprefix(".") for name in loaded if name.split(".")[0] == NAME}
    folders = {name.rpartition(".")[0] for name in AWAKE}
    assert own <= AWAKE | folders
