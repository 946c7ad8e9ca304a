"""Usage of the account, by category and period: https://www.twilio.com/docs/usage/api/usage-record."""

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
    """Hold what was used of one category in one period. ``price`` is positive, in ``price_unit``."""

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


def _by(whole: listing[P, UsageRecord], period: str, summary: str) -> listing[P, UsageRecord]:
    """Give the same list with the same filters, cut into other periods."""

    @wraps(whole.definition.function)
    def cut(*args: P.args, **kwargs: P.kwargs) -> Listing[UsageRecord]:
        skeleton: Listing[UsageRecord] = whole.definition.function(*args, **kwargs)
        return skeleton.replace(path=f"Usage/Records/{period}.json")

    cut.__name__ = re.sub(r"(?<!^)(?=[A-Z])", "_", period).lower()
    cut.__qualname__ = f"UsageRecords.{cut.__name__}"
    cut.__doc__ = f"{summary}{(whole.definition.function.__doc__ or '').partition('.')[2]}"
    return listing(cut)


class UsageRecords(Resource[C_co]):
    """Read what the account has used, and what it cost."""

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
        """List the usage of the whole range, one record a category.

        :param category: only of this category, such as ``sms-outbound``; ``totalprice`` is what all cost together.
        :param start: the first day (UTC), or how far back it is: ``-30days``.
        :param end: the last day (UTC), or how far back it is.
        :param include_subaccounts: whether to count the subaccounts in (Twilio does by default).
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/usage/api/usage-record#read-multiple-usagerecord-resources
        """
        _day("start", start)
        _day("end", end)
        return Listing("Usage/Records.json", UsageRecord, limit=limit, page_size=page_size)

    daily = _by(list, "Daily", "List the usage of the range day by day.")
    monthly = _by(list, "Monthly", "List the usage of the range month by month.")
    yearly = _by(list, "Yearly", "List the usage of the range year by year.")
    today = _by(list, "Today", "List the usage of today.")
    yesterday = _by(list, "Yesterday", "List the usage of yesterday.")
    this_month = _by(list, "ThisMonth", "List the usage of this month.")
    last_month = _by(list, "LastMonth", "List the usage of last month.")
    all_time = _by(list, "AllTime", "List the usage since the account was opened.")


def _day(name: str, value: Any) -> None:
    """Require a day, or an offset from today, where one is given."""
    if not checks.is_set(value) or value is UNRESOLVED:
        return
    if isinstance(value, datetime):
        raise BadParameter(name, "is a time, and usage is counted by days", "give a day, as in value.date()")
    if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(_DAY, value)):
        return
    raise BadParameter(
        name, f"is not a day ({checks.describe(value)})", "give a date, '2026-01-31', or an offset such as '-30days'"
    )
