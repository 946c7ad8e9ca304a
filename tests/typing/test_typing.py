"""Type checkers infer the types that the hook returns, and reject invalid calls of the hook and the operators."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

INVALID_HOOK_USES = (
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
INVALID_HOOK_FUNCTION = """
async def invalid(hook: TwilioHook) -> None:
    async with hook.aclient() as client:
"""
INVALID_OPERATOR_USES = (
    'SendMessageOperator(task_id="a", to="+14155550123", body="x", on_cler="skip")',
    'SendMessageOperator(task_id="a", to="+14155550123", body="x", on_clear="again")',
    'SendMessageOperator(task_id="a", to="+14155550123", body="x", trigger_rul="all_done")',
    'SendMessageOperator(task_id="a", to="+14155550123", body="x", retries="3")',
    'SendMessageOperator(task_id="a", body="x")',
    'CreateCallOperator(task_id="a", to="+14155550123", say="x", ring_timout=20)',
    'CreateCallOperator(task_id="a", to="+14155550123", say="x", retry_dely=60)',
    'SendMessagesOperator(task_id="a", recipients=["+14155550123"], body="x", max_failure=0.05)',
    'MessageDeliverySensor(task_id="a", message_sid="SM", poke_intervall=60)',
    'MessageDeliverySensor(task_id="a", message_sid="SM", mode="wait")',
    'TwilioNotifier(to="+14155550123", max_per_houre=5)',
    'TwilioNotifier(body="x")',
)
INVALID_OPERATOR_FUNCTION = """
def invalid() -> None:
    if TO:
"""


def lines_rejected_by_mypy(file: Path) -> list[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.stderr == ""
    pattern = rf".*{re.escape(file.name)}:(\d+): error: .*"
    matches = [re.fullmatch(pattern, line) for line in completed.stdout.splitlines()]
    return [int(match[1]) for match in matches if match]


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
@pytest.mark.parametrize(
    ("name", "function", "invalid_uses"),
    [
        ("uses_hook.py", INVALID_HOOK_FUNCTION, INVALID_HOOK_USES),
        ("uses_operators.py", INVALID_OPERATOR_FUNCTION, INVALID_OPERATOR_USES),
    ],
    ids=["hook", "operators"],
)
def test_type_checkers_accept_valid_uses_and_reject_invalid_ones(
    rejected_lines: Callable[[Path], list[int]], tmp_path: Path, name: str, function: str, invalid_uses: tuple[str, ...]
):
    valid = f"{Path(__file__).with_name(name).read_text()}\n{function}"
    file = tmp_path / name
    file.write_text(valid + "".join(f"        _ = {use}\n" for use in invalid_uses))
    first = len(valid.splitlines()) + 1
    assert sorted(set(rejected_lines(file))) == list(range(first, first + len(invalid_uses)))
