"""Type checkers infer what the hook gives, and reject what it doesn't take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
USES = Path(__file__).with_name("uses_hook.py").read_text()

REFUSED = (
    'hook.messages.create(too="+14155550123", body="hello")',
    'hook.messages.create("+14155550123", body="hello")',
    'hook.messages.create(body="hello")',
    'hook.messages.create(to=1, body="hello")',
    'hook.messages.list(status="sent")',
    "hook.messages.fetch()",
    "hook.mesages",
    'Messages.create(to="+14155550123", boddy="hello")',
    'await client.messages.create(too="+14155550123", body="hello")',
    "[message for message in client.messages.list()]",
)
WRONG = """

async def wrong(hook: TwilioHook) -> None:
    async with hook.aclient() as client:
""" + "".join(f"        _ = {line}\n" for line in REFUSED)


def by_mypy(file: Path) -> list[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    lines = [re.fullmatch(r".*uses_hook\.py:(\d+): error: .*", line) for line in found.stdout.splitlines()]
    return [int(line[1]) for line in lines if line]


def by_pyright(file: Path) -> list[int]:
    pyright = shutil.which("pyright", path=Path(sys.executable).parent)
    if pyright is None:
        pytest.skip("pyright is not installed")
    settings = {"include": [file.name], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [pyright, "--pythonpath", sys.executable, "--outputjson", "--project", str(file.parent)]
    found = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    try:
        told = json.loads(found.stdout)
    except ValueError:  # its Python package fetches the program itself, and a Node.js where there is none
        pytest.skip(f"pyright does not run here: {(found.stdout + found.stderr).strip()[-200:]}")
    assert told["summary"]["filesAnalyzed"] == 1
    errors = [error for error in told["generalDiagnostics"] if error["severity"] == "error"]
    return [error["range"]["start"]["line"] + 1 for error in errors]


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_what_is_right_is_taken_and_what_is_wrong_is_rejected(check, tmp_path):
    file = tmp_path / "uses_hook.py"
    file.write_text(USES + WRONG)
    first = len((USES + WRONG).splitlines()) - len(REFUSED) + 1
    assert sorted(set(check(file))) == list(range(first, first + len(REFUSED)))
