"""Operators for calls: place, fetch, list, redirect, hang up and delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_twilio._airflow.compat import conf
from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api import twiml as twiml_rules
from airflow_provider_twilio.api.calls import FINAL, Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.values import UNRESOLVED
from airflow_provider_twilio.defaults import RECONCILE_TIMEOUT
from airflow_provider_twilio.operators._base.operation import TwilioOperator
from airflow_provider_twilio.operators._base.wait import SendAndWaitOperator
from airflow_provider_twilio.operators.retention import DeleteOldCallsOperator, DeleteOldRecordingsOperator

if TYPE_CHECKING:
    from airflow_provider_twilio._airflow.parameters import OperatorParameters
    from airflow_provider_twilio._airflow.send_once import OnClear
    from airflow_provider_twilio.api.verdicts import Completion
    from airflow_provider_twilio.runtime.idempotency.fingerprint import OnUnresolved
    from airflow_provider_twilio.runtime.polling.spec import WaitSpec
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
    """Place a call.

    Returns the record of the call to XCom. Its ``sid`` is an XCom of its own as well.

    .. code-block:: python

        CreateCallOperator(
            task_id="call",
            to="{{ params.phone_number }}",
            say="The nightly load has failed.",
            language="en-GB",
            wait_for_completion=True,
        )

    All tries of the task together place the call once, even if a worker is killed or a response is lost: a retry
    returns the record of the call that an earlier try placed. With ``wait_for_completion``, the task succeeds when the
    call is completed. It fails without retry when the call ends with another status, and on errors that a retry would
    repeat: an invalid parameter, rejected credentials or a missing permission.

    :param to: Recipient: a number in E.164, or a ``client:``, ``sip:`` or ``whatsapp:`` address. (templated)
    :param from_: Caller: a number of the account, a verified number, or a ``client:`` or ``sip:`` address. Required
        unless the connection has a default sender. (templated)
    :param url: URL that returns the TwiML of the call. Pass exactly one of ``url``, ``twiml``, ``say`` and
        ``application_sid``. (templated)
    :param twiml: TwiML of the call, up to 4,000 characters. (templated)
    :param application_sid: TwiML app that handles the call. Twilio takes all URLs and methods from the app. (templated)
    :param method: HTTP method for ``url``: ``GET`` or ``POST`` (default). (templated)
    :param fallback_url: URL that Twilio requests if ``url`` or its TwiML fails. (templated)
    :param fallback_method: HTTP method for ``fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param status_callback: URL to which Twilio reports the progress of the call. (templated)
    :param status_callback_event: Events to report: ``initiated``, ``ringing``, ``answered``, ``completed`` (default).
        (templated)
    :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default). (templated)
    :param send_digits: Keys to press once connected, up to 32: ``0``-``9``, ``A``-``D``, ``#``, ``*``; ``w`` waits 0.5
        seconds and ``W`` 1 second. Not together with ``machine_detection``. (templated)
    :param ring_timeout: Seconds the call may ring unanswered, 1 to 600. Twilio's default is 60. (templated)
    :param time_limit: Maximum duration of the call, in seconds. (templated)
    :param record: Whether to record the call. False by default. (templated)
    :param recording_channels: ``mono`` (default) for one channel, or ``dual`` for one channel per leg. (templated)
    :param recording_track: Audio to record: ``inbound``, ``outbound`` or ``both`` (default). (templated)
    :param recording_status_callback: URL to which Twilio reports the recording. (templated)
    :param recording_status_callback_event: Events to report: ``in-progress``, ``completed`` (default), ``absent``.
        (templated)
    :param recording_status_callback_method: HTTP method for ``recording_status_callback``: ``GET`` or ``POST``
        (default). (templated)
    :param recording_configuration_id: ID of the recording configuration to use. (templated)
    :param trim: ``trim-silence`` (default) to remove silence at both ends of the recording, or ``do-not-trim``.
        (templated)
    :param sip_auth_username: User name for the SIP endpoint. (templated)
    :param sip_auth_password: Password for the SIP endpoint. (templated)
    :param machine_detection: ``Enable`` to detect answering machines, or ``DetectMessageEnd`` to also wait for the end
        of the greeting. (templated)
    :param machine_detection_timeout: Seconds after which the detection ends as ``unknown``. Twilio's default is 30.
        (templated)
    :param machine_detection_speech_threshold: Milliseconds of speech above which a machine is assumed, 1,000 to 6,000.
        Twilio's default is 2,400. (templated)
    :param machine_detection_speech_end_threshold: Milliseconds of silence that end the speech, 500 to 5,000. Twilio's
        default is 1,200. (templated)
    :param machine_detection_silence_timeout: Milliseconds of initial silence after which the detection ends as
        ``unknown``, 2,000 to 10,000. Twilio's default is 5,000. (templated)
    :param async_amd: Whether to detect answering machines in the background instead of before the TwiML runs.
        (templated)
    :param async_amd_status_callback: URL to which Twilio reports the result of the background detection. (templated)
    :param async_amd_status_callback_method: HTTP method for ``async_amd_status_callback``: ``GET`` or ``POST``
        (default). (templated)
    :param caller_id: Number or address to show as the caller instead of ``from_``. (templated)
    :param byoc: BYOC trunk that routes the call. Applies to calls to phone numbers only. (templated)
    :param call_reason: Reason for the call, shown on the recipient's phone (branded calls). (templated)
    :param call_token: Token of the incoming call that this call forwards. (templated)
    :param passports: STIR/SHAKEN passports in base64, up to 5, separated by commas. (templated)
    :param client_notification_url: URL for the push notification of the call. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param say: Text to speak, instead of TwiML. It is escaped. (templated)
    :param voice: One of Twilio's voices for ``say``, such as ``Polly.Joanna``. (templated)
    :param language: Language tag for ``say``, such as ``en-GB``. (templated)
    :param wait_for_completion: Whether to wait until the call has ended.
    :param accept: Final statuses that are a success in addition to ``completed``, such as ``no-answer``.
    :param answered_by: Results of the answering machine detection that are a success, such as ``human``. Requires
        ``machine_detection``. By default, any result is.
    :param hang_up_on_kill: Whether to hang up when a user kills the task.
    :param once: Whether all tries of the task together place the call once. If ``False``, every try places it.
    :param on_clear: Whether a task that a user clears places the call again (``resend``), or returns the record of the
        call that it has already placed (``skip``).
    :param on_unresolved: Whether to ``resend`` (default) or ``fail`` if the outcome of an earlier try is unknown and
        Twilio lists no matching record.
    :param reconcile_timeout: Seconds after the connection timeout during which Twilio's list is polled before a call of
        an earlier try is considered not placed.
    :param poll_interval: Seconds between two polls.
    :param wait_timeout: Seconds after the call is placed at which the task fails without retry.
    :param deferrable: Whether to wait in the triggerer, which takes no worker slot; by default the setting
        ``[operators] default_deferrable``.
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
    """

    template_fields_renderers = {"twiml": "html"}
    _extra_template_fields = ("say", "voice", "language")

    wait_for_completion: bool
    accept: Sequence[str]
    answered_by: Sequence[str] | str
    hang_up_on_kill: bool

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
        extra_params: Mapping[str, Any] | str | None = None,
        say: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        wait_for_completion: bool = False,
        accept: Sequence[str] = (),
        answered_by: Sequence[str] | str = (),
        hang_up_on_kill: bool = False,
        once: bool = True,
        on_clear: OnClear = "resend",
        on_unresolved: OnUnresolved | None = None,
        reconcile_timeout: float = RECONCILE_TIMEOUT,
        poll_interval: float = 30.0,
        wait_timeout: float = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())

    @classmethod
    def _check_parameters(cls, values: Mapping[str, Any]) -> None:
        super()._check_parameters(values)
        if values["accept"] is not UNRESOLVED:
            for status in values["accept"]:
                checks.choice("accept", status, sorted(FINAL))

    @property
    def _should_wait(self) -> bool:
        return self.wait_for_completion

    @property
    def _goal(self) -> Completion:
        from airflow_provider_twilio.api.verdicts import Completion

        answered_by = (self.answered_by,) if isinstance(self.answered_by, str) else tuple(self.answered_by)
        return Completion(tuple(self.accept), answered_by)

    def _build_trigger(self, spec: WaitSpec[Completion]) -> CallCompletionTrigger:
        from airflow_provider_twilio.triggers.calls import CallCompletionTrigger

        return CallCompletionTrigger.from_spec(
            spec,
            twilio_conn_id=self.twilio_conn_id,
            account_sid=self.account_sid,
            hang_up_on_kill=self.hang_up_on_kill,
            on_clear=self._clear_mode,
        )

    @classmethod
    def _build_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with the text to speak as TwiML."""
        say, voice, language = (arguments.pop(name) for name in cls._extra_template_fields)
        sources = {"say": say, **{name: arguments[name] for name in ("url", "twiml", "application_sid")}}
        checks.one_of(**sources)
        checks.only_one_of(**sources)
        if checks.is_set(say):
            is_unresolved = UNRESOLVED in (say, voice, language)
            arguments["twiml"] = UNRESOLVED if is_unresolved else twiml_rules.say(say, voice, language)
        elif checks.is_set(voice) or checks.is_set(language):
            raise BadParameter("voice and language", "are set without say", "set them in the TwiML instead")
        return arguments


