"""The alerts that a recipient has had, read from Twilio's own records, and what they mean for the next one.

Twilio's message and call lists serve as the store: every process, worker and executor can read them, and there is
nothing to install. An alert in a message is recognized by the tag at its end. Calls, and messages whose text is a
content template's, are recognized by ``To`` and ``From`` alone.
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
from airflow_provider_twilio.notifications.alert import TAG_PATTERN

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MORE_HELD_BACK = "More are held back until"
UNDELIVERED = frozenset({"failed", "undelivered", "canceled", "busy", "no-answer"})
"""Statuses of alerts that did not reach the recipient: the same alert is then sent again."""


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert that was sent, or is scheduled."""

    sent_at: datetime
    status: str
    tag: str | None
    text: str

    def run_ids(self, dag_id: str) -> list[str]:
        """Return the runs of a DAG that the alert links to."""
        pattern = rf"/dags/{re.escape(quote(dag_id))}/runs/([^/\s?]+)"
        return [unquote(run_id) for run_id in re.findall(pattern, self.text)]


@dataclass(frozen=True, slots=True)
class MessageLog:
    """The messages or calls that a recipient has had, newest first, and Twilio's current time."""

    records: Sequence[Message | Call]
    now: datetime

    def history(self, due: datetime | None, *, tagged: bool) -> AlertHistory:
        """Return the alerts among the records.

        :param due: When the next alert will arrive; None for now. Scheduled alerts count as arriving then, too.
        :param tagged: Whether alerts are recognized by their tags; otherwise every outbound record is an alert.
        """
        due = due or self.now
        sent = [self._past_alert(record, due) for record in self.records if record.get("direction") == "outbound-api"]
        alerts = [alert for alert in sent if (alert.tag or not tagged) and alert.status != "canceled"]
        return AlertHistory(sorted(alerts, key=lambda alert: alert.sent_at), due)

    @staticmethod
    def _past_alert(record: Message | Call, due: datetime) -> PastAlert:
        started = record.date_sent if isinstance(record, Message) else record.start_time
        text, status = str(record.get("body") or ""), str(record.get("status"))
        tag = TAG_PATTERN.search(text)
        sent_at = due if status == "scheduled" else started or record.date_created or due
        return PastAlert(sent_at, status, tag[1] if tag else None, text)


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """The earlier alerts of a recipient, oldest first, and what they mean for the next one.

    :param due: When the next alert will arrive.
    """

    alerts: Sequence[PastAlert]
    due: datetime

    def last_sent(self, tag: str | None, window: timedelta) -> datetime | None:
        """Return when the same alert was last sent within the window, or None.

        :param tag: The alert's tag; None if alerts cannot be distinguished, so that any counts as the same.
        """
        same = [alert for alert in self.alerts if tag in (None, alert.tag) and alert.status not in UNDELIVERED]
        return same[-1].sent_at if same and same[-1].sent_at > self.due - window else None

    def held_until(self, max_per_hour: int) -> datetime | None:
        """Return when the next alert may be sent if the past hour has reached the limit, else None."""
        recent = self._times_in_past_hour()
        return recent[-max_per_hour] + HOUR if len(recent) >= max_per_hour else None

    def limit_is_announced(self) -> bool:
        """Return whether an alert of the past hour says that more are held back."""
        return any(MORE_HELD_BACK in alert.text for alert in self.alerts if alert.sent_at > self.due - HOUR)

    def held_after_next_until(self, max_per_hour: int) -> datetime | None:
        """Return until when further alerts are held back if the next one reaches the limit, else None."""
        times = [*self._times_in_past_hour(), self.due]
        return times[0] + HOUR if len(times) == max_per_hour else None

    def held_since(self, max_per_hour: int) -> datetime | None:
        """Return since when alerts may have been held back if the next one is the first after that, else None."""
        newest = self.newest(max_per_hour)
        limit_reached = len(newest) == max_per_hour and newest[-1].sent_at - newest[0].sent_at < HOUR
        return newest[-1].sent_at if limit_reached and newest[-1].sent_at > self.due - DAY else None

    def newest(self, count: int) -> Sequence[PastAlert]:
        """Return this many of the latest alerts, oldest first."""
        return self.alerts[-count:]

    def _times_in_past_hour(self) -> list[datetime]:
        return [alert.sent_at for alert in self.alerts if alert.sent_at > self.due - HOUR]


@dataclass(frozen=True, slots=True)
class _MessageLogParser:
    """The parser of one page of a list. It reads the time from the response, as a worker's clock may be wrong."""

    listing: Listing[Any]

    def parse(self, request: Request[Any], response: Response) -> MessageLog:
        records = self.listing.parse(request, response).records
        try:
            now = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError, TypeError):
            now = datetime.now(UTC)
        return MessageLog(records, now)


def history_request(send: Request[Any]) -> Request[MessageLog]:
    """Return the request that lists the newest messages or calls to the recipient of another request.

    :param send: The request that sends the alert, completed by the connection's defaults, so that its sender is known
        unless a messaging service chooses it.
    """
    to, from_ = send.get("To"), send.get("From")
    is_call = send.path.endswith("Calls.json")
    listing: Listing[Any] = Calls.list(to=to, from_=from_) if is_call else Messages.list(to=to, from_=from_)
    return Request("GET", listing.path, _MessageLogParser(listing), (*listing.data, ("PageSize", str(MAX_PAGE_SIZE))))
