"""Every code block of README, CONTRIBUTING and docs/ is run: see `blocks.py` for what a block is.

Here Python is executed and its DAGs are parsed, and what a shell would do is checked: targets, options, connections.
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
"""Files that only a project of its own can run; tests/emulator/test_pytest_plugin.py makes that project."""
KINDS = {"python", "sh", "json", "toml", "text"}
LOCK = ROOT / "requirements" / "airflow-3.3.txt"
SIDS = {f"{kind}…": kind + "0" * 32 for kind in ("AC", "SK", "MG", "SM", "PN")}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serve(speed=1000) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in prepare(running).items():
            patch.setenv(name, value)
        yield running


def test_every_block_says_what_it_is():
    for file in FILES:
        for block in blocks_of(file):
            assert block.language in KINDS, f"{block}: name its language: {', '.join(sorted(KINDS))}"
            if block.language == "text":
                # what is printed: see test_what_the_emulator_prints, and `make bench`
                assert block.file.name in ("emulator.md", "performance.md"), f"{block}: text isn't run"
    assert len(blocks("python")) > 10
    assert len(blocks("sh")) > 8


# ---------------------------------------------------------------- Python


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python(block: Block, emulator: Emulator):
    code = compile(source(block), str(block), "exec", dont_inherit=True)
    if block.path not in IN_A_PROJECT:
        try:
            exec(code, {"__name__": "block"})
        except RuntimeError as error:  # which an older Airflow is told, as its page says
            if "needs Airflow 3.3" not in str(error):
                raise
            pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.real_airflow
def test_the_dags_run(tmp_path: Path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    env = kept | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    (tmp_path / "dags").mkdir()
    for block in blocks("python"):
        if block.path not in IN_A_PROJECT and not block.only_parsed:
            name = f"{block.file.stem.replace('-', '_').lower()}_{block.line}.py"
            (tmp_path / "dags" / name).write_text(source(block))
    result = tmp_path / "result.json"
    for arguments in (["-m", "airflow", "db", "migrate"], [ROOT / "tests" / "docs" / "run_blocks.py", result]):
        done = subprocess.run(
            [sys.executable, *arguments],
            env=env,
            cwd=tmp_path,
            timeout=800,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    ended = json.loads(result.read_text())
    assert {"hello", "hello_taskflow", "first_message", "every_account"} <= ended.keys()
    assert {name: run["state"] for name, run in ended.items() if run["state"] != "success"} == {}
    assert (ended["hello"]["sent"], ended["hello_taskflow"]["sent"], ended["two_regions"]["sent"]) == (1, 1, 2)


# ---------------------------------------------------------------- shell


def commands(block: Block) -> list[list[str]]:
    """Split a block into commands, without comments; what is optional counts as said."""
    text = block.text.replace("\\\n", " ")
    text = re.sub(r"(^|\s)#\s.*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"\[(--[^\]]+)\]", r"\1", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    found: list[list[str]] = [[]]
    for token in lexer:
        if token.strip("\n"):
            found[-1].append(token)
        else:
            found.append([])
    return [command for command in found if command]


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
        shown = subprocess.check_output([sys.executable, "-m", module, "--help"], text=True)
        for option in options:
            assert re.search(rf"{option}\b", shown), f"python -m {module} has no {option}"


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
    """See that the settings take it, with SIDs in place of what the page leaves to the reader."""
    for short, sid in SIDS.items():
        value = value.replace(short, sid)
    connection = Connection.from_json(value, "it") if value.startswith("{") else Connection.from_uri(value, "it")
    assert connection.conn_type == "twilio"
    Settings.from_connection(connection)


def check_curl(arguments: list[str], emulator: Emulator) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    said = [argument.replace("http://127.0.0.1:8765", emulator.url) for argument in arguments]
    assert said != arguments
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "--noproxy", "*", *said], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_pip(arguments: list[str]) -> None:
    if arguments[1].startswith("apache-airflow"):
        locked = re.search(r"^apache-airflow==(\S+)", LOCK.read_text(), re.MULTILINE)
        assert locked is not None
        what, option, constraints = arguments[1:]
        assert (what, option) == (f"apache-airflow=={locked[1]}", "--constraint")
        assert re.search(rf"/constraints-{re.escape(locked[1])}/constraints-3\.1[1-3]\.txt$", constraints), constraints
        return
    for archive in arguments[1:]:
        assert re.fullmatch(r"dist/airflow_provider_twilio-\*\.whl", archive), archive  # test_wheel.py installs it


def check_activation(arguments: list[str]) -> None:
    assert re.fullmatch(r"[\w-]+/bin/activate", " ".join(arguments)), arguments


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_shell(block: Block, emulator: Emulator):
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


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json(block: Block):
    value = json.loads(block.text)
    if "conn_type" in value:
        check_connection(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml(block: Block):
    for setting in tomllib.loads(block.text)["tool"]["pytest"]["ini_options"]:
        assert setting == "twilio_emulator_speed"


def test_what_the_emulator_prints():
    (block,) = [block for block in blocks("text") if block.file.name == "emulator.md"]
    command = [sys.executable, "-m", "airflow_provider_twilio.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            process.terminate()  # which it takes in when all is printed
            printed = [first, *process.stdout]
        finally:
            process.kill()
    assert [line.split("  ")[0] for line in printed] == [line.split("  ")[0] for line in block.text.splitlines()]
