"""Compare listing many messages by `hook.messages.list()` and by twilio-python's `stream()`, on the emulator.

    python benchmarks/listing.py [--records 100000] [--rounds 3]

Each library runs in its own process, alternating, with pages of 1,000. The output shows the medians of wall-clock and
CPU seconds, and the growth of resident memory after the first page. "all" also reads a price and a date of each record:
twilio-python parses them in any case, this package parses them on access.
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

PAGE_SIZE = 1000
VARIANTS = ("hook", "hook, all", "twilio-python", "twilio-python, all")
MIN_SPEEDUP = 1.5
MAX_GROWTH = 20.0  # MB


def serve(records: int) -> None:
    """Run an emulator with this many messages until standard input ends."""
    from airflow_provider_twilio.emulator import serve as emulate

    with emulate() as emulator:
        for number in range(records):
            emulator.receive_message(f"message {number}", from_="+14155550123")
        fields = json.loads(emulator.connection_json)
        print(json.dumps({**fields, "url": emulator.url}), flush=True)
        sys.stdin.read()


def list_with_hook(connection: dict[str, Any]) -> Iterator[Any]:
    os.environ["AIRFLOW_CONN_TWILIO_DEFAULT"] = json.dumps(
        {name: value for name, value in connection.items() if name != "url"}
    )
    from airflow_provider_twilio.hooks.twilio import TwilioHook

    return TwilioHook().messages.list()


def list_with_twilio_python(connection: dict[str, Any]) -> Iterator[Any]:
    from twilio.rest import Client

    client = Client(connection["login"], connection["password"])
    client.api.base_url = connection["url"]
    stream: Iterator[Any] = client.messages.stream(page_size=PAGE_SIZE)
    return stream


def resident_memory() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def measure(variant: str, connection: dict[str, Any]) -> None:
    """List all messages once and print the measurements as JSON."""
    records = list_with_hook(connection) if variant.startswith("hook") else list_with_twilio_python(connection)
    next(records)  # excludes connecting, importing and the first page
    initial, peak, count = resident_memory(), 0.0, 1
    started, cpu = time.perf_counter(), time.process_time()
    for record in records:
        count += 1
        record.sid  # noqa: B018
        if variant.endswith("all"):
            record.price, record.date_sent  # noqa: B018
        if count % PAGE_SIZE == 0:
            peak = max(peak, resident_memory())
    print(
        json.dumps(
            {
                "records": count,
                "seconds": time.perf_counter() - started,
                "cpu": time.process_time() - cpu,
                "growth": max(0.0, peak - initial),
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
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--connection", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    if options.variant:
        measure(options.variant, json.loads(options.connection))
        return 0
    command = [sys.executable, __file__, "--serve", str(options.records)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        connection = server.stdout.readline()
        results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
        for _ in range(options.rounds):
            for variant in VARIANTS:
                results[variant].append(run("--variant", variant, "--connection", connection))
        server.communicate()
    print(f"{'':20} {'records':>8} {'seconds':>8} {'CPU s':>8} {'growth MB':>9}")
    medians = {}
    for variant, rounds in results.items():
        medians[variant] = {name: median(result[name] for result in rounds) for name in rounds[0]}
        row = medians[variant]
        print(f"{variant:20} {row['records']:8.0f} {row['seconds']:8.2f} {row['cpu']:8.2f} {row['growth']:9.1f}")
    ratio = medians["twilio-python"]["seconds"] / medians["hook"]["seconds"]
    all_ratio = medians["twilio-python, all"]["seconds"] / medians["hook, all"]["seconds"]
    growth = medians["hook"]["growth"]
    print(
        f"\n{ratio:.2f} x twilio-python's speed (target: {MIN_SPEEDUP}), {all_ratio:.2f} x with all fields read;",
        end=" ",
    )
    print(f"{growth:.1f} MB above the first page (target: {MAX_GROWTH:.0f})")
    return 0 if ratio >= MIN_SPEEDUP and growth <= MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
