"""``python -m airflow_provider_twilio.emulator``: run an emulator until it is told to end."""

from __future__ import annotations

import argparse
import signal
import sys
from ipaddress import ip_address

ENDS = {signal.SIGINT, signal.SIGTERM}


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; print where, and the connection to use."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_twilio.emulator", description="A stateful Twilio for offline work."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how many seconds of a lifecycle pass in one second (default: 1)"
    )
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="FAULT",
        help="let requests go wrong, by the arguments of fail_next: --fail 'status=503 n=2 method=GET path=Messages'",
    )
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a switch: --quirk list_lag=5 --quirk concurrency=10",
    )
    parser.add_argument(
        "--verify",
        action="append",
        default=[],
        metavar="NUMBER",
        help="a number that the account may call from, and reach with --quirk trial=true",
    )
    options = parser.parse_args(argv)

    from airflow_provider_twilio.emulator.faults import read_fault, read_quirk
    from airflow_provider_twilio.emulator.server import serve

    try:
        faults = [read_fault(text) for text in options.fail]
        quirks = [read_quirk(text) for text in options.quirk]
    except ValueError as error:
        parser.error(str(error))
    # Blocked, in threads that begin later as well, until `sigwait` asks for them. No handler that sets an Event: it may
    # run while the Event's `wait` holds its lock, and neither goes on.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        emulator = serve(options.host, options.port, options.speed)
    except (OSError, OverflowError, ValueError) as error:
        print(f"can't listen on {options.host}:{options.port}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for fault in faults:
        emulator.world.faults.add(fault)
    for switches in quirks:
        emulator.quirks.set(**switches)
    try:
        for number in options.verify:
            emulator.verify(number)
    except ValueError as error:
        parser.error(str(error))
    with emulator:
        print(f"Twilio emulator   {emulator.url}")  # noqa: T201
        print(f"Inbox             {emulator.url}/")  # noqa: T201
        print(f"Connection URI    {emulator.connection_uri}")  # noqa: T201
        print(f"Connection JSON   {emulator.connection_json}")  # noqa: T201
        print(f"Sends from        {emulator.phone_number}", flush=True)  # noqa: T201
        if not _loopback(options.host):
            print("Others can reach this address: it has known credentials.", file=sys.stderr, flush=True)  # noqa: T201
        signal.sigwait(ENDS)
    return 0


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
