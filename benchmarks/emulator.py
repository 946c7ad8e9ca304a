"""Measure the emulator on one core, and compare it with a Prism mock.

The mock serves Twilio's description.

    python benchmarks/emulator.py [--seconds 5] [--messages 100000] [--in-flight 16]

The same load generator measures both in one run. The server has one core, and the generator another. The output is
Markdown: requests per second of elapsed time and of the server's CPU time (which other processes hardly affect), the
resident memory with a number of messages, and the latency of typical requests at that size. The targets apply to the
CPU time. Without Node.js, the benchmark leaves Prism out.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from airflow_provider_twilio.emulator import Emulator
from scripts.prism import Prism, PrismUnavailable, patched_description, prism_command

MIN_RATE, MAX_START, MAX_MEMORY, MAX_PAGE_TIME = 1500.0, 1.0, 300.0, 30.0
"""Targets: requests per CPU second, CPU seconds of the start, MB of memory, and milliseconds of a large page."""
CREATE = b"To=%%2B1415555%04d&From=%%2B15005550006&Body=Your+order+%d+is+on+its+way"
ACCOUNT_PATH = f"/2010-04-01/Accounts/{Emulator.account_sid}"
SECRET = b64encode(f"{Emulator.account_sid}:{Emulator.auth_token}".encode()).decode()

RequestFactory = Callable[[], bytes]


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return an encoded HTTP request."""
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {SECRET}\r\n{form}\r\n"
    return head.encode() + body


def create_requests(numbers: Iterator[int]) -> RequestFactory:
    def make() -> bytes:
        number = next(numbers)
        return request("POST", f"{ACCOUNT_PATH}/Messages.json", CREATE % (number % 10_000, number))

    return make


def repeat_request(request: bytes) -> RequestFactory:
    return lambda: request


def is_complete(response: bytes) -> bool:
    """Return whether a response has been received completely."""
    head, gap, body = response.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def load(port: int, make: RequestFactory, in_flight: int, is_done: Callable[[int], bool], status: bytes) -> int:
    """Send concurrent requests until ``is_done``, and return their number."""
    done = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(in_flight):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(make())
            selector.register(connection, selectors.EVENT_READ, bytearray())
        while not is_done(done):
            for key, _ in selector.select(1):
                client, response = key.fileobj, key.data
                assert isinstance(client, socket.socket)
                chunk = client.recv(1 << 20)
                if not chunk:
                    raise SystemExit("the server closed a connection")
                response += chunk
                if is_complete(response):
                    if not response.startswith(b"HTTP/1.1 " + status):
                        raise SystemExit(f"unexpected response instead of {status.decode()}: {bytes(response[:500])!r}")
                    done += 1
                    response.clear()
                    if is_done(done):
                        break
                    client.sendall(make())
        for key in list(selector.get_map().values()):
            selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return done


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure_rate(
    port: int, pid: int, make: RequestFactory, status: bytes, seconds: float, in_flight: int
) -> tuple[float, float]:
    """Return requests per second, and requests per CPU second."""
    load(port, make, 1, lambda done: done >= 3, status)
    started, cpu_started = time.perf_counter(), cpu_seconds(pid)
    done = load(port, make, in_flight, lambda done: done >= 50 and time.perf_counter() - started > seconds, status)
    return done / (time.perf_counter() - started), done / max(cpu_seconds(pid) - cpu_started, 0.01)


def measure_latency(port: int, pid: int, encoded: bytes, rounds: int = 21) -> tuple[float, float]:
    """Return the median time of sequential requests, and the CPU time of one, in milliseconds."""
    times, cpu_started = [], cpu_seconds(pid)
    for _ in range(rounds):
        started = time.perf_counter()
        load(port, lambda: encoded, 1, lambda done: done == 1, b"200")
        times.append((time.perf_counter() - started) * 1000)
    return median(times), (cpu_seconds(pid) - cpu_started) * 1000 / rounds


def pin_to_cores(pid: int) -> None:
    """Pin the server to one core, and this process to the others."""
    cores = sorted(os.sched_getaffinity(0))
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores[:1])
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=16)
    options = parser.parse_args()
    interpreter = min(_seconds([sys.executable, "-c", "pass"]) for _ in range(3))
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            ready = time.perf_counter() - started - interpreter
            return report(int(line.rpartition(":")[2]), server.pid, (ready, cpu_seconds(server.pid)), options)
        finally:
            server.terminate()


