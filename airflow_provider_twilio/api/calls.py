"""Calls: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api import twiml as twiml_rules
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import C_co, Resource, listing, operation
from airflow_provider_twilio.api.records import Field, Record, Sid
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.values import UNRESOLVED

SID_PREFIXES = ("CA",)

COMPLETED = frozenset({"completed"})
FAILED = frozenset({"busy", "failed", "no-answer", "canceled"})
FINAL = COMPLETED | FAILED
STATUSES = ("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")

MAX_RING_TIMEOUT = 600
MAX_DIGITS = 32
METHODS = ("GET", "POST")

_DIGITS = r"[0-9A-D#*wW]*"


class Call(Record):
    """A call. ``duration`` is in seconds, ``queue_time`` in milliseconds.

    ``price`` is negative for a charge, and None until Twilio has billed the call.
    """

    sid_prefixes = SID_PREFIXES

    sid = Sid()
    account_sid = Field(str)
    parent_call_sid = Field(str)
    group_sid = Field(str)
    phone_number_sid = Field(str)
    trunk_sid = Field(str)
    to = Field(str)
    to_formatted = Field(str)
    from_ = Field(str)
    from_formatted = Field(str)
    forwarded_from = Field(str)
    caller_name = Field(str)
    status = Field(str)
    direction = Field(str)
    answered_by = Field(str)
    duration = Field(int)
    queue_time = Field(int)
    price = Field(Decimal)
    price_unit = Field(str)
    date_created = Field(datetime)
    date_updated = Field(datetime)
    start_time = Field(datetime)
    end_time = Field(datetime)
    api_version = Field(str)
    uri = Field(str)
    subresource_uris = Field(dict)


class Calls(Resource[C_co]):
    """Operations on calls: create, fetch, list, update and delete.

    .. code-block:: python

        request = Calls.create(to="+14155550100", url="https://example.com/twiml")  # a Request, not yet sent
        call = Calls(client).create(to="+14155550100", url="https://example.com/twiml")  # placed: a Call
    """

    @operation
    @staticmethod
    def create(
        *,
        to: str,
        from_: str | None = None,
        url: str | None = None,
        twiml: str | None = None,
        application_sid: str | None = None,
        method: Literal["GET", "POST"] | None = None,
        fallback_url: str | None = None,
        fallback_method: Literal["GET", "POST"] | None = None,
        status_callback: str | None = None,
        status_callback_event: Sequence[str] | str | None = None,
        status_callback_method: Literal["GET", "POST"] | None = None,
        send_digits: str | None = None,
        ring_timeout: int | None = None,
        time_limit: int | None = None,
        record: bool | None = None,
        recording_channels: str | None = None,
        recording_track: str | None = None,
        recording_status_callback: str | None = None,
        recording_status_callback_event: Sequence[str] | str | None = None,
        recording_status_callback_method: Literal["GET", "POST"] | None = None,
        recording_configuration_id: str | None = None,
        trim: str | None = None,
        sip_auth_username: str | None = None,
        sip_auth_password: str | None = None,
        machine_detection: str | None = None,
        machine_detection_timeout: int | None = None,
        machine_detection_speech_threshold: int | None = None,
        machine_detection_speech_end_threshold: int | None = None,
        machine_detection_silence_timeout: int | None = None,
        async_amd: bool | str | None = None,
        async_amd_status_callback: str | None = None,
        async_amd_status_callback_method: Literal["GET", "POST"] | None = None,
        caller_id: str | None = None,
        byoc: str | None = None,
        call_reason: str | None = None,
        call_token: str | None = None,
        passports: str | None = None,
        client_notification_url: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[Call]:
        """Create a call, which Twilio places at once.

        The request is not idempotent: it is never sent again while its outcome is unknown.

        :param to: Recipient: a number in E.164, or a ``client:``, ``sip:`` or ``whatsapp:`` address.
        :param from_: Caller: a number of the account, a verified number, or a ``client:`` or ``sip:`` address. Required
            unless the connection has a default sender.
        :param url: URL that returns the TwiML of the call. Pass exactly one of ``url``, ``twiml`` and
            ``application_sid``.
        :param twiml: TwiML of the call, up to 4,000 characters.
        :param application_sid: TwiML app that handles the call. Twilio takes all URLs and methods from the app.
        :param method: HTTP method for ``url``: ``GET`` or ``POST`` (default).
        :param fallback_url: URL that Twilio requests if ``url`` or its TwiML fails.
        :param fallback_method: HTTP method for ``fallback_url``: ``GET`` or ``POST`` (default).
        :param status_callback: URL to which Twilio reports the progress of the call.
        :param status_callback_event: Events to report: ``initiated``, ``ringing``, ``answered``, ``completed``
            (default).
        :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default).
        :param send_digits: Keys to press once connected, up to 32: ``0``-``9``, ``A``-``D``, ``#``, ``*``; ``w`` waits
            0.5 seconds and ``W`` 1 second. Not together with ``machine_detection``.
        :param ring_timeout: Seconds the call may ring unanswered, 1 to 600. Twilio's default is 60.
        :param time_limit: Maximum duration of the call, in seconds.
        :param record: Whether to record the call. False by default.
        :param recording_channels: ``mono`` (default) for one channel, or ``dual`` for one channel per leg.
        :param recording_track: Audio to record: ``inbound``, ``outbound`` or ``both`` (default).
        :param recording_status_callback: URL to which Twilio reports the recording.
        :param recording_status_callback_event: Events to report: ``in-progress``, ``completed`` (default), ``absent``.
        :param recording_status_callback_method: HTTP method for ``recording_status_callback``: ``GET`` or ``POST``
            (default).
        :param recording_configuration_id: ID of the recording configuration to use.
        :param trim: ``trim-silence`` (default) to remove silence at both ends of the recording, or ``do-not-trim``.
        :param sip_auth_username: User name for the SIP endpoint.
        :param sip_auth_password: Password for the SIP endpoint.
        :param machine_detection: ``Enable`` to detect answering machines, or ``DetectMessageEnd`` to also wait for the
            end of the greeting.
        :param machine_detection_timeout: Seconds after which the detection ends as ``unknown``. Twilio's default is 30.
        :param machine_detection_speech_threshold: Milliseconds of speech above which a machine is assumed, 1,000 to
            6,000. Twilio's default is 2,400.
        :param machine_detection_speech_end_threshold: Milliseconds of silence that end the speech, 500 to 5,000.
            Twilio's default is 1,200.
        :param machine_detection_silence_timeout: Milliseconds of initial silence after which the detection ends as
            ``unknown``, 2,000 to 10,000. Twilio's default is 5,000.
        :param async_amd: Whether to detect answering machines in the background instead of before the TwiML runs.
        :param async_amd_status_callback: URL to which Twilio reports the result of the background detection.
        :param async_amd_status_callback_method: HTTP method for ``async_amd_status_callback``: ``GET`` or ``POST``
            (default).
        :param caller_id: Number or address to show as the caller instead of ``from_``.
        :param byoc: BYOC trunk that routes the call. Applies to calls to phone numbers only.
        :param call_reason: Reason for the call, shown on the recipient's phone (branded calls).
        :param call_token: Token of the incoming call that this call forwards.
        :param passports: STIR/SHAKEN passports in base64, up to 5, separated by commas.
        :param client_notification_url: URL for the push notification of the call.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No call was placed.

        https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
        """
        checks.recipient("to", to, checks.CALL_CHANNELS)
        checks.caller("from_", from_)
        checks.caller("caller_id", caller_id)
        checks.one_of(url=url, twiml=twiml, application_sid=application_sid)
        checks.only_one_of(url=url, twiml=twiml, application_sid=application_sid)
        checks.sids(application_sid=(application_sid, "AP"), byoc=(byoc, "BY"))
        twiml_rules.check("twiml", twiml)
        _check_methods(
            method=method,
            fallback_method=fallback_method,
            status_callback_method=status_callback_method,
            recording_status_callback_method=recording_status_callback_method,
            async_amd_status_callback_method=async_amd_status_callback_method,
        )
        _check_digits(send_digits)
        if all(checks.is_set(value) and value is not UNRESOLVED for value in (send_digits, machine_detection)):
            raise BadParameter(
                "send_digits and machine_detection",
                "are mutually exclusive",
                "pass one of them: Twilio does not detect machines on a call that it sends digits to",
            )
        checks.between("ring_timeout", ring_timeout, 1, MAX_RING_TIMEOUT, " seconds")
        milliseconds = " milliseconds"
        checks.between(
            "machine_detection_speech_threshold", machine_detection_speech_threshold, 1000, 6000, milliseconds
        )
        checks.between(
            "machine_detection_speech_end_threshold", machine_detection_speech_end_threshold, 500, 5000, milliseconds
        )
        checks.between(
            "machine_detection_silence_timeout", machine_detection_silence_timeout, 2000, 10_000, milliseconds
        )
        return Request("POST", "Calls.json", Call, idempotent=False, requires_one_of=("From",))

    @operation
    @staticmethod
    def fetch(call_sid: str) -> Request[Call]:
        """Fetch a call.

        :param call_sid: SID of the call.
        :raises NotFound: When no call has this SID, or it has been deleted.

        https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource
        """
        return Request("GET", _path(call_sid), Call)

    @operation
    @staticmethod
    def update(
        call_sid: str,
        *,
        status: Literal["canceled", "completed"] | None = None,
        url: str | None = None,
        twiml: str | None = None,
        method: Literal["GET", "POST"] | None = None,
        fallback_url: str | None = None,
        fallback_method: Literal["GET", "POST"] | None = None,
        status_callback: str | None = None,
        status_callback_method: Literal["GET", "POST"] | None = None,
        time_limit: int | None = None,
        extra_params: Mapping[str, Any] | None = None,
    ) -> Request[Call]:
        """Update a call: end it, or replace its TwiML while it is in progress.

        :param call_sid: SID of the call.
        :param status: ``canceled`` to end a call that is queued or ringing, or ``completed`` to also end one in
            progress.
        :param url: URL that returns the new TwiML. Pass ``url`` or ``twiml``, not both.
        :param twiml: New TwiML, up to 4,000 characters.
        :param method: HTTP method for ``url``: ``GET`` or ``POST`` (default).
        :param fallback_url: URL that Twilio requests if ``url`` or its TwiML fails.
        :param fallback_method: HTTP method for ``fallback_url``: ``GET`` or ``POST`` (default).
        :param status_callback: URL to which Twilio reports the end of the call.
        :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default).
        :param time_limit: Maximum duration of the call, in seconds.
        :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``,
            for parameters that this operation does not have. A list repeats its parameter; None omits it.
        :raises BadParameter: When an argument is invalid. No request was sent.
        :raises InvalidRequest: When the call has already ended (code 21220), unless an earlier try of this request may
            have ended it.

        https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
        """
        if not extra_params:
            checks.one_of(status=status, url=url, twiml=twiml, status_callback=status_callback, time_limit=time_limit)
        checks.only_one_of(url=url, twiml=twiml)
        checks.choice("status", status, ("canceled", "completed"))
        twiml_rules.check("twiml", twiml)
        _check_methods(method=method, fallback_method=fallback_method, status_callback_method=status_callback_method)
        return Request("POST", _path(call_sid), Call)

    @operation
    @staticmethod
    def delete(call_sid: str) -> Request[None]:
        """Delete the record of a call that has ended.

        :param call_sid: SID of the call.
        :raises RateLimited: When the call has not ended yet (code 20009). Try again later.

        https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource
        """
        return Request("DELETE", _path(call_sid), NoContent)

    @listing
    @staticmethod
    def list(
        *,
        to: str | None = None,
        from_: str | None = None,
        parent_call_sid: str | None = None,
        status: Literal["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"]
        | None = None,
        start_time: date | None = None,
        start_time_after: date | datetime | None = None,
        start_time_before: date | datetime | None = None,
        end_time: date | None = None,
        end_time_after: date | datetime | None = None,
        end_time_before: date | datetime | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Listing[Call]:
        """List calls, most recent first.

        :param to: Only calls to this number or address.
        :param from_: Only calls from this number or address.
        :param parent_call_sid: Only calls that this call started.
        :param status: Only calls in this status.
        :param start_time: Only calls that started on this day (UTC).
        :param start_time_after: Only calls that started at or after this time or day (UTC). A datetime needs a time
            zone.
        :param start_time_before: Only calls that started at or before this time or day (UTC). A datetime needs a time
            zone.
        :param end_time: Only calls that ended on this day (UTC).
        :param end_time_after: Only calls that ended at or after this time or day (UTC). A datetime needs a time zone.
        :param end_time_before: Only calls that ended at or before this time or day (UTC). A datetime needs a time zone.
        :param limit: Maximum number of records to list. None lists all.
        :param page_size: Records per request, 1 to 1,000 (default).
        :raises BadParameter: When an argument is invalid. No request was sent.

        https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
        """
        checks.sids(parent_call_sid=(parent_call_sid, "CA"))
        checks.choice("status", status, STATUSES)
        return Listing("Calls.json", Call, limit=limit, page_size=page_size)


def _check_methods(**values: Any) -> None:
    for name, value in values.items():
        checks.choice(name, value, METHODS)


def _check_digits(value: Any) -> None:
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, str) or not re.fullmatch(_DIGITS, value):
        raise BadParameter(
            "send_digits",
            f"contains characters that are not phone keys ({checks.describe(value)})",
            "use only 0-9, A-D, #, *, w and W",
        )
    checks.max_length("send_digits", value, MAX_DIGITS, "keys")


def _path(call_sid: str) -> str:
    return f"Calls/{checks.sid('call_sid', call_sid, *SID_PREFIXES)}.json"
