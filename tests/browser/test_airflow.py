"""Airflow's web UI in a real Chromium: the connection form and its test, a run, its link to the emulator's inbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_twilio.connection_form import FIELDS, LABELS
from airflow_provider_twilio.emulator import Emulator, serve
from scripts.playground import body
from tests.browser.conftest import IMAGES, Page
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

ROOT = Path(__file__).resolve().parents[2]
DAG = "twilio_send_and_wait"
WIDTH, HEIGHT = 1280, 800

Picture = Callable[..., None]


@pytest.fixture(scope="module")
def twilio() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(chromium: str, twilio: Emulator) -> Iterator[Airflow]:  # none without a Chromium to look at it
    with Airflow([ROOT / "example_dags"]) as running:
        connection = body(twilio.connection_json)
        running.api("POST", "connections", {"connection_id": "twilio_default", **connection})
        running.api("POST", "connections", {"connection_id": "twilio_wrong", **connection, "password": "wrong"})
        yield running


@pytest.fixture
def show(browser: Any, airflow: Airflow) -> Iterator[Callable[[str], Page]]:
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
    context.set_default_timeout(60_000)

    def show(path: str) -> Page:
        page = context.new_page()
        page.goto(f"{airflow.url}/{path}")
        return page

    yield show
    context.close()


@pytest.fixture
def picture(pytestconfig: pytest.Config) -> Picture:
    """See that the documentation has a picture; with --screenshots take it anew, down to `height`."""

    def picture(page: Page, name: str, height: int = HEIGHT) -> None:
        if pytestconfig.getoption("--screenshots"):
            page.wait_for_timeout(1500)  # for what fades in
            page.screenshot(path=IMAGES / name, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        assert 10_000 < (IMAGES / name).stat().st_size < 250_000

    return picture


def row(page: Page, connection: str) -> Any:
    return page.get_by_role("row").filter(has_text=connection)


def form(page: Page) -> Any:
    """Open the form of twilio_default with all its fields."""
    row(page, "twilio_default").get_by_label("Edit Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Extra Fields", exact=True).click()
    dialog.locator(f"#element_{next(iter(FIELDS))}").wait_for()
    return dialog


def test_the_connection_form_shows_each_field(show: Callable[[str], Page], picture: Picture):
    dialog = form(show("connections"))
    labels = [text.strip(" *\n") for text in dialog.locator("label").all_inner_texts()]
    for label in [*LABELS.values(), *(field["label"] for field in FIELDS.values())]:
        assert label in labels
    picture(dialog.page, "connection-form.png")


def test_a_choice_can_be_made_and_taken_back(show: Callable[[str], Page], airflow: Airflow):
    def saved() -> Any:
        extra = airflow.api("GET", "connections/twilio_default")["extra"]
        return json.loads(extra or "{}").get("auth_type")

    for key, choice in (("Enter", "basic"), ("Delete", None)):
        page = show("connections")
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


def test_the_test_button_answers(show: Callable[[str], Page], twilio: Emulator):
    page = show("connections")
    told = {}
    for connection in ("twilio_default", "twilio_wrong"):
        with page.expect_response("**/connections/test") as answer:
            row(page, connection).get_by_label("Test Connection").click()
            page.mouse.move(0, 0)  # off its tooltip, which covers the next row
        told[connection] = answer.value.json()
    assert told["twilio_default"] == {"status": True, "message": f"Connected to account {twilio.account_sid} (active)"}
    assert not told["twilio_wrong"]["status"]
    page.get_by_text("Twilio does not accept the credentials").first.wait_for()


def test_a_run_leads_to_the_inbox_while_it_waits_and_after(
    show: Callable[[str], Page], picture: Picture, airflow: Airflow, twilio: Emulator
):
    twilio.reset()
    twilio.clock.freeze()  # the message stays queued
    run = airflow.trigger(DAG)
    airflow.wait_for_task(DAG, run, "wait", "deferred", timeout=180)
    (message,) = twilio.messages

    page = show(f"dags/{DAG}/runs/{run}/tasks/wait/details")
    page.get_by_text("Deferred").first.wait_for()
    link = page.get_by_role("link", name="Twilio log")
    link.wait_for()
    picture(page, "twilio-log-link.png", 350)
    with page.context.expect_page() as opened:
        link.click()
    inbox = opened.value
    inbox.wait_for_selector(f"#{message['sid']}")
    assert inbox.url.startswith(twilio.url)

    twilio.clock.resume()
    twilio.clock.advance(60)
    assert airflow.wait(DAG, run, timeout=180).state == "success"
    for task in ("send", "wait"):
        page = show(f"dags/{DAG}/runs/{run}/tasks/{task}/details")
        address = page.get_by_role("link", name="Twilio log").get_attribute("href")
        assert address == f"{twilio.url}/#{message['sid']}"
    page = show(f"dags/{DAG}/runs/{run}")
    page.get_by_role("link", name="wait").first.wait_for()
    page.get_by_text("Success").first.wait_for()
    picture(page, "green-dag.png", 550)


def test_what_an_operator_does_is_told_beside_its_task(show: Callable[[str], Page]):
    page = show(f"dags/{DAG}/tasks/send")
    page.get_by_role("button", name="Documentation").click()
    page.get_by_text("It is sent once, whatever is retried, killed or lost.").wait_for()
