"""Tests of the call operators, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_twilio._airflow.compat import AirflowFailException
from airflow_provider_twilio.api.errors import BadParameter, RateLimited
from airflow_provider_twilio.emulator import Emulator
from airflow_provider_twilio.operators.calls import (
    CreateCallOperator,
    DeleteCallOperator,
    FetchCallOperator,
    ListCallsOperator,
    UpdateCallOperator,
)

Run = Callable[..., Any]

TO, FROM = "+14155550123", "+15005550006"
CALL, MESSAGE = "CA" + "a" * 32, "SM" + "a" * 32
URL, TWIML = "https://example.com/twiml", "<Response><Hangup/></Response>"

INVALID = [
    (CreateCallOperator, {"to": TO}, "say or url or twiml or application_sid is missing"),
    (CreateCallOperator, {"to": TO, "say": "x", "url": URL}, "say and url are mutually exclusive"),
    (CreateCallOperator, {"to": TO, "say": "x", "twiml": TWIML}, "say and twiml are mutually exclusive"),
    (CreateCallOperator, {"to": TO, "url": URL, "twiml": TWIML}, "url and twiml are mutually exclusive"),
    (CreateCallOperator, {"to": TO, "url": URL, "voice": "alice"}, "voice and language are set without say"),
    (CreateCallOperator, {"to": TO, "say": "x" * 4000}, "say has 40.. characters"),
    (CreateCallOperator, {"to": TO, "say": "bell \x07"}, "say contains a character that XML cannot represent"),
    (CreateCallOperator, {"to": TO, "twiml": "<Response>"}, "twiml is not well-formed XML"),
    (CreateCallOperator, {"to": "messenger:1", "url": URL}, "to is a messenger: address"),
    (CreateCallOperator, {"to": TO, "url": URL, "ring_timeout": 601}, "ring_timeout is 601"),
    (FetchCallOperator, {"call_sid": MESSAGE}, "expected a call SID, CA….*got a message SID"),
    (DeleteCallOperator, {"call_sid": "{}"}, "call_sid is not a SID"),
    (UpdateCallOperator, {"call_sid": CALL}, "status or url or .* is missing"),
    (UpdateCallOperator, {"call_sid": CALL, "status": "ringing"}, "status is not an allowed value"),
    (ListCallsOperator, {"parent_call_sid": MESSAGE}, "expected a call SID"),
]


@pytest.mark.parametrize(("operator", "arguments", "message"), INVALID)
def test_call_operators_reject_invalid_parameters(
    run_mapped: Run, emulator: Emulator, operator: type[Any], arguments: dict[str, Any], message: str
):
    with pytest.raises(BadParameter, match=message):
        operator(task_id="task", **arguments)
    with pytest.raises(AirflowFailException, match=message):
        run_mapped(operator, **arguments)
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("to", [TO, "client:joe", "sip:joe@example.com"])
def test_create_call_with_say_sends_escaped_twiml(run: Run, emulator: Emulator, to: str):
    record = run(
        CreateCallOperator,
        {"name": "<Ada> & Co"},
        to=to,
        from_=FROM,
        say="Hello {{ name }}",
        voice="{{ 'Polly.' }}Joanna",
        language="en-GB",
        record=True,
        ring_timeout="{{ 20 }}",
        status_callback_event=["ringing", "completed"],
    )
    assert record["sid"].startswith("CA")
    assert record["status"] == "queued"
    assert emulator.journal[-1].params == {
        "To": to,
        "From": FROM,
        "Twiml": '<Response><Say voice="Polly.Joanna" language="en-GB">Hello &lt;Ada&gt; &amp; Co</Say></Response>',
        "Record": "true",
        "Timeout": "20",
        "StatusCallbackEvent": ["ringing", "completed"],
    }


def test_create_call_with_unresolved_templates_is_accepted():
    task = CreateCallOperator(task_id="call", to=TO, say="{{ a }}", voice="{{ b }}", url="{{ c }}")
    task.render_template_fields({"a": "x", "b": "", "c": ""})  # type: ignore[arg-type,typeddict-unknown-key,unused-ignore]
    assert dict(task._request().data) == {"To": TO, "Twiml": "<Response><Say>x</Say></Response>"}


def test_call_operators_fetch_list_hang_up_and_delete(run: Run, emulator: Emulator):
    emulator.clock.freeze()
    sid = run(CreateCallOperator, to=TO, from_=FROM, twiml='<Response><Pause length="600"/></Response>')["sid"]
    assert run(FetchCallOperator, call_sid=sid)["status"] == "queued"
    assert [call["sid"] for call in run(ListCallsOperator, to=TO, status="queued")] == [sid]
    assert run(ListCallsOperator, to=TO, status="{{ 'completed' }}") == []
    with pytest.raises(RateLimited):  # the call is in progress, so that a retry can succeed
        run(DeleteCallOperator, call_sid=sid)
    assert run(UpdateCallOperator, call_sid=sid, status="completed")["sid"] == sid
    emulator.clock.advance(60)
    assert run(FetchCallOperator, call_sid=sid)["status"] in ("completed", "canceled")
    assert run(DeleteCallOperator, call_sid=sid) == sid
    assert run(ListCallsOperator) == []


def test_update_call_redirects_call_in_progress(run: Run, emulator: Emulator):
    emulator.clock.freeze()
    sid = run(CreateCallOperator, to=TO, from_=FROM, twiml='<Response><Pause length="600"/></Response>')["sid"]
    emulator.clock.advance(0.1)  # the call is answered
    run(UpdateCallOperator, call_sid=sid, twiml="<Response><Say>{{ 1 + 1 }}</Say></Response>")
    assert emulator.journal[-1].params == {"Twiml": "<Response><Say>2</Say></Response>"}
