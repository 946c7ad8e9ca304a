"""Recordings of calls and conferences: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import NoContent, Request

KINDS = ("RE",)

COMPLETED = frozenset({"completed"})
FAILED = frozenset({"absent", "deleted"})
FINAL = COMPLETED | FAILED


class Recording(Record):
    """Hold what is known of a recording: ``duration`` in seconds; the sound itself is behind ``media_url``."""

    sid_prefixes = KINDS

    sid = Sid()
    account_sid = Field(str)
    call_sid = Field(str)
    conference_sid = Field(str)
    status = Field(str)
    source = Field(str)
    channels = Field(int)
    duration = Field(int)
    error_code = Field(int)
    price = Field(Decimal)
    price_unit = Field(str)
    start_time = Field(datetime)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    encryption_details = Field(dict)
    media_url = Field(str)
    api_version = Field(str)
    uri = Field(str)
    subresource_uris = Field(dict)


class Recordings(Resource[C_co]):
    """Read and delete recordings."""

    @listing
    @staticmethod
    def list(
        *,
        call_sid: str | None = None,
        conference_sid: str | None = None,
        date_created: date | None = None,
        date_created_after: date | datetime | None = None,
        date_created_before: date | datetime | None = None,
        include_soft_deleted: bool | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[Recording]:
        """List the account's recordings.

        :param call_sid: only of this call.
        :param conference_sid: only of this conference.
        :param date_created: only of this day (UTC).
        :param date_created_after: only at or after this time, aware, or day (UTC).
        :param date_created_before: only at or before this time, aware, or day (UTC).
        :param include_soft_deleted: also those deleted in the last 40 days, of which Twilio still keeps a record.
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/voice/api/recording#read-multiple-recording-resources
        """
        checks.sids(call_sid=(call_sid, "CA"), conference_sid=(conference_sid, "CF"))
        return Listing("Recordings.json", Recording, limit=limit, page_size=page_size)

    @operation
    @staticmethod
    def fetch(recording_sid: str, *, include_soft_deleted: bool | None = None) -> Request[Recording]:
        """Fetch what is known of a recording.

        :param include_soft_deleted: also if it was deleted in the last 40 days.
        :raises NotFound: there is none with this SID, or no longer.

        https://www.twilio.com/docs/voice/api/recording#fetch-a-recording-resource
        """
        return Request("GET", _path(recording_sid), Recording)

    @operation
    @staticmethod
    def delete(recording_sid: str) -> Request[None]:
        """Delete a recording. Its sound is gone at once.

        https://www.twilio.com/docs/voice/api/recording#delete-a-recording-resource
        """
        return Request("DELETE", _path(recording_sid), NoContent)


def _path(recording_sid: str) -> str:
    return f"Recordings/{checks.sid('recording_sid', recording_sid, *KINDS)}.json"
