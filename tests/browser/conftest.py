"""Fixtures of the browser tests: a real Chromium and an emulator (``make test-browser``).

Playwright drives the system's Chromium. If there is none, root installs it with apt-get. For other users the tests are
skipped with a reason.
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
"""A page of Playwright, which only these tests install."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the screenshots in docs/images again")


@pytest.fixture(scope="session")
def playwright_api() -> Any:
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed: run make test-browser")


@pytest.fixture(scope="session")
def chromium(playwright_api: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of Chromium, and install it if necessary.

    A lock serializes the processes of pytest-xdist, since apt-get cannot run twice at once.
    """
    with (tmp_path_factory.getbasetemp().parent / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (path := _find_chromium()) is not None:
            return path
        if not shutil.which("apt-get") or os.geteuid() != 0:
            pytest.skip("Chromium is not installed, and only root can install it with apt-get")
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", "-qq", *command], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"Chromium is not installed, and apt-get {command[0]} failed: {done.stderr.strip()[-300:]}")
        if (path := _find_chromium()) is not None:
            return path
    pytest.skip("apt-get installed no Chromium")


def _find_chromium() -> str | None:
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
def open_inbox(browser: Any, emulator: Emulator) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the inbox in a new browser context.

    The fixture fails the test at its end if a page logged an error or sent a request to another server. Pass
    ``allow_rejections=True`` if the emulator is expected to reject a request.
    """
    problems: list[str] = []
    contexts = []

    def check_request(request: Any) -> None:
        if not request.url.startswith(emulator.url):
            problems.append(request.url)

    def dismiss(dialog: Any) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open_inbox(path: str = "/", *, allow_rejections: bool = False, **options: Any) -> Page:
        def check_console(message: Any) -> None:
            allowed = allow_rejections and "Failed to load resource" in message.text
            if message.type in ("error", "warning") and not allowed:
                problems.append(message.text)

        options.setdefault("viewport", {"width": 1400, "height": 860})
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("console", check_console)
        page.on("dialog", dismiss)
        page.on("request", check_request)
        page.goto(emulator.url + path)
        return page

    yield open_inbox
    for context in contexts:
        context.close()
    assert problems == []
