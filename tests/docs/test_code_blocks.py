"""Tests of every code block of README, CONTRIBUTING and docs/: see `blocks.py` for the format of blocks.

Python code is executed, and its DAGs are parsed. The targets, options and connections of shell commands are checked.
The slow test runs the DAGs, too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import Connection

from airflow_provider_twilio.client.settings import Settings
from airflow_provider_twilio.emulator import Emulator, serve
from tests.docs.blocks import FILES, ROOT, Block, blocks, blocks_of, prepare, source

IN_A_PROJECT = {"conftest.py", "tests/test_order_alert.py"}
"""Files that only run in a user's project, such as the one of tests/emulator/test_pytest_plugin.py."""
LANGUAGES = {"python", "sh", "json", "toml", "text"}
LOCK = ROOT / "requirements" / "airflow-3.3.txt"
SIDS = {f"{prefix}…": prefix + "0" * 32 for prefix in ("AC", "SK", "MG", "SM", "PN")}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve(speed=1000) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in prepare(running).items():
            patch.setenv(name, value)
        yield running


def test_blocks_name_a_known_language():
    for file in FILES:
        for block in blocks_of(file):
            assert block.language in LANGUAGES, f"{block}: set its language to one of {', '.join(sorted(LANGUAGES))}"
            if block.language == "text":
                # Output: see test_emulator_prints_the_documented_output, and `make bench`.
                assert block.file.name in ("emulator.md", "performance.md"), f"{block}: text blocks are not tested"
    assert len(blocks("python")) > 10
    assert len(blocks("sh")) > 8


# ---------------------------------------------------------------- Python


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_run(block: Block, emulator: Emulator):
    code = compile(source(block), str(block), "exec", dont_inherit=True)
    if block.path not in IN_A_PROJECT:
        try:
            exec(code, {"__name__": "block"})
        except RuntimeError as error:  # Raised before Airflow 3.3, as the page says.
            if "need Airflow 3.3" not in str(error):
                raise
            pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.real_airflow
def test_dags_of_python_blocks_succeed(tmp_path: Path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    env = inherited | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    (tmp_path / "dags").mkdir()
    for block in blocks("python"):
        if block.path not in IN_A_PROJECT and not block.only_parsed:
            name = f"{block.file.stem.replace('-', '_').lower()}_{block.line}.py"
            (tmp_path / "dags" / name).write_text(source(block))
    result = tmp_path / "result.json"
    for arguments in (["-m", "airflow", "db", "migrate"], [ROOT / "tests" / "docs" / "run_blocks.py", result]):
        process = subprocess.run(
            [sys.executable, *arguments],
            env=env,
            cwd=tmp_path,
            timeout=800,
            check=False,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout[-5000:] + process.stderr[-5000:]
    runs = json.loads(result.read_text())
    assert {"hello", "hello_taskflow", "first_message", "every_account"} <= runs.keys()
    assert {name: run["state"] for name, run in runs.items() if run["state"] != "success"} == {}
    assert (runs["hello"]["sent"], runs["hello_taskflow"]["sent"], runs["two_regions"]["sent"]) == (1, 1, 2)


# ---------------------------------------------------------------- shell


def commands(block: Block) -> list[list[str]]:
    """Split a block into commands, without comments and with optional arguments."""
    text = block.text.replace("\\\n", " ")
    text = re.sub(r"(^|\s)#\s.*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"\[(--[^\]]+)\]", r"\1", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    result: list[list[str]] = [[]]
    for token in lexer:
        if token.strip("\n"):
            result[-1].append(token)
        else:
            result.append([])
    return [command for command in result if command]


def check_make(arguments: list[str]) -> None:
    for target in arguments:
        if "=" not in target:
            assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def check_python(arguments: list[str]) -> None:
    if arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file()
        return
    module, *rest = arguments[1:]
    assert importlib.util.find_spec(module) is not None, module
    if options := [option for option in rest if option.startswith("-")]:
        help_text = subprocess.check_output([sys.executable, "-m", module, "--help"], text=True)
        for option in options:
            assert re.search(rf"{option}\b", help_text), f"python -m {module} has no {option}"


def check_airflow(arguments: list[str]) -> None:
    from airflow.cli import cli_parser

    cli_parser.get_parser().parse_args(arguments)


def check_export(arguments: list[str]) -> None:
    for assignment in arguments:
        name, _, value = assignment.partition("=")
        if name.startswith("AIRFLOW_CONN_"):
            check_connection(value)
        else:
            assert re.fullmatch(r"[A-Z_]+", name), name


def check_connection(value: str) -> None:
    """Check that a connection can be read, with SIDs in place of the page's placeholders."""
    for short, sid in SIDS.items():
        value = value.replace(short, sid)
    connection = (
        Connection.from_json(value, "example") if value.startswith("{") else Connection.from_uri(value, "example")
    )
    assert connection.conn_type == "twilio"
    Settings.from_connection(connection)


def check_curl(arguments: list[str], emulator: Emulator) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    changed = [argument.replace("http://127.0.0.1:8765", emulator.url) for argument in arguments]
    assert changed != arguments
    process = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "--noproxy", "*", *changed], check=False, capture_output=True
    )
    assert process.returncode == 0, process.stdout + process.stderr


def check_pip(arguments: list[str]) -> None:
    if arguments[1].startswith("apache-airflow"):
        locked = re.search(r"^apache-airflow==(\S+)", LOCK.read_text(), re.MULTILINE)
        assert locked is not None
        requirement, option, constraints = arguments[1:]
        assert (requirement, option) == (f"apache-airflow=={locked[1]}", "--constraint")
        assert re.search(rf"/constraints-{re.escape(locked[1])}/constraints-3\.1[1-3]\.txt$", constraints), constraints
        return
    for archive in arguments[1:]:
        assert re.fullmatch(r"dist/airflow_provider_twilio-\*\.whl", archive), archive  # test_wheel.py installs it


def check_activation(arguments: list[str]) -> None:
    assert re.fullmatch(r"[\w-]+/bin/activate", " ".join(arguments)), arguments


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_shell_blocks_use_existing_targets_and_options(block: Block, emulator: Emulator):
    for path, *arguments in commands(block):
        program = re.sub(r"^python3\.1[1-3]$", "python", path.removeprefix(".venv/bin/"))
        if program == "curl":
            check_curl(arguments, emulator)
            emulator.reset()
        else:
            check = {
                "make": check_make,
                "python": check_python,
                "airflow": check_airflow,
                "export": check_export,
                "pip": check_pip,
                ".": check_activation,
            }.get(program)
            assert check is not None, f"{block}: no check for {program}"
            check(arguments)


# ---------------------------------------------------------------- other languages


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_blocks_are_valid(block: Block):
    value = json.loads(block.text)
    if "conn_type" in value:
        check_connection(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_blocks_set_known_options(block: Block):
    for setting in tomllib.loads(block.text)["tool"]["pytest"]["ini_options"]:
        assert setting == "twilio_emulator_speed"


def test_emulator_prints_the_documented_output():
    (block,) = [block for block in blocks("text") if block.file.name == "emulator.md"]
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            process.terminate()  # Handled once all output is printed.
            printed = [first, *process.stdout]
        finally:
            process.kill()
    assert [line.split("  ")[0] for line in printed] == [line.split("  ")[0] for line in block.text.splitlines()]
