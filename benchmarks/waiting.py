"""Wait for many messages: the shared poll beside one fetch a message a tick, on the emulator, in one run.

    python benchmarks/waiting.py [--waits 10000] [--interval 10] [--ticks 3]

Each side runs in a process of its own, with an emulator of its own in another. All messages stay on their way for some
ticks; then all are delivered at one instant. Printed are the requests and the CPU seconds a tick, the resident memory
that a wait took (with asyncio's own task for it), and how long after that instant the median and the last were told.
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
REQUESTS, BYTES = 12, 8 * 1024
HOURS = 5 * 3600
TO = "+14155550100"


# ---------------------------------------------------------------- the emulator


def serve(waits: int) -> None:
    """Run an emulator with so many messages on their way, until standard input ends."""
    from airflow_provider_twilio.client.blocking import Client
    from airflow_provider_twilio.client.settings import Basic, Settings
    from airflow_provider_twilio.emulator import serve as emulate

    with emulate(speed=0.001) as emulator:  # they arrive when the clock is moved by hours
        sid, token = emulator.account_sid, emulator.auth_token
        with Client(Settings(sid, Basic(sid, token), base=emulator.url)) as client:
            first = str(client.messages.create(to=TO, from_=emulator.phone_number, body="hello").sid)
        world = emulator.world
        like = world.main.messages.get(first)
        assert like is not None
        for _ in range(waits - 1):
            world.main.messages.add(replace(like, sid=world.sid("SM"), seq=world.next()))
        sids = [message.sid for message in world.main.messages]
        print(json.dumps({"sids": sids, "sid": sid, "token": token, "url": emulator.url}), flush=True)
        sys.stdin.read()


class Control:
    """Ask the emulator what it has seen, and move its clock."""

    def __init__(self, base: str) -> None:
        self.base = f"{base}/_emulator"

    def requests(self) -> int:
        with urllib.request.urlopen(f"{self.base}/requests?limit=1") as answer:
            return int(json.load(answer)["total"])

    def deliver(self) -> None:
        body = json.dumps({"advance": HOURS}).encode()
        request = urllib.request.Request(f"{self.base}/clock", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            answer.read()


# ---------------------------------------------------------------- the sides


def shared_poll(sids: list[str], settings: Any, interval: float) -> list[Coroutine[Any, Any, Any]]:
    from airflow_provider_twilio.api.verdicts import Delivery
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.runtime.polling.status import FETCH_CONCURRENCY, MESSAGES, StatusWait, wait_for

    def connect() -> AsyncClient:
        return AsyncClient(settings, concurrency=FETCH_CONCURRENCY)

    return [wait_for(StatusWait(sid, Delivery(), interval=interval), MESSAGES, "benchmark", connect) for sid in sids]


def one_by_one(sids: list[str], settings: Any, interval: float) -> list[Coroutine[Any, Any, Any]]:
    """Wait as triggers commonly do, except that they share a client."""
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


async def measure(side: str, interval: float, ticks: int) -> dict[str, float]:
    from airflow_provider_twilio.client.settings import Basic, Settings

    told = json.loads(sys.stdin.readline())
    settings = Settings(told["sid"], Basic(told["sid"], told["token"]), base=told["url"])
    sids, control = told["sids"], Control(str(settings.base))
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
    taken = resident() - before
    # From between two ticks to between two others.
    await asyncio.sleep(interval * 1.5 - time.monotonic() % interval)
    seen, cpu, began = await asyncio.to_thread(control.requests), time.process_time(), time.perf_counter()
    await asyncio.sleep(interval * ticks)
    passed = (time.perf_counter() - began) / interval
    spent, made = time.process_time() - cpu, await asyncio.to_thread(control.requests) - seen
    await asyncio.to_thread(control.deliver)
    delivered = time.perf_counter()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.2)
    late = [moment - delivered for moment in finished]
    return {
        "requests": made / passed,
        "cpu": spent / passed,
        "bytes": taken / len(sids),
        "median": median(late),
        "last": max(late),
    }


def run(side: str, options: argparse.Namespace) -> dict[str, float]:
    def command(*arguments: str) -> list[str]:
        return [sys.executable, __file__, "--waits", str(options.waits), *arguments]

    with subprocess.Popen(command("--serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        told = server.stdout.readline()
        arguments = command("--side", side, "--interval", str(options.interval), "--ticks", str(options.ticks))
        done = subprocess.run(arguments, input=told, stdout=subprocess.PIPE, text=True, check=True)
        server.communicate()
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--ticks", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.waits)
        return 0
    if options.side:
        print(json.dumps(asyncio.run(measure(options.side, options.interval, options.ticks))))
        return 0
    print(f"{options.waits} waits, a look each {options.interval:g} s")
    print(f"{'':14}{'requests/tick':>14}{'CPU s/tick':>12}{'KB a wait':>11}{'median told':>13}{'last told':>11}")
    found = {}
    for side in SIDES:
        row = found[side] = run(side, options)
        print(
            f"{side:14}{row['requests']:14.1f}{row['cpu']:12.2f}{row['bytes'] / 1024:11.1f}"
            f"{row['median']:11.1f} s{row['last']:9.1f} s"
        )
    ours, theirs = found["shared poll"], found["one by one"]
    fewer, less = (theirs[name] / ours[name] for name in ("requests", "cpu"))
    print(
        f"\n{fewer:.0f} times fewer requests, {less:.0f} times less CPU;"
        f" to reach: {REQUESTS} requests a tick, {BYTES // 1024} KB a wait"
    )
    return 0 if ours["requests"] <= REQUESTS and ours["bytes"] <= BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
