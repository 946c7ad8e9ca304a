"""The decision between listing a further page and fetching the remaining records individually."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_twilio.api.records import Record

PAGE_COST = 20
"""Cost of listing a page, in fetches: a page carries up to 1,000 records."""


MAX_PAGE_DEBT = 5
"""Number of pages by which listing may cost more than it saves, once pages show expected records."""


CLOCK_MARGIN = 3600.0
"""Maximum difference between the clock of this machine and Twilio's, in seconds."""


class ListingBudget:
    """The cost of one pass over the newest pages of a list, compared with fetching the expected records.

    Pages that are newer than all expected records show none of them, and yet lead to them. So pages without a match may
    cost as much as fetching all remaining records would: together they then cost at most twice the cheaper way. Once
    pages have matches, listing also has to pay on average.

    :param page_cost: Cost of listing a page, in fetches.
    :param share: Share of the remaining records' fetches that consecutive pages without a match may cost.
    :param max_fetches: Number of fetches until the next pass. Listing may cost more while more records remain.
    :param created: Time the oldest expected record was created, in seconds since the epoch; 0 if unknown.
    """

    def __init__(
        self,
        *,
        page_cost: float = PAGE_COST,
        share: float = 1.0,
        max_fetches: float = float("inf"),
        created: float = 0.0,
    ) -> None:
        self.has_matches = False
        """Whether a page has shown an expected record."""
        self._page_cost = page_cost
        self._share = share
        self._max_fetches = max_fetches
        self._created = created
        self._debt = self._recent_debt = 0.0

    def allows_next(self, *, found: int, remaining: int, last: Record | None = None) -> bool:
        """Return whether to list the page after one.

        :param found: Number of expected records that the page has shown.
        :param remaining: Number of expected records that no page has shown yet.
        :param last: The last record of the page.
        """
        slack = MAX_PAGE_DEBT * self._page_cost
        self._recent_debt = max(0.0, self._recent_debt + self._page_cost - found)
        if self._recent_debt >= min(remaining, max(slack, remaining * self._share)):
            return False
        self.has_matches = self.has_matches or found > 0
        if self.has_matches:
            self._debt += self._page_cost - found
            if self._debt >= min(remaining, max(slack, remaining - self._max_fetches)):
                return False
        # A record without the date by which Twilio sorts the list says nothing about the records after it.
        moment = None if found else _listed_at(last)
        return moment is None or moment >= self._created - CLOCK_MARGIN


def _listed_at(record: Record | None) -> float | None:
    """Return the time by which Twilio's list has sorted a message or call, in seconds since the epoch."""
    for name in ("date_sent", "start_time"):
        try:
            moment = getattr(record, name, None)
        except ValueError:
            return None
        if isinstance(moment, datetime):
            return moment.timestamp()
    return None
