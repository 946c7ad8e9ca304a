"""docs/emulator.md lists exactly what exists.

Checked are magic numbers, faults, quirks, control routes and credentials.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from airflow_provider_twilio.emulator import Emulator, credentials, state
from airflow_provider_twilio.emulator.faults import Fault, Quirks
from airflow_provider_twilio.emulator.magic_numbers import (
    CALL_BEHAVIORS,
    CALL_REJECTIONS,
    MESSAGE_BEHAVIORS,
    MESSAGE_REJECTIONS,
)

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "emulator.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| `"]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_documentation_lists_every_magic_number():
    documented = {names(cell)[0]: rest for cell, *rest in rows(section("Test numbers"))}
    known = {**MESSAGE_BEHAVIORS, **MESSAGE_REJECTIONS, **CALL_BEHAVIORS, **CALL_REJECTIONS}
    assert list(documented) == list(known)
    for number, behavior in MESSAGE_BEHAVIORS.items():
        (words,) = documented[number]
        assert behavior.steps[-1][1] in words
        assert (str(behavior.error_code) in words) == (behavior.error_code is not None)
        assert (f"after {behavior.steps[-1][0]:g} s" in words) == (behavior.steps[-1][0] > 5)
    for number, (code, _, status) in (MESSAGE_REJECTIONS | CALL_REJECTIONS).items():
        http, meaning = documented[number]
        assert http == str(status)
        assert meaning.startswith(f"{code}: ")
    for number, call_behavior in CALL_BEHAVIORS.items():
        final_status, answered_by, _ = documented[number]
        assert final_status == call_behavior.final_status
        assert answered_by == (
            call_behavior.answered_by.replace("_", " ") if call_behavior.final_status == "completed" else "–"
        )


def test_documentation_lists_every_fault():
    documented = {name for cell, *_ in rows(section("Faults")) for name in names(cell)}
    assert documented == {field.name for field in fields(Fault)}


def test_documentation_lists_every_quirk():
    documented = [name for cell, *_ in rows(section("Quirks")) for name in names(cell)]
    assert sorted(documented) == sorted(Quirks.__slots__)


def test_documentation_lists_every_control_route(emulator: Emulator):
    documented = {route for cell, *_ in rows(section("The control API")) for route in names(cell)}
    assert documented == {" ".join(route) for route in emulator._application.control.routes}


def test_documentation_lists_credentials():
    documented = {names(row[0])[0]: row[1] for row in rows(section("Start the emulator"))}
    for sid, secret in (
        credentials.MAIN_KEY,
        credentials.STANDARD_KEY,
        credentials.RESTRICTED_KEY,
        credentials.OAUTH_CLIENT,
    ):
        assert documented[sid] == f"`{secret}`"
    assert credentials.TEST_ACCOUNT_SID in documented
    assert credentials.ACCOUNT_SID in TEXT
    assert state.FIRST_NUMBER in TEXT


def test_documentation_lists_options_of_exposed_emulator():
    exposure = TEXT.split("### Network access\n")[1].split("\n## ")[0]
    for option in ("--callbacks", "--credentials", 'callbacks="local"', 'credentials="fixed"'):
        assert option in exposure
    assert "169.254.169.254" in exposure
