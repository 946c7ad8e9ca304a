"""Recordings: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.params import Params, Window
from airflow_provider_twilio.emulator.wire import BASE, Answer, Refused, date, not_found, price

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.calls import CallRecord
    from airflow_provider_twilio.emulator.world import Account, Call, World

EVENTS = ("in-progress", "completed", "absent")
PROCESSING = 1.0
PRICE_A_MINUTE = 0.0025
KEPT = 40 * 86_400.0
"""What is known of a deleted recording is kept so long."""
_SILENCE = bytes.fromhex(
    "52494646a43e000057415645666d74201000000001000100401f0000803e00000200100064617461803e0000"
) + bytes(16_000)
"""A second of it, as WAV."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Say how to record, and whom to tell of it."""

    callback: str | None = None
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)
    track: str = "both"
    channels: int = 1


def read(form: Params, channels: int) -> Wishes:
    """Read what a request says about a recording.

    :param channels: how many there are unless told.
    """
    form.choice("Trim", ("trim-silence", "do-not-trim"))
    events = tuple(event for given in form.all("RecordingStatusCallbackEvent") for event in given.split())
    if any(event not in EVENTS for event in events):
        raise Refused(20001, f"RecordingStatusCallbackEvent must be among {', '.join(EVENTS)}")
    given = form.choice("RecordingChannels", ("mono", "dual"))
    return Wishes(
        form.url("RecordingStatusCallback"),
        form.choice("RecordingStatusCallbackMethod", ("GET", "POST"), 21206) or "POST",
        events or ("completed",),
        form.choice("RecordingTrack", ("inbound", "outbound", "both")) or "both",
        channels if given is None else 1 if given == "mono" else 2,
    )


