"""Error classes: permanence, pickling and the docstring tree."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from airflow_provider_twilio.api import errors
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
    error_without_response,
)
from airflow_provider_twilio.api.request import Request
from tests.support.responses import error_for, rejection

CREATE: Request[Any] = Messages.create(to="+14155551234", body="secret words")


def test_error_classes_declare_whether_they_are_permanent():
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


def test_errors_docstring_tree_lists_every_class():
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert all(issubclass(getattr(errors, name), TwilioError) for name in drawn)
    assert len(drawn) == 12


@pytest.mark.parametrize(
    "error",
    [
        error_for(CREATE, rejection(429, 20429, "Slow down", retry_after="3", twilio_request_id="RQ1")),
        error_for(CREATE, rejection(500)),
        BadParameter("to", "is missing", "pass to"),
        error_without_response(CREATE, "cut", sent=True),
    ],
)
def test_errors_survive_pickling_with_their_attributes(error: TwilioError):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_bad_parameter_names_the_parameter_and_is_a_value_error():
    with pytest.raises(ValueError, match="to is missing: pass to") as caught:
        raise BadParameter("to", "is missing", "pass to")
    assert isinstance(caught.value, BadParameter)
    assert caught.value.parameter == "to"
