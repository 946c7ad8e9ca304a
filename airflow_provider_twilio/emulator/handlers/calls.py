"""Calls: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_twilio.api.request import VERSION
from airflow_provider_twilio.emulator import test_credentials
from airflow_provider_twilio.emulator.calling import (
    DEFAULT_TIMEOUT,
    apply_time_limit,
    end_call,
    record_call,
    replace_flow,
    start_flow,
)
from airflow_provider_twilio.emulator.handlers.recordings import parse_recording_options
from airflow_provider_twilio.emulator.magic_numbers import CALL_BEHAVIORS, CALL_REJECTIONS, CallBehavior, call_steps
from airflow_provider_twilio.emulator.messaging import DISABLED_REGIONS
from airflow_provider_twilio.emulator.models.call import FINAL, STATUSES, Call
from airflow_provider_twilio.emulator.models.phone_number import national_format
from airflow_provider_twilio.emulator.pagination import paginate
from airflow_provider_twilio.emulator.params import Address, DateRange, Params, e164, is_callback_allowed, is_url
from airflow_provider_twilio.emulator.request import ApiRequest
from airflow_provider_twilio.emulator.responses import ApiError, Response, format_price, rfc2822_date, wire_name
from airflow_provider_twilio.emulator.twiml import ERROR_FLOW, CallFlow, NextDocument, parse_flow

EVENTS = ("initiated", "ringing", "answered", "completed")
DEFAULT_TALK_TIME = 5.0
"""Length of a conversation whose document is not fetched, in seconds."""
MAX_TIMEOUT = 600  # seconds
MAX_TIME_LIMIT = 86_400  # seconds
MAX_TWIML_LENGTH = 4000  # characters
_SUBRESOURCES = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip
_CHANNEL = re.compile(r"(client|sip|sips|whatsapp):(.+)", re.DOTALL)
_SEND_DIGITS = re.compile(r"[0-9*#wW]{1,32}")
_METHODS = ("GET", "POST")


def render_call(call: Call, now: float, price_lag: float = 0.0) -> dict[str, Any]:
    """Return the JSON form of a call.

    :param price_lag: Seconds by which its price appears late.
    """
    position = call.position(now)
    status = call.steps[position][1]
    end = call.at(position) if status in FINAL else None
    answered = call.reached("in-progress", now)
    uri = f"/{VERSION}/Accounts/{call.account_sid}/Calls/{call.sid}"
    return {
        "sid": call.sid,
        "date_created": rfc2822_date(call.created),
        "date_updated": rfc2822_date(max(call.at(position), call.created, call.updated)),
        "parent_call_sid": call.parent_sid,
        "account_sid": call.account_sid,
        "to": call.to,
        "to_formatted": national_format(call.to),
        "from": call.caller,
        "from_formatted": national_format(call.caller),
        "phone_number_sid": call.number_sid or None,
        "status": status,
        "start_time": rfc2822_date(answered if answered is not None else end),
        "end_time": rfc2822_date(end),
        "duration": None if end is None else str(call.seconds()),
        "price": format_price(call.charged(now - price_lag)),
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": call.answered_by if answered is not None else None,
        "api_version": VERSION,
        "forwarded_from": None,
        "group_sid": call.group_sid,
        "caller_name": None,
        "queue_time": str(max(round((call.start - call.created) * call.speed * 1000), 0)),
        "trunk_sid": None,
        "uri": f"{uri}.json",
        "subresource_uris": {name: f"{uri}/{wire_name(name)}.json" for name in _SUBRESOURCES},
    }


# ---------------------------------------------------------------- create


def create_call(request: ApiRequest) -> Response:
    """Handle POST Calls."""
    form, state = request.form, request.state
    to, caller, number_sid = _parse_addresses(request, form)
    flow = _parse_instructions(request, form)
    timeout = form.integer("Timeout", 0, MAX_TIMEOUT)
    time_limit = form.integer("TimeLimit", 1, MAX_TIME_LIMIT)
    digits = form.text("SendDigits")
    if digits is not None and not _SEND_DIGITS.fullmatch(digits):
        raise ApiError(21207, "Invalid SendDigits")
    detection = form.choice("MachineDetection", ("Enable", "DetectMessageEnd"))
    if digits is not None:  # Twilio ignores machine detection then
        detection = None
    callback, method, events = _parse_status_callback(form)
    _check_other_parameters(form)
    amd_url = form.text("AsyncAmdStatusCallback") if detection and form.flag("AsyncAmd") else None
    recording_options = parse_recording_options(form, 1)
    if not request.is_test:
        _check_recipient(request, to)
    behavior = CALL_BEHAVIORS.get(to, CallBehavior())
    talk_seconds = flow.seconds if behavior.talk_seconds is None else behavior.talk_seconds
    call = Call(
        sid=state.new_sid("CA"),
        seq=0 if request.is_test else state.next_seq(),
        created=request.now,
        account_sid=request.account.sid,
        to=to,
        caller=caller,
        start=request.now,
        steps=call_steps(behavior, talk_seconds, timeout or DEFAULT_TIMEOUT, time_limit),
        speed=state.clock.speed,
        direction="outbound-api",
        number_sid=number_sid,
        sort_key=request.now,
        answered_by=_answered_by(behavior, detection),
        sip_code=behavior.sip_code,
        time_limit=time_limit,
        fallbacks=_parse_fallbacks(form),
        status_callback=callback,
        status_method=method,
        events=events,
    )
    if not request.is_test:
        request.account.calls.add(call)
        if call.answered:
            steps = call.steps
            start_flow(state, request.account, call, flow, call.answered)
            if behavior.talk_seconds is not None:
                call.steps = steps
            if form.flag("Record"):
                begin = call.time_after(call.answered)
                record_call(state, request.account, call, "OutboundAPI", recording_options, begin)
        if amd_url is not None:
            call.amd_callback = (amd_url, form.text("AsyncAmdStatusCallbackMethod") or "POST")
        state.on_change(call)
    return Response(render_call(call, request.now, request.price_lag), 201, sid=call.sid)


def _parse_addresses(request: ApiRequest, form: Params) -> tuple[str, str, str]:
    """Return the recipient, the caller, and the SID of the caller's number.

    The SID is empty if the caller is not a phone number of the account.
    """
    given_to, given_caller = form.text("To"), form.text("From")
    if given_to is None:
        raise ApiError(21201, "No 'To' number is specified")
    if given_caller is None:
        raise ApiError(21213, "No 'From' number is specified")
    to = given_to[:200] if _CHANNEL.fullmatch(given_to) else e164(given_to)
    if to is None:
        raise ApiError(21217, f"Phone number {given_to} does not appear to be valid.")
    if request.is_test:
        test_credentials.check_call_from(e164(given_caller) or given_caller)
        test_credentials.check_call_to(to)
        return to, test_credentials.VALID_NUMBER, ""
    if _CHANNEL.fullmatch(given_caller):
        return to, given_caller[:200], ""
    caller = e164(given_caller)
    if caller is None:
        raise ApiError(21212, f"The 'From' number {given_caller} is not a valid phone number.")
    number = request.account.find_number(caller)
    if (number is None or not number.capabilities["voice"]) and caller not in request.account.verified_numbers:
        raise ApiError(
            21210,
            f"The source phone number provided, {given_caller}, is not yet verified for your account. You may only make"
            " calls from phone numbers that you've verified or purchased from Twilio.",
        )
    return to, caller, number.sid if number else ""


def _parse_instructions(request: ApiRequest, form: Params) -> CallFlow:
    """Return the flow of the call. Url takes precedence over Twiml."""
    url, document, application_sid = form.text("Url"), form.text("Twiml"), form.text("ApplicationSid")
    if application_sid is not None:
        form.sid("ApplicationSid", "AP", 21218)
    elif url is None and document is None:
        raise ApiError(21205, "Url parameter is required.")
    _check_document(url, document)
    return _flow_of(request, url, document)


def _check_document(url: str | None, document: str | None) -> None:
    if document is not None and len(document) > MAX_TWIML_LENGTH:
        raise ApiError(20001, "Twiml can have at most 4000 characters")
    if url is not None and not is_url(url):
        raise ApiError(21205, f"Url is not a valid URL: {url[:100]}")


def _flow_of(request: ApiRequest, url: str | None, document: str | None) -> CallFlow:
    """Return the flow of a document.

    A document at a URL is fetched once the call is answered.
    """
    if url is not None and is_callback_allowed(request.state.quirks.callbacks, url):
        return CallFlow(0.0, next_document=NextDocument(0.0, url, request.form.text("Method") or "POST"))
    if url is not None or document is None:
        return CallFlow(DEFAULT_TALK_TIME)
    return parse_flow(document) or ERROR_FLOW


def _parse_status_callback(form: Params) -> tuple[str | None, str, tuple[str, ...]]:
    """Return the URL, the method and the events of the status callback."""
    url = form.url("StatusCallback", 21609)
    method = form.choice("StatusCallbackMethod", _METHODS, 21206) or "POST"
    events = [event for given in form.all("StatusCallbackEvent") for event in given.split()]
    if any(event not in EVENTS for event in events):
        raise ApiError(21626, f"StatusCallbackEvent must be among {', '.join(EVENTS)}")
    return url, method, tuple(events) or ("completed",)


def _parse_fallbacks(form: Params) -> tuple[Address, ...]:
    url = form.url("FallbackUrl", 21208)
    method = form.choice("FallbackMethod", _METHODS, 21206) or "POST"
    return () if url is None else ((url, method),)


def _check_other_parameters(form: Params) -> None:
    """Check the parameters that have no effect in the emulator, or are parsed elsewhere."""
    form.choice("Method", _METHODS, 21206)
    form.flag("Record")
    form.url("ClientNotificationUrl")
    form.integer("MachineDetectionTimeout", 3, 59)
    form.integer("MachineDetectionSpeechThreshold", 1000, 6000)
    form.integer("MachineDetectionSpeechEndThreshold", 500, 5000)
    form.integer("MachineDetectionSilenceTimeout", 2000, 10_000)
    form.flag("AsyncAmd")
    form.url("AsyncAmdStatusCallback")
    form.choice("AsyncAmdStatusCallbackMethod", _METHODS, 21206)
    form.sid("Byoc", "BY")
    if len(form.text("CallReason") or "") > 50:
        raise ApiError(20001, "CallReason can have at most 50 characters")
    if len(form.text("SipAuthPassword") or "") > 255:
        raise ApiError(20001, "SipAuthPassword can have at most 255 characters")


def _answered_by(behavior: CallBehavior, detection: str | None) -> str | None:
    if detection is None:
        return None
    if behavior.answered_by == "machine_start" and detection == "DetectMessageEnd":
        return "machine_end_beep"
    return behavior.answered_by


def _check_recipient(request: ApiRequest, to: str) -> None:
    """Raise an error if the account cannot call the recipient."""
    if to in CALL_REJECTIONS:
        code, text, status = CALL_REJECTIONS[to]
        raise ApiError(code, text.format(to=to), status)
    if to.startswith(DISABLED_REGIONS):
        raise ApiError(21215, f"Account not authorized to call {to}. Check its geographic permissions.")
    if request.state.quirks.trial and ":" not in to and to not in request.account.verified_numbers:
        raise ApiError(21219, f"The number {to} is unverified. Trial accounts may only make calls to verified numbers.")


# ---------------------------------------------------------------- fetch, list, update, delete


def fetch_call(request: ApiRequest) -> Response:
    """Handle GET Calls/{Sid}."""
    call = request.find(request.account.calls, request.args[0])
    return Response(render_call(call, max(request.shown_as_of, call.created), request.price_lag))


def list_calls(request: ApiRequest) -> Response:
    """Handle GET Calls."""
    query, now = request.query, request.now
    filters: list[Any] = []
    lookup: dict[str, str] = {}
    for name, attribute in (("To", "to"), ("From", "caller")):
        if (given := query.text(name)) is not None:
            address = lookup[attribute] = e164(given) or given
            filters.append(lambda call, attribute=attribute, address=address: getattr(call, attribute) == address)
    if (status := query.choice("Status", STATUSES)) is not None:
        filters.append(lambda call: call.status(now) == status)
    if (parent_sid := query.sid("ParentCallSid", "CA")) is not None:
        filters.append(lambda call: call.parent_sid == parent_sid)
    if (started := DateRange.parse(query, "StartTime")) is not None:
        filters.append(lambda call: started.contains(call.reached("in-progress", now) or call.ended(now)))
    if (ended := DateRange.parse(query, "EndTime")) is not None:
        filters.append(lambda call: ended.contains(call.ended(now)))
    return paginate(
        request,
        "calls",
        request.account.calls,
        filters,
        lambda call: render_call(call, max(request.shown_as_of, call.created), request.price_lag),
        lookup=lookup,
    )


def update_call(request: ApiRequest) -> Response:
    """Handle POST Calls/{Sid}: hang up, cancel or redirect a call, or set its time limit."""
    call: Call = request.find(request.account.calls, request.args[0])
    form, now = request.form, request.now
    status = form.choice("Status", ("canceled", "completed"), 21218)
    url, document = form.text("Url"), form.text("Twiml")
    time_limit = form.integer("TimeLimit", 1, MAX_TIME_LIMIT)
    form.choice("Method", _METHODS, 21206)
    fallbacks = _parse_fallbacks(form)
    callback = form.url("StatusCallback", 21609)
    callback_method = form.choice("StatusCallbackMethod", _METHODS, 21206)
    if url is not None and document is not None:
        raise ApiError(20001, "Url and Twiml can't be given together")
    _check_document(url, document)
    if not any((status, url, document, time_limit, callback)):
        raise ApiError(20001, "Url, Twiml, Status or TimeLimit is required")
    current = call.status(now)
    if current in FINAL:
        raise ApiError(21220, "Call is not in-progress. Cannot redirect.")
    if (url or document) and current != "in-progress":
        raise ApiError(21220, "Call is not in-progress. Cannot redirect.")
    call.fallbacks = fallbacks or call.fallbacks
    if callback is not None:
        call.status_callback, call.status_method = callback, callback_method or "POST"
        past_events = sum(call.at(index) < now for index, _ in call.progress())
        call.reported_events = max(call.reported_events, past_events)  # the new address gets new events only
    if status == "completed" or (status == "canceled" and current != "in-progress"):
        end_call(request.account, call, now, "completed" if current == "in-progress" else "canceled")
    elif url is not None or document is not None:
        call.document_url = None
        replace_flow(request.state, request.account, call, _flow_of(request, url, document), call.elapsed(now))
    if time_limit is not None and call.status(now) not in FINAL:
        call.time_limit = time_limit
        apply_time_limit(request.account, call, now)
    call.updated = now
    request.state.on_change(call)
    return Response(render_call(call, now))


def delete_call(request: ApiRequest) -> Response:
    """Handle DELETE Calls/{Sid}: delete a call that has ended."""
    call = request.find(request.account.calls, request.args[0])
    if not call.is_final(request.now):
        raise ApiError(20009, "Cannot delete this resource before it is complete", 409)
    request.account.delete(request.account.calls, call, request.now)
    return Response(status=204)


ROUTES = {
    ("POST", "Calls"): create_call,
    ("GET", "Calls"): list_calls,
    ("GET", "Calls/{}"): fetch_call,
    ("POST", "Calls/{}"): update_call,
    ("DELETE", "Calls/{}"): delete_call,
}
