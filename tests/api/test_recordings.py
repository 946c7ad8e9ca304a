"""Recording operations: paths, parameters and records."""

from __future__ import annotations

from datetime import date

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.recordings import Recording, Recordings

RE, CA, CF = (kind + "0" * 32 for kind in ("RE", "CA", "CF"))


def test_list_recordings_filters_by_call_conference_and_day():
    listing = Recordings.list(
        call_sid=CA, conference_sid=CF, date_created_before=date(2026, 1, 1), include_soft_deleted=True
    )
    assert listing.path == "Recordings.json"
    assert listing.data == (
        ("CallSid", CA),
        ("ConferenceSid", CF),
        ("DateCreated<", "2026-01-01"),
        ("IncludeSoftDeleted", "true"),
    )
    with pytest.raises(BadParameter, match="call_sid is a SID of the wrong type"):
        Recordings.list(call_sid=RE)


def test_fetch_and_delete_recording_use_its_path():
    assert Recordings.fetch(RE, include_soft_deleted=True).query() == "IncludeSoftDeleted=true"
    assert Recordings.fetch(RE).path == Recordings.delete(RE).path == f"Recordings/{RE}.json"
    assert Recordings.delete(RE).method == "DELETE"


def test_recording_record_parses_numbers():
    recording = Recording(duration="4", channels=1, price="-0.0025", error_code=None, encryption_details=None)
    assert (recording.duration, recording.channels, str(recording.price)) == (4, 1, "-0.0025")
    assert (recording.error_code, recording.encryption_details) == (None, None)
