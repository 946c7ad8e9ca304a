"""Status callbacks, and the webhooks of inbound messages and calls."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator.callback_sender import CallbackSender
from airflow_provider_twilio.emulator.calling import answer_call, replace_flow
from airflow_provider_twilio.emulator.messaging import reply_to_message
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.call import DETECTION_TIME, Call, Recording
from airflow_provider_twilio.emulator.models.message import MAX_BODY_LENGTH, Message
from airflow_provider_twilio.emulator.models.messaging_service import MessagingService
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber
from airflow_provider_twilio.emulator.params import is_callback_allowed
from airflow_provider_twilio.emulator.responses import ApiError, rfc2822_date
from airflow_provider_twilio.emulator.scheduler import Scheduler
from airflow_provider_twilio.emulator.state import State
from airflow_provider_twilio.emulator.twiml import ERROR_FLOW, parse_flow, parse_response

logger = logging.getLogger(__name__)


class Callbacks:
    """The callbacks of one emulator: their times, parameters and effects."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._scheduler = Scheduler(state)
        self._sender = CallbackSender(state)
        state.on_change = self.schedule
        state.on_reset = self.clear

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the server."""
        self._scheduler.attach(loop)

    def clear(self) -> None:
        self._scheduler.clear()
        self._sender.clear()

    def schedule(self, record: Message | Call) -> None:
        """Schedule the callbacks of a message or call that was created or changed."""
        if isinstance(record, Message):
            self._schedule_message(record)
        else:
            self._schedule_call(record)
        self._scheduler.wake_up()

    def _schedule_message(self, message: Message) -> None:
        for index in range(message.reported_steps, len(message.steps)):
            if _is_reported(message, index):
                self._scheduler.at(message.at(index), partial(self._report_message, message))

    def _schedule_call(self, call: Call) -> None:
        times = [call.at(index) for index in range(len(call.steps))]
        if call.amd_callback is not None:
            times.append(call.detected)
        if call.flow is not None and call.flow.next_document is not None:
            times.append(call.time_after(call.flow_start + call.flow.next_document.at))
        times += [when for recording in call.recordings for when, _ in recording.events()]
        now = self.state.clock.now()
        for when in {max(when, now) for when in times}:
            self._scheduler.at(when, partial(self._process_due, call))

    def _process_due(self, call: Call) -> None:
        """Process everything that is due in a call.

        Each event is processed once, however often this method is called.
        """
        now = self.state.clock.now()
        self._report_progress(call, now)
        self._follow_next_document(call, now)
        self._report_detection(call, now)
        for recording in call.recordings:
            self._report_recording(recording, now)

    # -------------------------------------------------------------- status callbacks

    def _report_message(self, message: Message) -> None:
        for index in range(message.reported_steps, message.position(self.state.clock.now()) + 1):
            message.reported_steps = index + 1
            if _is_reported(message, index) and message.status_callback is not None:
                is_final = index == len(message.steps) - 1
                params = _message_params(message, index)
                self._sender.send(
                    message.account_sid, message.sid, "POST", message.status_callback, params, is_final=is_final
                )

    def _report_progress(self, call: Call, now: float) -> None:
        for number, (index, event) in islice(enumerate(call.progress()), call.reported_events, None):
            if call.at(index) > now:
                return
            call.reported_events = number + 1
            if event in call.events and call.status_callback is not None:
                params = _progress_params(call, index, event, number)
                self._sender.send(
                    call.account_sid, call.sid, call.status_method, call.status_callback, params,
                    is_final=event == "completed",
                )  # fmt: skip

    def _report_detection(self, call: Call, now: float) -> None:
        """Report who answered: https://www.twilio.com/docs/voice/answering-machine-detection."""
        when = call.detected
        if call.amd_callback is None or call.answered_by is None or when > now or call.status(when) != "in-progress":
            return
        params = {
            "CallSid": call.sid,
            "AccountSid": call.account_sid,
            "AnsweredBy": call.answered_by,
            "MachineDetectionDuration": str(int(DETECTION_TIME * 1000)),
        }
        (url, method), call.amd_callback = call.amd_callback, None
        self._sender.send(call.account_sid, f"{call.sid} amd", method, url, params, is_final=True)

    def _report_recording(self, recording: Recording, now: float) -> None:
        """Report the events of a recording: https://www.twilio.com/docs/voice/api/recording."""
        for when, event in recording.events()[recording.reported_events :]:
            if when > now or recording.deleted is not None:
                return
            recording.reported_events += 1
            options = recording.options
            if event not in options.events or options.callback is None:
                continue
            params = _recording_params(recording, event, self.state.base_url)
            self._sender.send(
                recording.account_sid, recording.sid, options.method, options.callback, params,
                is_final=event == "completed",
            )  # fmt: skip

    # -------------------------------------------------------------- documents and webhooks

    def _follow_next_document(self, call: Call, now: float) -> None:
        """Fetch the document that follows the current one, and follow it.

        A call that was redirected in the meantime ignores the document.
        """
        account, flow = self.state.accounts.get(call.account_sid), call.flow
        if account is None or flow is None or flow.next_document is None or call.is_final(now):
            return
        document, start = flow.next_document, call.flow_start + flow.next_document.at
        url, params = call.absolute_url(document.url), _call_params(call, "in-progress") | document.params
        if call.time_after(start) > now or not is_callback_allowed(self.state.quirks.callbacks, url):
            return
        if document.reports_child and call.children:
            child = call.children[-1]
            params |= {"DialCallSid": child.sid, "DialCallStatus": child.steps[-1][1]}
            params["DialCallDuration"] = str(child.seconds())
        call.flow = waiting_flow = replace(flow, next_document=None)

        async def fetch() -> None:
            addresses = [(url, document.method), *call.fallbacks]
            next_flow, source = await self._sender.fetch_document(account, addresses, params, parse_flow)
            with self.state.lock:
                if call.flow is not waiting_flow or call.status(self.state.clock.now()) != "in-progress":
                    return
                call.document_url = source
                replace_flow(self.state, account, call, next_flow or ERROR_FLOW, start)
                self.schedule(call)

        self._sender.enqueue(call.sid, fetch)

    def on_inbound_message(
        self, account: Account, message: Message, number: PhoneNumber, service: MessagingService | None
    ) -> None:
        """Send an inbound message to its webhook, and send the replies.

        The webhook is that of the number, or of its messaging service.
        """
        addresses = number.addresses("sms") if service is None else service.addresses(number)
        if not addresses or not is_callback_allowed(self.state.quirks.callbacks, addresses[0][0]):
            return
        params = _inbound_message_params(account, message, self.state.base_url)

        async def fetch() -> None:
            replies, _ = await self._sender.fetch_document(account, addresses, params, _parse_replies)
            with self.state.lock:
                for reply in replies or ():
                    try:
                        reply_to_message(self.state, account, message, reply)
                    except ApiError as error:
                        logger.warning("Rejected the reply to %s with error %d", message.sid, error.code)

        self._scheduler.soon(lambda: self._sender.enqueue(message.sid, fetch))

    def on_inbound_call(self, account: Account, call: Call, number: PhoneNumber) -> None:
        """Fetch the document of an inbound call from the webhook of its number."""
        self.schedule(call)
        addresses = number.addresses("voice")
        if not addresses or not is_callback_allowed(self.state.quirks.callbacks, addresses[0][0]):
            return

        async def fetch() -> None:
            params = _call_params(call, "ringing")
            flow, source = await self._sender.fetch_document(account, addresses, params, parse_flow)
            with self.state.lock:
                call.document_url = source
                answer_call(self.state, account, call, flow or ERROR_FLOW)
                self.schedule(call)

        self._scheduler.soon(lambda: self._sender.enqueue(call.sid, fetch))


