"""Balance and usage, summed up from what there is and what there was.

https://www.twilio.com/docs/usage/api/usage-record and https://www.twilio.com/docs/usage/api/balance (for Balance)
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.ledger import Charge, Charges, add
from airflow_provider_twilio.emulator.paging import envelope, read_paging
from airflow_provider_twilio.emulator.wire import Answer, Refused, not_found
from airflow_provider_twilio.emulator.world import START_BALANCE

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.world import Account, Call, World

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
"""Each with its description, what it counts, and the unit of its usage."""


def charges(account: Account, now: float) -> Charges:
    """Sum up what an account has used, by day and category."""
    total = account.ledger.total((account.messages, account.calls, account.recordings), now)
    for number in account.numbers:  # whose rent never ends
        add(total, number, now)
    return total


def balance_of(world: World, now: float) -> float:
    """Give what is left of the money that the main account began with."""
    spent = sum(charge.price for account in world.accounts for charge in charges(account, now).values())
    return START_BALANCE - spent


def balance(call: Call) -> Answer:
    """GET Balance: of a main account only."""
    if not call.account.is_main:
        raise not_found(call.path)
    left = f"{balance_of(call.world, call.now):.5f}".rstrip("0")
    whole, _, cents = left.partition(".")
    return Answer({"currency": "USD", "balance": f"{whole}.{cents:0<2}", "account_sid": call.account.sid})


# ---------------------------------------------------------------- usage records


def _day(number: int) -> date:
    return EPOCH + timedelta(days=number)


def _read_date(call: Call, name: str, today: date) -> date | None:
    value = call.query.text(name)
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
    raise Refused(20001, f"Invalid {name}: it must be YYYY-MM-DD, or an offset such as -30days")


Periods = Callable[[date, date], Iterator[tuple[date, date]]]


def _whole(start: date, end: date) -> Iterator[tuple[date, date]]:
    yield start, end


def _daily(start: date, end: date) -> Iterator[tuple[date, date]]:
    for back in range((end - start).days + 1):
        day = end - timedelta(days=back)
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


def _records(call: Call, kind: str) -> Answer:
    """GET Usage/Records, and the same by period."""
    query = call.query
    category = query.text("Category")
    if category is not None and not re.fullmatch(r"[a-z0-9-]{1,80}", category):
        raise Refused(20001, "Invalid Category")
    with_subaccounts = query.flag("IncludeSubaccounts")
    size, page, token = read_paging(call)
    today = _day(int(call.now // 86_400))
    first = _day(int(call.account.created // 86_400))
    start, end = _range(call, kind, first, today)
    used: list[Charges] = [charges(call.account, call.now)]
    if with_subaccounts is not False:
        used += [
            charges(account, call.now)
            for account in call.world.accounts
            if account.owner_sid == call.account.sid and account is not call.account
        ]
    periods = {"Daily": _daily, "Monthly": _monthly, "Yearly": _yearly}.get(kind, _whole)
    names = list(CATEGORIES) if category is None else [name for name in CATEGORIES if name == category]
    wanted = [(name, period) for name in names for period in periods(start, end)] if start <= end else []
    offset = _read_offset(token)
    rows = [
        _render(call, kind, name, *period, used, f"{call.world.clock.utc:%Y-%m-%dT%H:%M:%S+00:00}")
        for name, period in wanted[offset : offset + size]
    ]
    following = _write_offset(offset + size) if offset + size < len(wanted) else None
    preceding = _write_offset(max(offset - size, 0)) if page > 0 else None
    return Answer(envelope(call, "usage_records", rows, size, page, following, preceding))


def _range(call: Call, kind: str, first: date, today: date) -> tuple[date, date]:
    given_start, given_end = _read_date(call, "StartDate", today), _read_date(call, "EndDate", today)
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    start, end = {
        "Today": (today, today),
        "Yesterday": (today - timedelta(days=1),) * 2,
        "ThisMonth": (this_month, today),
        "LastMonth": (last_month, last_month.replace(day=monthrange(last_month.year, last_month.month)[1])),
    }.get(kind, (first, today))
    if kind in ("", "AllTime", "Daily", "Monthly", "Yearly"):
        start, end = given_start or start, given_end or end
    # More than a hundred years of days are nobody's usage.
    return max(start, today - timedelta(days=36_500)), min(end, today + timedelta(days=1))


def _read_offset(token: str | None) -> int:
    if token is None:
        return 0
    if not re.fullmatch(r"APM[0-9]{1,9}", token):
        raise Refused(21481, "Invalid PageToken")
    return int(token[3:])


def _write_offset(offset: int) -> str:
    return f"APM{offset}"


def _render(
    call: Call, kind: str, name: str, start: date, end: date, used: list[Charges], as_of: str
) -> dict[str, Any]:
    description, count_unit, unit = CATEGORIES[name]
    total = Charge()
    first, last = (start - EPOCH).days, (end - EPOCH).days
    for charged in used:
        for (day, category), charge in charged.items():
            part = name == "totalprice" or category == name or category.startswith(f"{name}-")
            if part and first <= day <= last:
                total.count += charge.count
                total.usage += charge.usage
                total.price += charge.price
    base = f"{call.account.uri}/Usage/Records"
    query = urlencode({"Category": name})
    price = f"{total.price:.5f}".rstrip("0").rstrip(".")
    whole = name == "totalprice"
    where = f"/{kind}" if kind else ""
    return {
        "account_sid": call.account.sid,
        "api_version": VERSION,
        "as_of": as_of,
        "category": name,
        "count": None if whole else str(total.count),
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
        "uri": f"{base}{where}.json?{query}&StartDate={start}&EndDate={end}",
        "usage": price if whole else f"{total.usage:g}",
        "usage_unit": unit,
    }  # fmt: skip


def _bound(kind: str) -> Callable[[Call], Answer]:
    return lambda call: _records(call, kind)


ROUTES: dict[tuple[str, str], Callable[[Call], Answer]] = {
    ("GET", "Balance"): balance,
    ("GET", "Usage/Records"): _bound(""),
    **{
        ("GET", f"Usage/Records/{kind}"): _bound(kind)
        for kind in (
            "Today", "Yesterday", "ThisMonth", "LastMonth", "Daily", "Monthly", "Yearly", "AllTime",
        )
    },
}  # fmt: skip
