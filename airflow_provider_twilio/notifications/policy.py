"""The settings that decide whether, when and how an alert is sent, and the fields that are passed to Twilio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_twilio.notifications.quiet_hours import QuietHours

CONTENT_VARIABLES = "content_variables"
CALL_FIELDS = ("to", "from_")
"""The fields of a notifier that a call passes to Twilio unchanged."""
MESSAGE_FIELDS = ("to", "from_", "messaging_service_sid", "content_sid", CONTENT_VARIABLES)
"""The fields of a notifier that a message passes to Twilio unchanged."""


@dataclass(frozen=True, kw_only=True)
class AlertPolicy:
    """How a notifier sends its alerts.

    :ivar call: Whether to place calls instead of sending messages.
    :ivar max_segments: Maximum number of segments of a message; None for no limit but Twilio's own.
    :ivar dedupe_window: Time in which the same alert is sent to a recipient only once.
    :ivar max_per_hour: Maximum number of alerts to a recipient in any 60 minutes.
    :ivar quiet_hours: Hours in which no alert arrives.
    :ivar burst_window: Time, in seconds, over which simultaneous callbacks above ``max_per_hour`` spread.
    """

    call: bool = False
    max_segments: int | None = None
    dedupe_window: timedelta | None = None
    max_per_hour: int | None = None
    quiet_hours: QuietHours | None = None
    burst_window: float

    @property
    def needs_history(self) -> bool:
        """Whether earlier alerts decide on the next one."""
        return bool(self.dedupe_window or self.max_per_hour)

    @property
    def zone(self) -> tzinfo:
        """The time zone of times of day in alerts and logs."""
        return self.quiet_hours.zone if self.quiet_hours else UTC
