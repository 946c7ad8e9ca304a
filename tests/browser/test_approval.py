"""Test of the approval example in a real Airflow, with replies typed into the emulator's inbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_twilio.emulator import Emulator
from tests.browser.conftest import IMAGES, Page
from tests.real_airflow import Airflow

pytestmark = [pytest.mark.slow, pytest.mark.real_airflow]

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
PHONE = "+14155550142"
TIMEOUT = 240
"""Maximum duration of each wait for Airflow, in seconds."""


@pytest.fixture(scope="module")
def airflow(chromium: str, running: Emulator) -> Iterator[Airflow]:
    with Airflow([EXAMPLES], connections={"twilio_default": running.connection_uri}) as airflow:
        yield airflow


def test_approval_two_open_requests_are_answered_from_inbox(
    airflow: Airflow, emulator: Emulator, open_inbox: Callable[..., Page], pytestconfig: pytest.Config
):
    emulator.clock.resume()
    runs = []
    for name in ("drop", "keep"):
        runs.append(airflow.trigger("twilio_approval", run_id=name))
        airflow.wait_for_task("twilio_approval", name, "ask", "deferred", timeout=TIMEOUT)
    codes = {}
    for name in runs:
        link = airflow.api("GET", f"dags/twilio_approval/dagRuns/{name}/taskInstances/ask/links")["extra_links"]
        sid = link["Twilio log"].rpartition("#")[2]
        [body] = [message["body"] for message in emulator.messages if message["sid"] == sid]
        codes[name] = re.findall(r"YES (\d{8})", body)[0]
    assert codes["drop"] != codes["keep"]

    page = open_inbox(f"/?phone={quote(PHONE)}")
    for text in ("yes", f"No {codes['keep']}", f"Yes {codes['drop']}"):  # the first reply contains no code
        page.fill("#text", text)
        page.press("#text", "Enter")
        page.wait_for_function("() => document.querySelector('#text').value === ''")
        page.locator("article", has_text=text).first.wait_for()
    ended = {name: airflow.wait("twilio_approval", name, TIMEOUT) for name in runs}
    if pytestconfig.getoption("--screenshots"):
        page.screenshot(path=IMAGES / "approval.png")
    assert ended["drop"].tasks == {"ask": "success", "drop": "success", "keep": "skipped"}
    assert ended["keep"].tasks == {"ask": "success", "drop": "skipped", "keep": "success"}
    result = airflow.xcom("twilio_approval", "drop", "ask")
    assert (result["answer"], result["by"]) == ("yes", "+1415•••0142")
    assert "+1415•••0142" in airflow.xcom("twilio_approval", "drop", "drop")
    assert sum(message["to"] == PHONE for message in emulator.messages) == 2
