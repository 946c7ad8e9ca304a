"""Outcomes: the error for a response, or for its absence, and whether to retry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api.errors import (
    AuthenticationFailed,
    BadParameter,
    InvalidRequest,
    NotFound,
    NotSent,
    OptedOut,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    ServerError,
    TwilioError,
)
from airflow_provider_twilio.api.messages import Messages
from airflow_provider_twilio.api.outcomes import (
    error_for_unreadable,
    error_from_response,
    error_without_response,
    is_retryable,
    retry_after,
)
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.response import Response
from tests.support.responses import error_for, rejection

TO = "+14155551234"
CREATE: Request[Any] = Messages.create(to=TO, body="secret words")
FETCH: Request[Any] = Messages.fetch("SM" + "0" * 32)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_error_from_response_of_success_is_none(status: int):
    assert error_from_response(CREATE, Response(status, {}, b"whatever")) is None


# Twilio's response, the error of a create and of a fetch, and whether each may be retried at once.
TABLE: list[tuple[int, int | None, type[TwilioError], type[TwilioError], bool, bool]] = [
    (400, 20001, InvalidRequest, InvalidRequest, False, False),
    (400, None, InvalidRequest, InvalidRequest, False, False),
    (400, 21211, InvalidRequest, InvalidRequest, False, False),
    (400, 21220, InvalidRequest, InvalidRequest, False, False),
    (400, 21422, InvalidRequest, InvalidRequest, False, False),
    (400, 21610, OptedOut, OptedOut, False, False),
    (400, 21408, PermissionDenied, PermissionDenied, False, False),
    (400, 21215, PermissionDenied, PermissionDenied, False, False),
    (400, 21611, RateLimited, RateLimited, False, False),
    (401, 20003, AuthenticationFailed, AuthenticationFailed, False, False),
    (401, None, AuthenticationFailed, AuthenticationFailed, False, False),
    (401, 20005, PermissionDenied, PermissionDenied, False, False),
    (403, 20003, PermissionDenied, PermissionDenied, False, False),
    (403, 20008, PermissionDenied, PermissionDenied, False, False),
    (403, None, PermissionDenied, PermissionDenied, False, False),
    (404, 20404, NotFound, NotFound, False, False),
    (404, None, NotFound, NotFound, False, False),
    (409, 20009, RateLimited, RateLimited, False, False),
    (422, 20009, RateLimited, RateLimited, False, False),
    (429, 20429, RateLimited, RateLimited, True, True),
    (429, None, RateLimited, RateLimited, True, True),
    (429, 63038, InvalidRequest, InvalidRequest, False, False),
    (429, 21611, RateLimited, RateLimited, False, False),
    (429, 99999, RateLimited, RateLimited, True, True),
    (429, 60212, RateLimited, RateLimited, True, True),
    (429, 60202, InvalidRequest, InvalidRequest, False, False),
    (429, 60203, InvalidRequest, InvalidRequest, False, False),
    (400, 10004, RateLimited, RateLimited, False, False),
    (401, 70051, PermissionDenied, PermissionDenied, False, False),
    (409, 20409, InvalidRequest, InvalidRequest, False, False),
    (500, 20500, OutcomeUnknown, ServerError, False, True),
    (502, None, OutcomeUnknown, ServerError, False, True),
    (503, 20503, OutcomeUnknown, ServerError, False, True),
    (503, 20429, OutcomeUnknown, ServerError, False, True),
    (301, None, InvalidRequest, InvalidRequest, False, False),
]


@pytest.mark.parametrize(("status", "code", "sent", "read", "send_again", "read_again"), TABLE)
def test_error_from_response_depends_on_code_status_and_idempotency(
    status: int,
    code: int | None,
    sent: type[TwilioError],
    read: type[TwilioError],
    send_again: bool,
    read_again: bool,
):
    create, fetch = error_for(CREATE, rejection(status, code)), error_for(FETCH, rejection(status, code))
    assert (type(create), type(fetch)) == (sent, read)
    assert (is_retryable(CREATE, create), is_retryable(FETCH, fetch)) == (send_again, read_again)
    assert (create.code, create.status) == (code, status)


def test_error_without_response_depends_on_what_was_sent():
    never, read, sent = (
        error_without_response(CREATE, "refused", sent=False),
        error_without_response(FETCH, "cut", sent=True),
        error_without_response(CREATE, "cut", sent=True),
    )
    assert (type(never), type(read), type(sent)) == (NotSent, ServerError, OutcomeUnknown)
    assert [is_retryable(*pair) for pair in ((CREATE, never), (FETCH, read), (CREATE, sent))] == [True, True, False]
    assert "may or may not" in str(sent)


def test_retryable_excludes_large_page_after_500():
    large, small = Messages.list().first_page(), Messages.list(page_size=20).first_page()
    assert large is not None
    assert small is not None
    assert not is_retryable(large, error_for(large, rejection(500)))
    assert is_retryable(small, error_for(small, rejection(500)))
    assert is_retryable(large, error_for(large, rejection(503)))


@pytest.mark.parametrize(
    "error", [ValueError(), KeyError(), BadParameter("to", "is missing", "give it"), TwilioError("x")]
)
def test_retryable_excludes_other_errors(error: Exception):
    assert not is_retryable(FETCH, error)


def test_error_from_response_names_request_status_code_page_and_request_id():
    response = rejection(400, 21211, "The 'To' number is not valid.", twilio_request_id="RQ123")
    error = error_for(CREATE, response)
    assert str(error) == (
        "POST /2010-04-01/Accounts/{AccountSid}/Messages.json: Twilio rejected it with 400, code 21211:"
        " The 'To' number is not valid. See https://www.twilio.com/docs/api/errors/21211 (request RQ123)"
    )
    assert error.request_id == "RQ123"


@pytest.mark.parametrize(
    "message",
    [
        f"The number {TO} is unverified",
        f"To={TO.replace('+', '%2B')}&x",
        f"The 'To' number {TO} is not a valid phone number.",
        f"{TO},{TO}",
    ],
)
def test_error_from_response_masks_numbers_in_twilios_message(message: str):
    description = str(error_for(CREATE, rejection(400, 21211, message)))
    assert "4155551234" not in description
    assert "5551" not in description
    assert "+1415•••1234" in description


def test_error_messages_contain_no_parameter():
    for error in (
        error_for(CREATE, rejection(500, 20500)),
        error_without_response(CREATE, "cut", sent=True),
        error_for_unreadable(CREATE, Response(200, {}, b"<html>secret")),
    ):
        assert not any(word in str(error) for word in (TO, "4155551234", "secret"))


@pytest.mark.parametrize(
    ("body", "description"),
    [
        (b"", "an empty body"),
        (b"<TwilioResponse><RestException/></TwilioResponse>", "XML of 49 bytes"),
        (b'{"code": 20404, "mess', "truncated or invalid JSON"),
        (b"\xff\xfe\x00", "3 bytes of no content type"),
        (b"[]", "JSON"),
        (b'{"detail": "The detail"}', "The detail"),
        (b'{"title": "The title", "errors": []}', "The title"),
        (b'{"code": "text", "message": null}', "JSON"),
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (400, InvalidRequest), (502, OutcomeUnknown)])
def test_error_from_response_describes_unreadable_body(
    body: bytes, description: str, status: int, kind: type[TwilioError]
):
    error = error_for(CREATE, Response(status, {}, body))
    assert type(error) is kind
    assert f"rejected it with {status}" in str(error)
    assert description in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "body", [b"{}", b"", b'{"message": "x"}', b"<html></html>"], ids=["object", "empty", "json", "html"]
)
@pytest.mark.parametrize("status", [302, 303, 307, 407, 408, 421, 425])
def test_error_from_response_of_gateway_status_is_not_permanent(status: int, body: bytes):
    create, fetch = error_for(CREATE, Response(status, {}, body)), error_for(FETCH, Response(status, {}, body))
    assert (type(create), type(fetch)) == (OutcomeUnknown, ServerError)
    assert not is_retryable(CREATE, create)
    assert is_retryable(FETCH, fetch)
    assert "proxy" in str(create)


PAGES = {
    "html": ({}, b"<!DOCTYPE html><title>Blocked by policy</title> secret"),
    "html by its type": ({"content-type": "text/html; charset=utf-8"}, b"\n<div>secret</div>"),
    "text": ({"content-type": "text/plain"}, b"secret: access denied"),
    "XML of a storage service": ({}, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
}


@pytest.mark.parametrize(("headers", "body"), PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("status", [401, 403, 404])
def test_error_from_response_with_page_of_proxy_is_not_permanent(status: int, headers: dict[str, str], body: bytes):
    create, fetch = (error_for(request, Response(status, headers, body)) for request in (CREATE, FETCH))
    assert (type(create), type(fetch)) == (OutcomeUnknown, ServerError)
    assert f"responded {status}" in str(fetch)
    assert "check the connection's host and proxy" in str(fetch)
    assert "secret" not in str(fetch)


def test_error_from_response_with_page_of_twilio_is_permanent():
    response = Response(404, {"twilio-request-id": "RQ1"}, b"<html>secret</html>")
    assert type(error_for(FETCH, response)) is NotFound


BODIES = {
    "error": b'{"error": {"code": 21211, "message": "No number"}}',
    "error, nested": b'{"status": 400, "error": {"error": {"code": "21211", "detail": "No number"}}}',
    "errors": b'{"errors": [{"code": 21211, "message": "No number", "infoUrl": "x"}]}',
    "errors, second": b'{"errors": [{"message": "No number"}, {"code": 21211, "message": "No number"}]}',
    "RFC 9457": b'{"type": "x", "title": "Bad", "detail": "No number", "status": 400, "code": 21211}',
    "code as text": b'{"code": "21211", "message": "No number"}',
    "code as float": b'{"code": 21211.0, "message": "No number"}',
    "camel case": b'{"errorCode": 21211, "errorMessage": "No number"}',
    "XML": (
        b'<?xml version="1.0"?><TwilioResponse><RestException><Code>21211</Code><Message>No number</Message>'
        b"<MoreInfo>x</MoreInfo><Status>400</Status></RestException></TwilioResponse>"
    ),
    "list": b'[{"code": 21211, "message": "No number"}]',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_error_from_response_reads_code_and_message_of_each_form(body: bytes):
    error = error_for(CREATE, Response(400, {}, body))
    assert (type(error), error.code) == (InvalidRequest, 21211)
    assert "code 21211: No number. See" in str(error)


def test_error_from_response_quotes_oauth_error_description():
    error = error_for(CREATE, Response(401, {}, b'{"error": "invalid_client", "error_description": "Unknown client"}'))
    assert "401: Unknown client" in str(error)
    assert error.code is None


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"code": true}', b'{"errors": []}', b'{"message": ""}'])
def test_error_from_response_calls_valid_json_not_truncated(body: bytes):
    assert "truncated" not in str(error_for(CREATE, Response(400, {}, body)))
    assert "truncated" not in str(error_for_unreadable(FETCH, Response(200, {}, body)))


def test_error_from_response_states_remedy_of_code():
    text = str(error_for(CREATE, rejection(409, 21712, "Number is associated with another service")))
    assert "Remove the number from its messaging service first" in text


def test_error_from_response_reads_error_code():
    assert error_for(CREATE, Response(400, {}, b'{"error_code": 21610}')).code == 21610


@given(st.binary(), st.integers(300, 599))
def test_error_from_response_accepts_any_body(body: bytes, status: int):
    assert str(error_for(FETCH, Response(status, {}, body)))


NOW = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("Sat, 31 Jan 2026 08:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 10:00:30 +0200", 30.0),
        ("Sat, 31 Jan 2026 08:00:30", 30.0),
        ("Sat, 31 Jan 2026 07:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("Thu, 99 Foo 2026", None),
    ],
)
def test_retry_after_parses_seconds_and_dates(header: str | None, seconds: float | None):
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_retry_after_of_any_text_is_seconds_or_none(header: str):
    found = retry_after(header)
    assert found is None or found >= 0


def test_error_from_response_has_retry_after():
    assert error_for(CREATE, rejection(429, 20429, retry_after="7")).retry_after == 7.0
