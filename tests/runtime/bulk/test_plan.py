"""The message of each row. Most rows are built from a template, which must give the same message as a full build."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.runtime.bulk.plan import FAULTY, SENT, MessagePlan, preflight

SETTINGS = Settings("AC" + "a" * 32, Basic("AC" + "a" * 32, "token"), allowed_recipients=("+1415", "+43", "whatsapp:*"))
SENDER = "+15005550006"
SERVICE = "MG" + "c" * 32
IMAGE = "https://example.com/a.png"
SHARED: dict[str, dict[str, Any]] = {
    "shared body": {"from_": SENDER, "body": "Hi"},
    "body with a placeholder": {"from_": SENDER, "body": "Hi {name}"},
    "media and a possibly empty body": {"from_": SENDER, "body": "{name}", "media_url": IMAGE},
    "media, and a body in some rows": {"from_": SENDER, "media_url": IMAGE},
    "content template": {"from_": SENDER, "content_sid": "HX" + "b" * 32},
    "options": {"messaging_service_sid": SERVICE, "body": "{name}", "max_segments": 1, "smart_encoded": True},
}
OVERRIDES: list[dict[str, Any]] = [
    {"name": "Zoë"},
    {"name": "Bob"},
    {"name": ""},
    {"name": "x" * 200},
    {"name": "x" * 1601},
    {"name": "“Bob” & co."},
    {"name": "", "body": "an override"},
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
ROWS = [{"to": f"+1415555{1000 + number}", **override} for number, override in enumerate(OVERRIDES)]


@pytest.mark.parametrize("on_missing", ["invalid", "empty"])
@pytest.mark.parametrize("shared", SHARED)
def test_plan_of_a_row_is_the_same_alone_and_after_other_rows(shared: str, on_missing: Any):
    for row in ROWS:
        (alone,) = MessagePlan(SHARED[shared], SETTINGS, on_missing=on_missing)([row])
        others = [other for other in ROWS if other is not row]
        for earlier in ([other] for other in others), [others]:
            for rows in earlier:
                *_, after = MessagePlan(SHARED[shared], SETTINGS, on_missing=on_missing)([*rows, row])
                assert after.request == alone.request
                assert (after.to, after.segments, str(after.fault)) == (alone.to, alone.segments, str(alone.fault))


@pytest.mark.parametrize("on_missing", ["invalid", "empty"])
@pytest.mark.parametrize("shared", SHARED)
async def test_plan_items_are_those_that_preflight_accepted(shared: str, on_missing: Any):
    plan = MessagePlan(SHARED[shared], SETTINGS, on_missing=on_missing)
    checked = preflight(plan(ROWS))
    items = [item async for item in plan.items(ROWS, checked.verdicts)]
    assert [item.key for item in items] == [n for n, verdict in enumerate(checked.verdicts, 1) if verdict == SENT]
    assert sum(item.weight for item in items) == checked.segments
    assert {SENT, FAULTY} <= set(checked.verdicts)
    results = [(message.number, message.fault is None) for message in plan(ROWS, checked.verdicts)]
    assert results == [(n, verdict != FAULTY) for n, verdict in enumerate(checked.verdicts, 1)]


@pytest.mark.parametrize("body", [["a"], ["a", "b"], 5])
def test_plan_rejects_a_body_that_is_no_string(body: Any):
    (planned,) = MessagePlan({"from_": SENDER}, SETTINGS)([{"to": "+14155550100", "body": body}])
    assert planned.request is None
    assert str(planned.fault).startswith(f"body is of type {type(body).__name__}")
