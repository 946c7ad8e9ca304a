"""Tests of the link to Twilio's console: its URL, and when it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.links.twilio import TwilioLogLink, console_url

MESSAGE, MEDIA, CALL = "SM" + "0" * 32, "MM" + "0" * 32, "CA" + "0" * 32
SETTINGS: dict[str, Any] = {"account_sid": "AC" + "0" * 32, "auth": Basic("AC" + "0" * 32, "token")}


@pytest.mark.parametrize(
    ("options", "sid", "url"),
    [
        ({}, MESSAGE, f"https://www.twilio.com/console/sms/logs/{MESSAGE}"),
        ({}, MEDIA, f"https://www.twilio.com/console/sms/logs/{MEDIA}"),
        ({}, CALL, f"https://www.twilio.com/console/voice/calls/logs/{CALL}"),
        (
            {"region": "ie1", "edge": "dublin"},
            MESSAGE,
            f"https://www.twilio.com/console/sms/logs/{MESSAGE}?x-target-region=ie1",
        ),
        ({"base": "http://127.0.0.1:8765"}, CALL, f"http://127.0.0.1:8765/#{CALL}"),
        ({}, "AC" + "0" * 32, None),
        ({}, "", None),
    ],
)
def test_console_url_depends_on_sid_and_settings(options: dict[str, Any], sid: str, url: str | None):
    assert console_url(Settings(**SETTINGS, **options), sid) == url


def show(context: Any, settings: Settings, sid: str | None) -> None:
    TwilioLogLink.show(context, settings, sid)


class TaskInstance:
    def __init__(self) -> None:
        self.pushed: list[tuple[str, Any]] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append((key, value))


@pytest.mark.parametrize("sid", [MESSAGE, None, ""])
def test_link_show_pushes_url_to_xcom(sid: str | None):
    ti = TaskInstance()
    show({"ti": ti}, Settings(**SETTINGS), sid)
    expected = [(TwilioLogLink().xcom_key, f"https://www.twilio.com/console/sms/logs/{MESSAGE}")] if sid else []
    assert ti.pushed == expected


def test_link_show_without_task_instance_does_nothing():
    show({}, Settings(**SETTINGS), MESSAGE)
