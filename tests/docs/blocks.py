"""The code blocks of README, CONTRIBUTING and docs/, and how they are run.

A block is fenced and names its language, or is indented, which is shell. Python that imports what it needs stands for
itself. Python that doesn't is a piece of something: it finds every public name of the package, the usual ones of
Airflow's and a running `emulator`, and stands in a DAG. Its DAGs are run, but where `<!-- only parsed: why -->`
stands before the block.
"""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, chain, task

from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
API_MODULES = ("request", "records", "listing", "messages", "calls", "phone_numbers", "accounts")
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)((?: {4}\S[^\n]*\n+)(?: {4}[^\n]*\n+)*)")


@dataclass(frozen=True)
class Block:
    """A block: where it stands, its language, and its text."""

    file: Path
    line: int
    language: str
    text: str
    only_parsed: bool = False

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    @property
    def path(self) -> str | None:
        """The file that a block is shown as, by the name in its first line."""
        found = re.match(r"# ([\w/]+\.py)\n", self.text)
        return found and found[1]

    @property
    def stands_for_itself(self) -> bool:
        return re.search(r"^(from|import) ", self.text, re.MULTILINE) is not None


def blocks(*languages: str) -> list[Block]:
    return [block for file in FILES for block in blocks_of(file) if block.language in languages]


def blocks_of(file: Path) -> Iterator[Block]:
    text = file.read_text()
    for found in FENCED.finditer(text):
        only_parsed = re.search(r"<!-- only parsed: .+ -->\n\n?\Z", text[: found.start()]) is not None
        yield Block(file, text.count("\n", 0, found.start()) + 1, found[1], found[2], only_parsed)
    rest = FENCED.sub(lambda found: "`" + "\n" * found[0].count("\n"), text)  # what is indented in there is no block
    for found in INDENTED.finditer(rest):
        if not re.search(r"^[-*] [^\n]*\n\n?\Z", rest[: found.start()], re.MULTILINE):  # nor what continues a list
            yield Block(file, rest.count("\n", 0, found.start()) + 1, "sh", textwrap.dedent(found[1]))


HEAD = "from airflow.sdk import DAG\n\nfrom tests.docs.blocks import NAMES\n\nglobals().update(NAMES)\n"
"""What a piece of code is given; Airflow takes only files for DAGs that speak of it."""

NAMES: dict[str, Any] = {}
"""What a piece of code may use: see :func:`prepare`."""


def prepare(emulator: Emulator) -> dict[str, str]:
    """Fill NAMES; give the environment in which the pages' connections lead to an emulator, with a usual sender."""
    info, package = get_provider_info(), "airflow_provider_twilio"
    modules = [
        module
        for section in ("hooks", "operators", "sensors", "triggers")
        for entry in info.get(section, ())
        for module in entry["python-modules"]
    ]
    modules += [entry["python-module"] for entry in info.get("transfers", ())]
    modules += [entry.rsplit(".", 1)[0] for entry in info.get("notifications", ())]
    modules += [f"{package}.retry_policy", f"{package}.emulator"]
    modules += [f"{package}.api.{name}" for name in API_MODULES]
    for module in modules:
        NAMES.update(vars(importlib.import_module(module)))
    NAMES.update(DAG=DAG, Asset=Asset, AssetWatcher=AssetWatcher, chain=chain, task=task, emulator=emulator)
    for name in [name for name in NAMES if name[0] == "_"]:
        del NAMES[name]
    uri = f"{emulator.connection_uri}/?from_=%2B15005550006"
    return {f"AIRFLOW_CONN_{name}": uri for name in ("TWILIO_DEFAULT", "TWILIO_US", "TWILIO_EU")}


def source(block: Block) -> str:
    """Make a DAG file of a block of Python, which leads to NAMES where the block imports nothing."""
    head = "" if block.stands_for_itself else HEAD
    if "DAG(" in block.text:
        return head + block.text
    params = '{"account": emulator.account_sid}' if head else "{}"
    dag = f"with DAG({re.sub(r'[^a-z0-9]+', '_', str(block).lower())!r}, schedule=None, params={params}) as dag:\n"
    if block.stands_for_itself:  # tasks that are only told of are called
        tasks = [entry.name for entry in ast.parse(block.text).body if isinstance(entry, ast.FunctionDef)]
        called = "".join(f"    {name}()\n" for name in tasks)
        return block.text + (f"\nfrom airflow.sdk import DAG\n\n{dag}{called}" if tasks else "")
    in_order = "if not any(entry.upstream_task_ids for entry in dag.tasks):\n    chain(*dag.tasks)\n"
    return f"{head}{dag}{textwrap.indent(block.text, '    ')}{in_order}"
