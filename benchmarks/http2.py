"""HTTP/2 compared with HTTP/1.1, over TLS, from threads that share a client: why the clients use HTTP/1.1.

    python benchmarks/http2.py [--rounds 25]

The server is Hypercorn in a process of its own, and takes 50 ms to respond. The blocking client uses `requests`;
`httpx` is a replacement that supports HTTP/2. "lost" counts the requests without a response: among them, a send would
have to be reconciled. When an HTTP/2 server closes a connection, all requests that share it are lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = (1, 20, 50)
RECORD = json.dumps({"sid": "SM" + "c" * 32, "account_sid": "AC" + "a" * 32, "status": "queued"}).encode()
FORM = b"To=%2B14155550100&From=%2B15005550006&Body=Your+order+is+on+its+way."
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


async def respond(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.05)
    length = (b"content-length", str(len(RECORD)).encode())
    await send({"type": "http.response.start", "status": 201, "headers": [length]})
    await send({"type": "http.response.body", "body": RECORD})


def serve(port: int, folder: str) -> None:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    config = Config()
    config.bind, config.loglevel = [f"127.0.0.1:{port}"], "CRITICAL"
    config.certfile, config.keyfile = f"{folder}/cert.pem", f"{folder}/key.pem"

    async def stdin_closed() -> None:
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(hypercorn(respond, config, shutdown_trigger=stdin_closed))


def sides(url: str, ca: str) -> dict[str, Callable[[], object]]:
    import httpx
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env, session.verify = False, ca
    session.mount("https://", HTTPAdapter(pool_maxsize=max(THREADS)))
    trust, limits = ssl.create_default_context(cafile=ca), httpx.Limits(max_connections=max(THREADS))
    http2 = httpx.Client(verify=trust, limits=limits, trust_env=False, http2=True)
    return {
        "requests, HTTP/1.1": lambda: session.post(url, data=FORM, headers=HEADERS).raise_for_status(),
        "httpx, HTTP/2": lambda: http2.post(url, content=FORM, headers=HEADERS).raise_for_status(),
    }


def measure(threads: int, send: Callable[[], object], rounds: int) -> tuple[float, float, int]:
    """Send a number of rounds in each thread. Return requests per second, CPU ms per request, and lost requests."""
    lost = 0

    def work(_: int) -> None:
        nonlocal lost
        try:
            send()
        except Exception:  # of either library: there is no response
            lost += 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        lost, count = 0, threads * rounds
        started_at, cpu = time.perf_counter(), time.process_time()
        list(pool.map(work, range(count)))
        seconds, cpu_seconds = time.perf_counter() - started_at, time.process_time() - cpu
    return count / seconds, 1000 * cpu_seconds / count, lost


def wait_until_ready(send: Callable[[], object]) -> None:
    for _ in range(100):
        try:
            send()
        except Exception:  # the server is starting
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the server did not start")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(int(options.serve[0]), options.serve[1])
        return 0
    import socket

    import trustme

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1")
        leaf.cert_chain_pems[0].write_to_path(f"{folder}/cert.pem")
        leaf.private_key_pem.write_to_path(f"{folder}/key.pem")
        authority.cert_pem.write_to_path(f"{folder}/ca.pem")
        command = [sys.executable, str(Path(__file__)), "--serve", str(port), folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            senders = sides(f"https://127.0.0.1:{port}/", f"{folder}/ca.pem")
            wait_until_ready(senders["requests, HTTP/1.1"])
            print(f"{'threads':>7} {'':20}{'requests/s':>11}{'CPU ms':>8}{'lost':>6}")
            for threads in THREADS:
                for name, send in senders.items():
                    rate, cpu, lost = measure(threads, send, options.rounds)
                    print(f"{threads:7} {name:20}{rate:11,.0f}{cpu:8.2f}{lost:6}", flush=True)
            server.communicate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
