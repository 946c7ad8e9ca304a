"""Placeholders of a bulk send. No text with braces that were meant to be filled reaches anybody."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.client.settings import Basic, Settings
from airflow_provider_twilio.runtime.bulk.plan import FAULTY, SENT, MessagePlan, preflight, raise_for_preflight

SETTINGS = Settings("AC" + "a" * 32, Basic("AC" + "a" * 32, "token"))
TO, SENDER, TEMPLATE = "+14155550101", "+15005550006", "HX" + "b" * 32
SECRET = "Adaline"


class NotAvailable:
    """A value that cannot be compared, like ``pandas.NA``."""

    def __ne__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NotATime:
    """A value that differs from itself, like ``pandas.NaT``."""

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


MISSING = {
    "None": None,
    "empty": "",
    "blank": " \t",
    "no-break space": "\u00a0",
    "zero width": "\u200b\ufeff",
    "nan": float("nan"),
    "infinity": float("-inf"),
    "Decimal": Decimal("NaN"),
    "signaling NaN": Decimal("sNaN"),
    "NA": NotAvailable(),
    "NaT": NotATime(),
}


def plan(row: dict[Any, Any], on_missing: Any = "invalid", **options: Any) -> Any:
    (planned,) = MessagePlan({"from_": SENDER, **options}, SETTINGS, on_missing=on_missing)([{"to": TO, **row}])
    return planned


def body(row: dict[Any, Any], text: str, on_missing: Any = "invalid") -> str:
    planned = plan(row, on_missing, body=text)
    assert planned.fault is None, planned.fault
    return str(planned.request.get("Body"))


@pytest.mark.parametrize(
    ("row", "text", "expected"),
    [
        ({"First Name": "Ada"}, "Dear {First Name}", "Dear Ada"),
        ({"First Name": "Ada"}, "Dear { First  Name }", "Dear Ada"),
        ({"First\nName": "Ada"}, "Dear {First Name}", "Dear Ada"),
        ({"\ufeffname ": "Ada"}, "Dear {name}", "Dear Ada"),
        ({"customer.name": "Ada"}, "{customer.name}", "Ada"),
        ({"rows[0]": "Ada"}, "{rows[0]}", "Ada"),
        ({"Amount: net": 5}, "{Amount: net}", "5"),
        ({"e-mail": "a@b"}, "{e-mail}", "a@b"),
        ({"größe": "M"}, "{größe}", "M"),
        ({"2": "two"}, "{2}", "two"),
        ({2: "two"}, "{2}", "two"),
        ({"#": 7}, "{#}", "7"),
        ({"name": "{due}", "due": 0}, "{name} {due}", "{due} 0"),
        ({"name": "Ada"}, "{{name}} {{{name}}}", "{name} {Ada}"),
        ({"flag": False}, "{flag}", "False"),
        ({"name": "Ada"}, ":-{ {...} {\"a\": 1} {'a': 1} ;}", ":-{ {...} {\"a\": 1} {'a': 1} ;}"),
    ],
)
def test_placeholder_of_any_column_is_filled(row: dict[Any, Any], text: str, expected: str):
    assert body(row, text) == expected
    assert body({**row, "body": text}, "unused") == expected


@pytest.mark.parametrize(
    "text",
    [
        "Dear {First Name}", "{}", "{ }", "{0}", "{name!r}", "{Name:>5}", "{name.first}", "{rows[0]}", "${Name}",
        "{Zoë}", "{first-name}", "{'x'}", "{#name}", '{"x"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("on_missing", ["invalid", "empty"])
def test_placeholder_that_is_no_column_is_rejected_with_the_escape(text: str, on_missing: Any):
    for options, row in (({"body": text}, {}), ({"body": "unused"}, {"body": text})):
        planned = MessagePlan({"from_": SENDER, **options}, SETTINGS, on_missing=on_missing)
        with pytest.raises(BadParameter, match=r"body has the placeholder .*write \{\{ and \}\} for literal braces"):
            raise_for_preflight(preflight(planned([{"to": TO, "name": SECRET, **row}])), None)


@pytest.mark.parametrize("text", ["Dear {name", "Dear name}", "{{name}", "{name", "{name}}", "{{name}}}"])
def test_placeholder_with_one_brace_is_rejected_with_the_escape(text: str):
    message = r"^body has a brace without the (opening|closing) one at index \d+: add it, or write \{\{ and \}\}"
    with pytest.raises(BadParameter, match=message):
        MessagePlan({"from_": SENDER, "body": text}, SETTINGS)
    with pytest.raises(BadParameter, match=message):
        raise plan({"name": SECRET, "body": text}).fault


def test_placeholder_in_own_media_url_and_content_variables_is_filled():
    row = {"name": 'A"da', "media_url": ["https://example.com/{name}.png"], "body": "x"}
    assert plan(row).request.get("MediaUrl") == 'https://example.com/A"da.png'
    for variables in ('{"1": "{name}"}', {"1": "{name}"}):
        own = plan({"name": 'A"da', "content_sid": TEMPLATE, "content_variables": variables})
        shared = plan({"name": 'A"da'}, content_sid=TEMPLATE, content_variables=variables)
        assert own.request.get("ContentVariables") == shared.request.get("ContentVariables") == '{"1": "A\\"da"}'


def test_placeholder_free_content_variables_are_sent_as_written():
    variables = '{"1":"x"}'
    for own, shared in (({"content_variables": variables}, {}), ({}, {"content_variables": variables})):
        assert plan(own, content_sid=TEMPLATE, **shared).request.get("ContentVariables") == variables


def test_placeholder_error_names_the_parameter():
    assert str(plan({}, content_sid=TEMPLATE, content_variables={"1": "{name}"}).fault).startswith("content_variables")
    assert str(plan({}, body="x", media_url="https://example.com/{name}").fault).startswith("media_url has")
    with pytest.raises(BadParameter, match=r"^content_variables is not JSON"):
        MessagePlan({"content_sid": TEMPLATE, "content_variables": '{"1": {name}}'}, SETTINGS)


@pytest.mark.parametrize("value", MISSING.values(), ids=MISSING)
def test_placeholder_without_value_is_invalid_or_empty(value: Any):
    fault = str(plan({"name": value}, body="Dear {name}").fault)
    assert fault.startswith(
        "body has the placeholder {name}, for which the row has no value: add the value, or set on_m"
    )
    assert body({"name": value}, "Dear {name}!", "empty") == "Dear !"
    assert body({"name": SECRET, "body": value}, "{name}") == SECRET  # a missing value overrides nothing


@pytest.mark.parametrize("value", [[SECRET], (SECRET,), {"name": SECRET}, {SECRET}, SECRET.encode()])
@pytest.mark.parametrize("on_missing", ["invalid", "empty"])
def test_placeholder_with_collection_is_rejected(value: Any, on_missing: Any):
    fault = str(plan({"name": value}, on_missing, body="Dear {name}").fault)
    assert fault.startswith(f"body has the placeholder {{name}}, whose value is of type {type(value).__name__}: add a")
    assert SECRET not in fault


def test_placeholder_absent_in_some_rows_is_empty_and_in_all_rows_rejected():
    rows = [{"to": TO}, {"to": "+14155550102", "name": "Ada"}]
    checked = preflight(MessagePlan({"from_": SENDER, "body": "Dear {name}"}, SETTINGS)(rows))
    assert list(checked.verdicts) == [FAULTY, SENT]
    checked = preflight(MessagePlan({"from_": SENDER, "body": "Dear {name}"}, SETTINGS, on_missing="empty")(rows))
    assert list(checked.verdicts) == [SENT, SENT]
    with pytest.raises(BadParameter, match=r"placeholder \{nmae\}"):
        preflight(MessagePlan({"from_": SENDER, "body": "Dear {nmae}"}, SETTINGS, on_missing="empty")(rows))


def test_placeholder_errors_quote_no_value_of_the_row():
    for text in ("Dear {Adaline}", "Dear {Adaline", "Dear {name}{x}"):
        assert SECRET not in str(plan({"name": SECRET, "body": text}).fault)
