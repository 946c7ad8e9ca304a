"""Send many messages at once: the bulk engine beside twilio-python's clients, against a server of 50 ms, in one run.

    python benchmarks/bulk.py [--seconds 2] [--rounds 5] [--recipients 100000]

Each side runs in a process of its own, in turns, and the server in another; imports are done, and connections made,
before the clock starts. Ours makes its messages of rows that have been checked, on uvloop's event loop, with garbage
seldom looked for, as the operator does. twilio-python's asynchronous client comes with 100 connections at the most, and
is measured as it comes and with as many as there are requests in flight; its blocking one is given as many. aiohttp
alone posts one prepared body over and over on such a loop, and doesn't look at the answer. The limit is what can be on
its way, divided by the 50 ms; CPU is the client's, and beside it the server's. An interpreter has one core, so no
client sends more a second than its CPU a message goes into a second.

Then so many recipients are sent to the emulator from files, read and checked and sent. A machine's pace changes by the
second, so with checkpoints in a folder and without take turns of some thousand.
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
REACH, OVER_ASYNC, OVER_THREADS, CPU, COST = 0.95, 2.0, 3.5, 0.25, 0.05
JUDGED = 200
TURN = 5_000
WARM_UP = 0.5
LOOKS = 0.01
"""Seconds between looks at the CPU's clock: that costs as much as a part of a request."""
ACCOUNT, TOKEN = "AC" + "a" * 32, "b" * 32
SENDER, BODY = "+15005550006", "Your order is on its way."

# ---------------------------------------------------------------- the server


class Slow(asyncio.Protocol):
    """Take any request, and answer with a message's record after 50 ms."""

    record = json.dumps(
        {
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": BODY, "direction": "outbound-api",
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": None, "date_updated": None,
            "error_code": None, "error_message": None, "from": SENDER, "messaging_service_sid": None,
            "num_media": "0", "num_segments": "1", "price": None, "price_unit": "USD", "sid": "SM" + "c" * 32,
            "status": "queued", "subresource_uris": {}, "to": "+14155550100", "uri": "/2010-04-01/…",
        }
    ).encode()  # fmt: skip
    answer = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(record),
        record,
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.read = b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, end, rest = self.read.partition(b"\r\n\r\n")
        if not end:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) >= length:
            self.read = b""
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, self.answer)


