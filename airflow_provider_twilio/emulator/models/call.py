"""Calls and their recordings: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.magic_numbers import Steps
from airflow_provider_twilio.emulator.params import Address
from airflow_provider_twilio.emulator.twiml import CallFlow, Gather

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
STATUSES = ("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")
OUTBOUND_MINUTE, INBOUND_MINUTE, RECORDED_MINUTE = 0.0140, 0.0085, 0.0025
"""Prices of a minute, in USD."""
BILLING_DELAY = 1.0
"""Seconds between the end of a call and its price."""
DETECTION_TIME = 3.0
"""Seconds between the answer and the result of answering machine detection."""
PROCESSING_TIME = 1.0
"""Seconds between the end of a recording and its completion."""


@dataclass(slots=True, eq=False)
class Call:
    """A call, and the statuses that it goes through from ``start``."""

    sid: str
    seq: int
    created: float
    account_sid: str
    to: str
    caller: str
    start: float
    steps: Steps
    speed: float
    direction: str
    number_sid: str
    sort_key: float
    answered_by: str | None = None
    sip_code: int = 200
    flow: CallFlow | None = None
    flow_start: float = 0.0
    """Seconds between the start of the call and of its flow."""
    heard_before: tuple[str, ...] = ()
    """What was heard in earlier flows."""
    pressed_keys: tuple[CallFlow | None, str] = (None, "")
    """The keys pressed so far, and the Gather they belong to, identified by its continuation."""
    document_url: str | None = None
    """Where the flow's document was fetched."""
    time_limit: float | None = None
    fallbacks: Sequence[Address] = ()
    """The addresses to fetch a document from when one is unavailable or invalid."""
    amd_callback: Address | None = None
    """The address that the result of answering machine detection is still to be sent to."""
    parent_sid: str | None = None
    recordings: list[Recording] = field(default_factory=list)
    children: list[Call] = field(default_factory=list)
    status_callback: str | None = None
    status_method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    reported_events: int = 0
    """Number of events that have been processed for callbacks, whether or not one was sent."""
    updated: float = 0.0
    group_sid: str | None = None

    def time_after(self, seconds: float) -> float:
        """Return the time that lies this many seconds of the call after its start."""
        return self.start + seconds / self.speed

    def elapsed(self, now: float) -> float:
        """Return how many seconds of the call have passed since its start."""
        return (now - self.start) * self.speed

    def at(self, step: int) -> float:
        """Return the time at which the call reaches a step."""
        return self.time_after(self.steps[step][0])

    def position(self, now: float) -> int:
        """Return the index of the step that the call has reached."""
        elapsed = self.elapsed(now)
        for index in range(len(self.steps) - 1, 0, -1):
            if self.steps[index][0] <= elapsed:
                return index
        return 0

    def status(self, now: float) -> str:
        return self.steps[self.position(now)][1]

    def is_final(self, now: float) -> bool:
        return self.status(now) in FINAL

    def reached(self, status: str, now: float) -> float | None:
        """Return the time at which the call reached a status; None if it has not."""
        for index, (_, name) in enumerate(self.steps):
            if name == status:
                return self.at(index) if self.at(index) <= now else None
        return None

    @property
    def transcript(self) -> tuple[str, ...]:
        """Everything that is heard in the call unless it is interrupted."""
        return self.heard_before + (self.flow.transcript if self.flow else ())

    def heard(self, now: float) -> tuple[str, ...]:
        """Return what was heard so far."""
        elapsed = self.elapsed(now) - self.flow_start
        return self.heard_before + tuple(text for at, text in (self.flow.heard if self.flow else ()) if at <= elapsed)

    def active_gather(self, now: float) -> Gather | None:
        """Return the Gather that is waiting for keys now, if there is one."""
        elapsed = self.elapsed(now) - self.flow_start
        if self.flow is None or self.status(now) != "in-progress":
            return None
        return next((gather for gather in self.flow.gathers if gather.start <= elapsed < gather.end), None)

    @property
    def answered(self) -> float:
        """Seconds between the start and the answer; 0 if the call is not answered."""
        return next((after for after, status in self.steps if status == "in-progress"), 0.0)

    @property
    def detected(self) -> float:
        """The time at which answering machine detection has its result."""
        return self.time_after(self.answered + DETECTION_TIME)

    def progress(self) -> list[tuple[int, str]]:
        """Return the call's progress events in order, each with the step at which it happens."""
        events = [(0, "initiated")]
        for index, (_, status) in enumerate(self.steps):
            if status == "ringing":
                events.append((index, "ringing"))
            elif status == "in-progress":
                events.append((index, "answered"))
            elif status in FINAL:
                events.append((index, "completed"))
        return events

    def absolute_url(self, url: str) -> str:
        """Resolve a URL of the current document against the document's own URL."""
        try:
            return urljoin(self.document_url or "", url)
        except ValueError:
            return url

    def ended(self, now: float) -> float | None:
        """Return the time at which the call ended; None if it has not."""
        return self.at(len(self.steps) - 1) if self.is_final(now) else None

    def seconds(self) -> int:
        """Return the length of the conversation, past or planned, in seconds of the call."""
        talk = [after for after, status in self.steps if status == "in-progress"]
        return round(self.steps[-1][0] - talk[0]) if talk and self.steps[-1][1] in FINAL else 0

    @property
    def segments(self) -> int:
        """The number of minutes charged."""
        return math.ceil(self.seconds() / 60)

    @property
    def price(self) -> float:
        return self.segments * (INBOUND_MINUTE if self.direction == "inbound" else OUTBOUND_MINUTE)

    def charged(self, now: float) -> float:
        """Return the price charged so far."""
        return self.price if self.is_price_final(now) else 0.0

    def is_price_final(self, now: float) -> bool:
        """Return whether the price charged so far will not change any more."""
        end = self.ended(now)
        return end is not None and (now - end) * self.speed >= BILLING_DELAY

    @property
    def day(self) -> int:
        """The day of its creation, in days since 1970."""
        return int(self.created // 86_400)

    @property
    def category(self) -> str:
        """The usage category that the call is counted in."""
        return "calls-inbound" if self.direction == "inbound" else "calls-outbound"


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """How to record a call, and where to report the recording."""

    callback: str | None = None
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    track: str = "both"
    channels: int = 1


@dataclass(slots=True, eq=False)
class Recording:
    """A recording of a call. ``end`` is None if it lasts until the call ends."""

    sid: str
    seq: int
    created: float
    account_sid: str
    call: Call
    source: str
    options: RecordingOptions
    sort_key: float
    end: float | None = None
    paused: float | None = None
    """When the current pause began; None while recording."""
    skip_pause: bool = False
    """Whether the current pause is left out of the recording."""
    skipped: float = 0.0
    """Length of the earlier pauses that are left out, in real seconds."""
    deleted: float | None = None
    reported_events: int = 0
    """Number of events that have been processed for callbacks, whether or not one was sent."""

    @property
    def channels(self) -> int:
        return self.options.channels

    @property
    def uri(self) -> str:
        return f"/{VERSION}/Accounts/{self.account_sid}/Recordings/{self.sid}"

    def end_time(self) -> float:
        return self.end if self.end is not None else self.call.at(len(self.call.steps) - 1)

    def events(self) -> list[tuple[float, str]]:
        """Return the events to report, in order, each with its time."""
        completed = self.end_time() + PROCESSING_TIME / self.call.speed
        return [(self.created, "in-progress"), (completed, "completed")]

    def status(self, now: float) -> str:
        if self.deleted is not None:
            return "deleted"
        if now < self.end_time():
            return "in-progress" if self.paused is None else "paused"
        return "processing" if (now - self.end_time()) * self.call.speed < PROCESSING_TIME else "completed"

    def resume(self, now: float) -> None:
        """End the current pause, if there is one."""
        if self.paused is not None and self.skip_pause:
            self.skipped += now - self.paused
        self.paused = None

    def seconds(self) -> int:
        """Return the length of the recording, in seconds of the call."""
        last = self.paused if self.paused is not None and self.skip_pause else self.end_time()
        return max(round((last - self.created - self.skipped) * self.call.speed), 0)

    @property
    def segments(self) -> int:
        """The number of minutes charged."""
        return max(math.ceil(self.seconds() / 60), 1)

    @property
    def price(self) -> float:
        return self.segments * RECORDED_MINUTE

    def charged(self, now: float) -> float:
        """Return the price charged so far."""
        return self.price if self.deleted is not None or self.status(now) == "completed" else 0.0

    def is_price_final(self, now: float) -> bool:
        """Return whether the price charged so far will not change any more."""
        return self.charged(now) > 0

    @property
    def day(self) -> int:
        """The day of its creation, in days since 1970."""
        return int(self.created // 86_400)

    category = "recordings"
