"""What Twilio's own log says of the alerts that someone has had, and what follows for the next one.

The log is the memory: it is there for every process, worker and executor, with nothing to install. An alert is
recognised by the tag at its end; calls, and content templates, whose texts are not ours, by To and From alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_twilio.api.calls import Call, Calls
from airflow_provider_twilio.api.listing import MAX_PAGE_SIZE, Listing
from airflow_provider_twilio.api.messages import Message, Messages
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.notifications.alert import TAG

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MORE_HELD_BACK = "More are held back until"
UNDELIVERED = frozenset({"failed", "undelivered", "canceled", "busy", "no-answer"})
"""Statuses of what did not reach anybody: it doesn't make the same alert a repetition."""


@dataclass(frozen=True, slots=True)
class PastAlert:
    """Hold one alert of the log: when, what, and where its link led."""

    at: datetime
    status: str
    tag: str | None
    text: str

    def runs(self, dag_id: str) -> list[str]:
        """Name the runs of a DAG that its link leads to."""
        return [unquote(found) for found in re.findall(rf"/dags/{re.escape(quote(dag_id))}/runs/([^/\s?]+)", self.text)]


@dataclass(frozen=True, slots=True)
class MessageLog:
    """Hold what somebody has been sent, in order, and what the time is at Twilio."""

    records: Sequence[Message | Call]
    now: datetime

    def past(self, due: datetime | None, *, tagged: bool) -> AlertHistory:
        """Give the alerts among it.

        :param due: when the next one is to arrive, where that isn't now: what else is scheduled arrives with it.
        :param tagged: whether alerts are known by their tags; else all of it are alerts.
        """
        due = due or self.now
        sent = [self._sent(record, due) for record in self.records if record.get("direction") == "outbound-api"]
        known = [one for one in sent if (one.tag or not tagged) and one.status != "canceled"]
        return AlertHistory(sorted(known, key=lambda one: one.at), due)

    @staticmethod
    def _sent(record: Message | Call, due: datetime) -> PastAlert:
        begun = record.date_sent if isinstance(record, Message) else record.start_time
        text, status = str(record.get("body") or ""), str(record.get("status"))
        tag = TAG.search(text)
        at = due if status == "scheduled" else begun or record.date_created or due
        return PastAlert(at, status, tag[1] if tag else None, text)


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """Judge the next alert by those before it, in order.

    :param due: when the next one is to arrive.
    """

    alerts: Sequence[PastAlert]
    due: datetime

    def repeats(self, tag: str | None, window: timedelta) -> datetime | None:
        """Give when the same was last told within the window, if it was.

        :param tag: the alert's; None where it can't be told from others.
        """
        same = [one for one in self.alerts if tag in (None, one.tag) and one.status not in UNDELIVERED]
        return same[-1].at if same and same[-1].at > self.due - window else None

    def held_until(self, most: int) -> datetime | None:
        """Give until when further alerts are held back, if the last hour has had as many as there may be."""
        recent = self._recent()
        return recent[-most] + HOUR if len(recent) >= most else None

    def is_announced(self) -> bool:
        """Tell whether any alert of the last hour says that more are held back."""
        return any(MORE_HELD_BACK in one.text for one in self.alerts if one.at > self.due - HOUR)

    def closes_until(self, most: int) -> datetime | None:
        """Give until when the next alert is the last one, if it is."""
        recent = [*self._recent(), self.due]
        return recent[0] + HOUR if len(recent) == most else None

    def held_since(self, most: int) -> datetime | None:
        """Give since when alerts may have been held back, if the next one is the first after that."""
        last = self.last(most)
        full = len(last) == most and last[-1].at - last[0].at < HOUR and last[-1].at > self.due - DAY
        return last[-1].at if full else None

    def last(self, most: int) -> Sequence[PastAlert]:
        return self.alerts[-most:]

    def _recent(self) -> list[datetime]:
        return [one.at for one in self.alerts if one.at > self.due - HOUR]


@dataclass(frozen=True, slots=True)
class _LogReader:
    """Read one page of a list, and the time from the answer's head: a worker's own clock may be wrong."""

    listing: Listing[Any]

    def parse(self, request: Request[Any], response: Response) -> MessageLog:
        records = self.listing.parse(request, response).records
        try:
            now = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError, TypeError):
            now = datetime.now(UTC)
        return MessageLog(records, now)


def history_request(send: Request[Any]) -> Request[MessageLog]:
    """Give the one request that reads back what a send's recipient has had.

    :param send: with what the connection supplies: the sender is known, or a messaging service chooses it.
    """
    to, from_ = send.get("To"), send.get("From")
    calls = "/Calls" in send.path
    listing: Listing[Any] = Calls.list(to=to, from_=from_) if calls else Messages.list(to=to, from_=from_)
    return Request("GET", listing.path, _LogReader(listing), (*listing.data, ("PageSize", str(MAX_PAGE_SIZE))))
