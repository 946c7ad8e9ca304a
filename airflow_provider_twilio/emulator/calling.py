"""The rules of calls: documents, recordings, child calls, keys and the end."""

from __future__ import annotations

from airflow_provider_twilio.emulator.magic_numbers import MAX_CALL_LENGTH
from airflow_provider_twilio.emulator.models.account import Account
from airflow_provider_twilio.emulator.models.call import FINAL, Call, Recording, RecordingOptions
from airflow_provider_twilio.emulator.models.phone_number import PhoneNumber
from airflow_provider_twilio.emulator.params import is_callback_allowed
from airflow_provider_twilio.emulator.state import State
from airflow_provider_twilio.emulator.twiml import CallFlow, flow_after_keys

DEFAULT_TIMEOUT = 60
"""Seconds that a call rings by default."""


def start_flow(state: State, account: Account, call: Call, flow: CallFlow, start: float) -> None:
    """Make a call follow a flow.

    The pending parts of an earlier flow are discarded: recordings and calls that have not begun, and unspoken text.

    :param start: Seconds between the start of the call and of the flow.
    """
    now = state.clock.now()
    for recording in [each for each in call.recordings if each.source == "RecordVerb" and each.created > now]:
        _discard_recording(account, recording, now)
    _end_children(account, call, now)
    call.flow, call.flow_start = flow, start
    seconds = flow.seconds
    next_document = flow.next_document
    if next_document is not None and is_callback_allowed(state.quirks.callbacks, call.absolute_url(next_document.url)):
        seconds += MAX_CALL_LENGTH  # the next document will end the call
    steps = (step for step in call.steps if step[0] <= start and step[1] not in FINAL)
    call.steps = (*steps, (start + seconds, "completed"))
    for verb in flow.recordings:
        options = RecordingOptions(verb.callback, verb.method, verb.events)
        begin, end = (call.time_after(start + verb.at + after) for after in (0.0, verb.length))
        record_call(state, account, call, "RecordVerb", options, begin, end)
    for dial in flow.dials:
        caller = dial.caller or (call.caller if call.direction != "inbound" else call.to)
        begin = call.time_after(start + dial.at)
        child = Call(
            state.new_sid("CA"), state.next_seq(), begin, account.sid, dial.to, caller, begin, dial.steps, call.speed,
            "outbound-dial", call.number_sid, begin, parent_sid=call.sid,
        )  # fmt: skip
        call.children.append(child)
        account.calls.add(child)
    apply_time_limit(account, call, now)


def replace_flow(state: State, account: Account, call: Call, flow: CallFlow, start: float) -> None:
    """Make a call in progress follow the flow of another document.

    :param start: Seconds between the start of the call and of the new flow.
    """
    call.heard_before = call.heard(call.time_after(start))
    start_flow(state, account, call, flow, start)


def apply_time_limit(account: Account, call: Call, now: float) -> None:
    """End a call when its time limit is reached."""
    if call.time_limit is None or not call.answered:
        return
    at = max(call.time_after(call.answered + call.time_limit), now)
    if at < call.at(len(call.steps) - 1):
        end_call(account, call, at, "completed")


def end_call(account: Account, call: Call, at: float, status: str) -> None:
    """End a call at a time, together with its recordings and child calls."""
    elapsed = call.elapsed(at)
    call.steps = (*(step for step in call.steps if step[0] <= elapsed), (elapsed, status))
    for recording in list(call.recordings):
        if recording.created > at:
            _discard_recording(account, recording, at)
        elif recording.end is not None and recording.end > at:
            recording.end = at
    _end_children(account, call, at)


def _end_children(account: Account, call: Call, at: float) -> None:
    """Discard the child calls that have not begun, and end the others."""
    for child in list(call.children):
        if child.created > at:
            call.children.remove(child)
            account.delete(account.calls, child, at)
        elif not child.is_final(at):
            end_call(account, child, at, "completed" if child.status(at) == "in-progress" else "canceled")


def record_call(
    state: State, account: Account, call: Call, source: str, options: RecordingOptions,
    begin: float, end: float | None = None,
) -> Recording:  # fmt: skip
    """Record a call from one time to another, or to the call's end."""
    recording = Recording(state.new_sid("RE"), state.next_seq(), begin, account.sid, call, source, options, begin, end)
    account.recordings.add(recording)
    call.recordings.append(recording)
    return recording


def _discard_recording(account: Account, recording: Recording, now: float) -> None:
    """Delete a recording that has not begun."""
    recording.call.recordings.remove(recording)
    account.delete(account.recordings, recording, now)


def press_keys(state: State, account: Account, call: Call, keys: str) -> bool:
    """Press keys on the phone that was called.

    :return: Whether a Gather was waiting for keys.

    Keys that the Gather does not accept any more are lost, as at Twilio.
    """
    now = state.clock.now()
    gather = call.active_gather(now)
    if call.flow is None or gather is None:
        return False
    if call.pressed_keys[0] is not gather.continuation:
        call.pressed_keys = (gather.continuation, "")
    pressed, is_complete = call.pressed_keys[1], False
    for key in keys:
        if key == gather.finish_on_key:
            is_complete = True
            break
        pressed += key
        if len(pressed) == gather.max_digits:
            is_complete = True
            break
    call.pressed_keys = (gather.continuation, pressed)
    at = call.elapsed(now) - call.flow_start
    flow = flow_after_keys(call.flow, gather, at, pressed, is_complete, call.document_url)
    start_flow(state, account, call, flow, call.flow_start)
    state.on_change(call)
    return True


def receive_call(state: State, account: Account, number: PhoneNumber, caller: str) -> Call:
    """Store an inbound call from a phone. It rings until :func:`answer_call`."""
    now = state.clock.now()
    call = Call(
        state.new_sid("CA"), state.next_seq(), now, account.sid, number.phone_number, caller, now,
        ((0.0, "ringing"), (float(DEFAULT_TIMEOUT), "no-answer")), state.clock.speed, "inbound", number.sid, now,
        fallbacks=number.addresses("voice")[1:], status_callback=number.settings.get("status_callback") or None,
        status_method=number.settings.get("status_callback_method", "POST"),
    )  # fmt: skip
    account.calls.add(call)
    return call


def answer_call(state: State, account: Account, call: Call, flow: CallFlow) -> None:
    """Answer an inbound call with a flow, or reject it if the flow does."""
    now = state.clock.now()
    if call.is_final(now):
        return
    elapsed = call.elapsed(now)
    if flow.reject_status:
        call.steps = ((0.0, "ringing"), (elapsed, flow.reject_status))
        return
    call.steps = ((0.0, "ringing"), (elapsed, "in-progress"), (elapsed + flow.seconds, "completed"))
    start_flow(state, account, call, flow, elapsed)
