"""A message for each row: most take a short way, which must say the same as the long one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.bulk.plan import Plan
from airflow_provider_twilio.client.settings import Basic, Settings

ACCOUNT = "AC" + "a" * 32
SENDER = "+15005550006"
SHARED: dict[str, dict[str, Any]] = {
    "one text for all": {"from_": SENDER, "body": "Hi"},
    "a text of each": {"from_": SENDER, "body": "Hi {name}"},
    "a picture, and perhaps a text": {"from_": SENDER, "body": "{name}", "media_url": "https://example.com/a.png"},
    "a text of some": {"from_": SENDER, "media_url": "https://example.com/a.png"},
    "no text at all": {"from_": SENDER, "content_sid": "HX" + "b" * 32},
    "options": {"messaging_service_sid": "MG" + "c" * 32, "body": "{name}", "max_segments": 1, "smart_encoded": True},
}
ROWS = [
    {"name": "Zoë"},
    {"name": "Bob"},
    {"name": ""},
    {"name": "x" * 200},
    {"name": "x" * 1601},
    {"name": "“Bob” & co."},
    {"name": "", "body": "of its own"},
    {"name": "Ann", "body": ""},
    {"name": "Ann", "body": "y" * 1601},
    {"name": "Ann", "from_": "+15005550007"},
    {"name": "Ann", "to": "whatsapp:+14155550199"},
    {"name": "last"},
]


@pytest.mark.parametrize("shared", SHARED)
def test_a_row_is_the_same_message_after_others_and_alone(shared: str):
    settings = Settings(ACCOUNT, Basic(ACCOUNT, "token"), allowed_recipients=("+1415",))
    rows = [{"to": f"+1415555{1000 + number}", **row} for number, row in enumerate(ROWS)]
    rows.append({"to": "+442079460958", "name": "not allowed"})
    for row in rows:
        others = [one for one in rows if one is not row]
        (alone,) = Plan(SHARED[shared], settings)([row])
        for before in others[:1], others[2:3], others:
            *_, after = Plan(SHARED[shared], settings)([*before, row])
            assert after.request == alone.request
            assert (after.to, after.segments, str(after.fault)) == (alone.to, alone.segments, str(alone.fault))
