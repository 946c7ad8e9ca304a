"""Tests of Airflow's web UI in a real Chromium: connection form, connection test, DAG run and extra link."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.connection_form import FIELDS, LABELS
from airflow_provider_twilio.emulator import Emulator, serve
from scripts.playground import connection_body
from tests.browser.conftest import IMAGES, Page
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
DAG = "twilio_send_and_wait"
WIDTH, HEIGHT = 1280, 800

Screenshot = Callable[..., None]


@pytest.fixture(scope="module")
def twilio() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(
    chromium: str, twilio: Emulator
) -> Iterator[Airflow]:  # depends on chromium to skip the start of Airflow without it
    with Airflow([ROOT / "example_dags"]) as running:
        connection = connection_body(twilio.connection_json)
        running.api("POST", "connections", {"connection_id": "twilio_default", **connection})
        running.api("POST", "connections", {"connection_id": "twilio_wrong", **connection, "password": "wrong"})
        yield running


@pytest.fixture
def open_airflow(browser: Any, airflow: Airflow) -> Iterator[Callable[[str], Page]]:
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
    context.set_default_timeout(60_000)

    def open_page(path: str) -> Page:
        page = context.new_page()
        page.goto(f"{airflow.url}/{path}")
        return page

    yield open_page
    context.close()


@pytest.fixture
def screenshot(pytestconfig: pytest.Config) -> Screenshot:
    """Return a function that checks a screenshot of the documentation.

    With ``--screenshots`` it takes the screenshot again, cropped to a height in pixels.
    """

    def screenshot(page: Page, name: str, height: int = HEIGHT) -> None:
        if pytestconfig.getoption("--screenshots"):
            page.wait_for_timeout(1500)  # until animations have ended
            page.screenshot(path=IMAGES / name, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        assert 10_000 < (IMAGES / name).stat().st_size < 250_000

    return screenshot


def row(page: Page, connection: str) -> Any:
    return page.get_by_role("row").filter(has_text=connection)


def form(page: Page) -> Any:
    """Open the form of twilio_default with its extra fields expanded."""
    row(page, "twilio_default").get_by_label("Edit Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Extra Fields", exact=True).click()
    dialog.locator(f"#element_{next(iter(FIELDS))}").wait_for()
    return dialog


def test_connection_form_shows_each_field(open_airflow: Callable[[str], Page], screenshot: Screenshot):
    dialog = form(open_airflow("connections"))
    labels = [text.strip(" *\n") for text in dialog.locator("label").all_inner_texts()]
    for label in [*LABELS.values(), *(field["label"] for field in FIELDS.values())]:
        assert label in labels
    screenshot(dialog.page, "connection-form.png")


def test_connection_form_choice_can_be_set_and_cleared(open_airflow: Callable[[str], Page], airflow: Airflow):
    def saved() -> Any:
        extra = airflow.api("GET", "connections/twilio_default")["extra"]
        return json.loads(extra or "{}").get("auth_type")

    for key, choice in (("Enter", "basic"), ("Delete", None)):
        page = open_airflow("connections")
        dialog = form(page)
        field = dialog.get_by_label(FIELDS["auth_type"]["label"])
        field.focus()
        if choice:
            field.press("ArrowDown")
            page.get_by_role("option").first.wait_for()
            assert page.get_by_role("option").all_inner_texts() == ["basic", "oauth"]
        field.press(key)
        dialog.get_by_role("button", name="Save").click()
        dialog.wait_for(state="hidden")
        assert saved() == choice


def test_connection_test_button_reports_success_and_failure(open_airflow: Callable[[str], Page], twilio: Emulator):
    page = open_airflow("connections")
    results = {}
    for connection in ("twilio_default", "twilio_wrong"):
        with page.expect_response("**/connections/test") as response:
            row(page, connection).get_by_label("Test Connection").click()
            page.mouse.move(0, 0)  # closes the tooltip, which covers the next row
        results[connection] = response.value.json()
    assert results["twilio_default"] == {
        "status": True,
        "message": f"Connected to account {twilio.account_sid} (active)",
    }
    assert not results["twilio_wrong"]["status"]
    page.get_by_text("Twilio does not accept the credentials").first.wait_for()


def test_twilio_log_link_opens_inbox_during_and_after_run(
    open_airflow: Callable[[str], Page], screenshot: Screenshot, airflow: Airflow, twilio: Emulator
):
    twilio.reset()
    twilio.clock.freeze()  # keeps the message queued
    run = airflow.trigger(DAG)
    airflow.wait_for_task(DAG, run, "wait", "deferred", timeout=180)
    (message,) = twilio.messages

    page = open_airflow(f"dags/{DAG}/runs/{run}/tasks/wait/details")
    page.get_by_text("Deferred").first.wait_for()
    link = page.get_by_role("link", name="Twilio log")
    link.wait_for()
    page.locator(f"[id='grid-{run}-wait']").first.wait_for()  # the grid shows the states later than the details
    screenshot(page, "twilio-log-link.png", 350)
    with page.context.expect_page() as opened:
        link.click()
    inbox = opened.value
    inbox.wait_for_selector(f"#{message['sid']}")
    assert inbox.url.startswith(twilio.url)

    twilio.clock.resume()
    twilio.clock.advance(60)
    assert airflow.wait(DAG, run, timeout=180).state == "success"
    for task in ("send", "wait"):
        page = open_airflow(f"dags/{DAG}/runs/{run}/tasks/{task}/details")
        url = page.get_by_role("link", name="Twilio log").get_attribute("href")
        assert url == f"{twilio.url}/#{message['sid']}"
    page = open_airflow(f"dags/{DAG}/runs/{run}")
    page.get_by_role("link", name="wait").first.wait_for()
    page.get_by_text("Success").first.wait_for()
    screenshot(page, "green-dag.png", 550)
