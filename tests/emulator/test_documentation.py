"""docs/emulator.md names what there is: every number, fault, switch and way of the control API, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from airflow_provider_twilio.emulator import Emulator, state
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


def test_every_number_and_what_becomes_of_it():
    said = {names(cell)[0]: rest for cell, *rest in rows(section("Test numbers"))}
    known = {**MESSAGE_BEHAVIORS, **MESSAGE_REJECTIONS, **CALL_BEHAVIORS, **CALL_REJECTIONS}
    assert list(said) == list(known)
    for number, delivery in MESSAGE_BEHAVIORS.items():
        (words,) = said[number]
        assert delivery.steps[-1][1] in words
        assert (str(delivery.error_code) in words) == (delivery.error_code is not None)
        assert (f"after {delivery.steps[-1][0]:g} s" in words) == (delivery.steps[-1][0] > 5)
    for number, (code, _, status) in (MESSAGE_REJECTIONS | CALL_REJECTIONS).items():
        http, meaning = said[number]
        assert http == str(status)
        assert meaning.startswith(f"{code}: ")
    for number, ring in CALL_BEHAVIORS.items():
        ends, answered, _ = said[number]
        assert ends == ring.final_status
        assert answered == (ring.answered_by.replace("_", " ") if ring.final_status == "completed" else "–")


def test_every_fault():
    said = {name for cell, *_ in rows(section("Faults")) for name in names(cell)}
    assert said == {field.name for field in fields(Fault)}


def test_every_switch():
    said = [name for cell, *_ in rows(section("Quirks")) for name in names(cell)]
    assert sorted(said) == sorted(Quirks.__slots__)


def test_every_way_of_the_control_api(emulator: Emulator):
    said = {way for cell, *_ in rows(section("The control API")) for way in names(cell)}
    assert said == {" ".join(way) for way in emulator._application.control.routes}


def test_the_credentials():
    said = {names(row[0])[0]: row[1] for row in rows(section("Start the emulator"))}
    for sid, secret in (state.MAIN_KEY, state.STANDARD_KEY, state.RESTRICTED_KEY, state.OAUTH_CLIENT):
        assert said[sid] == f"`{secret}`"
    assert state.TEST_ACCOUNT_SID in said
    assert state.ACCOUNT_SID in TEXT
    assert state.FIRST_NUMBER in TEXT
