"""Recordings of calls and conferences: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import NoContent, Request

SID_PREFIXES = ("RE",)

COMPLETED = frozenset({"completed"})
FAILED = frozenset({"absent", "deleted"})
FINAL = COMPLETED | FAILED


class Recording(Record):
    """A recording of a call or conference.

    ``duration`` is in seconds; the audio is at ``media_url``.
    """

    sid_prefixes = SID_PREFIXES

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
    """Operations on recordings: fetch, list and delete."""

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

        :param call_sid: Only recordings of this call.
        :param conference_sid: Only recordings of this conference.
        :param date_created: Only recordings created on this day (UTC).
        :param date_created_after: Only recordings created at or after this time or day (UTC). A datetime needs a time
            zone.
        :param date_created_before: Only recordings created at or before this time or day (UTC). A datetime needs a time
            zone.
        :param include_soft_deleted: Whether to include recordings deleted in the last 40 days, whose records Twilio
            keeps.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/voice/api/recording#read-multiple-recording-resources
        """
        checks.sids(call_sid=(call_sid, "CA"), conference_sid=(conference_sid, "CF"))
        return Listing("Recordings.json", Recording, limit=limit, page_size=page_size)

    @operation
    @staticmethod
    def fetch(recording_sid: str, *, include_soft_deleted: bool | None = None) -> Request[Recording]:
        """Fetch the record of a recording.

        :param recording_sid: SID of the recording.
        :param include_soft_deleted: Whether to also find a recording that was deleted in the last 40 days.
        :raises NotFound: When no recording has this SID, or it has been deleted.

        https://www.twilio.com/docs/voice/api/recording#fetch-a-recording-resource
        """
        return Request("GET", _path(recording_sid), Recording)

    @operation
    @staticmethod
    def delete(recording_sid: str) -> Request[None]:
        """Delete a recording. Its audio is removed at once.

        :param recording_sid: SID of the recording.

        https://www.twilio.com/docs/voice/api/recording#delete-a-recording-resource
        """
        return Request("DELETE", _path(recording_sid), NoContent)


def _path(recording_sid: str) -> str:
    return f"Recordings/{checks.sid('recording_sid', recording_sid, *SID_PREFIXES)}.json"
