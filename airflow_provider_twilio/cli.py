"""The provider's commands for Airflow's CLI: ``airflow twilio emulator`` (Airflow 3.2 or newer).

Airflow loads this module for every command, even for ``airflow --help``. It therefore imports only Airflow's own CLI.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.cli.cli_config import CLICommand


def get_twilio_cli_commands() -> list[CLICommand]:
    """Return the commands for Airflow's argument parser."""
    option: Any = Arg  # Arg is not annotated
    return [
        GroupCommand(
            name="twilio",
            help="Tools for Twilio development and tests",
            subcommands=[
                ActionCommand(
                    name="emulator",
                    help="Run the Twilio emulator with its inbox until Ctrl-C",
                    func=lazy_load_command("airflow_provider_twilio.cli.emulator"),
                    args=(
                        option(("--host",), help="Address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
                        option(
                            ("--port",),
                            help="Port to listen on, or 0 for a free port (default: 8765)",
                            type=int,
                            default=8765,
                        ),
                        option(
                            ("--speed",),
                            help="Speed of message and call lifecycles; 10 is ten times real time (default: 1)",
                            type=float,
                            default=1.0,
                        ),
                        option(
                            ("--fail",),
                            help="Add a fault: --fail 'status=503 n=2 method=GET path=Messages'",
                            action="append",
                            default=[],
                            metavar="FAULT",
                        ),
                        option(
                            ("--quirk",),
                            help="Set a quirk: --quirk list_lag=5 --quirk concurrency=10",
                            action="append",
                            default=[],
                            metavar="NAME=VALUE",
                        ),
                        option(
                            ("--verify",),
                            help="Verify a phone number: as a caller ID, and as a recipient with --quirk trial=true",
                            action="append",
                            default=[],
                            metavar="NUMBER",
                        ),
                        option(
                            ("--callbacks",),
                            help="Destinations of callbacks (default: local on a loopback address, none elsewhere)",
                            choices=("local", "any", "none"),
                        ),
                        option(
                            ("--credentials",),
                            help="The documented credentials, or new secrets (default: fixed on a loopback address, "
                            "random elsewhere)",
                            choices=("fixed", "random"),
                        ),
                    ),
                ),
            ],
        )
    ]


def emulator(arguments: Namespace) -> None:
    """Run the emulator as ``python -m airflow_provider_twilio.emulator`` does.

    :param arguments: Parsed options of the command.
    """
    from airflow_provider_twilio.emulator.__main__ import main

    options = [f"--{name}={getattr(arguments, name)}" for name in ("host", "port", "speed")]
    options += [f"--{name}={value}" for name in ("fail", "quirk", "verify") for value in getattr(arguments, name)]
    options += [f"--{name}={value}" for name in ("callbacks", "credentials") if (value := getattr(arguments, name))]
    sys.exit(main(options))