def report(port: int, pid: int, ready: tuple[float, float], options: argparse.Namespace) -> int:
    pin_to_cores(pid)
    numbers, empty = count(), resident_memory(pid)
    rates = {"create": measure_rate(port, pid, create_requests(numbers), b"201", options.seconds, options.in_flight)}
    sent = next(numbers)
    load(port, create_requests(numbers), options.in_flight, lambda done: sent + done >= options.messages, b"201")
    full = resident_memory(pid)
    page = request("GET", f"{ACCOUNT_PATH}/Messages.json?PageSize=1000")
    by_recipient = request("GET", f"{ACCOUNT_PATH}/Messages.json?To=%2B14155550007&PageSize=50")
    by_unknown = request("GET", f"{ACCOUNT_PATH}/Messages.json?To=%2B442079460000")
    sid = _first_sid(port)
    requests = {
        "fetch": request("GET", f"{ACCOUNT_PATH}/Messages/{sid}.json"),
        "list, 50 per page": request("GET", f"{ACCOUNT_PATH}/Messages.json?PageSize=50"),
    }
    for name, encoded in requests.items():
        rates[name] = measure_rate(port, pid, repeat_request(encoded), b"200", options.seconds, options.in_flight)
    times = {
        "a page of 1000": measure_latency(port, pid, page),
        "a list by To": measure_latency(port, pid, by_recipient),
        "a list by an unknown To": measure_latency(port, pid, by_unknown),
        "the balance": measure_latency(port, pid, request("GET", f"{ACCOUNT_PATH}/Balance.json")),
    }
    prism_rates: dict[str, tuple[float, float]] = {}
    try:
        with Prism(prism_command(), "mock", patched_description()) as mock:
            pin_to_cores(mock.pid)
            for name, make, status in (
                ("create", create_requests(count()), b"201"),
                *((name, repeat_request(encoded), b"200") for name, encoded in requests.items()),
            ):
                prism_rates[name] = measure_rate(mock.port, mock.pid, make, status, options.seconds, options.in_flight)
    except PrismUnavailable as error:
        print(f"Measured without Prism: {error}.\n")
    print("| requests per second | emulator | per CPU second | Prism mock | per CPU second | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (by_clock, by_cpu) in rates.items():
        prism_rate = prism_rates.get(name)
        comparison = (
            f"{prism_rate[0]:,.0f} | {prism_rate[1]:,.0f} | {by_cpu / prism_rate[1]:.0f} ×"
            if prism_rate
            else "– | – | –"
        )
        print(f"| {name} | {by_clock:,.0f} | {by_cpu:,.0f} | {comparison} |")
    print(f"\n| with {options.messages:,} messages | | target |\n|---|---:|---:|")
    print(f"| resident memory | {full:.0f} MB ({full - empty:.0f} MB for the messages) | {MAX_MEMORY:.0f} MB |")
    for name, (elapsed, used) in times.items():
        print(f"| {name} | {elapsed:.1f} ms, {used:.1f} of them CPU | {MAX_PAGE_TIME:.0f} ms |")
    print(f"| start, without the interpreter | {ready[0]:.2f} s, {ready[1]:.2f} of them CPU | {MAX_START:.0f} s |")
    slowest = min(by_cpu for by_cpu in (rates["create"][1], rates["fetch"][1]))
    print(f"\nCreates and fetches on one core: at least {slowest:,.0f} requests per second (target: {MIN_RATE:,.0f})")
    is_fast = slowest >= MIN_RATE and times["a page of 1000"][1] <= MAX_PAGE_TIME and ready[1] <= MAX_START
    return 0 if is_fast and full <= MAX_MEMORY else 1


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def _first_sid(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request("GET", f"{ACCOUNT_PATH}/Messages.json?PageSize=1"))
        response = b""
        while not is_complete(response):
            response += connection.recv(65_536)
    found = re.search(rb"SM[0-9a-f]{32}", response)
    if found is None:
        raise SystemExit("there is no message")
    return found[0].decode()


if __name__ == "__main__":
    sys.exit(main())
