"""``airflow twilio emulator``: the commands that this provider adds to Airflow's, from Airflow 3.2 on.

Airflow loads this module for every command, ``airflow --help`` as well: it imports nothing but Airflow's own CLI.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.cli.cli_config import CLICommand


def get_twilio_cli_commands() -> list[CLICommand]:
    """Give the commands for Airflow's parser."""
    option: Any = Arg  # which has no types
    return [
        GroupCommand(
            name="twilio",
            help="Twilio for development and tests",
            subcommands=[
                ActionCommand(
                    name="emulator",
                    help="Run an emulated Twilio, with its inbox, until Ctrl-C",
                    func=lazy_load_command("airflow_provider_twilio.cli.emulator"),
                    args=(
                        option(("--host",), help="The address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
                        option(("--port",), help="0 for a free one (default: 8765)", type=int, default=8765),
                        option(
                            ("--speed",),
                            help="How many seconds of a lifecycle pass in one second (default: 1)",
                            type=float,
                            default=1.0,
                        ),
                        option(
                            ("--fail",),
                            help="Let requests go wrong: --fail 'status=503 n=2 method=GET path=Messages'",
                            action="append",
                            default=[],
                            metavar="FAULT",
                        ),
                        option(
                            ("--quirk",),
                            help="Set a switch: --quirk list_lag=5 --quirk concurrency=10",
                            action="append",
                            default=[],
                            metavar="NAME=VALUE",
                        ),
                        option(
                            ("--verify",),
                            help="A number that the account may call from, and reach with --quirk trial=true",
                            action="append",
                            default=[],
                            metavar="NUMBER",
                        ),
                    ),
                ),
            ],
        )
    ]


def emulator(arguments: Namespace) -> None:
    """Run the emulator as ``python -m airflow_provider_twilio.emulator`` does."""
    from airflow_provider_twilio.emulator.__main__ import main

    given = [f"--{name}={getattr(arguments, name)}" for name in ("host", "port", "speed")]
    given += [f"--{name}={text}" for name in ("fail", "quirk", "verify") for text in getattr(arguments, name)]
    sys.exit(main(given))
