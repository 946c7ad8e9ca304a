"""Import direction, import cycles, and the cost of importing what DAG files import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_twilio
from airflow_provider_twilio.get_provider_info import get_provider_info

NAME = "airflow_provider_twilio"
PACKAGE = Path(airflow_provider_twilio.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

# From the ground up. A part imports from its own layer and from lower ones, never from a higher one.
LAYERS: tuple[set[str], ...] = (
    {"", "defaults", "privacy", "connection_form"},  # "" is the package itself: its version
    {"api"},
    {"client"},
    {"runtime"},
    {"_airflow"},
    {"hooks", "links", "notifications", "operators", "retry_policy", "sensors", "transfers", "triggers"},
)
AIRFLOW_FOLDERS = LAYERS[-1]
GROUND = {"", "defaults", "privacy"}
# Parts outside the layers, and what they may import.
APART: dict[str, set[str]] = {
    "get_provider_info": {"connection_form"},
    "emulator": GROUND | {"api", "emulator"},  # never the client: the two share vocabulary, not behavior
    "cli": {"emulator"},
}
MAY_IMPORT_AIRFLOW = AIRFLOW_FOLDERS | {"cli", "_airflow"}
# HTTP clients are for `client`, and HTTP servers for the emulator.
MAY_IMPORT_HTTP = {
    "requests": {"client"},
    "urllib3": {"client"},
    "aiohttp": {"client"},
    "starlette": {"emulator"},
    "uvicorn": {"emulator"},
}


def part_of(path: Path) -> str:
    """Return the part of the package that a module belongs to: its folder, or itself at the root."""
    return path.parts[0] if len(path.parts) > 1 else path.stem.replace("__init__", "")


def allowed_imports(part: str) -> set[str]:
    if part in APART:
        return APART[part]
    layer = next(index for index, parts in enumerate(LAYERS) if part in parts)
    return set().union(*LAYERS[: layer + 1])


def module_name(path: Path) -> str:
    return ".".join((NAME, *path.with_suffix("").parts)).removesuffix(".__init__")


def imported_names(path: Path) -> Iterator[str]:
    """Yield the names that a module imports anywhere in it: at the top, inside functions and for types only."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path: Path) -> set[str]:
    found = set()
    for name in imported_names(path):
        if name.split(".")[0] == NAME:
            first = (*name.split("."), "")[1]
            is_part = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").exists()
            found.add(first if is_part else "")
    return found


def imported_modules(path: Path) -> set[str]:
    """Return the modules of the package that a module imports."""
    modules = {module_name(other) for other in MODULES}
    found = set()
    for name in imported_names(path):
        module = name if name in modules else name.rpartition(".")[0]
        if module in modules:
            found.add(module)
    return found - {NAME, module_name(path)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_never_point_upward(path: Path):
    assert imported_parts(path) <= allowed_imports(part_of(path))


def test_imports_have_no_cycle():
    """Check all imports, those for types and those inside functions included."""
    TopologicalSorter({module_name(path): imported_modules(path) for path in MODULES}).prepare()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_of_airflow_and_http_stay_in_their_folders(path: Path):
    roots = {name.split(".")[0] for name in imported_names(path)}
    if part_of(path) not in MAY_IMPORT_AIRFLOW:
        assert "airflow" not in roots
    for library, parts in MAY_IMPORT_HTTP.items():
        assert library not in roots or part_of(path) in parts


# What a DAG file loads, whichever modules it imports. The rest (`runtime`, the clients, …) is imported where a running
# task, trigger or callback uses it.
LOADED_BY_DAGS = {
    "",
    "defaults",
    "privacy",
    *(f"_airflow.{name}" for name in ("compat", "deferral", "outcome", "storage", "templates", "termination")),
    *(f"api.{name}" for name in ("accounts", "calls", "messages", "phone_numbers", "recordings", "usage")),
    *(f"api.{name}" for name in ("checks", "codes", "errors", "listing", "operation", "outcomes", "raw", "records")),
    *(f"api.{name}" for name in ("request", "twiml", "values")),
    "client.resources",
    "hooks.twilio",
    "links.twilio",
    "notifications.policy",
    "notifications.twilio",
    *(".".join(path.with_suffix("").parts) for path in MODULES if path.parts[0] in {"operators", "sensors"}),
}


def test_imports_of_dag_files_load_no_library_and_no_runtime():
    """After airflow.sdk, all operators, sensors and notifiers cost this package, Airflow and the standard library."""
    info = get_provider_info()
    wanted = [name for kind in ("operators", "sensors") for entry in info[kind] for name in entry["python-modules"]]
    wanted += [path.rpartition(".")[0] for path in info["notifications"]]
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
    folders = {name.rpartition(".")[0] for name in LOADED_BY_DAGS}
    assert own <= LOADED_BY_DAGS | folders
