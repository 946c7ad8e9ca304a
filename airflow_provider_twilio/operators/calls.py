"""Place, fetch, list, redirect, hang up and delete calls; forget old calls and recordings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api import twiml as twiml_rules
from airflow_provider_twilio.api.calls import FINAL, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.retention import DeleteOldCallsOperator, DeleteOldRecordingsOperator

if TYPE_CHECKING:
    from airflow_provider_twilio.triggers.calls import CallCompletionTrigger

__all__ = [
    "CreateCallOperator",
    "DeleteCallOperator",
    "DeleteOldCallsOperator",
    "DeleteOldRecordingsOperator",
    "FetchCallOperator",
    "ListCallsOperator",
    "UpdateCallOperator",
]


class CreateCallOperator(SendAndWaitOperator, operation=Calls.create):
    """Place a call. Its record goes to XCom.

    It is placed once, whatever is retried, killed or lost. With ``wait_for_completion`` the task succeeds when the call
    is completed, and fails at once, whatever its ``retries``, when it ends otherwise.

    :param to: a number in E.164, or a ``client:``, ``sip:`` or ``whatsapp:`` address. (templated)
    :param from_: the caller: a number of the account or one it has verified, or a ``client:`` or ``sip:``
        address. (templated)
    :param url: the address that answers with the call's TwiML; this, ``twiml``, ``say`` or
        ``application_sid``.
        (templated)
    :param twiml: the TwiML itself, up to 4000 characters. (templated)
    :param application_sid: the application that handles the call; Twilio then takes addresses and methods from
        it. (templated)
    :param method: how Twilio asks ``url``: ``GET`` or ``POST`` (its default). (templated)
    :param fallback_url: asked when ``url`` or its TwiML fails. (templated)
    :param fallback_method: how ``fallback_url`` is asked. (templated)
    :param status_callback: where Twilio reports the call's progress. (templated)
    :param status_callback_event: of ``initiated``, ``ringing``, ``answered``, ``completed`` (the default).
        (templated)
    :param status_callback_method: how ``status_callback`` is asked. (templated)
    :param send_digits: up to 32 keys to press once connected: 0-9, A-D, # and the star; w waits 0.5 s, W 1 s.
        (templated)
    :param ring_timeout: seconds it may ring, up to 600 (Twilio's default is 60). (templated)
    :param time_limit: the longest the call may last, in seconds. (templated)
    :param record: whether to record the call. (templated)
    :param recording_channels: ``mono`` or ``dual``. (templated)
    :param recording_track: ``inbound``, ``outbound`` or ``both``. (templated)
    :param recording_status_callback: where Twilio reports the recording. (templated)
    :param recording_status_callback_event: of ``in-progress``, ``completed``, ``absent``. (templated)
    :param recording_status_callback_method: how ``recording_status_callback`` is asked. (templated)
    :param recording_configuration_id: the recording configuration to use. (templated)
    :param trim: ``trim-silence`` or ``do-not-trim``, for the recording. (templated)
    :param sip_auth_username: the user of a SIP endpoint that wants one. (templated)
    :param sip_auth_password: that user's password. (templated)
    :param machine_detection: ``Enable``, or ``DetectMessageEnd`` to wait for the end of a greeting. (templated)
    :param machine_detection_timeout: seconds to try to tell a machine from a person. (templated)
    :param machine_detection_speech_threshold: ms of speech from which it is a machine's, 1000 to 6000.
        (templated)
    :param machine_detection_speech_end_threshold: ms of silence that end a greeting, 500 to 5000. (templated)
    :param machine_detection_silence_timeout: ms of silence at the start that end the detection, 2000 to 10000.
        (templated)
    :param async_amd: detect machines while the call goes on, instead of before. (templated)
    :param async_amd_status_callback: where Twilio then reports who answered. (templated)
    :param async_amd_status_callback_method: how ``async_amd_status_callback`` is asked. (templated)
    :param caller_id: the number or address shown as the caller, where it isn't ``from_``. (templated)
    :param byoc: the BYOC trunk to route the call by (calls to numbers only). (templated)
    :param call_reason: the reason shown on the phone that is called (branded calls). (templated)
    :param call_token: the token of an incoming call that is being forwarded. (templated)
    :param passports: STIR/SHAKEN passports in base64, up to 5, separated by commas. (templated)
    :param client_notification_url: where Twilio sends the push notification of the call. (templated)
    :param say: a text to speak, which is escaped, instead of TwiML. (templated)
    :param voice: with ``say``, one of Twilio's voices, such as ``Polly.Joanna``. (templated)
    :param language: with ``say``, a language tag, such as ``en-GB``. (templated)
    :param wait_for_completion: wait for the call's end.
    :param accept: further final statuses to take for success, such as ``no-answer``.
    :param answered_by: what must have picked up, such as ``human``; it needs ``machine_detection``.
    :param hang_up_on_kill: hang up when a user kills the task.
    :param poll_interval: seconds between two looks.
    :param wait_timeout: seconds from the dialling after which the task fails, without retry.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param once: ``False`` calls in every try of the task.
    :param on_clear: ``resend`` when a user clears the task, or ``skip``.
    :param on_unresolved: ``resend`` or ``fail`` where an earlier try's outcome can't be known.
    :param reconcile_timeout: seconds, beyond the connection's time-out, before what Twilio doesn't list was never placed.

    https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
    """

    template_fields_renderers = {"twiml": "html"}
    sample = "CA" + "0" * 32
    _extra_template_fields = ("say", "voice", "language")

    def __init__(
        self,
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
        ring_timeout: int | str | None = None,
        time_limit: int | str | None = None,
        record: bool | str | None = None,
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
        machine_detection_timeout: int | str | None = None,
        machine_detection_speech_threshold: int | str | None = None,
        machine_detection_speech_end_threshold: int | str | None = None,
        machine_detection_silence_timeout: int | str | None = None,
        async_amd: bool | str | None = None,
        async_amd_status_callback: str | None = None,
        async_amd_status_callback_method: Literal["GET", "POST"] | None = None,
        caller_id: str | None = None,
        byoc: str | None = None,
        call_reason: str | None = None,
        call_token: str | None = None,
        passports: str | None = None,
        client_notification_url: str | None = None,
        say: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        wait_for_completion: bool = False,
        accept: Sequence[str] = (),
        answered_by: Sequence[str] | str = (),
        hang_up_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())
        for status in accept:
            checks.choice("accept", status, sorted(FINAL))
        self.wait_for_completion = wait_for_completion
        self.accept = accept
        self.answered_by = answered_by
        self.hang_up_on_kill = hang_up_on_kill

    @property
    def _should_wait(self) -> bool:
        return self.wait_for_completion

    def _build_trigger(self, sid: str, *, started: float) -> CallCompletionTrigger:
        from airflow_provider_twilio.triggers.calls import CallCompletionTrigger

        return CallCompletionTrigger(
            sid,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            poll_interval=self.poll_interval,
            deadline=started + self.wait_timeout,
            created=started,
            accept=list(self.accept),
            answered_by=[self.answered_by] if isinstance(self.answered_by, str) else list(self.answered_by),
            hang_up_on_kill=self.hang_up_on_kill,
            on_clear=self._clear_mode,
        )

    def _build_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Write what is to be said as TwiML."""
        say, voice, language = (given.pop(name) for name in self._extra_template_fields)
        sources = {"say": say, **{name: given[name] for name in ("url", "twiml", "application_sid")}}
        checks.one_of(**sources)
        checks.only_one_of(**sources)
        if checks.is_set(say):
            later = UNRESOLVED in (say, voice, language)
            given["twiml"] = UNRESOLVED if later else twiml_rules.say(say, voice, language)
        elif checks.is_set(voice) or checks.is_set(language):
            raise BadParameter("voice and language", "are given without say", "TwiML names its voice itself")
        return given


class FetchCallOperator(TwilioOperator, operation=Calls.fetch):
    """Fetch a call.

    :param call_sid: the call, CA…. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource
    """

    def __init__(
        self,
        *,
        call_sid: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class ListCallsOperator(TwilioOperator, operation=Calls.list):
    """List calls, the newest first.

    :param to: only to this number or address. (templated)
    :param from_: only from this number or address. (templated)
    :param parent_call_sid: only those that this call has started. (templated)
    :param status: only in this status. (templated)
    :param start_time: only those started on this day (UTC). (templated)
    :param start_time_after: only those started at or after this time, aware, or day (UTC). (templated)
    :param start_time_before: only those started at or before this time, aware, or day (UTC). (templated)
    :param end_time: only those ended on this day (UTC). (templated)
    :param end_time_after: only those ended at or after this time, aware, or day (UTC). (templated)
    :param end_time_before: only those ended at or before this time, aware, or day (UTC). (templated)
    :param limit: how many at the most; they all go to XCom. (templated)
    :param page_size: records a request, up to 1000 (the default). (templated)

    https://www.twilio.com/docs/voice/api/call-resource#read-multiple-call-resources
    """

    def __init__(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        parent_call_sid: str | None = None,
        status: Literal["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"]
        | None = None,
        start_time: date | str | None = None,
        start_time_after: date | datetime | str | None = None,
        start_time_before: date | datetime | str | None = None,
        end_time: date | str | None = None,
        end_time_after: date | datetime | str | None = None,
        end_time_before: date | datetime | str | None = None,
        limit: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class UpdateCallOperator(TwilioOperator, operation=Calls.update):
    """Hang up a call, cancel it, or give it new TwiML while it goes on.

    :param call_sid: the call, CA…. (templated)
    :param status: ``canceled`` ends a call that is queued or rings; ``completed`` one that goes on, too.
        (templated)
    :param url: the address that answers with the new TwiML; this or ``twiml``. (templated)
    :param twiml: the new TwiML itself, up to 4000 characters. (templated)
    :param method: how Twilio asks ``url``: ``GET`` or ``POST`` (its default). (templated)
    :param fallback_url: asked when ``url`` or its TwiML fails. (templated)
    :param fallback_method: how ``fallback_url`` is asked. (templated)
    :param status_callback: where Twilio reports the call's end. (templated)
    :param status_callback_method: how ``status_callback`` is asked. (templated)
    :param time_limit: the longest the call may last, in seconds. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
    """

    template_fields_renderers = {"twiml": "html"}

    def __init__(
        self,
        *,
        call_sid: str,
        status: Literal["canceled", "completed"] | None = None,
        url: str | None = None,
        twiml: str | None = None,
        method: Literal["GET", "POST"] | None = None,
        fallback_url: str | None = None,
        fallback_method: Literal["GET", "POST"] | None = None,
        status_callback: str | None = None,
        status_callback_method: Literal["GET", "POST"] | None = None,
        time_limit: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())


class DeleteCallOperator(TwilioOperator, operation=Calls.delete):
    """Delete the record of a call that is over. Its SID goes to XCom.

    :param call_sid: the call, CA…. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource
    """

    def __init__(
        self,
        *,
        call_sid: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_arguments(locals())
