"""Errors are named by what a caller does next: chosen by Twilio's code, told without numbers, fit for pickling."""

from __future__ import annotations

import json
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api import codes, errors
from airflow_provider_twilio.api.errors import (
    AmbiguousOutcome,
    AuthenticationFailed,
    BadParameter,
    InvalidRequest,
    NotFound,
    NotSent,
    OptedOut,
    OutcomeUnknown,
    OutcomeUnresolved,
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

TO = "+14155551234"
CREATE: Request[Any] = Messages.create(to=TO, body="secret words")
FETCH: Request[Any] = Messages.fetch("SM" + "0" * 32)


def refusal(status: int, code: int | None = None, message: str = "No", **headers: str) -> Response:
    body = {"code": code, "message": message, "more_info": "", "status": status}
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()
    )


def error_for(request: Request[Any], response: Response) -> TwilioError:
    error = error_from_response(request, response)
    assert error is not None
    return error


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_is_no_error(status: int):
    assert error_from_response(CREATE, Response(status, {}, b"whatever")) is None


# What Twilio answers, what a send and what a read become, and whether the same may go out again at once.
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
    (500, 20500, OutcomeUnknown, ServerError, False, True),
    (502, None, OutcomeUnknown, ServerError, False, True),
    (503, 20503, OutcomeUnknown, ServerError, False, True),
    (503, 20429, OutcomeUnknown, ServerError, False, True),
    (301, None, InvalidRequest, InvalidRequest, False, False),
]


@pytest.mark.parametrize(("status", "code", "sent", "read", "send_again", "read_again"), TABLE)
def test_an_answer_is_classified_by_code_and_status(
    status: int,
    code: int | None,
    sent: type[TwilioError],
    read: type[TwilioError],
    send_again: bool,
    read_again: bool,
):
    create, fetch = error_for(CREATE, refusal(status, code)), error_for(FETCH, refusal(status, code))
    assert (type(create), type(fetch)) == (sent, read)
    assert (is_retryable(CREATE, create), is_retryable(FETCH, fetch)) == (send_again, read_again)
    assert (create.code, create.status) == (code, status)


def test_what_fails_for_good_is_told_from_what_may_not():
    permanent: set[type[TwilioError]] = {
        InvalidRequest,
        BadParameter,
        AuthenticationFailed,
        PermissionDenied,
        NotFound,
        OptedOut,
        OutcomeUnresolved,
        AmbiguousOutcome,
    }
    passing: set[type[TwilioError]] = {RateLimited, NotSent, ServerError, OutcomeUnknown}
    assert all(kind.permanent for kind in permanent)
    assert not any(kind.permanent for kind in passing)
    named = {thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, TwilioError)}
    assert named == permanent | passing | {TwilioError}


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert all(issubclass(getattr(errors, name), TwilioError) for name in drawn)
    assert len(drawn) == 12


def test_a_lost_answer_is_told_by_what_may_have_happened():
    never, read, sent = (
        error_without_response(CREATE, "refused", sent=False),
        error_without_response(FETCH, "cut", sent=True),
        error_without_response(CREATE, "cut", sent=True),
    )
    assert (type(never), type(read), type(sent)) == (NotSent, ServerError, OutcomeUnknown)
    assert [is_retryable(*pair) for pair in ((CREATE, never), (FETCH, read), (CREATE, sent))] == [True, True, False]
    assert "may or may not" in str(sent)


def test_a_large_page_that_fails_is_asked_for_again_smaller_and_not_as_it_is():
    large, small = Messages.list().first_page(), Messages.list(page_size=20).first_page()
    assert large is not None
    assert small is not None
    assert not is_retryable(large, error_for(large, refusal(500)))
    assert is_retryable(small, error_for(small, refusal(500)))
    assert is_retryable(large, error_for(large, refusal(503)))


@pytest.mark.parametrize(
    "error", [ValueError(), KeyError(), BadParameter("to", "is missing", "give it"), TwilioError("x")]
)
def test_nothing_else_is_repeated(error: Exception):
    assert not is_retryable(FETCH, error)


# ---------------------------------------------------------------- what is told


