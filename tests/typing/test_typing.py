"""Type checkers infer the types that the hook returns, and reject invalid calls."""

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

INVALID_EXPRESSIONS = (
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
INVALID_USES = """

async def invalid(hook: TwilioHook) -> None:
    async with hook.aclient() as client:
""" + "".join(f"        _ = {line}\n" for line in INVALID_EXPRESSIONS)


def lines_rejected_by_mypy(file: Path) -> list[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.stderr == ""
    lines = [re.fullmatch(r".*uses_hook\.py:(\d+): error: .*", line) for line in completed.stdout.splitlines()]
    return [int(line[1]) for line in lines if line]


def lines_rejected_by_pyright(file: Path) -> list[int]:
    pyright = shutil.which("pyright", path=Path(sys.executable).parent)
    if pyright is None:
        pytest.skip("pyright is not installed")
    settings = {"include": [file.name], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [pyright, "--pythonpath", sys.executable, "--outputjson", "--project", str(file.parent)]
    completed = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    try:
        report = json.loads(completed.stdout)
    except ValueError:  # pyright's Python package downloads pyright, and Node.js if missing
        pytest.skip(f"pyright does not run here: {(completed.stdout + completed.stderr).strip()[-200:]}")
    assert report["summary"]["filesAnalyzed"] == 1
    errors = [error for error in report["generalDiagnostics"] if error["severity"] == "error"]
    return [error["range"]["start"]["line"] + 1 for error in errors]


@pytest.mark.parametrize("rejected_lines", [lines_rejected_by_mypy, lines_rejected_by_pyright])
def test_type_checkers_accept_valid_uses_and_reject_invalid_ones(rejected_lines, tmp_path):
    file = tmp_path / "uses_hook.py"
    file.write_text(USES + INVALID_USES)
    first = len((USES + INVALID_USES).splitlines()) - len(INVALID_EXPRESSIONS) + 1
    assert sorted(set(rejected_lines(file))) == list(range(first, first + len(INVALID_EXPRESSIONS)))
