"""Retry policies, which Airflow has from 3.3 on: apart, since only those who want one load them."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # before 3.3

    class RetryPolicy:  # type: ignore[no-redef]
        """Stand in for what this Airflow hasn't got."""

        def __init__(self) -> None:
            raise RuntimeError(
                "A retry policy needs Airflow 3.3 or later: leave out retry_policy, and set retries and retry_delay"
            )

    RetryDecision = Any  # type: ignore[assignment,misc]

__all__ = ["RetryDecision", "RetryPolicy"]
