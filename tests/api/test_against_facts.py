"""Operations and records compared with Twilio's OpenAPI description (facts.json)."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from airflow_provider_twilio.api import accounts, calls, messages, phone_numbers, recordings, usage
from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.operation import Resource, definition, listing, operation
from airflow_provider_twilio.api.records import Field, Record, is_sid
from airflow_provider_twilio.api.request import NoContent, Request
from airflow_provider_twilio.api.response import Response
from airflow_provider_twilio.api.values import UNRESOLVED

FACTS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "contract" / "facts.json").read_text(encoding="utf-8")
)
MODULES = (accounts, calls, messages, phone_numbers, recordings, usage)
TO = "+14155550100"


def sid(kind: str) -> str:
    return kind + "0123456789abcdef" * 2


SM, ME, CA, PN, AC, RE = (sid(kind) for kind in ("SM", "ME", "CA", "PN", "AC", "RE"))

Operation = Callable[..., Any]

# Each operation by Twilio's name, with its minimum arguments.
OPERATIONS: dict[str, tuple[Operation, dict[str, Any]]] = {
    "CreateMessage": (messages.Messages.create, {"to": TO, "body": "hi"}),
    "FetchMessage": (messages.Messages.fetch, {"message_sid": SM}),
    "UpdateMessage": (messages.Messages.update, {"message_sid": SM, "body": ""}),
    "DeleteMessage": (messages.Messages.delete, {"message_sid": SM}),
    "ListMessage": (messages.Messages.list, {}),
    "ListMedia": (messages.MediaItems.list, {"message_sid": SM}),
    "FetchMedia": (messages.MediaItems.fetch, {"message_sid": SM, "media_sid": ME}),
    "DeleteMedia": (messages.MediaItems.delete, {"message_sid": SM, "media_sid": ME}),
    "CreateMessageFeedback": (messages.Feedback.create, {"message_sid": SM}),
    "CreateCall": (calls.Calls.create, {"to": TO, "url": "https://example.com/"}),
    "FetchCall": (calls.Calls.fetch, {"call_sid": CA}),
    "UpdateCall": (calls.Calls.update, {"call_sid": CA, "status": "completed"}),
    "DeleteCall": (calls.Calls.delete, {"call_sid": CA}),
    "ListCall": (calls.Calls.list, {}),
    "CreateIncomingPhoneNumber": (phone_numbers.IncomingPhoneNumbers.create, {"phone_number": TO}),
    "FetchIncomingPhoneNumber": (phone_numbers.IncomingPhoneNumbers.fetch, {"phone_number_sid": PN}),
    "UpdateIncomingPhoneNumber": (phone_numbers.IncomingPhoneNumbers.update, {"phone_number_sid": PN}),
    "DeleteIncomingPhoneNumber": (phone_numbers.IncomingPhoneNumbers.delete, {"phone_number_sid": PN}),
    "ListIncomingPhoneNumber": (phone_numbers.IncomingPhoneNumbers.list, {}),
    **{
        f"ListAvailablePhoneNumber{kind}": (
            phone_numbers.AvailablePhoneNumbers.list,
            {"country": "US", "kind": kind, "near_number": TO, "in_lata": "722"},
        )
        for kind in phone_numbers.TYPES
    },
    "CreateAccount": (accounts.Accounts.create, {}),
    "FetchAccount": (accounts.Accounts.fetch, {"target_account_sid": AC}),
    "UpdateAccount": (accounts.Accounts.update, {"target_account_sid": AC, "status": "active"}),
    "ListAccount": (accounts.Accounts.list, {}),
    "FetchBalance": (accounts.Balances.fetch, {}),
    "ListUsageRecord": (usage.UsageRecords.list, {}),
    "ListUsageRecordDaily": (usage.UsageRecords.daily, {}),
    "ListUsageRecordMonthly": (usage.UsageRecords.monthly, {}),
    "ListUsageRecordYearly": (usage.UsageRecords.yearly, {}),
    "ListUsageRecordToday": (usage.UsageRecords.today, {}),
    "ListUsageRecordYesterday": (usage.UsageRecords.yesterday, {}),
    "ListUsageRecordThisMonth": (usage.UsageRecords.this_month, {}),
    "ListUsageRecordLastMonth": (usage.UsageRecords.last_month, {}),
    "ListUsageRecordAllTime": (usage.UsageRecords.all_time, {}),
    "ListRecording": (recordings.Recordings.list, {}),
    "FetchRecording": (recordings.Recordings.fetch, {"recording_sid": RE}),
    "DeleteRecording": (recordings.Recordings.delete, {"recording_sid": RE}),
}

# Described parameters that are not arguments: the listing itself requests the pages.
PAGING = {"PageSize", "Page", "PageToken"}

# Enumerations that are not enforced: a new traffic class should not require a release.
OPEN = {("CreateMessage", "TrafficType")}

# Arguments that accept more types than described; their wire format is as described.
WIDER = {
    ("CreateMessage", "ContentVariables"): Mapping,  # JSON of it
    ("CreateCall", "AsyncAmd"): bool,  # true or false
    ("CreateIncomingPhoneNumber", "AreaCode"): int,
}

# Strings on the wire that contain a number or a time.
NUMBERS = {
    "balance": Decimal, "count": Decimal, "duration": int, "num_media": int, "num_segments": int, "price": Decimal,
    "queue_time": int, "usage": Decimal, "as_of": datetime,
}  # fmt: skip

BY_TYPE = {"integer": int, "boolean": bool, "number": Decimal, "object": dict, "array": list, None: dict}


@pytest.fixture(params=OPERATIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def by_wire_name(name: str) -> dict[str, str]:
    """Return an operation's parameters by Twilio's names."""
    return {wire_name: parameter for parameter, wire_name in definition(OPERATIONS[name][0]).wire_names.items()}


def hints(name: str, parameter: str) -> set[Any]:
    """Return the types that a parameter's annotation allows."""
    annotation = typing.get_type_hints(definition(OPERATIONS[name][0]).function)[parameter]
    found: set[Any] = set()
    waiting = [annotation]
    while waiting:
        one = waiting.pop()
        if isinstance(one, types.UnionType) or typing.get_origin(one) is typing.Union:
            waiting += typing.get_args(one)
        elif typing.get_origin(one) is Literal:
            found |= {type(value) for value in typing.get_args(one)}
        else:
            found.add(typing.get_origin(one) or one)
    return found - {type(None)}