class FetchCallOperator(TwilioOperator, operation=Calls.fetch):
    """Fetch a call, and return its record to XCom.

    .. code-block:: python

        FetchCallOperator(task_id="fetch", call_sid="{{ ti.xcom_pull('call', key='sid') }}")

    A call that does not exist fails the task without retry.

    :param call_sid: SID of the call. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#fetch-a-call-resource
    """

    def __init__(
        self,
        *,
        call_sid: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class ListCallsOperator(TwilioOperator, operation=Calls.list):
    """List calls, and return their records to XCom, newest first.

    .. code-block:: python

        ListCallsOperator(task_id="list", status="failed", start_time="{{ ds }}", limit=100)

    Without a ``limit``, all matching records go to XCom. To write many records to a file, use
    :class:`CallsToStorageOperator`.

    :param to: Only calls to this number or address. (templated)
    :param from_: Only calls from this number or address. (templated)
    :param parent_call_sid: Only calls that this call started. (templated)
    :param status: Only calls in this status. (templated)
    :param start_time: Only calls that started on this day (UTC). (templated)
    :param start_time_after: Only calls that started at or after this time or day (UTC). A datetime needs a time zone.
        (templated)
    :param start_time_before: Only calls that started at or before this time or day (UTC). A datetime needs a time zone.
        (templated)
    :param end_time: Only calls that ended on this day (UTC). (templated)
    :param end_time_after: Only calls that ended at or after this time or day (UTC). A datetime needs a time zone.
        (templated)
    :param end_time_before: Only calls that ended at or before this time or day (UTC). A datetime needs a time zone.
        (templated)
    :param limit: Maximum number of records to list. None lists all. (templated)
    :param page_size: Records per request, 1 to 1,000 (default). (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class UpdateCallOperator(TwilioOperator, operation=Calls.update):
    """Hang up or cancel a call, or redirect it to other TwiML, and return its record to XCom.

    .. code-block:: python

        UpdateCallOperator(task_id="hang_up", call_sid="{{ params.sid }}", status="completed")
        UpdateCallOperator(task_id="redirect", call_sid="{{ params.sid }}", url="https://example.com/goodbye")

    Twilio only redirects calls that are in progress. A call that has already ended fails the task without retry.

    :param call_sid: SID of the call. (templated)
    :param status: ``canceled`` to end a call that is queued or ringing, or ``completed`` to also end one in progress.
        (templated)
    :param url: URL that returns the new TwiML. Pass ``url`` or ``twiml``, not both. (templated)
    :param twiml: New TwiML, up to 4,000 characters. (templated)
    :param method: HTTP method for ``url``: ``GET`` or ``POST`` (default). (templated)
    :param fallback_url: URL that Twilio requests if ``url`` or its TwiML fails. (templated)
    :param fallback_method: HTTP method for ``fallback_url``: ``GET`` or ``POST`` (default). (templated)
    :param status_callback: URL to which Twilio reports the end of the call. (templated)
    :param status_callback_method: HTTP method for ``status_callback``: ``GET`` or ``POST`` (default). (templated)
    :param time_limit: Maximum duration of the call, in seconds. (templated)
    :param extra_params: Additional form parameters under Twilio's own names, such as ``{"NewParameter": "value"}``, for
        parameters that this operation does not have. A list repeats its parameter; None omits it. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

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
        extra_params: Mapping[str, Any] | str | None = None,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())


class DeleteCallOperator(TwilioOperator, operation=Calls.delete):
    """Delete the record of a call that has ended, and return its SID to XCom.

    .. code-block:: python

        DeleteCallOperator(task_id="delete", call_sid="{{ params.sid }}")

    A deleted record cannot be restored. While the call is in progress, every try fails, and Airflow retries it. A
    retry succeeds if an earlier try has deleted the record.

    :param call_sid: SID of the call. (templated)
    :param twilio_conn_id: Airflow connection. (templated)
    :param account_sid: Account to act on, if it is not the connection's own. (templated)

    https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource
    """

    def __init__(
        self,
        *,
        call_sid: str,
        twilio_conn_id: str = "twilio_default",
        account_sid: str | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(twilio_conn_id=twilio_conn_id, account_sid=account_sid, **kwargs)
        self._set_arguments(locals())
