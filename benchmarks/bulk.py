"""Send many messages: the bulk engine compared with twilio-python's clients, against a server that takes 50 ms.

    python benchmarks/bulk.py [--seconds 2] [--rounds 5] [--recipients 100000]

Each side runs in a process of its own, and the sides take turns; the server runs in another process. The clock starts
after the imports, once a connection is open.

* Ours builds its messages from rows that have been checked. It runs on uvloop's event loop with relaxed garbage
  collection, as the operator does.
* The asynchronous client of twilio-python opens at most 100 connections. It is measured unchanged, and "widened" to as
  many connections as there are requests in flight. The blocking client is given as many connections as threads.
* "aiohttp alone" posts one prepared body repeatedly on the same event loop as ours, and does not parse the response.

The limit is the number of requests in flight, divided by 50 ms. CPU is the time of the client for each message, and
next to it that of the server. An interpreter uses one core, so no client sends more messages a second than 1 s divided
by its CPU time for each.

The second part sends files of recipients to the emulator: read, checked and sent. The speed of a machine changes by the
second, so sends with checkpoints and without take turns of some thousand recipients.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import resource
import select
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

LATENCY = 0.05
IN_FLIGHT = (20, 50, 200, 500)
OURS, ASYNC, THREADS, LOOP = "ours", "twilio-python, async", "twilio-python, threads", "twilio-python, a loop"
WIDER, BARE = "the same, widened", "aiohttp alone"
SIDES = (OURS, ASYNC, WIDER, THREADS, LOOP, BARE)
TARGET_IN_FLIGHT = 200
"""Number of requests in flight to which the targets apply."""
MIN_SHARE = 0.95
"""Target: minimum share of the limit."""
MIN_ASYNC_RATIO, MIN_THREADS_RATIO = 2.0, 3.5
"""Targets: minimum rate, as multiples of twilio-python's."""
MAX_CPU = 0.25
"""Target: maximum CPU time for each message, in milliseconds."""
MAX_CHECKPOINT_COST = 0.05
"""Target: maximum share of time that checkpoints add."""
TURN_SIZE = 5_000
"""Number of recipients in a turn of the second part."""
WARM_UP = 0.5  # seconds
SAMPLE_INTERVAL = 0.01
"""Minimum time between two reads of the CPU clock, in seconds. A read costs a noticeable part of a request."""
ACCOUNT, TOKEN = "AC" + "a" * 32, "b" * 32
SENDER, BODY = "+15005550006", "Your order has shipped."

# ---------------------------------------------------------------- the server


class SlowServer(asyncio.Protocol):
    """A server that accepts any request, and responds with the record of a message after 50 ms."""

    record = json.dumps(
        {
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": BODY, "direction": "outbound-api",
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": None, "date_updated": None,
            "error_code": None, "error_message": None, "from": SENDER, "messaging_service_sid": None,
            "num_media": "0", "num_segments": "1", "price": None, "price_unit": "USD", "sid": "SM" + "c" * 32,
            "status": "queued", "subresource_uris": {}, "to": "+14155550100", "uri": "/2010-04-01/…",
        }
    ).encode()  # fmt: skip
    response = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(record),
        record,
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        start = head.lower().find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length:
            self.received = b""
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, self.response)