def _is_reported(message: Message, index: int) -> bool:
    """Return whether Twilio reports a step of a message."""
    return index > 0 and message.steps[index][1] != "sending"


def _message_params(message: Message, index: int) -> dict[str, str]:
    status = message.steps[index][1]
    params = {
        "ApiVersion": VERSION,
        "AccountSid": message.account_sid,
        "MessageSid": message.sid,
        "MessageStatus": status,
        "SmsSid": message.sid,
        "SmsStatus": status,
        "From": message.sender or "",
        "To": message.to,
    }
    if message.service_sid:
        params["MessagingServiceSid"] = message.service_sid
    if status in ("failed", "undelivered") and message.error:
        params["ErrorCode"] = str(message.error)
    if status in ("delivered", "undelivered"):
        params["RawDlrDoneDate"] = datetime.fromtimestamp(message.at(index), UTC).strftime("%y%m%d%H%M")
    return params


def _progress_params(call: Call, index: int, event: str, number: int) -> dict[str, str]:
    status = "initiated" if event == "initiated" else call.steps[index][1]
    at = call.at(index)
    params = _call_params(call, status) | {
        "Timestamp": rfc2822_date(at) or "",
        "CallbackSource": "call-progress-events",
        "SequenceNumber": str(number),
    }
    if event == "completed":
        params |= {
            "CallDuration": str(call.seconds()),
            "Duration": str(call.segments),
            "SipResponseCode": str(call.sip_code),
        }
        if call.answered_by and call.reached("in-progress", at) is not None:
            params["AnsweredBy"] = call.answered_by
    return params


