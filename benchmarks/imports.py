"""What importing all operator, sensor and notifier modules costs after `airflow.sdk`: milliseconds and modules.

    python benchmarks/imports.py [--rounds 7] [--modules] [--costly]

Each round is a fresh interpreter, and imports the modules that `get_provider_info` names: what DAG files import, with
all that those load in turn. The names of `airflow.sdk` that they use are loaded before, as any DAG file does, and kept
from the garbage collector, as Airflow's dag processor does before it forks for a file. Beside it, in interpreters of
their own and by turns, a module with as many operators as theirs, which do nothing but have the same parameters: what
Airflow itself takes for them. CPU time is what to look at where the machine has more to do.
`--modules` lists what is loaded; `--costly` shows the slowest of it, by Python's own `-X importtime`.
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
REACH = 20.0

CODE = """
import gc, importlib, inspect, json, sys, time
import airflow.sdk, airflow.sdk.exceptions, airflow.sdk.log
for name in ("BaseHook", "BaseNotifier", "BaseOperator", "BaseOperatorLink", "BaseSensorOperator", "Context", "DAG"):
    getattr(airflow.sdk, name)
before = set(sys.modules)
gc.collect()
gc.freeze()
print("from here", file=sys.stderr, flush=True)
began, cpu = time.perf_counter(), time.process_time()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
spent = [1000 * (time.perf_counter() - began), 1000 * (time.process_time() - cpu)]
loaded = sorted(set(sys.modules) - before)
kinds, operators = [airflow.sdk.BaseOperator], {}
for kind in kinds:
    kinds += kind.__subclasses__()
    if kind.__module__ in loaded:
        parameters = inspect.signature(kind.__init__).parameters.values()
        operators[kind.__name__] = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
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
    """Name what a DAG file may import."""
    told = get_provider_info()
    named = [name for kind in ("operators", "sensors") for entry in told[kind] for name in entry["python-modules"]]
    return [*named, *(path.rpartition(".")[0] for path in told["notifications"])]


FOLDER = tempfile.TemporaryDirectory()
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTHONPYCACHEPREFIX"] = FOLDER.name  # compiled once, as what is installed is
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join((FOLDER.name, str(ROOT)))


def run(names: list[str], *options: str) -> tuple[list[float], list[str], dict[str, list[str]], str]:
    command = [sys.executable, *options, "-c", CODE, json.dumps(names)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    spent, loaded, operators = json.loads(done.stdout.splitlines()[-1])
    return spent, loaded, operators, done.stderr.partition("from here\n")[2]


def write_bare(operators: dict[str, list[str]]) -> str:
    """Write a module of operators with these parameters, and name it."""
    text = "from __future__ import annotations\n\nfrom typing import Any\n\nfrom airflow.sdk import BaseOperator\n"
    for name, parameters in operators.items():
        said: dict[str, Any] = {
            "fields": "".join(f'"{parameter}", ' for parameter in parameters),
            "parameters": "".join(f"{parameter}: Any = None, " for parameter in parameters),
        }
        text += BARE.format(name=name, **said)
    (Path(FOLDER.name) / "bare_operators.py").write_text(text)
    return "bare_operators"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--costly", action="store_true")
    options = parser.parse_args()
    names = modules()
    _, loaded, operators, _ = run(names)  # writes the bytecode
    bare = [write_bare(operators)]
    run(bare)
    rounds = [(run(names)[0], run(bare)[0]) for _ in range(options.rounds)]
    (wall, cpu), (bare_wall, bare_cpu) = (zip(*spent, strict=True) for spent in zip(*rounds, strict=True))
    own = [name for name in loaded if name.split(".")[0] == NAME]
    airflow = [name for name in loaded if name.split(".")[0] == "airflow"]
    others = [name for name in loaded if name not in own and name not in airflow]
    foreign = sorted({name.split(".")[0] for name in others} - set(sys.stdlib_module_names))
    print(f"{median(wall):.1f} ms, from {min(cpu):.1f} ms of CPU (to reach: {REACH:.0f}) for {len(names)} modules")
    print(
        f"loaded: {len(own)} of ours, {len(airflow)} of Airflow's, {len(others)} others; foreign: {foreign or 'none'}"
    )
    print(
        f"{len(operators)} bare operators of the same parameters, in one module: {median(bare_wall):.1f} ms,"
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
    return 0 if min(cpu) <= REACH and not foreign else 1


if __name__ == "__main__":
    sys.exit(main())
