"""Time budgets: the time that a notifier and its fallbacks have before Airflow ends their process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from math import inf
from typing import Any

from airflow.sdk import BaseNotifier

from airflow_provider_twilio._airflow.compat import conf

DAG_PROCESSOR = "airflow.dag_processing.processor"
"""Module whose functions run callbacks in the DAG processor."""
MARGIN = 2.0
"""Time, in seconds, between the end of the budget and the end of the process, for logs and errors."""
MAX_MARGIN_SHARE = 0.2
"""Maximum share of the margin in a time limit."""
MIN_BUDGET = 0.5
"""Minimum time budget, in seconds, when the time limit has passed or is about to."""

_inherited_deadline: ContextVar[float] = ContextVar("inherited_deadline", default=inf)
"""Deadline of the notifier whose fallback is running, by the monotonic clock."""


def compute_deadline(context: Mapping[str, Any], max_seconds: float, *, blocking: bool) -> float:
    """Return when a notifier and its fallbacks must have ended, by the monotonic clock.

    :param context: The context of the callback.
    :param max_seconds: Maximum time, in seconds, whatever Airflow allows.
    :param blocking: Whether the notifier runs in the thread that Airflow calls, rather than on an event loop.
    """
    seconds = min(max_seconds, _seconds_allowed(context, blocking=blocking))
    return min(time.monotonic() + max(seconds, MIN_BUDGET), _inherited_deadline.get())


def own_share(deadline: float, fallback: Any) -> float:
    """Return the deadline of a notifier itself, which leaves an equal share of the time to each of its fallbacks.

    :param deadline: Deadline of the notifier and its fallbacks, by the monotonic clock.
    :param fallback: The fallback, as a notifier, or as a class path and arguments.
    """
    notifiers = 1
    while fallback is not None:
        notifiers += 1
        if isinstance(fallback, BaseNotifier):
            fallback = getattr(fallback, "fallback", None)
        else:
            arguments = fallback[-1] if isinstance(fallback, Sequence) and fallback else None
            fallback = arguments.get("fallback") if isinstance(arguments, Mapping) else None
    now = time.monotonic()
    return now + (deadline - now) / notifiers


@contextmanager
def inherit_deadline(deadline: float) -> Iterator[None]:
    """Apply a deadline, by the monotonic clock, to the notifiers that run inside this context."""
    token = _inherited_deadline.set(deadline)
    try:
        yield
    finally:
        _inherited_deadline.reset(token)


def _seconds_allowed(context: Mapping[str, Any], *, blocking: bool) -> float:
    """Return the seconds until Airflow ends the process, less a margin; infinity if it does not."""
    if not blocking:  # The triggerer sets callbacks no limit.
        return inf
    if _is_in_dag_processor():
        limit, elapsed = conf.getfloat("dag_processor", "dag_file_processor_timeout", fallback=50.0), _process_age()
    elif "deadline" in context:
        limit, elapsed = conf.getfloat("callbacks", "callback_execution_timeout", fallback=0.0), _process_age()
        limit = limit if limit > 0 else inf
    elif (seconds := _seconds_since_task_end(context)) is not None:
        limit, elapsed = conf.getfloat("core", "task_success_overtime", fallback=20.0), seconds
    else:  # inside a running task
        return inf
    return limit - min(MARGIN, limit * MAX_MARGIN_SHARE) - elapsed


def _seconds_since_task_end(context: Mapping[str, Any]) -> float | None:
    """Return the seconds since the task ended in its own process, or None if it has not ended there."""
    ended_at = getattr(context.get("ti") or context.get("task_instance"), "end_date", None)
    if isinstance(ended_at, datetime) and "reason" not in context:
        return max(0.0, (datetime.now(UTC) - ended_at).total_seconds())
    return 0.0 if "exception" in context else None


def _is_in_dag_processor() -> bool:
    """Return whether the DAG processor has called this function, directly or not."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == DAG_PROCESSOR:
            return True
    return False


def _process_age() -> float:
    """Return the seconds since the process was started or forked."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())
