"""A real Chromium that looks at an emulator: `make test-browser`.

Playwright drives the Chromium of the system. Where there is none, it is installed if that is possible (by root, with
apt), and the tests are skipped, saying why, if it isn't.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from airflow_provider_twilio.emulator import Emulator, serve

Page: TypeAlias = Any
"""A page of Playwright's, which is installed for these tests only."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the pictures in docs/images anew")


@pytest.fixture(scope="session")
def playwright_api() -> Any:
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser does it")


@pytest.fixture(scope="session")
def chromium(playwright_api: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Find a Chromium, or install one; processes that share the tests in turn, as apt wants it."""
    with (tmp_path_factory.getbasetemp().parent / "chromium.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if (path := _chromium()) is not None:
            return path
        if not shutil.which("apt-get") or os.geteuid() != 0:
            pytest.skip("there is no Chromium, and it can be installed only by root, with apt-get")
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", "-qq", *command], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"there is no Chromium, and apt-get {command[0]} failed: {done.stderr.strip()[-300:]}")
        if (path := _chromium()) is not None:
            return path
    pytest.skip("there is no Chromium, and apt-get has none")


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser(playwright_api: Any, chromium: str) -> Iterator[Any]:
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    running.reset()
    running.clock.freeze()
    return running


@pytest.fixture
def look(browser: Any, emulator: Emulator) -> Iterator[Callable[..., Page]]:
    """Open the inbox in a browser of its own. Errors, and requests to anywhere else, fail the test at its end.

    With ``refusals``, what the emulator refuses is no error.
    """
    wrong: list[str] = []
    contexts = []

    def note(what: str) -> None:
        wrong.append(what)

    def asked(request: Any) -> None:
        if not request.url.startswith(emulator.url):
            note(request.url)

    def dismiss(dialog: Any) -> None:
        note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def look(path: str = "/", *, refusals: bool = False, **options: Any) -> Page:
        def said(message: Any) -> None:
            refused = refusals and "Failed to load resource" in message.text
            if message.type in ("error", "warning") and not refused:
                note(message.text)

        options.setdefault("viewport", {"width": 1400, "height": 860})
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("pageerror", lambda error: note(f"error: {error}"))
        page.on("console", said)
        page.on("dialog", dismiss)
        page.on("request", asked)
        page.goto(emulator.url + path)
        return page

    yield look
    for context in contexts:
        context.close()
    assert wrong == []
