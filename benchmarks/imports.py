"""What importing all operator, sensor and notifier modules costs after `airflow.sdk`: milliseconds and modules.

    python benchmarks/imports.py [--rounds 7] [--modules] [--costly]

Each round is a fresh interpreter. The names of `airflow.sdk` that those modules use are loaded before, as any DAG file
does. `--modules` lists what is loaded; `--costly` shows the slowest of it, by Python's own `-X importtime`.
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

ROOT = Path(__file__).resolve().parents[1]
NAME = "airflow_provider_twilio"
FOLDERS = ("operators", "sensors", "notifications")
REACH = 20.0

CODE = """
import importlib, json, sys, time
import airflow.sdk, airflow.sdk.exceptions, airflow.sdk.log
for name in ("BaseHook", "BaseNotifier", "BaseOperator", "BaseOperatorLink", "BaseSensorOperator", "Context", "DAG"):
    getattr(airflow.sdk, name)
before = set(sys.modules)
print("from here", file=sys.stderr, flush=True)
began, cpu = time.perf_counter(), time.process_time()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
spent = [1000 * (time.perf_counter() - began), 1000 * (time.process_time() - cpu)]
print(json.dumps([spent, sorted(set(sys.modules) - before)]))
"""


def modules() -> list[str]:
    """Name what a DAG file may import."""
    return [
        f"{NAME}.{folder}.{path.stem}"
        for folder in FOLDERS
        for path in sorted((ROOT / NAME / folder).glob("*.py"))
        if path.stem != "__init__"
    ]


CACHE = tempfile.TemporaryDirectory()
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTHONPYCACHEPREFIX"] = CACHE.name  # compiled once, as what is installed is


def run(*options: str) -> tuple[list[float], list[str], str]:
    command = [sys.executable, *options, "-c", CODE, json.dumps(modules())]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    spent, loaded = json.loads(done.stdout.splitlines()[-1])
    return spent, loaded, done.stderr.partition("from here\n")[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--costly", action="store_true")
    options = parser.parse_args()
    run()  # writes the bytecode
    rounds = [run() for _ in range(options.rounds)]
    loaded = rounds[0][1]
    wall, cpu = zip(*(spent for spent, _, _ in rounds), strict=True)
    own = [name for name in loaded if name.split(".")[0] == NAME]
    airflow = [name for name in loaded if name.split(".")[0] == "airflow"]
    others = [name for name in loaded if name not in own and name not in airflow]
    foreign = sorted({name.split(".")[0] for name in others} - set(sys.stdlib_module_names))
    print(f"{median(wall):.1f} ms, from {min(cpu):.1f} ms of CPU (to reach: {REACH:.0f}) for {len(modules())} modules")
    print(
        f"loaded: {len(own)} of ours, {len(airflow)} of Airflow's, {len(others)} others; foreign: {foreign or 'none'}"
    )
    if options.modules:
        print(*loaded, sep="\n")
    if options.costly:
        lines = [line.removeprefix("import time:").split("|") for line in run("-X", "importtime")[2].splitlines()]
        costs = sorted(
            ((int(own_us), name.strip()) for own_us, _, name in lines if own_us.strip().isdigit()), reverse=True
        )
        for cost, name in costs[:25]:
            print(f"{cost / 1000:8.2f} ms  {name}")
    return 0 if min(cpu) <= REACH and not foreign else 1


if __name__ == "__main__":
    sys.exit(main())
