"""Ask the emulator on one core, beside Prism's mock of Twilio's description, with the same load generator in one run.

    python benchmarks/emulator.py [--seconds 5] [--messages 100000] [--in-flight 16]

A server has one core, the generator another. Printed are requests a second, by the clock and by the server's CPU time
(which other work on the machine leaves alone), the resident memory with so many messages, and the milliseconds of
what a client does then; the figures to reach are judged by the CPU time. Prism needs Node; without it, it is left out,
and said so. The output is Markdown.
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
from scripts.prism import Missing, Prism, description, prism

RATE, READY, MEMORY, PAGE = 1500.0, 1.0, 300.0, 30.0
CREATE = b"To=%%2B1415555%04d&From=%%2B15005550006&Body=Your+order+%d+is+on+its+way"
OWN = f"/2010-04-01/Accounts/{Emulator.account_sid}"
SECRET = b64encode(f"{Emulator.account_sid}:{Emulator.auth_token}".encode()).decode()

Requests = Callable[[], bytes]


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Write a request."""
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {SECRET}\r\n{form}\r\n"
    return head.encode() + body


def creating(numbers: Iterator[int]) -> Requests:
    def make() -> bytes:
        number = next(numbers)
        return request("POST", f"{OWN}/Messages.json", CREATE % (number % 10_000, number))

    return make


def asking(asked: bytes) -> Requests:
    return lambda: asked


def complete(answer: bytes) -> bool:
    """Tell whether an answer has come to its end."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def load(port: int, make: Requests, in_flight: int, ends: Callable[[int], bool], status: bytes) -> int:
    """Keep so many requests in flight until it ends; give how many were answered."""
    done = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(in_flight):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(make())
            selector.register(connection, selectors.EVENT_READ, bytearray())
        while not ends(done):
            for key, _ in selector.select(1):
                held, answer = key.fileobj, key.data
                assert isinstance(held, socket.socket)
                chunk = held.recv(1 << 20)
                if not chunk:
                    raise SystemExit("the server closed a connection")
                answer += chunk
                if complete(answer):
                    if not answer.startswith(b"HTTP/1.1 " + status):
                        raise SystemExit(f"not answered with {status.decode()}: {bytes(answer[:500])!r}")
                    done += 1
                    answer.clear()
                    if ends(done):
                        break
                    held.sendall(make())
        for key in list(selector.get_map().values()):
            selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return done


def cpu(pid: int) -> float:
    """Give the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def rate(port: int, pid: int, make: Requests, status: bytes, seconds: float, in_flight: int) -> tuple[float, float]:
    """Give requests a second, and requests a CPU second."""
    load(port, make, 1, lambda done: done >= 3, status)
    began, used = time.perf_counter(), cpu(pid)
    done = load(port, make, in_flight, lambda done: done >= 50 and time.perf_counter() - began > seconds, status)
    return done / (time.perf_counter() - began), done / max(cpu(pid) - used, 0.01)


def milliseconds(port: int, pid: int, asked: bytes, rounds: int = 21) -> tuple[float, float]:
    """Give the median time of one request after the other, and the server's CPU time for one."""
    taken, used = [], cpu(pid)
    for _ in range(rounds):
        began = time.perf_counter()
        load(port, lambda: asked, 1, lambda done: done == 1, b"200")
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken), (cpu(pid) - used) * 1000 / rounds


def apart(pid: int) -> None:
    """Give the server and everything of it one core, and leave the others to the generator."""
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
    bare = min(_seconds([sys.executable, "-c", "pass"]) for _ in range(3))
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            ready = time.perf_counter() - began - bare
            return report(int(line.rpartition(":")[2]), server.pid, (ready, cpu(server.pid)), options)
        finally:
            server.terminate()


def report(port: int, pid: int, ready: tuple[float, float], options: argparse.Namespace) -> int:
    apart(pid)
    numbers, empty = count(), resident(pid)
    found = {"create": rate(port, pid, creating(numbers), b"201", options.seconds, options.in_flight)}
    sent = next(numbers)
    load(port, creating(numbers), options.in_flight, lambda done: sent + done >= options.messages, b"201")
    full = resident(pid)
    page = request("GET", f"{OWN}/Messages.json?PageSize=1000")
    sid = _first_sid(port)
    asks = {
        "fetch": request("GET", f"{OWN}/Messages/{sid}.json"),
        "list, 50 a page": request("GET", f"{OWN}/Messages.json?PageSize=50"),
    }
    for name, asked in asks.items():
        found[name] = rate(port, pid, asking(asked), b"200", options.seconds, options.in_flight)
    times = {
        "a page of 1000": milliseconds(port, pid, page),
        "a list by To": milliseconds(port, pid, request("GET", f"{OWN}/Messages.json?To=%2B14155550007&PageSize=50")),
        "a list by To of nobody": milliseconds(port, pid, request("GET", f"{OWN}/Messages.json?To=%2B442079460000")),
        "the balance": milliseconds(port, pid, request("GET", f"{OWN}/Balance.json")),
    }
    theirs: dict[str, tuple[float, float]] = {}
    try:
        with Prism(prism(), "mock", description()) as mock:
            apart(mock.pid)
            for name, make, status in (
                ("create", creating(count()), b"201"),
                *((name, asking(asked), b"200") for name, asked in asks.items()),
            ):
                theirs[name] = rate(mock.port, mock.pid, make, status, options.seconds, options.in_flight)
    except Missing as missing:
        print(f"Without Prism: {missing}.\n")
    print("| requests a second | emulator | a CPU second | Prism mock | a CPU second | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (by_clock, by_cpu) in found.items():
        other = theirs.get(name)
        beside = f"{other[0]:,.0f} | {other[1]:,.0f} | {by_cpu / other[1]:.0f} ×" if other else "– | – | –"
        print(f"| {name} | {by_clock:,.0f} | {by_cpu:,.0f} | {beside} |")
    print(f"\n| with {options.messages:,} messages | | to reach |\n|---|---:|---:|")
    print(f"| resident memory | {full:.0f} MB ({full - empty:.0f} MB theirs) | {MEMORY:.0f} MB |")
    for name, (taken, used) in times.items():
        print(f"| {name} | {taken:.1f} ms, {used:.1f} of them CPU | {PAGE:.0f} ms |")
    print(f"| ready after the interpreter | {ready[0]:.2f} s, {ready[1]:.2f} of them CPU | {READY:.0f} s |")
    slowest = min(by_cpu for by_cpu in (found["create"][1], found["fetch"][1]))
    print(f"\nOn one core {slowest:,.0f} requests a second at least, creating and fetching (to reach: {RATE:,.0f})")
    reached = slowest >= RATE and full <= MEMORY and times["a page of 1000"][1] <= PAGE and ready[1] <= READY
    return 0 if reached else 1


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _first_sid(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request("GET", f"{OWN}/Messages.json?PageSize=1"))
        answer = b""
        while not complete(answer):
            answer += connection.recv(65_536)
    found = re.search(rb"SM[0-9a-f]{32}", answer)
    if found is None:
        raise SystemExit("there is no message")
    return found[0].decode()


if __name__ == "__main__":
    sys.exit(main())