class ToTheMoment(selectors.DefaultSelector):
    """Wait as long as it is told to. epoll by itself waits for whole milliseconds, and answers go out in heaps."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self], [], [], timeout)
            timeout = 0
        return super().select(timeout)


async def slow() -> None:
    server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)


# ---------------------------------------------------------------- the sides


class Meter:
    """Count what is done from the end of the warm-up on, until the time is over."""

    def __init__(self, seconds: float) -> None:
        self.done = 0
        self.begun = time.perf_counter()
        self.ends = self.begun + WARM_UP + seconds
        self._looks = self.begun + WARM_UP
        self.first: tuple[float, float, int] | None = None
        self.last = (0.0, 0.0, 0)

    def __call__(self, *_: Any) -> None:
        self.done += 1
        now = time.perf_counter()
        if self._looks <= now < self.ends:
            self._looks = now + LOOKS
            self.last = (now, time.process_time(), self.done)
            self.first = self.first or self.last

    @property
    def over(self) -> bool:
        return time.perf_counter() >= self.ends

    def figures(self) -> dict[str, float]:
        assert self.first is not None
        seconds, cpu, done = (last - first for last, first in zip(self.last, self.first, strict=True))
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"rate": done / seconds, "cpu": 1000 * cpu / done, "memory": megabytes, "done": self.done}


def numbers(meter: Meter) -> Iterator[str]:
    for index in count():
        if meter.over:
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
    http.session.mount("http://", HTTPAdapter(pool_maxsize=in_flight))  # else it keeps 10
    client = Client(ACCOUNT, TOKEN, http_client=http)
    client.api.base_url = f"http://127.0.0.1:{port}"

    def send(seconds: float) -> Meter:
        client.messages.create(to="+14155550100", from_=SENDER, body=BODY)
        meter = Meter(seconds)

        def work(_: int) -> None:
            while not meter.over:
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
                async with session.post(path, data=body, headers=headers, allow_redirects=False) as answer:
                    await answer.read()

            await post()
            meter = Meter(seconds)

            async def work() -> None:
                while not meter.over:
                    await post()
                    meter()

            await asyncio.gather(*(work() for _ in range(in_flight)))
        return meter

    return lambda seconds: BackgroundRunner(send(seconds)).run()


MAKE: dict[str, Callable[[int, int], Callable[[float], Meter]]] = {
    OURS: ours,
    ASYNC: twilio_async,
    WIDER: partial(twilio_async, wider=True),
    THREADS: twilio_threads,
    LOOP: twilio_threads,
    BARE: bare,
}


def measure(side: str, port: int, in_flight: int, seconds: float) -> None:
    """Send with one side for so many seconds; print the figures."""
    send = MAKE[side](port, 1 if side == LOOP else in_flight)
    print(json.dumps(send(seconds).figures()))


# ---------------------------------------------------------------- end to end


def end_to_end(recipients: int) -> None:
    """Send files of recipients to an emulator in another process, with checkpoints and without; print each turn."""
    from airflow_provider_twilio.client.asynchronous import AsyncClient
    from airflow_provider_twilio.client.settings import Basic, Settings
    from airflow_provider_twilio.runtime.background import BackgroundRunner
    from airflow_provider_twilio.runtime.bulk.checkpoints import run_resumable
    from airflow_provider_twilio.runtime.bulk.engine import run
    from airflow_provider_twilio.runtime.bulk.plan import MessagePlan, preflight
    from airflow_provider_twilio.runtime.bulk.rows import rows
    from airflow_provider_twilio.runtime.state_store import FolderStore

    told = json.loads(sys.stdin.readline())
    settings = Settings(told["login"], Basic(told["login"], told["password"]), base=told["url"], retries=0)

    async def send(client: AsyncClient, path: Path, ledger: Path | None) -> dict[str, float]:
        began, cpu = time.perf_counter(), time.process_time()
        plan = MessagePlan({"from_": SENDER, "body": "Dear {name}, your order is on its way."}, settings)
        found = preflight(plan(rows(path)))
        checked = time.perf_counter() - began
        items = plan.items(rows(path), found.verdicts)
        if ledger is None:
            await run(client, items)
        else:
            await run_resumable(client, items, store=FolderStore(ledger), key="bulk")
        seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        return {"seconds": seconds, "checked": checked, "cpu": spent}

    async def turns(folder: Path) -> None:
        async with AsyncClient(settings, concurrency=50) as client:
            for turn, first in enumerate(range(0, recipients, TURN)):
                path = folder / f"{turn}.csv"
                some = range(first, min(first + TURN, recipients))
                path.write_text("to,name\n" + "".join(f"+1415{5550000 + one},person {one}\n" for one in some))
                ledgers = {"without": None, "with": folder / f"{turn}"}
                for word in sorted(ledgers, reverse=turn % 2 == 0):
                    print(json.dumps({"side": word, **await send(client, path, ledgers[word])}))

    with tempfile.TemporaryDirectory() as folder:
        BackgroundRunner(turns(Path(folder))).run()
    print(json.dumps({"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def emulate() -> None:
    from airflow_provider_twilio.emulator import serve

    with serve() as emulator:
        fields = json.loads(emulator.connection_json)
        print(json.dumps({**fields, "url": emulator.url}), flush=True)
        sys.stdin.read()


# ---------------------------------------------------------------- all of it


def command(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def run_lines(*arguments: object, given: str | None = None) -> list[dict[str, Any]]:
    done = subprocess.run(command(*arguments), input=given, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def spent(server: subprocess.Popen[str]) -> float:
    """Ask a server for its CPU seconds so far."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def compare(rounds: int, seconds: float) -> bool:
    """Print the table beside twilio-python; tell whether what is to be reached is reached."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    with subprocess.Popen(command("--slow"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        for in_flight in IN_FLIGHT:
            sides = [side for side in SIDES if side != LOOP or in_flight == JUDGED]
            results: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side in sides:
                    before = spent(server)
                    (row,) = run_lines("--side", side, port, in_flight, seconds)
                    row["server"] = 1000 * (spent(server) - before) / row["done"]
                    results[side].append(row)
            found |= {(in_flight, side): medians(kept) for side, kept in results.items()}
        server.communicate()
    print(f"A server of {1000 * LATENCY:.0f} ms, medians of {rounds} rounds")
    heads = f"{'CPU ms':>8}{'server':>8}{'MB':>6}{'ours is':>10}"
    print(f"{'in flight':>9} {'':24}{'messages/s':>11}{'of the limit':>14}{heads}")
    for (in_flight, side), row in found.items():
        limit = (1 if side == LOOP else in_flight) / LATENCY
        ratio = found[in_flight, OURS]["rate"] / row["rate"]
        print(
            f"{1 if side == LOOP else in_flight:9} {side:24}{row['rate']:11,.0f}{row['rate'] / limit:14.0%}"
            f"{row['cpu']:8.2f}{row['server']:8.2f}{row['memory']:6.0f}{ratio:8.1f} x"
        )
    mine, alone = found[JUDGED, OURS], found[JUDGED, BARE]
    share = mine["rate"] * LATENCY / JUDGED
    over = {side: mine["rate"] / found[JUDGED, side]["rate"] for side in (ASYNC, THREADS)}
    print(
        f"\nat {JUDGED}: {share:.0%} of the limit (to reach: {REACH:.0%}), {over[ASYNC]:.1f} x async ({OVER_ASYNC:g}),"
        f" {over[THREADS]:.1f} x threads ({OVER_THREADS:g}), {mine['cpu']:.2f} ms CPU a message ({CPU:g})"
    )
    print(
        f"ours takes {mine['cpu'] / alone['cpu']:.2f} x the CPU of aiohttp alone, with which one core sends"
        f" {1000 / alone['cpu']:,.0f} messages/s at the most; the server answers {1000 / mine['server']:,.0f}/s on one"
    )
    return share >= REACH and over[ASYNC] >= OVER_ASYNC and over[THREADS] >= OVER_THREADS and mine["cpu"] <= CPU


def checkpoints(rounds: int, recipients: int) -> bool:
    """Print what checkpoints cost, turn by turn; tell whether that is little enough."""
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    memory = 0.0
    for _ in range(rounds):
        with subprocess.Popen(command("--emulate"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            *turns, last = run_lines("--end-to-end", recipients, given=server.stdout.readline())
            server.communicate()
        for turn in turns:
            found[turn.pop("side")].append(turn)
        memory = max(memory, last["memory"])
    print(
        f"\n{recipients:,} recipients end to end on the emulator, from files of {TURN:,}, 50 in flight,"
        f" with checkpoints and without by turns; {rounds} rounds, {memory:.0f} MB"
    )
    print(f"{'':24}{'seconds':>9}{'of it checks':>14}{'messages/s':>12}{'CPU ms':>8}")
    for word, kept in found.items():
        seconds, checked, cpu = (sum(turn[name] for turn in kept) / rounds for name in ("seconds", "checked", "cpu"))
        print(
            f"{word + ' checkpoints':24}{seconds:9.1f}{checked:14.1f}{recipients / seconds:12,.0f}"
            f"{1000 * cpu / recipients:8.2f}"
        )
    slower: list[float] = [one["seconds"] / other["seconds"] - 1 for other, one in zip(*found.values(), strict=True)]
    low, cost, high = quantiles(slower, n=4)
    print(
        f"\ncheckpoints cost {cost:+.1%} of the time, the median of {len(slower)} turns (half of them {low:+.1%} to"
        f" {high:+.1%}; to reach: {COST:.0%})"
    )
    return cost <= COST


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
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(ToTheMoment())) as runner:
            runner.run(slow())
    elif options.emulate:
        emulate()
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
