"""Where the link leads, and that it is there as soon as the SID is."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.links.twilio import TwilioLogLink, console_url

MESSAGE, MEDIA, CALL = "SM" + "0" * 32, "MM" + "0" * 32, "CA" + "0" * 32
SETTINGS: dict[str, Any] = {"account_sid": "AC" + "0" * 32, "auth": Basic("AC" + "0" * 32, "token")}


@pytest.mark.parametrize(
    ("options", "sid", "address"),
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
def test_the_address(options: dict[str, Any], sid: str, address: str | None):
    assert console_url(Settings(**SETTINGS, **options), sid) == address


def show(context: Any, settings: Settings, sid: str | None) -> None:
    TwilioLogLink.show(context, settings, sid)


class TaskInstance:
    def __init__(self) -> None:
        self.pushed: list[tuple[str, Any]] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append((key, value))


@pytest.mark.parametrize("sid", [MESSAGE, None, ""])
def test_it_is_kept_under_the_key_that_airflow_reads(sid: str | None):
    ti = TaskInstance()
    show({"ti": ti}, Settings(**SETTINGS), sid)
    kept = [(TwilioLogLink().xcom_key, f"https://www.twilio.com/console/sms/logs/{MESSAGE}")] if sid else []
    assert ti.pushed == kept


def test_a_context_without_a_task_instance_is_none_of_its_business():
    show({}, Settings(**SETTINGS), MESSAGE)
