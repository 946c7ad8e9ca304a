"""Usage operations: one set of filters for every period."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.usage import UsageRecord, UsageRecords

PERIODS: dict[str, str] = {
    "list": "",
    "daily": "/Daily",
    "monthly": "/Monthly",
    "yearly": "/Yearly",
    "today": "/Today",
    "yesterday": "/Yesterday",
    "this_month": "/ThisMonth",
    "last_month": "/LastMonth",
    "all_time": "/AllTime",
}


@pytest.mark.parametrize(("name", "path"), PERIODS.items())
def test_list_usage_of_each_period_accepts_the_same_filters(name: str, path: str):
    listed = getattr(UsageRecords, name)
    listing = listed(
        category="sms", start=date(2026, 1, 1), end="-1day", include_subaccounts=False, limit=5, page_size=2
    )
    assert listing.path == f"Usage/Records{path}.json"
    assert listing.data == (
        ("Category", "sms"),
        ("StartDate", "2026-01-01"),
        ("EndDate", "-1day"),
        ("IncludeSubaccounts", "false"),
    )
    assert (listing.limit, listing.page_size) == (5, 2)
    assert str(definition(listed)) == f"UsageRecords.{name}"
    assert (listed.__doc__ or "").startswith("List the usage ")
    assert ":param start: First day" in (listed.__doc__ or "")


@pytest.mark.parametrize("day", [date(2026, 1, 31), "2026-01-31", "-30days", "-1month", "+1day", "-1year", None, ""])
def test_list_usage_accepts_dates_and_offsets(day: Any):
    assert UsageRecords.daily(start=day, end=day).path == "Usage/Records/Daily.json"


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (
            datetime(2026, 1, 31, tzinfo=UTC),
            r"start is a datetime, but Twilio counts usage by day: pass a date, as in value.date\(\)",
        ),
        ("２０２６-01-31", "start is not a day"),
        ("2026-01-31T00:00:00Z", "start is not a day .*'2026-01-31', or an offset such as '-30days'"),
        ("30 days", "start is not a day"),
        (5, "start is not a day"),
    ],
)
def test_list_usage_rejects_invalid_days(day: Any, message: str):
    with pytest.raises(BadParameter, match=message):
        UsageRecords.daily(start=day)


def test_usage_record_parses_json_numbers_exactly():
    record = UsageRecord(price=0.07, usage="1.5", count="3", as_of="2026-01-31T08:00:00+00:00", start_date="2026-01-01")
    assert (str(record.price), record.usage, record.count) == ("0.07", Decimal("1.5"), Decimal(3))
    assert record.as_of == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert record.start_date == date(2026, 1, 1)
