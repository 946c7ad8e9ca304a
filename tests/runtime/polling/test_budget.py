"""The decision between listing a further page and fetching the remaining records."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from airflow_provider_twilio.api.calls import Call
from airflow_provider_twilio.api.messages import Message
from airflow_provider_twilio.api.records import Record
from airflow_provider_twilio.runtime.polling.budget import ListingBudget


def pages(budget: ListingBudget, found: list[int], expected: int) -> int:
    """Return the number of pages that are listed, if they show these numbers of expected records."""
    for number, matches in enumerate(found, 1):
        expected -= matches
        if not expected or not budget.allows_next(found=matches, remaining=expected):
            return number
    return len(found)


@pytest.mark.parametrize(
    ("found", "expected", "listed"),
    [
        ([0] * 100, 5, 1),
        ([0] * 100, 100, 5),
        ([0] * 1000, 10_000, 500),
        ([0] * 6 + [1000] * 10, 10_000, 16),
        ([1000] * 5 + [0] * 90 + [1000] * 5, 10_000, 100),
        ([1] * 100, 10_000, 6),
        ([1000] * 9 + [0] * 100, 9_100, 14),
    ],
    ids=["few", "old", "absent", "newer", "between", "sparse", "stragglers"],
)
def test_listing_budget_chooses_the_cheaper_way(found: list[int], expected: int, listed: int):
    assert pages(ListingBudget(), found, expected) == listed


def test_listing_budget_lists_more_while_fetches_take_several_passes():
    assert pages(ListingBudget(max_fetches=500), [10] * 1000, 10_000) > 400


def test_listing_budget_share_limits_pages_without_a_match():
    assert pages(ListingBudget(share=0.25), [0] * 1000, 10_000) == 125
    assert pages(ListingBudget(share=0.0), [0] * 1000, 10_000) == 5


@pytest.mark.parametrize("make", [Message, Call])
@pytest.mark.parametrize(("age", "allowed"), [(60, True), (7200, False), (None, True)])
def test_listing_budget_stops_at_records_older_than_expected(make: type[Record], age: float | None, allowed: bool):
    now = time.time()
    name = "date_sent" if make is Message else "start_time"
    last = make({name: None if age is None else formatdate(now - age)})
    assert ListingBudget(created=now).allows_next(found=0, remaining=1000, last=last) is allowed
    assert ListingBudget(created=now).allows_next(found=1, remaining=1000, last=last)
    assert ListingBudget().allows_next(found=0, remaining=1000, last=last)


def test_listing_budget_unreadable_date_continues():
    assert ListingBudget(created=time.time()).allows_next(found=0, remaining=1000, last=Message({"date_sent": "soon"}))
