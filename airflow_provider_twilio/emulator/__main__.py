"""``python -m airflow_provider_twilio.emulator``: run an emulator until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.server import Emulator

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_CALLBACKS = {
    "local": "local addresses",
    "any": "any address",
    "none": "no address; switch them on with --callbacks local",
}


def main(argv: list[str] | None = None) -> int:
    """Print the address and the connection to use, and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_twilio.emulator", description="A stateful emulator of Twilio for offline work."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on, or 0 for a free one (default: 8765)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="seconds of a lifecycle that pass in one second (default: 1)"
    )
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="FAULT",
        help="inject a fault, with the arguments of fail_next: --fail 'status=503 n=2 method=GET path=Messages'",
    )
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a quirk: --quirk list_lag=5 --quirk concurrency=10",
    )
    parser.add_argument(
        "--verify",
        action="append",
        default=[],
        metavar="NUMBER",
        help="verify a number: the account may call from it, and reach it with --quirk trial=true",
    )
    parser.add_argument(
        "--callbacks",
        choices=("local", "any", "none"),
        help="destinations of callbacks (default: local on a loopback address, none elsewhere)",
    )
    parser.add_argument(
        "--credentials",
        choices=("fixed", "random"),
        help="the documented credentials, or new secrets (default: fixed on a loopback address, random elsewhere)",
    )
    options = parser.parse_args(argv)

    from airflow_provider_twilio.emulator.faults import parse_fault, parse_quirk
    from airflow_provider_twilio.emulator.server import serve

    try:
        faults = [parse_fault(text) for text in options.fail]
        quirks = [parse_quirk(text) for text in options.quirk]
    except ValueError as error:
        parser.error(str(error))
    # The signals stay blocked, in threads started later as well, until `sigwait` accepts one. A handler that sets an
    # Event could deadlock: it may run while the Event's `wait` holds the lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        emulator = serve(
            options.host, options.port, options.speed, callbacks=options.callbacks, credentials=options.credentials
        )
    except (OSError, OverflowError, ValueError) as error:
        print(f"cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for fault in faults:
        emulator.state.faults.add(fault)
    for quirk in quirks:
        emulator.quirks.set(**quirk)
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
        print(f"Sends from        {emulator.phone_number}")  # noqa: T201
        print(f"Callbacks to      {_CALLBACKS[emulator.quirks.callbacks]}", flush=True)  # noqa: T201
        if emulator.is_exposed:
            print(_warning(emulator), file=sys.stderr, flush=True)  # noqa: T201
        signal.sigwait(STOP_SIGNALS)
    return 0


def _warning(emulator: Emulator) -> str:
    """Return the warning of an emulator that other machines can reach."""
    warning = "Warning: other machines can reach this address, and read the inbox without credentials."
    if not emulator.has_random_credentials:
        warning += " The credentials are public."
    if emulator.quirks.callbacks != "none":
        warning += " With the credentials, callbacks let them read the web servers of this network."
    return warning


if __name__ == "__main__":
    sys.exit(main())
