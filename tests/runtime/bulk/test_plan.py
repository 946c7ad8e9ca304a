"""A message for each row. Most rows take a short way, which must say the same as the long one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.runtime.bulk.plan import FAULTY, SENT, MessagePlan, preflight

SETTINGS = Settings("AC" + "a" * 32, Basic("AC" + "a" * 32, "token"), allowed_recipients=("+1415", "+43", "whatsapp:*"))
SENDER = "+15005550006"
SERVICE = "MG" + "c" * 32
PICTURE = "https://example.com/a.png"
SHARED: dict[str, dict[str, Any]] = {
    "one text for all": {"from_": SENDER, "body": "Hi"},
    "a text of each": {"from_": SENDER, "body": "Hi {name}"},
    "a picture, and perhaps a text": {"from_": SENDER, "body": "{name}", "media_url": PICTURE},
    "a picture, and a text of some": {"from_": SENDER, "media_url": PICTURE},
    "no text at all": {"from_": SENDER, "content_sid": "HX" + "b" * 32},
    "options": {"messaging_service_sid": SERVICE, "body": "{name}", "max_segments": 1, "smart_encoded": True},
}
OWN: list[dict[str, Any]] = [
    {"name": "Zoë"},
    {"name": "Bob"},
    {"name": ""},
    {"name": "x" * 200},
    {"name": "x" * 1601},
    {"name": "“Bob” & co."},
    {"name": "", "body": "of its own"},
    {"name": "Ann", "body": ""},
    {"name": "Ann", "body": "y" * 1601},
    {"name": "Ann", "body": "half \ud83d"},
    *({"name": "Ann", "body": body} for body in ([], ["a"], ["a", "b"], 5, True)),
    {"name": "Ann", "from_": "+15005550007"},
    *(
        {"name": "Ann", "to": to}
        for to in ("whatsapp:+14155550199", "+431234", "+1415:5550100", "+442079460958", "x", 5)
    ),
    {"name": "last"},
]
ROWS = [{"to": f"+1415555{1000 + number}", **own} for number, own in enumerate(OWN)]


@pytest.mark.parametrize("shared", SHARED)
def test_a_row_is_the_same_message_after_others_and_alone(shared: str):
    for row in ROWS:
        (alone,) = MessagePlan(SHARED[shared], SETTINGS)([row])
        others = [one for one in ROWS if one is not row]
        for before in ([one] for one in others), [others]:
            for some in before:
                *_, after = MessagePlan(SHARED[shared], SETTINGS)([*some, row])
                assert after.request == alone.request
                assert (after.to, after.segments, str(after.fault)) == (alone.to, alone.segments, str(alone.fault))


@pytest.mark.parametrize("shared", SHARED)
async def test_what_is_sent_is_what_was_found_fit_to_be_sent(shared: str):
    plan = MessagePlan(SHARED[shared], SETTINGS)
    found = preflight(plan(ROWS))
    items = [item async for item in plan.items(ROWS, found.verdicts)]
    assert [item.key for item in items] == [n for n, verdict in enumerate(found.verdicts, 1) if verdict == SENT]
    assert sum(item.weight for item in items) == found.segments
    assert {SENT, FAULTY} <= set(found.verdicts)
    told = [(one.number, one.fault is None) for one in plan(ROWS, found.verdicts)]
    assert told == [(n, verdict != FAULTY) for n, verdict in enumerate(found.verdicts, 1)]


@pytest.mark.parametrize("body", [["a"], ["a", "b"], 5])
def test_a_text_is_a_text(body: Any):
    (planned,) = MessagePlan({"from_": SENDER}, SETTINGS)([{"to": "+14155550100", "body": body}])
    assert planned.request is None
    assert str(planned.fault).startswith(f"body is of type {type(body).__name__}")
