"""The description of a wait: the record, the goal, and the times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.verdicts import Goal

G_co = TypeVar("G_co", bound=Goal, covariant=True)


@dataclass(frozen=True, slots=True)
class WaitSpec(Generic[G_co]):
    """The description of a wait for one message or call.

    Times are in seconds since the epoch. They are checked on construction, so a spec that is built before a request is
    sent rejects bad arguments while there is nothing to lose.

    :param sid: SID of the record; empty while the request has not been sent.
    :param goal: What counts as success.
    :param interval: Seconds between two polls.
    :param deadline: End of the wait, at which the record is polled once more; None for no end.
    :param not_before: Time before which the record is not polled, such as the ``send_at`` of a scheduled message.
    :param created: Time the record was created. Twilio may not find the record in the first minute after it.
    :raises BadParameter: An interval or a time is not a number of seconds, or the goal holds no plain values.
    """

    sid: str
    goal: G_co
    interval: float
    deadline: float | None = None
    not_before: float = 0.0
    created: float = 0.0

    def __post_init__(self) -> None:
        check_interval(self.interval)
        for name in ("deadline", "not_before", "created"):
            check_seconds(name, getattr(self, name))
        # Delivery and Completion are named tuples.
        for name, value in getattr(self.goal, "_asdict", dict)().items():
            check_plain_value(name, value)
        check_seconds("sent_grace", getattr(self.goal, "sent_grace", None))


def check_interval(value: Any) -> None:
    """Require a polling interval above zero.

    :raises BadParameter: The interval is not a number above 0.
    """
    check_seconds("poll_interval", value)
    if not value:
        raise BadParameter("poll_interval", f"is {value}", "give seconds above 0")


def check_seconds(name: str, value: Any) -> None:
    """Require a finite number of seconds, 0 or more, or None.

    :raises BadParameter: The value is anything else.
    """
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise BadParameter(name, f"is {value!r}"[:40], "give a number of seconds, or None")


def check_plain_value(name: str, value: Any) -> None:
    """Require what Airflow can store for a trigger: strings, numbers, None, and lists of them.

    :raises BadParameter: The value is of another type.
    """
    if isinstance(value, list | tuple | frozenset):
        for item in value:
            check_plain_value(name, item)
    elif not (value is None or isinstance(value, str | int | float)):
        raise BadParameter(
            name, f"is of type {type(value).__name__}", "a trigger takes strings, numbers and lists of them"
        )
