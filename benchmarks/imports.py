"""Cost of importing all operator, sensor and notifier modules after `airflow.sdk`, in milliseconds and modules.

    python benchmarks/imports.py [--rounds 7] [--modules] [--costly]

Each round starts an interpreter and imports the modules that `get_provider_info` names, which DAG files import. The
names of `airflow.sdk` that they use are loaded first, as in any DAG file, and frozen in the garbage collector, as
Airflow's DAG processor does before it forks. In turns, other interpreters import a module with as many operators and
the same parameters, which do nothing: the share of Airflow itself. On a busy machine, compare the CPU time.
`--modules` lists the loaded modules; `--costly` shows the slowest ones, by Python's own `-X importtime`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from airflow_provider_twilio.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[1]
NAME = "airflow_provider_twilio"
MAX_CPU = 20.0
"""Target: maximum CPU time, in milliseconds."""

CODE = """
import gc, importlib, inspect, json, sys, time
import airflow.sdk, airflow.sdk.exceptions, airflow.sdk.log
for name in ("BaseHook", "BaseNotifier", "BaseOperator", "BaseOperatorLink", "BaseSensorOperator", "Context", "DAG"):
    getattr(airflow.sdk, name)
before = set(sys.modules)
gc.collect()
gc.freeze()
print("measured from here", file=sys.stderr, flush=True)
started_at, cpu = time.perf_counter(), time.process_time()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
spent = [1000 * (time.perf_counter() - started_at), 1000 * (time.process_time() - cpu)]
loaded = sorted(set(sys.modules) - before)
classes, operators = [airflow.sdk.BaseOperator], {}
for cls in classes:
    classes += cls.__subclasses__()
    if cls.__module__ in loaded:
        parameters = inspect.signature(cls.__init__).parameters.values()
        operators[cls.__name__] = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
print(json.dumps([spent, loaded, operators]))
"""

BARE = """

class {name}(BaseOperator):
    template_fields = ({fields})

    def __init__(self, *, {parameters}**kwargs: Any) -> None:
        super().__init__(**kwargs)

    def execute(self, context: Any) -> Any:
        return None
"""


def modules() -> list[str]:
    """Return the modules that a DAG file may import."""
    info = get_provider_info()
    listed = [
        name for section in ("operators", "sensors") for entry in info[section] for name in entry["python-modules"]
    ]
    return [*listed, *(path.rpartition(".")[0] for path in info["notifications"])]


FOLDER = tempfile.TemporaryDirectory()
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTHONPYCACHEPREFIX"] = FOLDER.name  # compiled once, like an installed package
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join((FOLDER.name, str(ROOT)))


def run(names: list[str], *options: str) -> tuple[list[float], list[str], dict[str, list[str]], str]:
    command = [sys.executable, *options, "-c", CODE, json.dumps(names)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    spent, loaded, operators = json.loads(done.stdout.splitlines()[-1])
    return spent, loaded, operators, done.stderr.partition("measured from here\n")[2]


def write_bare(operators: dict[str, list[str]]) -> str:
    """Write a module of operators with these parameters, and return its name."""
    text = "from __future__ import annotations\n\nfrom typing import Any\n\nfrom airflow.sdk import BaseOperator\n"
    for name, parameters in operators.items():
        values: dict[str, Any] = {
            "fields": "".join(f'"{parameter}", ' for parameter in parameters),
            "parameters": "".join(f"{parameter}: Any = None, " for parameter in parameters),
        }
        text += BARE.format(name=name, **values)
    (Path(FOLDER.name) / "bare_operators.py").write_text(text)
    return "bare_operators"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--costly", action="store_true")
    options = parser.parse_args()
    names = modules()
    _, loaded, operators, _ = run(names)  # the first run writes the bytecode
    bare = [write_bare(operators)]
    run(bare)
    rounds = [(run(names)[0], run(bare)[0]) for _ in range(options.rounds)]
    (wall, cpu), (bare_wall, bare_cpu) = (zip(*spent, strict=True) for spent in zip(*rounds, strict=True))
    own = [name for name in loaded if name.split(".")[0] == NAME]
    airflow = [name for name in loaded if name.split(".")[0] == "airflow"]
    others = [name for name in loaded if name not in own and name not in airflow]
    foreign = sorted({name.split(".")[0] for name in others} - set(sys.stdlib_module_names))
    print(f"{median(wall):.1f} ms, from {min(cpu):.1f} ms of CPU (target: {MAX_CPU:.0f}) for {len(names)} modules")
    print(
        f"loaded: {len(own)} of ours, {len(airflow)} of Airflow's, {len(others)} others; foreign: {foreign or 'none'}"
    )
    print(
        f"{len(operators)} bare operators with the same parameters, in one module: {median(bare_wall):.1f} ms,"
        f" from {min(bare_cpu):.1f} ms of CPU; ours take {min(cpu) / min(bare_cpu):.1f} times as much"
    )
    if options.modules:
        print(*loaded, sep="\n")
    if options.costly:
        lines = [
            line.removeprefix("import time:").split("|") for line in run(names, "-X", "importtime")[3].splitlines()
        ]
        costs = sorted(
            ((int(own_us), name.strip()) for own_us, _, name in lines if own_us.strip().isdigit()), reverse=True
        )
        for cost, name in costs[:25]:
            print(f"{cost / 1000:8.2f} ms  {name}")
    return 0 if min(cpu) <= MAX_CPU and not foreign else 1


if __name__ == "__main__":
    sys.exit(main())
