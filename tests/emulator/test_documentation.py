"""docs/emulator.md names what there is: every number, fault, switch and way of the control API, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from airflow_provider_twilio.emulator import Emulator, magic, world
from airflow_provider_twilio.emulator.faults import Fault, Quirks

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "emulator.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| `"]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_number_and_what_becomes_of_it():
    said = {names(cell)[0]: rest for cell, *rest in rows(section("Test numbers"))}
    known = {**magic.DELIVERIES, **magic.REFUSALS, **magic.RINGS, **magic.CALL_REFUSALS}
    assert list(said) == list(known)
    for number, delivery in magic.DELIVERIES.items():
        (words,) = said[number]
        assert delivery.steps[-1][1] in words
        assert (str(delivery.error) in words) == (delivery.error is not None)
        assert (f"after {delivery.steps[-1][0]:g} s" in words) == (delivery.steps[-1][0] > 5)
    for number, (code, _, status) in (magic.REFUSALS | magic.CALL_REFUSALS).items():
        http, meaning = said[number]
        assert http == str(status)
        assert meaning.startswith(f"{code}: ")
    for number, ring in magic.RINGS.items():
        ends, answered, _ = said[number]
        assert ends == ring.ends
        assert answered == (ring.answered_by.replace("_", " ") if ring.ends == "completed" else "–")


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
    for sid, secret in (world.MAIN_KEY, world.STANDARD_KEY, world.RESTRICTED_KEY, world.OAUTH_CLIENT):
        assert said[sid] == f"`{secret}`"
    assert world.TEST_ACCOUNT_SID in said
    assert world.ACCOUNT_SID in TEXT
    assert world.FIRST_NUMBER in TEXT