def test_facts_cover_every_operation():
    operations = {
        value.definition.build
        for module in MODULES
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, Resource)
        for value in vars(thing).values()
        if isinstance(value, operation | listing)
    }
    assert {operation for operation, _ in OPERATIONS.values()} == operations
    assert set(OPERATIONS) == set(FACTS)


def test_facts_match_method_and_path(name: str):
    operation, arguments = OPERATIONS[name]
    made = operation(**arguments)
    request = made.first_page() if isinstance(made, Listing) else made
    assert isinstance(request, Request)
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(FACTS[name]["path"]))
    found = re.fullmatch(pattern, request.template.replace("{AccountSid}", AC))
    assert request.method == FACTS[name]["method"]
    assert found, request.template
    for part, value in found.groupdict().items():
        if "pattern" in FACTS[name]["inside"][part]:
            assert re.fullmatch(FACTS[name]["inside"][part]["pattern"], value)


def test_facts_match_form_parameters(name: str):
    wire_name = set(FACTS[name]["sent"])
    assert set(by_wire_name(name)) == wire_name - PAGING
    assert isinstance(OPERATIONS[name][0](**OPERATIONS[name][1]), Listing) == (wire_name >= PAGING)


def test_facts_match_required_parameters(name: str):
    operation, arguments = OPERATIONS[name]
    parameters = definition(operation).parameters
    for wire_name in FACTS[name]["required"]:
        optional = parameters[by_wire_name(name)[wire_name]].default is None
        assert not optional or wire_name in operation(**arguments).requires_one_of


def test_facts_match_parameter_types(name: str):
    for wire_name, parameter in by_wire_name(name).items():
        fact, allowed = FACTS[name]["sent"][wire_name], hints(name, parameter)
        if extra := WIDER.get((name, wire_name)):
            assert extra in allowed
            allowed.discard(extra)
        expected: Any = {str}
        if fact["type"] == "array":
            expected = {Sequence, str} if str in allowed else {Sequence}
        elif fact.get("format") == "date":
            expected = {date, str}
        elif fact.get("format") == "date-time":
            expected = (
                {datetime, str} if wire_name == "SendAt" else {date, datetime} if wire_name[-1] in "<>" else {date}
            )
        elif fact["type"] == "number":
            expected = {Decimal, str}
        elif fact["type"] != "string":
            expected = {BY_TYPE[fact["type"]]}
        assert allowed - ({str} if wire_name == "AreaCode" else set()) in (expected, expected - {str}), (
            wire_name,
            allowed,
        )


