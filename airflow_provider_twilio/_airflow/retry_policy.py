"""Airflow's retry policies, available from Airflow 3.3 on. A module of its own, so that others don't load them."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # before 3.3

    class RetryPolicy:  # type: ignore[no-redef]
        """A stand-in for Airflow's class, which raises when it is used."""

        def __init__(self) -> None:
            raise RuntimeError(
                "Retry policies need Airflow 3.3 or later: remove retry_policy, and set retries and retry_delay"
            )

    RetryDecision = Any  # type: ignore[assignment,misc]

__all__ = ["RetryDecision", "RetryPolicy"]
