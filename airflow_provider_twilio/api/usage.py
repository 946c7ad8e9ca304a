"""Usage of the account by category and period: https://www.twilio.com/docs/usage/api/usage-record."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing
from airflow_provider_twilio.api.records import Field, Record
from airflow_provider_twilio.api.values import UNRESOLVED

P = ParamSpec("P")

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[+-][0-9]+(day|month|year)s?"


class UsageRecord(Record):
    """The usage of one category in one period. ``price`` is positive, in ``price_unit``."""

    sid_prefixes = ()

    account_sid = Field(str)
    category = Field(str)
    description = Field(str)
    start_date = Field(date)
    end_date = Field(date)
    count = Field(Decimal)
    count_unit = Field(str)
    usage = Field(Decimal)
    usage_unit = Field(str)
    price = Field(Decimal)
    price_unit = Field(str)
    as_of = Field(datetime)
    api_version = Field(str)
    uri = Field(str)
    subresource_uris = Field(dict)


def _by(base: listing[P, UsageRecord], period: str, summary: str) -> listing[P, UsageRecord]:
    """Return a copy of a list operation that divides the usage into other periods."""

    @wraps(base.definition.function)
    def by_period(*args: P.args, **kwargs: P.kwargs) -> Listing[UsageRecord]:
        skeleton: Listing[UsageRecord] = base.definition.function(*args, **kwargs)
        return skeleton.replace(path=f"Usage/Records/{period}.json")

    by_period.__name__ = re.sub(r"(?<!^)(?=[A-Z])", "_", period).lower()
    by_period.__qualname__ = f"UsageRecords.{by_period.__name__}"
    by_period.__doc__ = f"{summary}{(base.definition.function.__doc__ or '').partition('.')[2]}"
    return listing(by_period)


class UsageRecords(Resource[C_co]):
    """Operations on the account's usage: list, by category and period."""

    @listing
    @staticmethod
    def list(
        *,
        category: str | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        include_subaccounts: bool | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[UsageRecord]:
        """List the usage of a range of days, one record per category.

        :param category: Only this category, such as ``sms-outbound``. ``totalprice`` is the total of all categories.
        :param start: First day (UTC): a date, or an offset from today such as ``-30days``.
        :param end: Last day (UTC): a date, or an offset from today.
        :param include_subaccounts: Whether to include the usage of subaccounts. True by default.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/usage/api/usage-record#read-multiple-usagerecord-resources
        """
        _check_day("start", start)
        _check_day("end", end)
        return Listing("Usage/Records.json", UsageRecord, limit=limit, page_size=page_size)

    daily = _by(list, "Daily", "List the usage of a range of days by day.")
    monthly = _by(list, "Monthly", "List the usage of a range of days by month.")
    yearly = _by(list, "Yearly", "List the usage of a range of days by year.")
    today = _by(list, "Today", "List the usage of today.")
    yesterday = _by(list, "Yesterday", "List the usage of yesterday.")
    this_month = _by(list, "ThisMonth", "List the usage of this month.")
    last_month = _by(list, "LastMonth", "List the usage of last month.")
    all_time = _by(list, "AllTime", "List the usage since the account was opened.")


def _check_day(name: str, value: Any) -> None:
    """Require a day, or an offset from today, if set."""
    if not checks.is_set(value) or value is UNRESOLVED:
        return
    if isinstance(value, datetime):
        raise BadParameter(name, "is a datetime, but Twilio counts usage by day", "pass a date, as in value.date()")
    if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(_DAY, value)):
        return
    raise BadParameter(
        name, f"is not a day ({checks.describe(value)})", "pass a date, '2026-01-31', or an offset such as '-30days'"
    )