@dataclass(slots=True, eq=False)
class Recording:
    """Hold a recording of a call; ``end`` is None while it goes on with the call."""

    sid: str
    seq: int
    created: float
    account_sid: str
    call: CallRecord
    source: str
    wishes: Wishes
    key: float
    end: float | None = None
    paused: float | None = None
    """Since when it pauses."""
    skips: bool = False
    """Whether the pause is left out."""
    skipped: float = 0.0
    """How long the pauses before were that are left out."""
    deleted: float | None = None
    told: int = 0
    """How many of its events lie behind, told or not wanted."""

    @property
    def channels(self) -> int:
        return self.wishes.channels

    @property
    def uri(self) -> str:
        return f"{BASE}/Accounts/{self.account_sid}/Recordings/{self.sid}"

    def ends(self) -> float:
        return self.end if self.end is not None else self.call.at(len(self.call.steps) - 1)

    def events(self) -> list[tuple[float, str]]:
        """Give what there is to tell of it, in order, each with its time."""
        return [(self.created, "in-progress"), (self.ends() + PROCESSING / self.call.speed, "completed")]

    def status(self, now: float) -> str:
        if self.deleted is not None:
            return "deleted"
        if now < self.ends():
            return "in-progress" if self.paused is None else "paused"
        return "processing" if (now - self.ends()) * self.call.speed < PROCESSING else "completed"

    def go_on(self, now: float) -> None:
        """End a pause, if there is one."""
        if self.paused is not None and self.skips:
            self.skipped += now - self.paused
        self.paused = None

    def seconds(self) -> int:
        last = self.paused if self.paused is not None and self.skips else self.ends()
        return max(round((last - self.created - self.skipped) * self.call.speed), 0)

    @property
    def segments(self) -> int:
        return max(math.ceil(self.seconds() / 60), 1)

    @property
    def price(self) -> float:
        return self.segments * PRICE_A_MINUTE

    def charged(self, now: float) -> float:
        return self.price if self.deleted is not None or self.status(now) == "completed" else 0.0

    def settled(self, now: float) -> bool:
        """Tell whether what has been charged stays as it is."""
        return self.charged(now) > 0

    @property
    def day(self) -> int:
        return int(self.created // 86_400)

    category = "recordings"


def of_call(
    world: World, account: Account, call: CallRecord, source: str, wishes: Wishes,
    begin: float, end: float | None = None,
) -> Recording:  # fmt: skip
    """Record a call from one time to another, or to the call's end."""
    recording = Recording(world.sid("RE"), world.next(), begin, account.sid, call, source, wishes, begin, end)
    account.recordings.add(recording)
    call.recordings.append(recording)
    return recording


def drop(account: Account, recording: Recording, now: float) -> None:
    """Forget a recording that was to be made."""
    recording.call.recordings.remove(recording)
    account.drop(account.recordings, recording, now)


def call_ended(account: Account, call: CallRecord, at: float) -> None:
    """Forget the recordings that the end of their call forestalls, and end those that go on."""
    for recording in list(call.recordings):
        if recording.created > at:
            drop(account, recording, at)
        elif recording.end is not None and recording.end > at:
            recording.end = at


def render(recording: Recording, now: float, base_url: str) -> dict[str, Any]:
    """Write a recording as Twilio does."""
    status = recording.status(now)
    done = status in ("completed", "deleted")
    uri = recording.uri
    return {
        "account_sid": recording.account_sid,
        "api_version": VERSION,
        "call_sid": recording.call.sid,
        "conference_sid": None,
        "channels": recording.channels,
        "date_created": date(recording.created),
        "date_updated": date(recording.deleted or (recording.ends() if done else recording.created)),
        "start_time": date(recording.created),
        "price": price(recording.charged(now)),
        "price_unit": "USD",
        "duration": str(recording.seconds()) if done else "-1" if status == "in-progress" else None,
        "sid": recording.sid,
        "source": recording.source,
        "status": status,
        "error_code": None,
        "uri": f"{uri}.json",
        "subresource_uris": {
            "add_on_results": f"{uri}/AddOnResults.json",
            "transcriptions": f"{uri}/Transcriptions.json",
        },
        "encryption_details": None,
        "media_url": f"{base_url}{uri}",
    }


def _render_of_call(recording: Recording, now: float, base_url: str) -> dict[str, Any]:
    body = render(recording, now, base_url)
    del body["subresource_uris"], body["media_url"]
    uri = f"{BASE}/Accounts/{recording.account_sid}/Calls/{recording.call.sid}/Recordings/{recording.sid}.json"
    # Here the description has the price as a number.
    price = None if body["price"] is None else float(body["price"])
    return body | {"track": recording.wishes.track, "uri": uri, "price": price}


def _known(call: Call, recording: Recording) -> bool:
    return recording.created <= call.now and (
        recording.deleted is None or (_deleted_too(call) and call.now - recording.deleted < KEPT)
    )


def _deleted_too(call: Call) -> bool:
    return bool(call.query.flag("IncludeSoftDeleted"))


def _filters(call: Call) -> list[Any]:
    keep: list[Any] = [lambda recording: _known(call, recording)]
    if (window := Window.read(call.query, "DateCreated")) is not None:
        keep.append(lambda recording: window.holds(recording.created))
    if (call_sid := call.query.sid("CallSid", "CA")) is not None:
        keep.append(lambda recording: recording.call.sid == call_sid)
    if call.query.sid("ConferenceSid", "CF") is not None:
        keep.append(lambda recording: False)
    return keep


def listing(call: Call) -> Answer:
    """GET Recordings."""
    shelf = call.account.recordings
    return paged(call, "recordings", shelf, _filters(call), lambda each: render(each, call.now, call.base_url))


def _find(call: Call) -> Recording:
    """Find the recording that the path names last, below a call only if it is that call's."""
    *parent, sid = call.args
    record = call.find(call.account.calls, parent[0]) if parent else None
    recording: Recording = call.find(call.account.recordings, sid)
    _deleted_too(call)
    if not _known(call, recording) or record not in (None, recording.call):
        raise not_found(call.path)
    return recording


def fetch(call: Call) -> Answer:
    """GET Recordings/{Sid}."""
    return Answer(render(_find(call), call.now, call.base_url))


def content(call: Call) -> Answer:
    """GET Recordings/{Sid} without ``.json``, or with ``.wav``: the content. The emulator has silence for all."""
    if _find(call).status(call.now) != "completed":
        raise not_found(call.path)
    return Answer(_SILENCE, content_type="audio/x-wav")


def delete(call: Call) -> Answer:
    """DELETE Recordings/{Sid}, or Calls/{Sid}/Recordings/{Sid}; what is known of it is kept for 40 days."""
    recording = _find(call)
    if recording.status(call.now) in ("in-progress", "paused"):
        raise Refused(20009, "Cannot delete this resource before it is complete", 409)
    recording.deleted = call.now
    return Answer(status=204)


def start(call: Call) -> Answer:
    """POST Calls/{Sid}/Recordings: record a call that is in progress."""
    record: CallRecord = call.find(call.account.calls, call.args[0])
    wishes = read(call.form, 2)
    if record.status(call.now) != "in-progress":
        raise Refused(21220, "Requested resource is not eligible for recording")
    recording = of_call(call.world, call.account, record, "StartCallRecordingAPI", wishes, call.now)
    call.world.on_change(record)
    return Answer(_render_of_call(recording, call.now, call.base_url), 201, sid=recording.sid)


def list_of_call(call: Call) -> Answer:
    """GET Calls/{Sid}/Recordings."""
    record = call.find(call.account.calls, call.args[0])
    keep = [lambda recording: recording.call is record, *_filters(call)]
    return paged(
        call, "recordings", call.account.recordings, keep, lambda each: _render_of_call(each, call.now, call.base_url)
    )


def fetch_of_call(call: Call) -> Answer:
    """GET Calls/{Sid}/Recordings/{Sid}."""
    return Answer(_render_of_call(_find(call), call.now, call.base_url))


def update_of_call(call: Call) -> Answer:
    """POST Calls/{Sid}/Recordings/{Sid}: pause, go on, stop."""
    recording = _find(call)
    status = call.form.choice("Status", ("paused", "in-progress", "stopped"))
    behavior = call.form.choice("PauseBehavior", ("skip", "silence"))
    if status is None:
        raise Refused(20001, "Status is required")
    if recording.status(call.now) not in ("in-progress", "paused"):
        raise Refused(21220, "The recording is not in progress")
    if status != "paused":
        recording.go_on(call.now)
    elif recording.paused is None:
        recording.paused, recording.skips = call.now, behavior == "skip"
    if status == "stopped":
        recording.end = call.now
        call.world.on_change(recording.call)
    return Answer(_render_of_call(recording, call.now, call.base_url))


ROUTES = {
    ("GET", "Recordings"): listing,
    ("GET", "Recordings/{}"): fetch,
    ("DELETE", "Recordings/{}"): delete,
    ("POST", "Calls/{}/Recordings"): start,
    ("GET", "Calls/{}/Recordings"): list_of_call,
    ("GET", "Calls/{}/Recordings/{}"): fetch_of_call,
    ("POST", "Calls/{}/Recordings/{}"): update_of_call,
    ("DELETE", "Calls/{}/Recordings/{}"): delete,
}
