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

KINDS = ("CA",)

COMPLETED = frozenset({"completed"})
FAILED = frozenset({"busy", "failed", "no-answer", "canceled"})
FINAL = COMPLETED | FAILED
STATUSES = ("queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled")

LONGEST_TIMEOUT = 600
LONGEST_DIGITS = 32
METHODS = ("GET", "POST")

_DIGITS = r"[0-9A-D#*wW]*"


class Call(Record):
    """Hold a call. ``duration`` is in seconds, ``queue_time`` in milliseconds; ``price`` is negative when charged."""

    sid_prefixes = KINDS

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
    """Place, read, redirect, hang up and delete calls."""

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
        """Place a call. Never repeated when its outcome is unknown.

        :param to: a number in E.164, or a ``client:``, ``sip:`` or ``whatsapp:`` address.
        :param from_: the caller: a number of the account or one it has verified, or a ``client:`` or ``sip:`` address.
        :param url: the address that answers with the call's TwiML; this, ``twiml`` or ``application_sid``.
        :param twiml: the TwiML itself, up to 4000 characters.
        :param application_sid: the application that handles the call; Twilio then takes addresses and methods from it.
        :param method: how Twilio asks ``url``: ``GET`` or ``POST`` (its default).
        :param fallback_url: asked when ``url`` or its TwiML fails.
        :param fallback_method: how ``fallback_url`` is asked.
        :param status_callback: where Twilio reports the call's progress.
        :param status_callback_event: of ``initiated``, ``ringing``, ``answered``, ``completed`` (the default).
        :param status_callback_method: how ``status_callback`` is asked.
        :param send_digits: up to 32 keys to press once connected: 0-9, A-D, # and the star; w waits 0.5 s, W 1 s.
        :param ring_timeout: seconds it may ring, up to 600 (Twilio's default is 60).
        :param time_limit: the longest the call may last, in seconds.
        :param record: whether to record the call.
        :param recording_channels: ``mono`` or ``dual``.
        :param recording_track: ``inbound``, ``outbound`` or ``both``.
        :param recording_status_callback: where Twilio reports the recording.
        :param recording_status_callback_event: of ``in-progress``, ``completed``, ``absent``.
        :param recording_status_callback_method: how ``recording_status_callback`` is asked.
        :param recording_configuration_id: the recording configuration to use.
        :param trim: ``trim-silence`` or ``do-not-trim``, for the recording.
        :param sip_auth_username: the user of a SIP endpoint that wants one.
        :param sip_auth_password: that user's password.
        :param machine_detection: ``Enable``, or ``DetectMessageEnd`` to wait for the end of a greeting.
        :param machine_detection_timeout: seconds to try to tell a machine from a person.
        :param machine_detection_speech_threshold: ms of speech from which it is a machine's, 1000 to 6000.
        :param machine_detection_speech_end_threshold: ms of silence that end a greeting, 500 to 5000.
        :param machine_detection_silence_timeout: ms of silence at the start that end the detection, 2000 to 10000.
        :param async_amd: detect machines while the call goes on, instead of before.
        :param async_amd_status_callback: where Twilio then reports who answered.
        :param async_amd_status_callback_method: how ``async_amd_status_callback`` is asked.
        :param caller_id: the number or address shown as the caller, where it isn't ``from_``.
        :param byoc: the BYOC trunk to route the call by (calls to numbers only).
        :param call_reason: the reason shown on the phone that is called (branded calls).
        :param call_token: the token of an incoming call that is being forwarded.
        :param passports: STIR/SHAKEN passports in base64, up to 5, separated by commas.
        :param client_notification_url: where Twilio sends the push notification of the call.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.
        :raises BadParameter: before anything is sent.

        https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
        """
        checks.recipient("to", to, checks.CALL_CHANNELS)
        checks.caller("from_", from_)
        checks.caller("caller_id", caller_id)
        checks.one_of(url=url, twiml=twiml, application_sid=application_sid)
        checks.only_one_of(url=url, twiml=twiml, application_sid=application_sid)
        checks.sids(application_sid=(application_sid, "AP"), byoc=(byoc, "BY"))
        twiml_rules.check("twiml", twiml)
        _methods(
            method=method,
            fallback_method=fallback_method,
            status_callback_method=status_callback_method,
            recording_status_callback_method=recording_status_callback_method,
            async_amd_status_callback_method=async_amd_status_callback_method,
        )
        _digits(send_digits)
        checks.between("ring_timeout", ring_timeout, 1, LONGEST_TIMEOUT, " seconds")
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

        :raises NotFound: there is none with this SID, or no longer.

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
        """Hang up a call, cancel it, or give it new TwiML while it goes on.

        :param status: ``canceled`` ends a call that is queued or rings; ``completed`` one that goes on, too.
        :param url: the address that answers with the new TwiML; this or ``twiml``.
        :param twiml: the new TwiML itself, up to 4000 characters.
        :param method: how Twilio asks ``url``: ``GET`` or ``POST`` (its default).
        :param fallback_url: asked when ``url`` or its TwiML fails.
        :param fallback_method: how ``fallback_url`` is asked.
        :param status_callback: where Twilio reports the call's end.
        :param status_callback_method: how ``status_callback`` is asked.
        :param time_limit: the longest the call may last, in seconds.
        :param extra_params: Further form parameters, by Twilio's own names, for parameters that have no argument here:
            ``{"NewParameter": "value"}``. Lists repeat a parameter; None omits it.
        :raises InvalidRequest: the call is over (code 21220), and not by a try of this request whose answer was lost.

        https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
        """
        if not extra_params:
            checks.one_of(status=status, url=url, twiml=twiml, status_callback=status_callback, time_limit=time_limit)
        checks.only_one_of(url=url, twiml=twiml)
        checks.choice("status", status, ("canceled", "completed"))
        twiml_rules.check("twiml", twiml)
        _methods(method=method, fallback_method=fallback_method, status_callback_method=status_callback_method)
        return Request("POST", _path(call_sid), Call)

    @operation
    @staticmethod
    def delete(call_sid: str) -> Request[None]:
        """Delete the record of a call that is over.

        :raises RateLimited: it is not over yet (code 20009); later it can be deleted.

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
        """List calls, the newest first.

        :param to: only to this number or address.
        :param from_: only from this number or address.
        :param parent_call_sid: only those that this call has started.
        :param status: only in this status.
        :param start_time: only those started on this day (UTC).
        :param start_time_after: only those started at or after this time, aware, or day (UTC).
        :param start_time_before: only those started at or before this time, aware, or day (UTC).
        :param end_time: only those ended on this day (UTC).
        :param end_time_after: only those ended at or after this time, aware, or day (UTC).
        :param end_time_before: only those ended at or before this time, aware, or day (UTC).
        :param limit: how many at the most.
        :param page_size: records a request, up to 1000 (the default).

        https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
        """
        checks.sids(parent_call_sid=(parent_call_sid, "CA"))
        checks.choice("status", status, STATUSES)
        return Listing("Calls.json", Call, limit=limit, page_size=page_size)


def _methods(**values: Any) -> None:
    for name, value in values.items():
        checks.choice(name, value, METHODS)


def _digits(value: Any) -> None:
    if value is None or value is UNRESOLVED:
        return
    if not isinstance(value, str) or not re.fullmatch(_DIGITS, value):
        raise BadParameter(
            "send_digits",
            f"has other keys than a phone ({checks.describe(value)})",
            "give 0-9, A-D, #, *, w and W only",
        )
    checks.max_length("send_digits", value, LONGEST_DIGITS, "keys")


def _path(call_sid: str) -> str:
    return f"Calls/{checks.sid('call_sid', call_sid, *KINDS)}.json"