def test_an_error_names_request_status_code_page_and_request_id():
    response = refusal(400, 21211, "The 'To' number is not valid.", twilio_request_id="RQ123")
    error = error_for(CREATE, response)
    assert str(error) == (
        "POST /2010-04-01/Accounts/{AccountSid}/Messages.json: Twilio refused with 400, code 21211:"
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
def test_twilios_message_is_told_with_numbers_masked(message: str):
    told = str(error_for(CREATE, refusal(400, 21211, message)))
    assert "4155551234" not in told
    assert "5551" not in told
    assert "+1415•••1234" in told


def test_no_error_tells_a_parameter():
    for error in (
        error_for(CREATE, refusal(500, 20500)),
        error_without_response(CREATE, "cut", sent=True),
        error_for_unreadable(CREATE, Response(200, {}, b"<html>secret")),
    ):
        assert not any(word in str(error) for word in (TO, "4155551234", "secret"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "an empty body"),
        (b"<html><body>secret</body></html>", "an HTML page of 32 bytes"),
        (b"<TwilioResponse><RestException/></TwilioResponse>", "XML of 49 bytes"),
        (b'{"code": 20404, "mess', "JSON that is cut or broken"),
        (b"\xff\xfe\x00", "3 bytes of no content type"),
        (b"[]", "JSON"),
        (b'{"detail": "The detail"}', "The detail"),
        (b'{"title": "The title", "errors": []}', "The title"),
        (b'{"code": "text", "message": null}', "JSON"),
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (400, InvalidRequest), (502, OutcomeUnknown)])
def test_an_unreadable_refusal_is_classified_by_status_and_told_by_shape(
    body: bytes, told: str, status: int, kind: type[TwilioError]
):
    error = error_for(CREATE, Response(status, {}, body))
    assert type(error) is kind
    assert f"refused with {status}" in str(error)
    assert told in str(error)
    assert "secret" not in str(error)


def test_the_code_is_found_under_its_newer_name():
    assert error_for(CREATE, Response(400, {}, b'{"error_code": 21610}')).code == 21610


@given(st.binary(), st.integers(300, 599))
def test_any_refusal_has_an_error(body: bytes, status: int):
    assert str(error_for(FETCH, Response(status, {}, body)))


@pytest.mark.parametrize(
    "error",
    [
        error_for(CREATE, refusal(429, 20429, "Slow down", retry_after="3", twilio_request_id="RQ1")),
        error_for(CREATE, refusal(500)),
        BadParameter("to", "is missing", "give to"),
        error_without_response(CREATE, "cut", sent=True),
    ],
)
def test_errors_survive_pickling_with_all_they_know(error: TwilioError):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_a_bad_parameter_is_named_and_is_a_value_error():
    with pytest.raises(ValueError, match="to is missing: give to") as caught:
        raise BadParameter("to", "is missing", "give to")
    assert isinstance(caught.value, BadParameter)
    assert caught.value.parameter == "to"


# ---------------------------------------------------------------- Retry-After

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
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None):
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_seconds_or_nothing(header: str):
    found = retry_after(header)
    assert found is None or found >= 0


def test_the_wait_that_twilio_asks_for_is_kept():
    assert error_for(CREATE, refusal(429, 20429, retry_after="7")).retry_after == 7.0


# ---------------------------------------------------------------- codes


def test_a_failure_is_explained_with_its_page_and_whether_to_send_again():
    assert codes.explain(30003).startswith("error 30003: the handset can't be reached")
    assert "sending again can help" in codes.explain(30003)
    assert "sending again does not help" in codes.explain(30003, frozenset())
    assert codes.explain(99999).endswith("See https://www.twilio.com/docs/api/errors/99999")


def test_every_code_that_is_acted_on_is_explained():
    acted_on = codes.OPTED_OUT | codes.RETRY_LATER | codes.PERMISSION | codes.RESENDABLE
    assert acted_on - set(codes.MEANINGS) <= {22005}
    assert all(meaning[0].islower() or meaning.startswith(("Twilio", "Meta")) for meaning in codes.MEANINGS.values())