def test_facts_match_enumerations(name: str):
    operation, arguments = OPERATIONS[name]
    check = definition(operation).check
    annotations = typing.get_type_hints(definition(operation).function)
    for wire_name, parameter in by_wire_name(name).items():
        fact = FACTS[name]["sent"][wire_name]
        literals = [one for one in typing.get_args(annotations[parameter]) if typing.get_origin(one) is Literal]
        if "enum" not in fact or (name, wire_name) in OPEN:
            assert not literals
            continue
        assert [set(typing.get_args(one)) for one in literals] == [set(fact["enum"])]
        for value in fact["enum"]:
            extra = {"ScheduleType": {"send_at": UNRESOLVED}, "Status": {"body": None}}.get(wire_name, {})
            extra = {key: item for key, item in extra.items() if key in definition(operation).names}
            check(arguments | {parameter: value} | extra)
        with pytest.raises(BadParameter, match=parameter):
            check(arguments | {parameter: "none of them"})


def test_facts_match_sid_prefixes_of_parameters(name: str):
    operation, arguments = OPERATIONS[name]
    check = definition(operation).check
    sid_parameters = [
        (parameter, FACTS[name]["sent"][wire_name]) for wire_name, parameter in by_wire_name(name).items()
    ]
    parts = [
        parameter
        for parameter in definition(operation).parameters
        if parameter.endswith("_sid") and parameter not in dict(sid_parameters)
    ]
    sid_parameters += list(
        zip(parts, (fact for part, fact in FACTS[name]["inside"].items() if part != "AccountSid"), strict=False)
    )
    for parameter, fact in sid_parameters:
        if "pattern" not in fact:
            assert not is_sid(arguments.get(parameter))
            continue
        kinds = re.findall(r"\b[A-Z]{2}\b", fact["pattern"].split("[")[0])
        assert kinds
        bare = arguments if parameter != "application_sid" or name != "CreateCall" else {"to": TO}
        for kind in kinds:
            check(bare | {parameter: sid(kind)})
        with pytest.raises(BadParameter, match=rf"{parameter} is a SID of the wrong type.*{kinds[0]}…"):
            check(bare | {parameter: sid("ZZ")})


def test_facts_match_record_fields(name: str):
    operation, arguments = OPERATIONS[name]
    made = operation(**arguments)
    fields = FACTS[name].get("record")
    if fields is None:
        assert made.parser is NoContent
        assert FACTS[name]["status"] == 204
        return
    record: type[Record] = made.record if isinstance(made, Listing) else made.parser
    properties = {field.name: field for field in vars(record).values() if isinstance(field, Field)}
    assert set(properties) == set(fields) - record.secrets
    assert record.secrets <= set(fields)
    for field, fact in fields.items():
        if field in record.secrets:
            continue
        expected: Any = BY_TYPE.get(fact.get("type"), str)
        if fact.get("type") == "string":
            expected = NUMBERS.get(field, str)
            if fact.get("format", "").startswith("date"):
                expected = date if fact["format"] == "date" else datetime
        assert properties[field].value_type is expected, field


def test_facts_match_record_sid_prefix(name: str):
    fields = FACTS[name].get("record", {})
    if "sid" in fields:
        operation, arguments = OPERATIONS[name]
        made = operation(**arguments)
        record: type[Record] = made.record if isinstance(made, Listing) else made.parser
        kinds = re.findall(r"\b[A-Z]{2}\b", fields["sid"]["pattern"].split("[")[0])
        assert list(record.sid_prefixes) == kinds


def test_facts_match_list_key(name: str):
    made = OPERATIONS[name][0](**OPERATIONS[name][1])
    if not isinstance(made, Listing):
        assert "key" not in FACTS[name]
        return
    request = made.first_page()
    assert request is not None
    body = json.dumps({FACTS[name]["key"]: [{}], "uri": "/"}).encode()
    assert made.parse(request, Response(200, {}, body)).records == [{}]


@pytest.mark.parametrize(
    ("module", "operation"),
    [(calls, "ListCall"), (accounts, "ListAccount")],
)
def test_facts_match_statuses(module: types.ModuleType, operation: str):
    assert list(module.STATUSES) == FACTS[operation]["sent"]["Status"]["enum"]


def test_facts_match_final_statuses():
    assert {"queued", "ringing", "in-progress"} | calls.FINAL == set(FACTS["FetchCall"]["record"]["status"]["enum"])
    assert set(FACTS["FetchRecording"]["record"]["status"]["enum"]) > recordings.FINAL
    assert set(FACTS["FetchMessage"]["record"]["status"]["enum"]) > messages.FINAL
