"""Argument checks: each error names the parameter, its fault and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twilio.api import checks
from airflow_provider_twilio.api.accounts import Accounts, Balances
from airflow_provider_twilio.api.calls import Calls
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.messages import Feedback, MediaItems, Message, Messages
from airflow_provider_twilio.api.operation import definition
from airflow_provider_twilio.api.phone_numbers import AvailablePhoneNumbers, IncomingPhoneNumbers
from airflow_provider_twilio.api.recordings import Recordings
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.usage import UsageRecords
from airflow_provider_twilio.api.values import UNRESOLVED

TO, FROM = "+14155550100", "+14155550199"
SM, CA, MG, HX, AP = (kind + "0" * 32 for kind in ("SM", "CA", "MG", "HX", "AP"))


def ahead(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def create(arguments: dict[str, Any]) -> Request[Message]:
    """Build a message; a ``send_at`` that is a timedelta counts from now, not from test collection."""
    send_at = arguments.get("send_at")
    return Messages.create(
        **arguments | ({"send_at": datetime.now(UTC) + send_at} if isinstance(send_at, timedelta) else {})
    )


def assert_rejected(message: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> BadParameter:
    with pytest.raises(BadParameter, match=message) as caught:
        operation(*args, **kwargs)
    assert str(caught.value).startswith(caught.value.parameter)
    assert ": " in str(caught.value)  # separates the fault from the remedy
    return caught.value


# ---------------------------------------------------------------- dependent parameters and limits

SCHEDULED: dict[str, Any] = {"to": TO, "body": "hi", "messaging_service_sid": MG, "schedule_type": "fixed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "", "body": "hi"}, "to is missing: pass to"),
        ({"to": None, "body": "hi"}, "to is missing"),
        ({"to": TO}, "body or media_url or content_sid is missing: pass body, media_url or content_sid"),
        ({"to": TO, "body": ""}, "body or media_url or content_sid is missing"),
        ({"to": TO, "media_url": []}, "body or media_url or content_sid is missing"),
        ({"to": TO, "body": "x" * 1601}, "body has 1601 characters: Twilio accepts at most 1600"),
        ({"to": TO, "media_url": ["https://a"] * 11}, "media_url has 11 items: Twilio accepts at most 10"),
        ({"to": TO, "body": "hi", "content_variables": {"1": "x"}}, "content_sid is missing"),
        ({"to": TO, "body": "hi", "validity_period": 0}, "validity_period is 0: use 1 to 36000 seconds"),
        ({"to": TO, "body": "hi", "validity_period": 36001}, "validity_period is 36001"),
        ({"to": TO, "body": "hi", "validity_period": "long"}, "validity_period is not a number"),
        (
            {"to": TO, "body": "hi", "content_retention": "keep"},
            "content_retention is not an allowed value.*retain, discard",
        ),
        ({"to": TO, "body": "hi", "send_at": ahead(3600)}, "send_at and schedule_type are not both set.*'fixed'"),
        ({"to": TO, "body": "hi", "schedule_type": "fixed"}, "send_at and schedule_type are not both set"),
        ({**SCHEDULED, "send_at": ahead(-60)}, "send_at is in the past: pass a time 330 s to 35 days ahead"),
        ({**SCHEDULED, "send_at": ahead(200)}, r"send_at is (199|200) s ahead: pass a time 330 s to 35 days"),
        ({**SCHEDULED, "send_at": ahead(305)}, r"send_at is (304|305) s ahead: pass a time 330 s to 35 days"),
        ({**SCHEDULED, "send_at": ahead(36 * 86400)}, "send_at is .* s ahead: pass a time 330 s to 35 days"),
        ({**SCHEDULED, "send_at": "2099-01-01T00:00:00"}, "send_at is a datetime without a time zone"),
        ({**SCHEDULED, "send_at": "tomorrow"}, "send_at is not an ISO 8601 time.*2026-01-31T08:00:00Z"),
        ({**SCHEDULED, "send_at": 5}, "send_at is of type int"),
        ({"to": TO, "body": "hi", "content_sid": SM}, "content_sid is a SID of the wrong type.*HX.*got a message SID"),
    ],
)
def test_create_message_rejects_invalid_arguments(arguments: dict[str, Any], message: str):
    assert_rejected(message, create, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": TO, "body": "x" * 1600},
        {"to": TO, "media_url": ["https://a"] * 10},
        {"to": TO, "media_url": "https://one.example/long" * 10},
        {"to": TO, "content_sid": HX, "content_variables": {"1": "x"}},
        {"to": TO, "body": "hi", "validity_period": "36000"},
        {**SCHEDULED, "send_at": ahead(340)},
        {**SCHEDULED, "send_at": ahead(35 * 86400 - 60)},
    ],
)
def test_create_message_accepts_valid_arguments(arguments: dict[str, Any]):
    assert create(arguments).method == "POST"


def test_create_message_requires_a_service_if_scheduled_else_a_sender():
    assert Messages.create(to=TO, body="hi").requires_one_of == ("MessagingServiceSid", "From")
    assert create({**SCHEDULED, "send_at": ahead(3600)}).requires_one_of == ("MessagingServiceSid",)


# ---------------------------------------------------------------- numbers and addresses


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("14155559876", r"to has no leading \+ \(11 characters, with digits\): write it in E.164"),
        ("+1 415 555 0100", "to contains spaces"),
        ("+1415555CALL", "to contains letters"),
        ("+1-415-555-0100", r"to contains characters other than \+ and digits"),
        ("(415)5550100", r"to contains characters other than \+ and digits"),
        ("+04155550100", "to starts with 0 instead of a country code"),
        ("+12345", "to has 5 digits instead of 7 to 15"),
        ("+1234567890123456", "to has 16 digits"),
        ("+１４１５５５５０１００", r"to contains characters other than \+ and digits"),
        ("+1４１５５５５０１００", r"to contains characters other than \+ and digits"),
        ("+1٤١٥٥٥٥٠١٠٠", r"to contains characters other than \+ and digits"),
        ("whatsapp:+1４１５５５５０１００", r"to is a whatsapp: address whose number contains characters other than"),
        ("++14155559876", r"to contains characters other than \+ and digits"),
        ("+", "to has 0 digits"),
        ("whatsapp:14155550100", r"to is a whatsapp: address whose number has no leading \+"),
        (
            "client:alice",
            "to is a client: address: use a number in E.164 or an address that starts with whatsapp:",
        ),
        ("sip:a@b.example", "to is a sip: address"),
        (4155559876, "to is of type int: write it in E.164"),
        (["+14155550100"], "to is of type list"),
        (SM, "to contains letters"),
    ],
)
def test_recipient_error_names_the_fault(number: Any, message: str):
    error = assert_rejected(message, Messages.create, to=number, body="hi")
    assert number == "+" or str(number) not in str(error)


@pytest.mark.parametrize(
    "to",
    [TO, "+1234567", "+123456789012345", "whatsapp:+14155550100", "WhatsApp:+14155550100", "messenger:12", "rcs:x"],
)
def test_create_message_accepts_numbers_and_channels_as_recipient(to: str):
    assert Messages.create(to=to, body="hi").get("To") == to.replace("WhatsApp", "whatsapp")


@pytest.mark.parametrize(
    "from_", [FROM, "12345", "MyCompany", "My Co & Co", "whatsapp:+14155550199", "rcs:agent", None]
)
def test_create_message_accepts_every_type_of_sender(from_: str | None):
    assert Messages.create(to=TO, from_=from_, body="hi").get("From") == from_


@pytest.mark.parametrize(
    ("from_", "message"),
    [
        ("ALongCompanyName", "from_ contains letters.*alphanumeric sender ID of up to 11 characters"),
        ("1234567890123", r"from_ has no leading \+"),
        ("１２３４５", "from_ contains characters other than"),
        ("+1 415", "from_ contains spaces"),
        (MG, "from_ is the SID of a messaging service: pass it as messaging_service_sid"),
        ("client:alice", "from_ is a client: address"),
        (5, "from_ is of type int"),
    ],
)
def test_sender_error_names_the_fault(from_: Any, message: str):
    assert_rejected(message, Messages.create, to=TO, from_=from_, body="hi")


@pytest.mark.parametrize(
    "to", [TO, "client:alice", "sip:alice@example.com", "sips:alice@example.com", "whatsapp:+14155550100"]
)
def test_create_call_accepts_numbers_clients_and_sip_as_recipient(to: str):
    assert Calls.create(to=to, url="https://example.com").get("To") == to


def test_create_call_rejects_message_channels():
    assert_rejected("to is a messenger: address", Calls.create, to="messenger:5", url="https://example.com")
    assert_rejected("from_ contains letters", Calls.create, to=TO, from_="MyCompany", url="https://example.com")
    assert "client" in str(
        assert_rejected("caller_id is a rcs", Calls.create, to=TO, url="https://a", caller_id="rcs:x")
    )


def test_create_message_sends_channel_in_lower_case():
    # Reconciling compares the request with Twilio's list, which has channels in lower case.
    message = Messages.create(to="WhatsApp:+14155550100", from_="WHATSAPP:+14155550199", body="To: You")
    assert message == Messages.create(to="whatsapp:+14155550100", from_="whatsapp:+14155550199", body="To: You")
    call = Calls.create(to="SIP:Ada@Host.example:5060", from_=FROM, url="https://example.com")
    assert call.get("To") == "sip:Ada@Host.example:5060"
    assert Messages.create(to=TO, from_="MyCompany", body="hi").get("From") == "MyCompany"


# ---------------------------------------------------------------- SIDs


@pytest.mark.parametrize(
    ("operation", "given_", "message"),
    [
        (
            Messages.fetch,
            CA,
            r"message_sid is a SID of the wrong type: expected a message SID, SM… or MM…, got a call SID",
        ),
        (Calls.fetch, SM, "call_sid is a SID of the wrong type: expected a call SID, CA…, got a message SID"),
        (Calls.delete, "XX" + "0" * 32, "call_sid is a SID of the wrong type.*got another SID"),
        (Messages.delete, SM[:-1], "message_sid starts like a SID but has 33 characters: .*32 hexadecimal digits"),
        (Messages.fetch, "", "message_sid is not a SID"),
        (Messages.fetch, TO, "message_sid is not a SID"),
        (Messages.fetch, None, "message_sid is of type NoneType"),
        (IncomingPhoneNumbers.delete, TO, "phone_number_sid is not a SID.*expected a phone number SID, PN…"),
        (Recordings.delete, CA, "recording_sid is a SID of the wrong type"),
        (Accounts.fetch, "SK" + "0" * 32, "target_account_sid is a SID of the wrong type: .*got an API key SID"),
    ],
)
def test_sid_error_names_expected_and_actual_type(operation: Callable[..., Any], given_: Any, message: str):
    error = assert_rejected(message, operation, given_)
    assert not given_ or str(given_) not in str(error)


@pytest.mark.parametrize("injection", ["../Calls/CA" + "0" * 32, SM + "/../x", SM + "?x=1", SM + "\n", f" {SM}"])
def test_sid_rejects_path_injection(injection: str):
    assert_rejected("message_sid", Messages.fetch, injection)


# ---------------------------------------------------------------- unresolved values

EVERY: list[Callable[..., Any]] = [
    *(Messages.create, Messages.fetch, Messages.update, Messages.delete, Messages.list),
    *(MediaItems.list, MediaItems.fetch, MediaItems.delete, Feedback.create),
    *(Calls.create, Calls.fetch, Calls.update, Calls.delete, Calls.list),
    *(IncomingPhoneNumbers.create, IncomingPhoneNumbers.fetch, IncomingPhoneNumbers.update),
    *(IncomingPhoneNumbers.delete, IncomingPhoneNumbers.list, AvailablePhoneNumbers.list),
    *(Accounts.create, Accounts.fetch, Accounts.update, Accounts.list, Balances.fetch),
    *(UsageRecords.list, UsageRecords.daily, Recordings.list, Recordings.fetch, Recordings.delete),
]


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: str(definition(operation)))
def test_unresolved_values_pass_every_check(operation: Callable[..., Any]):
    found = definition(operation)
    found.check(dict.fromkeys(found.parameters, UNRESOLVED))


@pytest.mark.parametrize(
    ("operation", "known"),
    [(Messages.create, {"to": "no number"}), (Calls.create, {"ring_timeout": 601}), (Calls.update, {"status": "gone"})],
)
def test_known_values_are_checked_next_to_unresolved_ones(operation: Callable[..., Any], known: dict[str, Any]):
    found = definition(operation)
    with pytest.raises(BadParameter, match=next(iter(known))):
        found.check(dict.fromkeys(found.parameters, UNRESOLVED) | known)


# ---------------------------------------------------------------- single checks


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("", "an empty string"),
        ("abc 123", "7 characters, with letters and digits and spaces"),
        ("!!", "2 characters"),
        (5, "a int"),
        (None, "a NoneType"),
    ],
)
def test_describe_does_not_quote_the_value(value: Any, shape: str):
    assert checks.describe(value) == shape


def test_checks_one_of_and_only_one_of_count_set_parameters():
    checks.one_of(a=None, b=0)
    checks.only_one_of(a="x", b=None, c=UNRESOLVED, d="")
    assert_rejected("a or b or c is missing: pass a, b or c", checks.one_of, a=None, b="", c=[])
    assert_rejected("a and c are mutually exclusive: pass one of them", checks.only_one_of, a="x", b=None, c="y")


def test_phone_number_accepts_none_and_rejects_addresses():
    checks.phone_number("near_number", None)
    checks.phone_number("near_number", TO)
    error = assert_rejected(
        "near_number is a client: address: use a number in E.164$",
        checks.phone_number,
        "near_number",
        "client:x",
    )
    assert "one of" not in str(error)


@pytest.mark.parametrize("value", [1, 600, "60", 1.5, None, UNRESOLVED])
def test_between_accepts_numbers_within_the_range(value: Any):
    checks.between("timeout", value, 1, 600)


@pytest.mark.parametrize("value", [0, 601, "", "abc", [], float("nan"), float("inf"), 10**400, True])
def test_between_rejects_numbers_outside_the_range(value: Any):
    assert_rejected("timeout is .*use 1 to 600 s", checks.between, "timeout", value, 1, 600, " s")


ANYTHING = st.one_of(
    *(st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.booleans(), st.decimals(), st.datetimes()),
    *(st.dates(), st.lists(st.text()), st.dictionaries(st.text(), st.text()), st.just(UNRESOLVED), st.just(object())),
    st.datetimes(timezones=st.timezones()),
    st.from_regex(r"\A(whatsapp|client|sip|\+)?:?\+?\d{0,16}\Z"),
    st.from_regex(r"\A(SM|CA|PN|AC)[0-9a-f]{30,34}\Z"),
)
CHECKS: list[Callable[[Any], Any]] = [
    lambda value: checks.one_of(x=value, y=None),
    lambda value: checks.only_one_of(x=value, y=value),
    lambda value: checks.required(x=value),
    lambda value: checks.sid("x", value, "SM", "MM"),
    lambda value: checks.sids(x=(value, "AP")),
    lambda value: checks.recipient("x", value),
    lambda value: checks.sender("x", value),
    lambda value: checks.caller("x", value),
    lambda value: checks.phone_number("x", value),
    lambda value: checks.max_length("x", value, 3),
    lambda value: checks.max_items("x", value, 3),
    lambda value: checks.between("x", value, 1, 2),
    lambda value: checks.seconds("x", value),
    lambda value: checks.positive_seconds("x", value),
    lambda value: checks.choice("x", value, ("a", "b")),
    lambda value: checks.within_future("x", value, timedelta(0), timedelta(1)),
    lambda value: checks.parse_timestamp("x", value),
    checks.describe,
]


@pytest.mark.parametrize(
    ("value", "fault"), [("30", "2 characters, with digits"), (True, "True"), (-1, "-1"), (float("nan"), "nan")]
)
def test_seconds_other_value_raises(value: Any, fault: str):
    assert_rejected(f"x is {fault}: give a number of seconds, 0 or more", checks.seconds, "x", value)
    assert_rejected(f"x is {fault}: give a number of seconds above 0", checks.positive_seconds, "x", value)


def test_seconds_zero_and_none_are_not_positive():
    for value in (0, None):
        checks.seconds("x", value)
        assert_rejected(f"x is {value}", checks.positive_seconds, "x", value)
    for number in (0.1, 30, 10**400, UNRESOLVED):
        checks.seconds("x", number)
        checks.positive_seconds("x", number)


@given(ANYTHING)
def test_checks_raise_bad_parameter_only(value: Any):
    for check in CHECKS:
        try:
            check(value)
        except BadParameter as error:
            assert error.parameter.startswith("x")  # noqa: PT017 (most values raise nothing)


@given(st.data())
def test_operations_raise_bad_parameter_only(data: st.DataObject):
    operation = data.draw(st.sampled_from(EVERY))
    names = list(definition(operation).parameters)
    arguments = {name: data.draw(ANYTHING) for name in names}
    required = {"to": TO, "body": "hi", "url": "https://example.com", "phone_number": TO, "status": "completed"}
    for chosen in (arguments, {**arguments, **{name: required[name] for name in names if name in required}}):
        try:
            operation(**{name: value for name, value in chosen.items() if value is not UNRESOLVED})
        except BadParameter:
            pass
        except TypeError as error:
            assert "missing" in str(error)  # noqa: PT017 (Python's own word on an argument left out)
