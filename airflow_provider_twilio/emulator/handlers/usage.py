"""Balance and usage records, computed from existing and deleted records.

https://www.twilio.com/docs/usage/api/usage-record and https://www.twilio.com/docs/usage/api/balance (for Balance)
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.pagination import page_body, page_parameters
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, not_found
from airflow_provider_twilio.emulator.state import START_BALANCE, State
from airflow_provider_twilio.emulator.usage_totals import Total, Totals, add

EPOCH = date(1970, 1, 1)
CATEGORIES: dict[str, tuple[str, str, str]] = {
    "calls": ("Voice Minutes", "calls", "minutes"),
    "calls-inbound": ("Inbound Voice Minutes", "calls", "minutes"),
    "calls-outbound": ("Outbound Voice Minutes", "calls", "minutes"),
    "channels": ("Channels", "messages", "messages"),
    "channels-messaging-inbound": ("Channels Messaging Inbound", "messages", "messages"),
    "channels-messaging-outbound": ("Channels Messaging Outbound", "messages", "messages"),
    "mms": ("MMS", "messages", "messages"),
    "mms-inbound": ("Inbound MMS", "messages", "messages"),
    "mms-outbound": ("Outbound MMS", "messages", "messages"),
    "phonenumbers": ("Phone Numbers", "numbers", "numbers"),
    "phonenumbers-local": ("Local Phone Numbers", "numbers", "numbers"),
    "phonenumbers-mobile": ("Mobile Phone Numbers", "numbers", "numbers"),
    "phonenumbers-tollfree": ("Toll Free Phone Numbers", "numbers", "numbers"),
    "recordings": ("Recordings", "recordings", "minutes"),
    "sms": ("SMS", "messages", "segments"),
    "sms-inbound": ("Inbound SMS", "messages", "segments"),
    "sms-outbound": ("Outbound SMS", "messages", "segments"),
    "totalprice": ("Total Price", "", "usd"),
}
"""The description, the unit of the count, and the unit of the usage of each category."""


def usage_of(account: Account, now: float) -> Totals:
    """Return the usage of an account by day and category."""
    totals = account.usage_totals.compute((account.messages, account.calls, account.recordings), now)
    for number in account.numbers:  # their rent never becomes final
        add(totals, number, now)
    return totals


def compute_balance(state: State, now: float) -> float:
    """Return the balance of the main account, which pays for all accounts."""
    spent = sum(total.price for account in state.accounts for total in usage_of(account, now).values())
    return START_BALANCE - spent


def fetch_balance(request: ApiRequest) -> Response:
    """Handle GET Balance, for a main account only."""
    if not request.account.is_main:
        raise not_found(request.path)
    balance = f"{compute_balance(request.state, request.now):.5f}".rstrip("0")
    whole, _, cents = balance.partition(".")
    return Response({"currency": "USD", "balance": f"{whole}.{cents:0<2}", "account_sid": request.account.sid})


# ---------------------------------------------------------------- usage records


def _date_of(day: int) -> date:
    return EPOCH + timedelta(days=day)


def _parse_date(request: ApiRequest, name: str, today: date) -> date | None:
    value = request.query.text(name)
    if value is None:
        return None
    try:
        if relative := re.fullmatch(r"([+-]?)([0-9]{1,5})days?", value):
            days = int(relative[2])
            return today + timedelta(days=days if relative[1] == "+" else -days)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except (ValueError, OverflowError):
        pass
    raise ApiError(20001, f"Invalid {name}: it must be YYYY-MM-DD, or an offset such as -30days")


def _whole_period(start: date, end: date) -> Iterator[tuple[date, date]]:
    yield start, end


def _daily(start: date, end: date) -> Iterator[tuple[date, date]]:
    for days in range((end - start).days + 1):
        day = end - timedelta(days=days)
        yield day, day


def _monthly(start: date, end: date) -> Iterator[tuple[date, date]]:
    last = end
    while last >= start:
        yield max(last.replace(day=1), start), last
        last = last.replace(day=1) - timedelta(days=1)


def _yearly(start: date, end: date) -> Iterator[tuple[date, date]]:
    last = end
    while last >= start:
        yield max(last.replace(month=1, day=1), start), last
        last = last.replace(month=1, day=1) - timedelta(days=1)


def _list_usage_records(request: ApiRequest, period: str) -> Response:
    """Handle GET Usage/Records and GET Usage/Records/{Period}."""
    query = request.query
    category = query.text("Category")
    if category is not None and not re.fullmatch(r"[a-z0-9-]{1,80}", category):
        raise ApiError(20001, "Invalid Category")
    with_subaccounts = query.flag("IncludeSubaccounts")
    size, page, token = page_parameters(request)
    today = _date_of(int(request.now // 86_400))
    first_day = _date_of(int(request.account.created // 86_400))
    start, end = _parse_range(request, period, first_day, today)
    usage: list[Totals] = [usage_of(request.account, request.now)]
    if with_subaccounts is not False:
        usage += [
            usage_of(account, request.now)
            for account in request.state.accounts
            if account.owner_sid == request.account.sid and account is not request.account
        ]
    periods_of = {"Daily": _daily, "Monthly": _monthly, "Yearly": _yearly}.get(period, _whole_period)
    names = list(CATEGORIES) if category is None else [name for name in CATEGORIES if name == category]
    rows = [(name, dates) for name in names for dates in periods_of(start, end)] if start <= end else []
    offset = _decode_offset(token)
    as_of = f"{request.state.clock.utc:%Y-%m-%dT%H:%M:%S+00:00}"
    records = [
        _render_usage_record(request, period, name, *dates, usage, as_of)
        for name, dates in rows[offset : offset + size]
    ]
    next_token = _encode_offset(offset + size) if offset + size < len(rows) else None
    previous_token = _encode_offset(max(offset - size, 0)) if page > 0 else None
    return Response(page_body(request, "usage_records", records, size, page, next_token, previous_token))


def _parse_range(request: ApiRequest, period: str, first_day: date, today: date) -> tuple[date, date]:
    given_start, given_end = _parse_date(request, "StartDate", today), _parse_date(request, "EndDate", today)
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    start, end = {
        "Today": (today, today),
        "Yesterday": (today - timedelta(days=1),) * 2,
        "ThisMonth": (this_month, today),
        "LastMonth": (last_month, last_month.replace(day=monthrange(last_month.year, last_month.month)[1])),
    }.get(period, (first_day, today))
    if period in ("", "AllTime", "Daily", "Monthly", "Yearly"):
        start, end = given_start or start, given_end or end
    # A range is limited to about a hundred years, so that no response lists more days than that.
    return max(start, today - timedelta(days=36_500)), min(end, today + timedelta(days=1))


def _decode_offset(token: str | None) -> int:
    if token is None:
        return 0
    if not re.fullmatch(r"APM[0-9]{1,9}", token):
        raise ApiError(21481, "Invalid PageToken")
    return int(token[3:])


def _encode_offset(offset: int) -> str:
    return f"APM{offset}"


def _render_usage_record(
    request: ApiRequest, period: str, name: str, start: date, end: date, usage: list[Totals], as_of: str
) -> dict[str, Any]:
    description, count_unit, unit = CATEGORIES[name]
    total = Total()
    first, last = (start - EPOCH).days, (end - EPOCH).days
    for totals in usage:
        for (day, category), part in totals.items():
            belongs = name == "totalprice" or category == name or category.startswith(f"{name}-")
            if belongs and first <= day <= last:
                total.count += part.count
                total.usage += part.usage
                total.price += part.price
    base = f"{request.account.uri}/Usage/Records"
    query = urlencode({"Category": name})
    price = f"{total.price:.5f}".rstrip("0").rstrip(".")
    is_total = name == "totalprice"
    suffix = f"/{period}" if period else ""
    return {
        "account_sid": request.account.sid,
        "api_version": VERSION,
        "as_of": as_of,
        "category": name,
        "count": None if is_total else str(total.count),
        "count_unit": count_unit,
        "description": description,
        "end_date": end.isoformat(),
        "price": price,
        "price_unit": "usd",
        "start_date": start.isoformat(),
        "subresource_uris": {
            key: f"{base}/{file}.json?{query}"
            for key, file in (
                ("all_time", "AllTime"), ("daily", "Daily"), ("last_month", "LastMonth"), ("monthly", "Monthly"),
                ("this_month", "ThisMonth"), ("today", "Today"), ("yearly", "Yearly"), ("yesterday", "Yesterday"),
            )
        },
        "uri": f"{base}{suffix}.json?{query}&StartDate={start}&EndDate={end}",
        "usage": price if is_total else f"{total.usage:g}",
        "usage_unit": unit,
    }  # fmt: skip


def _handler_for(period: str) -> Callable[[ApiRequest], Response]:
    return lambda request: _list_usage_records(request, period)


ROUTES: dict[tuple[str, str], Callable[[ApiRequest], Response]] = {
    ("GET", "Balance"): fetch_balance,
    ("GET", "Usage/Records"): _handler_for(""),
    **{
        ("GET", f"Usage/Records/{period}"): _handler_for(period)
        for period in (
            "Today", "Yesterday", "ThisMonth", "LastMonth", "Daily", "Monthly", "Yearly", "AllTime",
        )
    },
}  # fmt: skip
