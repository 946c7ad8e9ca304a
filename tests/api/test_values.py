"""Wire names and wire values of parameters."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.values import utc_text, wire_name, wire_value, wire_values
from tests.support.responses import first_page


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("to", "To"),
        ("from_", "From"),
        ("media_url", "MediaUrl"),
        ("date_sent_after", "DateSent>"),
        ("date_sent_before", "DateSent<"),
        ("start_time", "StartTime"),
        ("start", "StartDate"),
        ("end", "EndDate"),
        ("transfer_to_account_sid", "AccountSid"),
        ("async_amd", "AsyncAmd"),
        ("in_lata", "InLata"),
    ],
)
def test_wire_name_is_twilios_name(name: str, expected: str):
    assert wire_name(name) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("naïve ☃ 👍", "naïve ☃ 👍"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (415, "415"),
        (1.5, "1.5"),
        (0.0000001, "0.0000001"),
        (Decimal("0.0075"), "0.0075"),
        (Decimal("1E-7"), "0.0000001"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 8, 5, 9, 999, tzinfo=UTC), "2026-01-31T08:05:09Z"),
        (datetime(2026, 1, 31, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-30T19:00:00Z"),
        (datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")), "2026-07-01T16:00:00Z"),
        (pendulum.datetime(2026, 3, 29, 2, 30, tz="Europe/Berlin"), "2026-03-29T01:30:00Z"),
        ({"1": "Ärger", "n": None}, '{"1": "Ärger", "n": null}'),
    ],
)
def test_wire_value_formats_each_type(value: Any, expected: str):
    assert wire_value("x", value) == expected


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (datetime(2026, 1, 1), "send_at is a datetime without a time zone"),  # noqa: DTZ001
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), "send_at is out of range"),
        (b"bytes", "send_at is of type bytes"),
        ({"set"}, "send_at is of type set"),
        (object(), "send_at is of type object"),
        (float("nan"), "send_at is nan"),
        (Decimal("Infinity"), "send_at is Infinity"),
        ({"x": float("inf")}, "send_at contains a value that JSON cannot represent"),
        ({"x": {1, 2}}, "send_at contains a value that JSON cannot represent"),
        ("cut \ud83d", "send_at contains a lone surrogate at index 4"),
        ({"x": "\ud83d"}, "send_at contains a lone surrogate"),
    ],
)
def test_wire_value_names_the_invalid_parameter(value: Any, fault: str):
    with pytest.raises(BadParameter, match=fault):
        wire_value("send_at", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ([], []),
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        (("a", 1, True), ["a", "1", "true"]),
    ],
)
def test_wire_values_repeats_lists_and_omits_none(value: Any, expected: list[str]):
    assert wire_values("x", value) == expected


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
        ("2026-01-31 08:00:00+02:00", "2026-01-31T06:00:00Z"),
        ("2026-01-31T08:00:00.123456-05:00", "2026-01-31T13:00:00Z"),
        ("-30days", "-30days"),
    ],
)
def test_utc_text_converts_rendered_times(text: str, wire: str):
    assert utc_text("x", text) == wire
    assert first_page(Messages.list(date_sent_after=text)).get("DateSent>") == wire  # type: ignore[arg-type]


def test_utc_text_rejects_time_without_zone():
    with pytest.raises(BadParameter, match="date_sent_after is a datetime without a time zone"):
        Messages.list(date_sent_after="2026-01-31T08:00:00")  # type: ignore[arg-type]


@given(
    st.one_of(st.none(), st.text(), st.floats(), st.decimals(), st.dates(), st.datetimes(), st.binary(), st.integers())
)
def test_wire_values_returns_text_or_names_the_parameter(value: Any):
    try:
        texts = wire_values("name", value)
    except BadParameter as error:
        texts = [error.parameter]
        assert error.parameter == "name"  # noqa: PT017 (most values raise nothing)
    "".join(texts).encode()
