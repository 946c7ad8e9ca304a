"""The description of a wait: its values are checked on construction."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.verdicts import Completion, Delivery
from airflow_provider_twilio.runtime.polling.approvals import ApprovalSpec
from airflow_provider_twilio.runtime.polling.spec import WaitSpec

SID = "SM" + "0" * 32


def test_wait_spec_accepts_plain_values():
    delivery = Delivery(accept_sent=True, sent_grace=600, resendable_codes=frozenset({30003}))
    spec = WaitSpec(SID, delivery, interval=30, deadline=2e9, not_before=1e9, created=1e9)
    assert spec.goal.sent_grace == 600
    assert WaitSpec("", Completion(("busy",), ("human",)), interval=0.1).deadline is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", datetime.now(UTC)),
        ("deadline", timedelta(hours=1)),
        ("deadline", math.inf),
        ("deadline", math.nan),
        ("not_before", "soon"),
        ("created", True),
        ("created", -1),
    ],
)
def test_wait_spec_time_of_other_type_raises(name: str, value: Any):
    with pytest.raises(BadParameter, match=name):
        WaitSpec(SID, Delivery(), interval=30, **{name: value})


@pytest.mark.parametrize("interval", [0, -1, "30", math.inf, None])
def test_wait_spec_bad_interval_raises(interval: Any):
    with pytest.raises(BadParameter, match="poll_interval"):
        WaitSpec(SID, Delivery(), interval=interval)


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        (Delivery(sent_grace="soon"), "sent_grace"),  # type: ignore[arg-type]
        (Delivery(sent_grace=math.inf), "sent_grace"),
        (Delivery(resendable_codes=frozenset({object()})), "resendable_codes"),  # type: ignore[arg-type]
        (Completion(answered_by=({"by": "human"},)), "answered_by"),  # type: ignore[arg-type]
    ],
)
def test_wait_spec_goal_with_other_values_raises(goal: Any, name: str):
    with pytest.raises(BadParameter, match=name):
        WaitSpec(SID, goal, interval=30)


@pytest.mark.parametrize(
    ("name", "value"), [("to", "phone"), ("deadline", "soon"), ("created", math.nan), ("interval", 0)]
)
def test_approval_spec_bad_value_raises(name: str, value: Any):
    values: dict[str, Any] = {"to": "+14155550100", "created": 1e9, "deadline": 2e9, name: value}
    with pytest.raises(BadParameter, match=name):
        ApprovalSpec(SID, **values)
