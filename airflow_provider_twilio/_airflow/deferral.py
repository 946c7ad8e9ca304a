"""Deferrals that end: a timeout for every deferral, and the end of a task whose trigger was never run."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

TRIGGER_GRACE = 60.0
"""Seconds beyond the deadline that a trigger has for its last poll, before Airflow gives it up."""
WAIT_KEY = "twilio_wait"
"""Key of the XCom that describes a deferred wait: Airflow drops the arguments of a deferral that times out."""

_FAILED = "__fail__"  # Airflow's signal instead of a method's name
_TIMED_OUT = "Trigger timeout"


def trigger_timeout(deadline: float) -> timedelta:
    """Return the timeout of a deferral: the time until the deadline, and a grace.

    :param deadline: End of the wait, in seconds since the epoch.
    """
    return timedelta(seconds=max(0.0, deadline - time.time()) + TRIGGER_GRACE)


class ResumesAtDeadline:
    """A task that ends at its deadline although no triggerer has run its trigger.

    Without a live triggerer, Airflow resumes a deferred task when its timeout has passed. The task then polls Twilio
    once more, and ends as it would have ended at its deadline. Other failures of a trigger stay what they are.
    """

    if TYPE_CHECKING:
        log: Any

        def defer(self, **kwargs: Any) -> NoReturn: ...

    def _defer_until(self, deadline: float, trigger: BaseTrigger, **kwargs: Any) -> NoReturn:
        """Defer to ``execute_complete``.

        :param deadline: End of the wait, in seconds since the epoch.
        :param kwargs: Further arguments of ``execute_complete``.
        """
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs=kwargs or None,
            timeout=trigger_timeout(deadline),
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task. Airflow calls this instead of ``execute``."""
        if next_method == _FAILED and (next_kwargs or {}).get("error") == _TIMED_OUT:
            self.log.warning("No triggerer has reported by the deadline: polling Twilio once more")
            next_method, next_kwargs = "_execute_at_deadline", {}
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]

    @abstractmethod
    def _execute_at_deadline(self, context: Context) -> Any:
        """Poll Twilio once more, and end the task as at its deadline."""


def store_wait(context: Mapping[str, Any], wait: Mapping[str, Any]) -> None:
    """Store what describes a wait in the task's XCom, before the task defers."""
    ti = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=WAIT_KEY, value=dict(wait))


def stored_wait(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`store_wait` has stored in the same try.

    :raises LookupError: There is none.
    """
    ti: Any = context["ti"]
    map_index = ti.map_index
    wait = ti.xcom_pull(task_ids=ti.task_id, key=WAIT_KEY, map_indexes=None if map_index < 0 else map_index)
    if not isinstance(wait, dict):
        raise LookupError(f"The XCom {WAIT_KEY} of this try is gone: what the task waited for is unknown")
    return wait