def _recording_params(recording: Recording, event: str, base_url: str) -> dict[str, str]:
    params = {
        "AccountSid": recording.account_sid,
        "CallSid": recording.call.sid,
        "RecordingSid": recording.sid,
        "RecordingUrl": f"{base_url}{recording.uri}",
        "RecordingStatus": event,
        "RecordingChannels": str(recording.channels),
        "RecordingSource": recording.source,
        "RecordingStartTime": rfc2822_date(recording.created) or "",
        "RecordingTrack": recording.options.track,
        "ErrorCode": "0",
    }
    if event == "completed":
        params["RecordingDuration"] = str(recording.seconds())
    return params


def _inbound_message_params(account: Account, message: Message, base_url: str) -> dict[str, str]:
    params = {
        "ToCountry": "US", "ToState": "", "SmsMessageSid": message.sid, "NumMedia": str(len(message.media or ())),
        "ToCity": "", "FromZip": "", "SmsSid": message.sid, "FromState": "", "SmsStatus": "received",
        "FromCity": "", "Body": message.body or "", "FromCountry": "US", "To": message.to, "ToZip": "",
        "NumSegments": str(message.segments), "MessageSid": message.sid, "AccountSid": account.sid,
        "From": message.sender or "", "ApiVersion": VERSION,
    }  # fmt: skip
    if message.service_sid:
        params["MessagingServiceSid"] = message.service_sid
    for index, media in enumerate(message.media or ()):
        params[f"MediaUrl{index}"] = f"{base_url}{account.uri}/Messages/{message.sid}/Media/{media.sid}"
        params[f"MediaContentType{index}"] = media.content_type
    return params


def _call_params(call: Call, status: str) -> dict[str, str]:
    return {
        "Called": call.to,
        "ToState": "",
        "CallerCountry": "US",
        "Direction": call.direction,
        "CallerState": "",
        "ToZip": "",
        "CallSid": call.sid,
        "To": call.to,
        "CallerZip": "",
        "ToCountry": "US",
        "ApiVersion": VERSION,
        "CalledZip": "",
        "CallStatus": status,
        "CalledCity": "",
        "From": call.caller,
        "AccountSid": call.account_sid,
        "CalledCountry": "US",
        "CallerCity": "",
        "Caller": call.caller,
        "FromCountry": "US",
        "ToCity": "",
        "FromCity": "",
        "CalledState": "",
        "FromZip": "",
        "FromState": "",
    }


def _parse_replies(document: str) -> list[str] | None:
    """Return the replies in a webhook's response; None if it is invalid TwiML.

    A plain text is one reply.
    """
    text = document.strip()
    if not text.startswith("<"):
        return [text[:MAX_BODY_LENGTH]] if text else []
    root = parse_response(text)
    if root is None:
        return None
    bodies = [" ".join("".join(verb.itertext()).split()) for verb in root if verb.tag in ("Message", "Sms")]
    return [body[:MAX_BODY_LENGTH] for body in bodies if body]
