"""Recordings of calls: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.calling import record_call
from airflow_provider_twilio.emulator.models.call import Call, Recording, RecordingOptions
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.params import DateRange, Params
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import (
    API_ROOT,
    ApiError,
    Response,
    format_price,
    not_found,
    rfc2822_date,
)

EVENTS = ("in-progress", "completed", "absent")
DELETED_RETENTION = 40 * 86_400.0
"""Seconds for which a deleted recording can still be fetched and listed."""
_SILENCE = bytes.fromhex(
    "52494646a43e000057415645666d74201000000001000100401f0000803e00000200100064617461803e0000"
) + bytes(16_000)
"""A WAV file with one second of silence."""


def parse_recording_options(form: Params, default_channels: int) -> RecordingOptions:
    """Return the recording options of a request."""
    form.choice("Trim", ("trim-silence", "do-not-trim"))
    events = tuple(event for given in form.all("RecordingStatusCallbackEvent") for event in given.split())
    if any(event not in EVENTS for event in events):
        raise ApiError(20001, f"RecordingStatusCallbackEvent must be among {', '.join(EVENTS)}")
    channels = form.choice("RecordingChannels", ("mono", "dual"))
    return RecordingOptions(
        form.url("RecordingStatusCallback"),
        form.choice("RecordingStatusCallbackMethod", ("GET", "POST"), 21206) or "POST",
        events or ("completed",),
        form.choice("RecordingTrack", ("inbound", "outbound", "both")) or "both",
        default_channels if channels is None else 1 if channels == "mono" else 2,
    )


def _render_recording(recording: Recording, now: float, base_url: str) -> dict[str, Any]:
    status = recording.status(now)
    is_complete = status in ("completed", "deleted")
    updated = recording.deleted or (recording.end_time() if is_complete else recording.created)
    uri = recording.uri
    return {
        "account_sid": recording.account_sid,
        "api_version": VERSION,
        "call_sid": recording.call.sid,
        "conference_sid": None,
        "channels": recording.channels,
        "date_created": rfc2822_date(recording.created),
        "date_updated": rfc2822_date(updated),
        "start_time": rfc2822_date(recording.created),
        "price": format_price(recording.charged(now)),
        "price_unit": "USD",
        "duration": str(recording.seconds()) if is_complete else "-1" if status == "in-progress" else None,
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


def _render_call_recording(recording: Recording, now: float, base_url: str) -> dict[str, Any]:
    """Return the JSON form of a recording below its call.

    There, Twilio's description has the price as a number.
    """
    body = _render_recording(recording, now, base_url)
    del body["subresource_uris"], body["media_url"]
    uri = f"{API_ROOT}/Accounts/{recording.account_sid}/Calls/{recording.call.sid}/Recordings/{recording.sid}.json"
    price = None if body["price"] is None else float(body["price"])
    return body | {"track": recording.options.track, "uri": uri, "price": price}


def _parse_visibility(request: ApiRequest) -> Callable[[Recording], bool]:
    """Return the filter for recordings that have begun and, unless requested, are not deleted."""
    includes_deleted, now = request.query.flag("IncludeSoftDeleted"), request.now

    def is_visible(recording: Recording) -> bool:
        if recording.deleted is not None and not (includes_deleted and now - recording.deleted < DELETED_RETENTION):
            return False
        return recording.created <= now

    return is_visible


def _parse_filters(request: ApiRequest) -> list[Callable[[Recording], bool]]:
    filters = [_parse_visibility(request)]
    if (created := DateRange.parse(request.query, "DateCreated")) is not None:
        filters.append(lambda recording: created.contains(recording.created))
    if (call_sid := request.query.sid("CallSid", "CA")) is not None:
        filters.append(lambda recording: recording.call.sid == call_sid)
    if request.query.sid("ConferenceSid", "CF") is not None:
        filters.append(lambda recording: False)
    return filters


def list_recordings(request: ApiRequest) -> Response:
    """Handle GET Recordings."""
    return paginate(
        request,
        "recordings",
        request.account.recordings,
        _parse_filters(request),
        lambda recording: _render_recording(recording, request.now, request.base_url),
    )


def _find_recording(request: ApiRequest) -> Recording:
    """Return the recording that the path names.

    Below a call, only recordings of that call are found.
    """
    *call_sid, sid = request.args
    call = request.find(request.account.calls, call_sid[0]) if call_sid else None
    recording: Recording = request.find(request.account.recordings, sid)
    if not _parse_visibility(request)(recording) or call not in (None, recording.call):
        raise not_found(request.path)
    return recording


def fetch_recording(request: ApiRequest) -> Response:
    """Handle GET Recordings/{Sid}."""
    return Response(_render_recording(_find_recording(request), request.now, request.base_url))


def fetch_recording_content(request: ApiRequest) -> Response:
    """Handle GET Recordings/{Sid} without ``.json`` or with ``.wav``.

    The content is always silence.
    """
    if _find_recording(request).status(request.now) != "completed":
        raise not_found(request.path)
    return Response(_SILENCE, content_type="audio/x-wav")


def delete_recording(request: ApiRequest) -> Response:
    """Handle DELETE Recordings/{Sid} and Calls/{Sid}/Recordings/{Sid}.

    The record is retained for 40 days.
    """
    recording = _find_recording(request)
    if recording.status(request.now) in ("in-progress", "paused"):
        raise ApiError(20009, "Cannot delete this resource before it is complete", 409)
    recording.deleted = request.now
    return Response(status=204)


def create_call_recording(request: ApiRequest) -> Response:
    """Handle POST Calls/{Sid}/Recordings: record a call in progress."""
    call: Call = request.find(request.account.calls, request.args[0])
    options = parse_recording_options(request.form, 2)
    if call.status(request.now) != "in-progress":
        raise ApiError(21220, "Requested resource is not eligible for recording")
    recording = record_call(request.state, request.account, call, "StartCallRecordingAPI", options, request.now)
    request.state.on_change(call)
    return Response(_render_call_recording(recording, request.now, request.base_url), 201, sid=recording.sid)


def list_call_recordings(request: ApiRequest) -> Response:
    """Handle GET Calls/{Sid}/Recordings."""
    call = request.find(request.account.calls, request.args[0])
    return paginate(
        request,
        "recordings",
        request.account.recordings,
        [lambda recording: recording.call is call, *_parse_filters(request)],
        lambda recording: _render_call_recording(recording, request.now, request.base_url),
    )


def fetch_call_recording(request: ApiRequest) -> Response:
    """Handle GET Calls/{Sid}/Recordings/{Sid}."""
    return Response(_render_call_recording(_find_recording(request), request.now, request.base_url))


def update_call_recording(request: ApiRequest) -> Response:
    """Handle POST Calls/{Sid}/Recordings/{Sid}: pause, resume or stop a recording."""
    recording = _find_recording(request)
    status = request.form.choice("Status", ("paused", "in-progress", "stopped"))
    behavior = request.form.choice("PauseBehavior", ("skip", "silence"))
    if status is None:
        raise ApiError(20001, "Status is required")
    if recording.status(request.now) not in ("in-progress", "paused"):
        raise ApiError(21220, "The recording is not in progress")
    if status != "paused":
        recording.resume(request.now)
    elif recording.paused is None:
        recording.paused, recording.skip_pause = request.now, behavior == "skip"
    if status == "stopped":
        recording.end = request.now
        request.state.on_change(recording.call)
    return Response(_render_call_recording(recording, request.now, request.base_url))


ROUTES = {
    ("GET", "Recordings"): list_recordings,
    ("GET", "Recordings/{}"): fetch_recording,
    ("DELETE", "Recordings/{}"): delete_recording,
    ("POST", "Calls/{}/Recordings"): create_call_recording,
    ("GET", "Calls/{}/Recordings"): list_call_recordings,
    ("GET", "Calls/{}/Recordings/{}"): fetch_call_recording,
    ("POST", "Calls/{}/Recordings/{}"): update_call_recording,
    ("DELETE", "Calls/{}/Recordings/{}"): delete_recording,
}
