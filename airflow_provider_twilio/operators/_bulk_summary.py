"""The summary of a bulk send, and the maximum number of failures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio._airflow.compat import AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_twilio.runtime.bulk.items import Tally
    from airflow_provider_twilio.runtime.bulk.plan import Preflight


def build_summary(checked: Preflight, tally: Tally, seconds: float, sent_now: int) -> dict[str, Any]:
    """Return the summary for XCom. ``rows`` is the sum of sent, skipped, failed, later and duplicates.

    :param seconds: Duration of the sending by this try.
    :param sent_now: Number of messages sent by this try.
    """
    failed = {str(code or "without a code"): count for code, count in sorted(tally.failed.items())}
    if checked.invalid:
        failed["invalid"] = checked.invalid
    return {
        "rows": checked.rows,
        "sent": tally.done,
        "skipped": tally.skipped.total(),
        "failed": failed,
        "later": tally.later,
        "duplicates": checked.duplicates,
        "segments": checked.segments,
        "seconds": round(seconds, 3),
        "rate": round(sent_now / seconds, 1) if seconds else 0.0,
        "ended": datetime.now(UTC).isoformat(),
    }


def failure_limit(max_failures: float | None, rows: int) -> int | None:
    """Return the maximum number of failures, or None if any number is allowed.

    :param max_failures: A number, or a share of the rows up to 1.0.
    """
    if max_failures is None or isinstance(max_failures, int):
        return max_failures
    return int(max_failures) if max_failures > 1 else int(max_failures * rows)


def enforce_max_failures(summary: dict[str, Any], max_failures: float | None) -> dict[str, Any]:
    """Return the summary, or fail the task if it has more failures than allowed.

    This also applies to a stored summary: an earlier try may have been killed right after storing it.

    :raises AirflowFailException: If more messages failed, or were not delivered, than ``max_failures`` allows.
    """
    if has_too_many_failures(summary, max_failures):
        failed, undelivered = count_failures(summary)
        limit = failure_limit(max_failures, summary["rows"])
        raise AirflowFailException(
            f"{failed} messages failed and {undelivered} were not delivered; max_failures allows {limit}. {summary}"
        )
    return summary


def has_too_many_failures(summary: Mapping[str, Any], max_failures: float | None) -> bool:
    """Return whether more messages failed, or were not delivered, than ``max_failures`` allows."""
    limit = failure_limit(max_failures, summary["rows"])
    return limit is not None and sum(count_failures(summary)) > limit


def count_failures(summary: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of messages that failed, and of messages that were not delivered."""
    undelivered = sum(summary.get("undelivered", {}).values()) + summary.get("waiting", 0)
    return sum(summary["failed"].values()), undelivered
