"""Run all benchmarks, and write what they print to docs/performance.md.

python -m benchmarks
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "docs" / "performance.md"

BENCHMARKS = {
    "bulk": (
        "Sending to many",
        """The engine of [SendMessagesOperator](bulk.md), with rows that it has checked, beside twilio-python's clients.
Ours and aiohttp alone run on uvloop's event loop, twilio-python on asyncio's, as it comes; ours has garbage looked for
less often, too. A process has one core, and ours needs most of it at 200 in flight: on a virtual machine with busy
neighbours, 94% of the limit was seen as well, at 0.23 to 0.25 ms of CPU a message, and 98% of aiohttp alone.""",
    ),
    "http2": ("HTTP/2", "Why the clients speak HTTP/1.1: see [architecture](architecture.md)."),
    "waiting": ("Waiting for many", "The [shared poll](waiting.md) beside one fetch a message a tick."),
    "listing": ("Listing", "`hook.messages.list()` beside twilio-python's `stream()`."),
    "imports": ("Importing", "What the operators, sensors and notifiers cost a DAG file, beyond `airflow.sdk`."),
    "emulator": ("The emulator", "On one core, beside Prism's mock of Twilio's description where Node is there."),
}
OPTIONS = {"waiting": ["--ticks", "2"]}

HEAD = """# Performance

Written by `make bench`, which runs all of `benchmarks/`. Each runs its sides in turns on the same machine, so the
ratios say more than the figures: another machine has others.

Measured on {day} with Python {python} on {cores} cores ({machine}), client and server sharing them.
"""


def main() -> int:
    parts = [
        HEAD.format(
            day=datetime.now(UTC).date(),
            python=platform.python_version(),
            cores=os.cpu_count(),
            machine=platform.machine(),
        )
    ]
    missed = []
    for name, (title, about) in BENCHMARKS.items():
        print(f"--- {name}", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *OPTIONS.get(name, [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            missed.append(name)
        text = done.stdout.strip()
        printed = text if text.startswith(("#", "|")) else f"```text\n{text}\n```"
        parts.append(f"## {title}\n\n{about}\n\n{printed}\n")
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {TARGET.relative_to(HERE.parent)}" + (f"; not reached: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
