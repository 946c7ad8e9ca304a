"""The description of a wait: the record, the goal, and the times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_twilio.api import checks
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
        checks.positive_seconds("poll_interval", self.interval)
        for name in ("deadline", "not_before", "created"):
            checks.seconds(name, getattr(self, name))
        # Delivery and Completion are named tuples.
        for name, value in getattr(self.goal, "_asdict", dict)().items():
            check_plain_value(name, value)
        checks.seconds("sent_grace", getattr(self.goal, "sent_grace", None))


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
