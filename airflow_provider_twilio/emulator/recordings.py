"""Recordings: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_twilio.api.core import VERSION
from airflow_provider_twilio.emulator.paging import paged
from airflow_provider_twilio.emulator.params import Window
from airflow_provider_twilio.emulator.wire import Answer, Refused, date, price

if TYPE_CHECKING:
    from airflow_provider_twilio.emulator.calls import CallRecord
    from airflow_provider_twilio.emulator.world import Account, Call, World

PROCESSING = 1.0
PRICE_A_MINUTE = 0.0025
KEPT = 40 * 86_400.0
"""What is known of a deleted recording is kept so long."""


@dataclass(slots=True, eq=False)
class Recording:
    """Hold a recording of a call; ``end`` is None while it goes on with the call."""

    sid: str
    seq: int
    created: float
    account_sid: str
    call: CallRecord
    source: str
    channels: int
    key: float
    end: float | None = None
    paused: bool = False
    deleted: float | None = None
    verb: bool = False
    """Whether a document asked for it."""
    callback: str | None = None
    callback_method: str = "POST"
    told: bool = False

    def ends(self) -> float:
        return self.end if self.end is not None else self.call.at(len(self.call.steps) - 1)

    def status(self, now: float) -> str:
        if self.deleted is not None:
            return "deleted"
        if now < self.ends():
            return "paused" if self.paused else "in-progress"
        return "processing" if (now - self.ends()) * self.call.speed < PROCESSING else "completed"

    def seconds(self) -> int:
        return max(round((self.ends() - self.created) * self.call.speed), 0)

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
    world: World, account: Account, call: CallRecord, source: str, channels: int,
    after: float = 0.0, length: float | None = None,
) -> Recording | None:  # fmt: skip
    """Record a call from when it is answered, or so many seconds after; None if it won't be answered."""
    talks = [step for step in call.steps if step[1] == "in-progress"]
    if not talks:
        return None
    begin = call.start + (talks[0][0] + after) / call.speed
    end = None if length is None else begin + length / call.speed
    recording = Recording(world.sid("RE"), world.next(), begin, account.sid, call, source, channels, begin, end)
    account.recordings.add(recording)
    call.recordings.append(recording)
    return recording


def call_ended(account: Account, call: CallRecord, now: float) -> None:
    """Forget the recordings that the end of their call forestalls, and end those that go on."""
    for recording in list(call.recordings):
        if recording.created > now:
            call.recordings.remove(recording)
            account.recordings.remove(recording)
        elif recording.end is not None and recording.end > now:
            recording.end = now


def render(recording: Recording, now: float, base_url: str) -> dict[str, Any]:
    """Write a recording as Twilio does."""
    status = recording.status(now)
    done = status in ("completed", "deleted")
    uri = f"/{VERSION}/Accounts/{recording.account_sid}/Recordings/{recording.sid}"
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
    uri = f"/{VERSION}/Accounts/{recording.account_sid}/Calls/{recording.call.sid}/Recordings/{recording.sid}.json"
    # Here the description has the price as a number.
    price = None if body["price"] is None else float(body["price"])
    return body | {"track": "both", "uri": uri, "price": price}


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


def _find(call: Call, sid: str) -> Recording:
    from airflow_provider_twilio.emulator.wire import not_found

    recording: Recording = call.find(call.account.recordings, sid)
    _deleted_too(call)
    if not _known(call, recording):
        raise not_found(call.path)
    return recording


def fetch(call: Call) -> Answer:
    """GET Recordings/{Sid}."""
    return Answer(render(_find(call, call.args[0]), call.now, call.base_url))


def delete(call: Call) -> Answer:
    """DELETE Recordings/{Sid}, or Calls/{Sid}/Recordings/{Sid}; what is known of it is kept for 40 days."""
    recording = _find(call, call.args[-1])
    if recording.status(call.now) in ("in-progress", "paused"):
        raise Refused(20009, "Cannot delete this resource before it is complete", 409)
    recording.deleted = call.now
    return Answer(status=204)


def start(call: Call) -> Answer:
    """POST Calls/{Sid}/Recordings: record a call that is in progress."""
    record: CallRecord = call.find(call.account.calls, call.args[0])
    callback = call.form.url("RecordingStatusCallback")
    method = call.form.choice("RecordingStatusCallbackMethod", ("GET", "POST")) or "POST"
    call.form.choice("Trim", ("trim-silence", "do-not-trim"))
    call.form.choice("RecordingTrack", ("inbound", "outbound", "both"))
    channels = 1 if call.form.choice("RecordingChannels", ("mono", "dual")) == "mono" else 2
    if record.status(call.now) != "in-progress":
        raise Refused(21220, "Requested resource is not eligible for recording")
    recording = Recording(
        call.world.sid("RE"), call.world.next(), call.now, call.account.sid, record, "StartCallRecordingAPI", channels,
        call.now, callback=callback, callback_method=method,
    )  # fmt: skip
    call.account.recordings.add(recording)
    record.recordings.append(recording)
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
    return Answer(_render_of_call(_find(call, call.args[1]), call.now, call.base_url))


def update_of_call(call: Call) -> Answer:
    """POST Calls/{Sid}/Recordings/{Sid}: pause, go on, stop."""
    recording = _find(call, call.args[1])
    status = call.form.choice("Status", ("paused", "in-progress", "stopped"))
    if status is None:
        raise Refused(20001, "Status is required")
    if recording.status(call.now) not in ("in-progress", "paused"):
        raise Refused(21220, "The recording is not in progress")
    recording.paused = status == "paused"
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
