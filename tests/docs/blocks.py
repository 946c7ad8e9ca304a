"""The code blocks of README, CONTRIBUTING and docs/, and how the tests run them.

A block is fenced, with its language, or indented, which means shell. Python code with imports is a complete file.
Python code without imports is a fragment: it is put into a DAG, and may use every public name of the package, common
names of Airflow, and a running `emulator`. The DAGs of a block are run, unless `<!-- only parsed: reason -->` precedes
it.
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
    """A code block, with its file and line."""

    file: Path
    line: int
    language: str
    text: str
    only_parsed: bool = False

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    @property
    def path(self) -> str | None:
        """The path of the file that the block shows, from a comment in its first line; None if it has none."""
        match = re.match(r"# ([\w/]+\.py)\n", self.text)
        return match and match[1]

    @property
    def is_complete(self) -> bool:
        """Whether the block is a complete Python file, rather than a fragment."""
        return re.search(r"^(from|import) ", self.text, re.MULTILINE) is not None


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all files in these languages."""
    return [block for file in FILES for block in blocks_of(file) if block.language in languages]


def blocks_of(file: Path) -> Iterator[Block]:
    """Yield the blocks of a file."""
    text = file.read_text()
    for match in FENCED.finditer(text):
        only_parsed = re.search(r"<!-- only parsed: .+ -->\n\n?\Z", text[: match.start()]) is not None
        yield Block(file, text.count("\n", 0, match.start()) + 1, match[1], match[2], only_parsed)
    rest = FENCED.sub(lambda match: "`" + "\n" * match[0].count("\n"), text)  # Keeps the line numbers.
    for match in INDENTED.finditer(rest):
        in_list = re.search(r"^[-*] [^\n]*\n\n?\Z", rest[: match.start()], re.MULTILINE)
        if not in_list:
            yield Block(file, rest.count("\n", 0, match.start()) + 1, "sh", textwrap.dedent(match[1]))


PREAMBLE = "from airflow.sdk import DAG\n\nfrom tests.docs.blocks import NAMES\n\nglobals().update(NAMES)\n"
"""Start of the file of a fragment. Airflow only parses files that mention Airflow and a DAG."""

NAMES: dict[str, Any] = {}
"""The names that fragments may use: see :func:`prepare`."""


def prepare(emulator: Emulator) -> dict[str, str]:
    """Fill :data:`NAMES`, and return environment variables with the connections that the blocks use.

    The connections point to the emulator, and supply a sender.
    """
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
    """Return the DAG file for a block of Python code."""
    preamble = "" if block.is_complete else PREAMBLE
    if "DAG(" in block.text:
        return preamble + block.text
    params = '{"account": emulator.account_sid}' if preamble else "{}"
    dag = f"with DAG({re.sub(r'[^a-z0-9]+', '_', str(block).lower())!r}, schedule=None, params={params}) as dag:\n"
    if block.is_complete:  # Its task functions are defined but not called.
        tasks = [entry.name for entry in ast.parse(block.text).body if isinstance(entry, ast.FunctionDef)]
        calls = "".join(f"    {name}()\n" for name in tasks)
        return block.text + (f"\nfrom airflow.sdk import DAG\n\n{dag}{calls}" if tasks else "")
    in_order = "if not any(entry.upstream_task_ids for entry in dag.tasks):\n    chain(*dag.tasks)\n"
    return f"{preamble}{dag}{textwrap.indent(block.text, '    ')}{in_order}"
