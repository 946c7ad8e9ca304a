"""List many messages: `hook.messages.list()` beside twilio-python's `stream()`, on the emulator, in one run.

    python benchmarks/listing.py [--records 100000] [--rounds 3]

Each side runs in a process of its own, in turns, with pages of 1000. Printed are the medians of seconds and CPU
seconds, and how much the resident memory grew after the first page. "all" also reads a price and a date of each record:
twilio-python has parsed them anyway, ours are parsed when they are read.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

PAGE = 1000
SIDES = ("ours", "ours, all", "twilio-python", "twilio-python, all")
FASTER, FLAT = 1.5, 20.0


def serve(records: int) -> None:
    """Run an emulator with so many messages, until standard input ends."""
    from airflow_provider_twilio.emulator import serve as emulate

    with emulate() as emulator:
        for number in range(records):
            emulator.receive_message(f"message {number}", from_="+14155550123")
        fields = json.loads(emulator.connection_json)
        print(json.dumps({**fields, "url": emulator.url}), flush=True)
        sys.stdin.read()


def ours(connection: dict[str, Any]) -> Iterator[Any]:
    os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] = json.dumps(
        {name: value for name, value in connection.items() if name != "url"}
    )
    from airflow_provider_twilio.hooks.twilio import TwilioHook

    return TwilioHook().messages.list()


def theirs(connection: dict[str, Any]) -> Iterator[Any]:
    from twilio.rest import Client

    client = Client(connection["login"], connection["password"])
    client.api.base_url = connection["url"]
    stream: Iterator[Any] = client.messages.stream(page_size=PAGE)
    return stream


def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def measure(side: str, connection: dict[str, Any]) -> None:
    """List once; print the figures."""
    records = ours(connection) if side.startswith("ours") else theirs(connection)
    next(records)  # connected, imported, the first page read
    first, highest, count = resident(), 0.0, 1
    began, cpu = time.perf_counter(), time.process_time()
    for record in records:
        count += 1
        record.sid  # noqa: B018
        if side.endswith("all"):
            record.price, record.date_sent  # noqa: B018
        if count % PAGE == 0:
            highest = max(highest, resident())
    print(
        json.dumps(
            {
                "records": count,
                "seconds": time.perf_counter() - began,
                "cpu": time.process_time() - cpu,
                "grown": max(0.0, highest - first),
            }
        )
    )


def run(*arguments: str) -> dict[str, Any]:
    lines = subprocess.check_output([sys.executable, __file__, *arguments], text=True).splitlines()
    return json.loads(lines[-1])  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--connection", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    if options.side:
        measure(options.side, json.loads(options.connection))
        return 0
    command = [sys.executable, __file__, "--serve", str(options.records)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        connection = server.stdout.readline()
        results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side in SIDES:
                results[side].append(run("--side", side, "--connection", connection))
        server.communicate()
    print(f"{'':20} {'records':>8} {'seconds':>8} {'CPU s':>8} {'grown MB':>9}")
    found = {}
    for side, rounds in results.items():
        found[side] = {name: median(result[name] for result in rounds) for name in rounds[0]}
        row = found[side]
        print(f"{side:20} {row['records']:8.0f} {row['seconds']:8.2f} {row['cpu']:8.2f} {row['grown']:9.1f}")
    ratio = found["twilio-python"]["seconds"] / found["ours"]["seconds"]
    all_ratio = found["twilio-python, all"]["seconds"] / found["ours, all"]["seconds"]
    grown = found["ours"]["grown"]
    print(f"\n{ratio:.2f} x twilio-python's speed (to reach: {FASTER}), {all_ratio:.2f} x when all is read;", end=" ")
    print(f"{grown:.1f} MB above the first page (to reach: {FLAT:.0f})")
    return 0 if ratio >= FASTER and grown <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
