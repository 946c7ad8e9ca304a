"""Run all benchmarks, and write their output to docs/performance.md.

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
        "Bulk sends",
        """The engine of [SendMessagesOperator](bulk.md), with checked rows, compared with twilio-python's clients.
Ours and aiohttp alone run on uvloop's event loop, and twilio-python on asyncio's, unchanged. Ours also relaxes garbage
collection. A process uses one core, and ours needs most of it at 200 requests in flight. On a virtual machine with busy
neighbors, it reached 94% of the limit, at 0.23 to 0.25 ms of CPU for each message; aiohttp alone reached 98%.""",
    ),
    "http2": ("HTTP/2", "Why the clients use HTTP/1.1: see [architecture](architecture.md)."),
    "waiting": (
        "Waiting for many messages",
        "The [shared poll](waiting.md), compared with one fetch for each message and polling cycle.",
    ),
    "listing": ("Lists", "`hook.messages.list()`, compared with twilio-python's `stream()`."),
    "imports": (
        "Imports",
        "The time that operators, sensors and notifiers add to the parsing of a DAG file, after `airflow.sdk`.",
    ),
    "emulator": (
        "The emulator",
        "The emulator on one core, compared with Prism's mock of Twilio's OpenAPI description if Node.js is installed.",
    ),
}
"""The title and description of each benchmark's section, by module."""
OPTIONS = {"waiting": ["--cycles", "2"]}

HEAD = """# Performance

`make bench` runs all of `benchmarks/` and writes this page. It is for readers who want to know how fast this package
is, and what it was compared with. The sides of each benchmark take turns on the same machine. Figures differ between
machines, so compare the ratios.

Measured on {day} with Python {python} on {cores} cores ({machine}), which client and server share.
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
    failed = []
    for name, (title, description) in BENCHMARKS.items():
        print(f"--- {name}", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *OPTIONS.get(name, [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            failed.append(name)
        text = done.stdout.strip("\n")
        results = text if text.startswith(("#", "|")) else f"```text\n{text}\n```"
        parts.append(f"## {title}\n\n{description}\n\n{results}\n")
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"Written to {TARGET.relative_to(HERE.parent)}")
    if failed:
        print(f"Targets not reached: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
