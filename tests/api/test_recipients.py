"""The parser of lists of recipients."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_twilio.api.recipients import split_recipients

ANN, BEA = "+14155550101", "+14155550102"
SIP = "sip:ann@example.com;transport=tls"


@pytest.mark.parametrize(
    "value",
    [
        f"{ANN},{BEA}",
        f" {ANN} , {BEA} ,",
        f"{ANN};{BEA};",
        f"{ANN} ; {BEA}",
        f"{ANN}\n{BEA}\n",
        f"{ANN}\r\n\r\n{BEA}",
        f"{ANN} {BEA}",
        f"{ANN}\t\u00a0{BEA}",
        f",; {ANN},,;{BEA}\n;",
        [ANN, BEA],
        [ANN, "", "  ", BEA, ANN],
        [f"{ANN}, {BEA}"],
        [f"{ANN} {BEA}", ","],
        (ANN, [BEA, ANN]),
        f"['{ANN}', '{BEA}']",
        f'["{ANN}", "{BEA}", ""]',
        [f"('{ANN}', '{BEA}')"],
    ],
)
def test_split_recipients_with_any_separator_returns_each_entry(value: Any):
    assert split_recipients(value) == [ANN, BEA]


@pytest.mark.parametrize("value", ["", " ", ",", "\n;", [], [""], [" , "], "[]", ()])
def test_split_recipients_without_entries_returns_empty_list(value: Any):
    assert split_recipients(value) == []


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        ("+1 415 555 0101", ["+1 415 555 0101"]),  # one number, which the checks reject
        ("+1 415, +44 20", ["+1 415", "+44 20"]),
        ("whatsapp: +14155550101", ["whatsapp: +14155550101"]),
        (f"whatsapp:{ANN} whatsapp:{BEA}", [f"whatsapp:{ANN}", f"whatsapp:{BEA}"]),
        (SIP, [SIP]),
        (f"{SIP}; {ANN}", [SIP, ANN]),
        (f"{SIP};\n{SIP}1;", [SIP, f"{SIP}1"]),
        (f"PN{'a' * 32} PN{'b' * 32}", [f"PN{'a' * 32}", f"PN{'b' * 32}"]),
        ("(not a list", ["(not a list"]),
        ([ANN, None, 7], [ANN, None, 7]),
        (None, [None]),
        ({"to": ANN}, [{"to": ANN}]),
    ],
)
def test_split_recipients_keeps_what_belongs_to_an_entry(value: Any, entries: list[Any]):
    assert split_recipients(value) == entries
