"""Waiting for many messages: the shared poll compared with one fetch for each message and polling cycle.

    python benchmarks/waiting.py [--waits 10000] [--interval 10] [--cycles 3]

Each side runs in a process of its own, with an emulator in another one. All messages stay undelivered for some polling
cycles, and are then delivered at once. The output has the requests and CPU seconds of a cycle, the resident memory of a
wait (including its asyncio task), and the delay after the delivery until the median wait and the last one ended.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Coroutine
from dataclasses import replace
from statistics import median
from typing import Any

SIDES = ("shared poll", "one by one")
MAX_REQUESTS, MAX_BYTES = 12, 8 * 1024
"""Targets: requests in a polling cycle, and memory of a wait."""
HOURS = 5 * 3600
TO = "+14155550100"


# ---------------------------------------------------------------- the emulator


def serve(waits: int) -> None:
    """Run an emulator with this many undelivered messages until standard input ends."""
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Basic, Settings
    from airflow_provider_twilio.emulator import serve as emulate

    with emulate(speed=0.001) as emulator:  # the messages arrive when the clock is advanced by hours
        sid, token = emulator.account_sid, emulator.auth_token
        with Client(Settings(sid, Basic(sid, token), base=emulator.url)) as client:
            first = str(client.messages.create(to=TO, from_=emulator.phone_number, body="hello").sid)
        state = emulator.state
        like = state.main.messages.get(first)
        assert like is not None
        for _ in range(waits - 1):
            state.main.messages.add(replace(like, sid=state.new_sid("SM"), seq=state.next_seq()))
        sids = [message.sid for message in state.main.messages]
        print(json.dumps({"sids": sids, "sid": sid, "token": token, "url": emulator.url}), flush=True)
        sys.stdin.read()


class Control:
    """A client of the emulator's control interface."""

    def __init__(self, base: str) -> None:
        self.base = f"{base}/_emulator"

    def requests(self) -> int:
        with urllib.request.urlopen(f"{self.base}/requests?limit=1") as response:
            return int(json.load(response)["total"])

    def deliver(self) -> None:
        body = json.dumps({"advance": HOURS}).encode()
        request = urllib.request.Request(f"{self.base}/clock", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            response.read()


# ---------------------------------------------------------------- the sides


def shared_poll(sids: list[str], settings: Any, interval: float) -> list[Coroutine[Any, Any, Any]]:
    from airflow_provider_twilio.api.verdicts import Delivery
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
    from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY, MESSAGES, wait_for

    def connect() -> AsyncClient:
        return AsyncClient(settings, concurrency=FETCH_CONCURRENCY)

    return [wait_for(WaitSpec(sid, Delivery(), interval), MESSAGES, "benchmark", connect) for sid in sids]


def one_by_one(sids: list[str], settings: Any, interval: float) -> list[Coroutine[Any, Any, Any]]:
    """Return waits that work as in common triggers, except that they share a client."""
    from airflow_provider_twilio.api.messages import DELIVERED, Messages
    from airflow_provider_twilio.client.asynchronous import AsyncClient

    client, waiting = AsyncClient(settings, concurrency=100), set(sids)

    async def wait(sid: str) -> None:
        while True:
            await asyncio.sleep(interval)
            if (await client.send(Messages.fetch(sid))).status in DELIVERED:
                break
        waiting.remove(sid)
        if not waiting:
            await client.close()

    return [wait(sid) for sid in sids]


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def measure(side: str, interval: float, cycles: int) -> dict[str, float]:
    from airflow_provider_twilio.client.settings import Basic, Settings

    setup = json.loads(sys.stdin.readline())
    settings = Settings(setup["sid"], Basic(setup["sid"], setup["token"]), base=setup["url"])
    sids, control = setup["sids"], Control(str(settings.base))
    make = shared_poll if side == SIDES[0] else one_by_one
    gc.collect()
    before = resident()
    finished: list[float] = []

    async def timed(waiting: Coroutine[Any, Any, Any]) -> None:
        await waiting
        finished.append(time.perf_counter())

    tasks = [asyncio.create_task(timed(waiting)) for waiting in make(sids, settings, interval)]
    await asyncio.sleep(0.2)
    gc.collect()
    memory = resident() - before
    # Measure from the middle of a polling cycle to the middle of another one.
    await asyncio.sleep(interval * 1.5 - time.monotonic() % interval)
    requests, cpu, started_at = await asyncio.to_thread(control.requests), time.process_time(), time.perf_counter()
    await asyncio.sleep(interval * cycles)
    elapsed_cycles = (time.perf_counter() - started_at) / interval
    cpu, requests = time.process_time() - cpu, await asyncio.to_thread(control.requests) - requests
    await asyncio.to_thread(control.deliver)
    delivered_at = time.perf_counter()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.2)
    delays = [finished_at - delivered_at for finished_at in finished]
    return {
        "requests": requests / elapsed_cycles,
        "cpu": cpu / elapsed_cycles,
        "bytes": memory / len(sids),
        "median": median(delays),
        "last": max(delays),
    }


def run(side: str, options: argparse.Namespace) -> dict[str, float]:
    def command(*arguments: str) -> list[str]:
        return [sys.executable, __file__, "--waits", str(options.waits), *arguments]

    with subprocess.Popen(command("--serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        setup = server.stdout.readline()
        arguments = command("--side", side, "--interval", str(options.interval), "--cycles", str(options.cycles))
        done = subprocess.run(arguments, input=setup, stdout=subprocess.PIPE, text=True, check=True)
        server.communicate()
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.waits)
        return 0
    if options.side:
        print(json.dumps(asyncio.run(measure(options.side, options.interval, options.cycles))))
        return 0
    print(f"{options.waits:,} waits, polled every {options.interval:g} s")
    print(f"{'':14}{'requests/cycle':>15}{'CPU s/cycle':>13}{'KB a wait':>11}{'median delay':>14}{'last delay':>12}")
    results = {}
    for side in SIDES:
        row = results[side] = run(side, options)
        print(
            f"{side:14}{row['requests']:15.1f}{row['cpu']:13.2f}{row['bytes'] / 1024:11.1f}"
            f"{row['median']:12.1f} s{row['last']:10.1f} s"
        )
    ours, theirs = results["shared poll"], results["one by one"]
    fewer, less = (theirs[name] / ours[name] for name in ("requests", "cpu"))
    print(
        f"\n{fewer:.0f} times fewer requests, {less:.0f} times less CPU;"
        f" target: {MAX_REQUESTS} requests a cycle, {MAX_BYTES // 1024} KB a wait"
    )
    return 0 if ours["requests"] <= MAX_REQUESTS and ours["bytes"] <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