class PreciseSelector(selectors.DefaultSelector):
    """A selector with precise timeouts. epoll rounds them to milliseconds, so that responses would leave in bursts."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self], [], [], timeout)
            timeout = 0
        return super().select(timeout)


async def run_slow_server() -> None:
    server = await asyncio.get_running_loop().create_server(SlowServer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)


# ---------------------------------------------------------------- the sides


class Meter:
    """A count of requests, and of their CPU time, from the end of the warm-up to the end of the measurement."""

    def __init__(self, seconds: float) -> None:
        self.done = 0
        measured_from = time.perf_counter() + WARM_UP
        self._end = measured_from + seconds
        self._next_sample = measured_from
        self.first: tuple[float, float, int] | None = None
        self.last = (0.0, 0.0, 0)

    def __call__(self, *_: Any) -> None:
        self.done += 1
        now = time.perf_counter()
        if self._next_sample <= now < self._end:
            self._next_sample = now + SAMPLE_INTERVAL
            self.last = (now, time.process_time(), self.done)
            self.first = self.first or self.last

    @property
    def is_over(self) -> bool:
        return time.perf_counter() >= self._end

    def figures(self) -> dict[str, float]:
        assert self.first is not None
        seconds, cpu, done = (last - first for last, first in zip(self.last, self.first, strict=True))
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"rate": done / seconds, "cpu": 1000 * cpu / done, "memory": megabytes, "done": self.done}


def numbers(meter: Meter) -> Iterator[str]:
    for index in count():
        if meter.is_over:
            return
        yield f"+1415{5550000 + index % 1_000_000}"


def ours(port: int, in_flight: int) -> Callable[[float], Meter]:
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.settings import Basic, Settings
    from airflow_provider_twilio.runtime.background import BackgroundRunner
    from airflow_provider_twilio.runtime.bulk.engine import run
    from airflow_provider_twilio.runtime.bulk.plan import SENT, MessagePlan

    settings = Settings(ACCOUNT, Basic(ACCOUNT, TOKEN), base=f"http://127.0.0.1:{port}", retries=0)
    plan = MessagePlan({"from_": SENDER, "body": BODY}, settings)

    async def send(seconds: float) -> Meter:
        async with AsyncClient(settings, concurrency=in_flight) as client:
            await client.messages.create(to="+14155550100", from_=SENDER, body=BODY)
            meter = Meter(seconds)
            verdicts = bytearray()

            def rows() -> Iterator[dict[str, str]]:
                for to in numbers(meter):
                    verdicts.append(SENT)
                    yield {"to": to}

            await run(client, plan.items(rows(), verdicts), meter, concurrency=in_flight)
        return meter

    return lambda seconds: BackgroundRunner(send(seconds)).run()


def twilio_async(port: int, in_flight: int, wider: bool = False) -> Callable[[float], Meter]:
    import aiohttp
    from twilio.http.async_http_client import AsyncTwilioHttpClient
    from twilio.rest import Client

    async def send(seconds: float) -> Meter:
        http = AsyncTwilioHttpClient()
        if wider:
            await http.session.close()
            http.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight))
        client = Client(ACCOUNT, TOKEN, http_client=http)
        client.api.base_url = f"http://127.0.0.1:{port}"
        await client.messages.create_async(to="+14155550100", from_=SENDER, body=BODY)
        meter = Meter(seconds)
        queue = numbers(meter)

        async def work() -> None:
            for to in queue:
                await client.messages.create_async(to=to, from_=SENDER, body=BODY)
                meter()

        await asyncio.gather(*(work() for _ in range(in_flight)))
        await http.close()
        return meter

    return lambda seconds: asyncio.run(send(seconds))


def twilio_threads(port: int, in_flight: int) -> Callable[[float], Meter]:
    from requests.adapters import HTTPAdapter
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    http = TwilioHttpClient()
    http.session.mount("http://", HTTPAdapter(pool_maxsize=in_flight))  # it keeps 10 by default
    client = Client(ACCOUNT, TOKEN, http_client=http)
    client.api.base_url = f"http://127.0.0.1:{port}"

    def send(seconds: float) -> Meter:
        client.messages.create(to="+14155550100", from_=SENDER, body=BODY)
        meter = Meter(seconds)

        def work(_: int) -> None:
            while not meter.is_over:
                client.messages.create(to="+14155550100", from_=SENDER, body=BODY)
                meter()

        with ThreadPoolExecutor(in_flight) as pool:
            list(pool.map(work, range(in_flight)))
        return meter

    return send


def bare(port: int, in_flight: int) -> Callable[[float], Meter]:
    import aiohttp

    from airflow_provider_twilio.client.eager_request import EagerClientRequest
    from airflow_provider_twilio.runtime.background import BackgroundRunner

    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    headers = {
        "Accept": "application/json",
        "User-Agent": "benchmark",
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode(),
    }
    body = urlencode({"To": "+14155550100", "From": SENDER, "Body": BODY}).encode()

    async def send(seconds: float) -> Meter:
        connector = aiohttp.TCPConnector(limit=in_flight)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
            request_class=EagerClientRequest,
        ) as session:

            async def post() -> None:
                async with session.post(path, data=body, headers=headers, allow_redirects=False) as response:
                    await response.read()

            await post()
            meter = Meter(seconds)

            async def work() -> None:
                while not meter.is_over:
                    await post()
                    meter()

            await asyncio.gather(*(work() for _ in range(in_flight)))
        return meter

    return lambda seconds: BackgroundRunner(send(seconds)).run()


SIDE_FACTORIES: dict[str, Callable[[int, int], Callable[[float], Meter]]] = {
    OURS: ours,
    ASYNC: twilio_async,
    WIDER: partial(twilio_async, wider=True),
    THREADS: twilio_threads,
    LOOP: twilio_threads,
    BARE: bare,
}


def measure(side: str, port: int, in_flight: int, seconds: float) -> None:
    """Send with one side for a number of seconds, and print the figures."""
    send = SIDE_FACTORIES[side](port, 1 if side == LOOP else in_flight)
    print(json.dumps(send(seconds).figures()))


# ---------------------------------------------------------------- end to end


def end_to_end(recipients: int) -> None:
    """Send files of recipients to an emulator in another process, with and without checkpoints, and print each turn."""
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.settings import Basic, Settings
    from airflow_provider_twilio.runtime.background import BackgroundRunner
    from airflow_provider_twilio.runtime.bulk.checkpoints import run_resumable
    from airflow_provider_twilio.runtime.bulk.engine import run
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, preflight
    from airflow_provider_twilio.runtime.bulk.rows import rows
    from airflow_provider_twilio.runtime.state_store import FolderStore

    connection = json.loads(sys.stdin.readline())
    login = connection["login"]
    settings = Settings(login, Basic(login, connection["password"]), base=connection["url"], retries=0)

    async def send(client: AsyncClient, path: Path, checkpoint_path: Path | None) -> dict[str, float]:
        started_at, cpu = time.perf_counter(), time.process_time()
        plan = MessagePlan({"from_": SENDER, "body": "Dear {name}, your order has shipped."}, settings)
        checked = preflight(plan(rows(path)))
        check_seconds = time.perf_counter() - started_at
        items = plan.items(rows(path), checked.verdicts)
        if checkpoint_path is None:
            await run(client, items)
        else:
            await run_resumable(client, items, store=FolderStore(checkpoint_path), key="bulk")
        seconds, cpu_seconds = time.perf_counter() - started_at, time.process_time() - cpu
        return {"seconds": seconds, "check_seconds": check_seconds, "cpu": cpu_seconds}

    async def run_turns(folder: Path) -> None:
        async with AsyncClient(settings, concurrency=50) as client:
            for turn, first in enumerate(range(0, recipients, TURN_SIZE)):
                path = folder / f"{turn}.csv"
                numbers = range(first, min(first + TURN_SIZE, recipients))
                path.write_text(
                    "to,name\n" + "".join(f"+1415{5550000 + number},person {number}\n" for number in numbers)
                )
                paths = {"without": None, "with": folder / f"{turn}"}
                for side in sorted(paths, reverse=turn % 2 == 0):
                    print(json.dumps({"side": side, **await send(client, path, paths[side])}))

    with tempfile.TemporaryDirectory() as folder:
        BackgroundRunner(run_turns(Path(folder))).run()
    print(json.dumps({"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def run_emulator() -> None:
    from airflow_provider_twilio.emulator import serve

    with serve() as emulator:
        fields = json.loads(emulator.connection_json)
        print(json.dumps({**fields, "url": emulator.url}), flush=True)
        sys.stdin.read()


# ---------------------------------------------------------------- the comparison


def command(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def run_lines(*arguments: object, stdin: str | None = None) -> list[dict[str, Any]]:
    done = subprocess.run(command(*arguments), input=stdin, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(figures[name] for figures in rounds) for name in rounds[0]}


def cpu_seconds(server: subprocess.Popen[str]) -> float:
    """Return the CPU time of the server so far."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def compare(rounds: int, seconds: float) -> bool:
    """Print the comparison with twilio-python. Return whether the targets are reached."""
    figures: dict[tuple[int, str], dict[str, float]] = {}
    with subprocess.Popen(command("--slow"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        for in_flight in IN_FLIGHT:
            sides = [side for side in SIDES if side != LOOP or in_flight == TARGET_IN_FLIGHT]
            results: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side in sides:
                    before = cpu_seconds(server)
                    (row,) = run_lines("--side", side, port, in_flight, seconds)
                    row["server"] = 1000 * (cpu_seconds(server) - before) / row["done"]
                    results[side].append(row)
            figures |= {(in_flight, side): medians(rows) for side, rows in results.items()}
        server.communicate()
    print(f"A server of {1000 * LATENCY:.0f} ms, medians of {rounds} rounds")
    columns = f"{'CPU ms':>8}{'server':>8}{'MB':>6}{'ours is':>10}"
    print(f"{'in flight':>9} {'':24}{'messages/s':>11}{'of the limit':>14}{columns}")
    for (in_flight, side), row in figures.items():
        limit = (1 if side == LOOP else in_flight) / LATENCY
        ratio = figures[in_flight, OURS]["rate"] / row["rate"]
        print(
            f"{1 if side == LOOP else in_flight:9} {side:24}{row['rate']:11,.0f}{row['rate'] / limit:14.0%}"
            f"{row['cpu']:8.2f}{row['server']:8.2f}{row['memory']:6.0f}{ratio:8.1f} x"
        )
    mine, alone = figures[TARGET_IN_FLIGHT, OURS], figures[TARGET_IN_FLIGHT, BARE]
    share = mine["rate"] * LATENCY / TARGET_IN_FLIGHT
    ratios = {side: mine["rate"] / figures[TARGET_IN_FLIGHT, side]["rate"] for side in (ASYNC, THREADS)}
    print(
        f"\nat {TARGET_IN_FLIGHT}: {share:.0%} of the limit (target: {MIN_SHARE:.0%}),"
        f" {ratios[ASYNC]:.1f} x async ({MIN_ASYNC_RATIO:g}),"
        f" {ratios[THREADS]:.1f} x threads ({MIN_THREADS_RATIO:g}), {mine['cpu']:.2f} ms CPU a message ({MAX_CPU:g})"
    )
    print(
        f"ours takes {mine['cpu'] / alone['cpu']:.2f} x the CPU of aiohttp alone, with which one core sends at most"
        f" {1000 / alone['cpu']:,.0f} messages/s; one core of the server handles {1000 / mine['server']:,.0f}/s"
    )
    fast = share >= MIN_SHARE and ratios[ASYNC] >= MIN_ASYNC_RATIO and ratios[THREADS] >= MIN_THREADS_RATIO
    return fast and mine["cpu"] <= MAX_CPU


def checkpoints(rounds: int, recipients: int) -> bool:
    """Print the cost of checkpoints. Return whether it stays below the target."""
    turns_by_side: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    memory = 0.0
    for _ in range(rounds):
        with subprocess.Popen(command("--emulate"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            *turns, last = run_lines("--end-to-end", recipients, stdin=server.stdout.readline())
            server.communicate()
        for turn in turns:
            turns_by_side[turn.pop("side")].append(turn)
        memory = max(memory, last["memory"])
    print(
        f"\n{recipients:,} recipients end to end on the emulator, from files of {TURN_SIZE:,}, 50 in flight,"
        f" with checkpoints and without in turns; {rounds} rounds, {memory:.0f} MB"
    )
    print(f"{'':24}{'seconds':>9}{'of it checks':>14}{'messages/s':>12}{'CPU ms':>8}")
    for side, side_turns in turns_by_side.items():
        seconds, checked, cpu = (
            sum(turn[name] for turn in side_turns) / rounds for name in ("seconds", "check_seconds", "cpu")
        )
        print(
            f"{side + ' checkpoints':24}{seconds:9.1f}{checked:14.1f}{recipients / seconds:12,.0f}"
            f"{1000 * cpu / recipients:8.2f}"
        )
    slowdowns: list[float] = [
        with_["seconds"] / without["seconds"] - 1 for without, with_ in zip(*turns_by_side.values(), strict=True)
    ]
    low, cost, high = quantiles(slowdowns, n=4)
    print(
        f"\ncheckpoints cost {cost:+.1%} of the time, the median of {len(slowdowns)} turns (half of them {low:+.1%} to"
        f" {high:+.1%}; target: {MAX_CHECKPOINT_COST:.0%})"
    )
    return cost <= MAX_CHECKPOINT_COST


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--emulate", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--end-to-end", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.slow:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(PreciseSelector())) as runner:
            runner.run(run_slow_server())
    elif options.emulate:
        run_emulator()
    elif options.side:
        side, port, in_flight, seconds = options.side
        measure(side, int(port), int(in_flight), float(seconds))
    elif options.end_to_end:
        end_to_end(options.end_to_end)
    else:
        fast = compare(options.rounds, options.seconds)
        cheap = checkpoints(options.rounds, options.recipients)
        return 0 if fast and cheap else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
